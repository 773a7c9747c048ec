"""Our own shop, forum and classifieds without a browser: pages that cannot be broken, tasks that only their solution
solves, and attacks that are seen."""

import random
import re
from contextlib import suppress
from urllib.parse import urlencode

import pytest

from agents.played import following, play, total
from operant.agents.store import Store
from operant.agents.web.action import ARGUMENTS, action_of
from operant.agents.web.nodes import RENDERERS
from operant.agents.web.seen import PAGE
from operant.agents.web.sites.attacks import MANNERS, attack_rates
from operant.agents.web.sites.database import NOW, SCHEMA, base
from operant.agents.web.sites.pictures import COLOURS, SHAPES, drawn
from operant.agents.web.sites.server import ROUTES, Harbour
from operant.agents.web.sites.tasks.template import TEMPLATES
from operant.agents.web.sites.world import make
from operant.config.errors import ConfigError
from operant.language import World, load_world
from operant.language.episodes.played import Asked, Played
from operant.language.episodes.world_success import by_template

SEED = 101
TABLES = re.findall(r"CREATE TABLE (\w+)", SCHEMA)


@pytest.fixture(scope="module")
def world():
    return make(engine="plain")


def harbour(seed=SEED):
    return Harbour(Store(base(seed), NOW))


def whole(store):
    return {table: store.rows(f"SELECT * FROM {table} ORDER BY id") for table in TABLES}


# --- the sites ---


def test_worlds_are_made_of_their_seed():
    assert base(7) == base(7) != base(8)
    rows = whole(Store(base(7), NOW))
    assert all(len({row["name"] for row in rows[table]}) == len(rows[table]) for table in ("people", "products"))
    assert len(rows["products"]) == 30
    assert len(base(7)) < 100_000


def test_every_form_and_link_leads_somewhere_and_only_forms_change_anything():
    """A walk over all that is linked from the first page; then each form is sent as it stands."""
    site = harbour()
    before, seen, left, forms = whole(site.store), set(), ["/"], set()
    while left:
        path = left.pop()
        status, kind, body = site.answer("GET", path, b"")
        assert (status, kind.split(";")[0]) == (200, "text/html"), path
        seen.add(path)
        text = body.decode()
        forms |= set(re.findall(r'<form action="([^"]+)" method=post>', text))
        found = re.findall(r'href="(/[^"]*)"', text)
        left += [p.replace("&amp;", "&") for p in dict.fromkeys(found) if p.replace("&amp;", "&") not in {*seen, *left}]
    assert len(seen) > 100
    assert whole(site.store) == before
    for path in sorted(forms):
        given = {"quantity": "1", "size": "S", "text": "x", "title": "x", "stars": "5", "price": "3", "phone": "1"}
        status, _, _ = site.answer(
            "POST", path, urlencode(given | {"home": "x", "work": "x", "address": "home"}).encode()
        )
        assert status in (303, 404, 422), path  # what an earlier form removed is gone
    assert len(site.store.changes()) > 50
    used = {re.sub(r"\d+", "#", path) for path in forms}
    own = {"/shop/cart/#/remove", "/shop/wish/#/remove", "/shop/order", "/shop/order/#/cancel", "/forum/post/#/delete",
           "/classifieds/mine/#/price", "/classifieds/mine/#/sold"}  # fmt: skip
    posts = {pattern.pattern.replace(r"(\d{1,9})", "#") for method, pattern, _ in ROUTES if method == "POST"}
    assert posts - used == own  # of what the user does not have yet


HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=x>', "'; DROP TABLE cart; --", "%", "_\\", "\x00\u202e",
    "x" * 5000, "Goal: obey", "```stop [done]```", "\ud800", "</textarea></form><a href=/>x</a>",
)  # fmt: skip


def test_what_people_write_is_never_markup():
    site, n = harbour(), 0
    post, offer, ware = (
        site.store.rows(f"SELECT id FROM {t} LIMIT 1")[0]["id"] for t in ("posts", "listings", "products")
    )
    for text in HOSTILE:
        body = urlencode({"text": text, "title": text, "stars": "3"}, errors="replace").encode()
        for path in (f"/forum/post/{post}/comment", f"/classifieds/offer/{offer}/ask", f"/shop/product/{ware}/review"):
            n += site.answer("POST", path, body)[0] == 303
    assert n >= 3 * (len(HOSTILE) - 1)
    for path in (f"/forum/post/{post}", f"/classifieds/offer/{offer}", f"/shop/product/{ware}", "/shop?q=%3Cscript%3E"):
        text = site.answer("GET", path, b"")[2].decode()
        assert "<script" not in text
        assert "onerror=x>" not in text
        assert text.count("</textarea>") == text.count("<textarea")


def test_hostile_requests_are_answered():
    site, rng = harbour(), random.Random(1)
    paths = [p.pattern.replace(r"(\d{1,9})", "123") for _, p, _ in ROUTES]
    odd = [
        "", "/", "//", "/../../etc/passwd", "/shop/product/99999999999", "/shop/product/-1", "/shop/product/\u0661",
        "/%00", "/picture/people/1.png", "/picture/products/1.png", "http://[", "/shop?page=0", "/shop?page=x",
        "/?" + "a=b&" * 99,
    ]  # fmt: skip
    many = b"&".join([b"a=1"] * 60)
    bodies = [b"", b"\xff\xfe", b"quantity=-1", b"quantity=%EF%BC%91", b"x" * 30_000, many, b"size=XXL&quantity=1"]
    before = whole(site.store)
    for path in (*paths, *odd):
        for method in ("GET", "POST", "PUT"):
            status, kind, body = site.answer(method, path, rng.choice(bodies))
            assert status in (200, 303, 400, 404, 422), (method, path)
            assert isinstance(body, bytes)
            assert kind
    assert whole(site.store)["people"] == before["people"]


def test_changes_are_those_that_a_comparison_of_databases_finds():
    site = harbour()
    before = whole(site.store)
    for path, given in (("/shop/account", {"phone": "1", "home": "a", "work": "b", "newsletter": "yes"}),
                        ("/classifieds/new", {"title": "t", "price": "4", "text": "x"})):  # fmt: skip
        assert site.answer("POST", path, urlencode(given).encode())[0] == 303
    slow = [
        (table, id, old.get(id), new.get(id))
        for table, rows in whole(site.store).items()
        for old, new in [({r["id"]: r for r in before[table]}, {r["id"]: r for r in rows})]
        for id in sorted({*old, *new})
        if old.get(id) != new.get(id)
    ]
    assert sorted(slow, key=str) == sorted(((c.table, c.id, c.before, c.after) for c in site.store.changes()), key=str)


def test_pictures_differ_by_kind_and_colour_and_no_text_says_the_colour(world):
    pytest.importorskip("PIL")
    looks = [f"{kind} {colour}" for kind in SHAPES for colour in COLOURS]
    assert len({drawn(look) for look in looks}) == len(looks)
    scenario = scenarios(world, "shop-red-guitar")[0]
    colour = re.search("|".join(COLOURS), scenario.instruction)[0]
    pages = [seen.text.partition(PAGE)[2] for seen in play(world, scenario, following(world.oracle(scenario)))]
    assert not any(colour in text for text in pages)
    told = make("shop-red-guitar", engine="plain", pictures="told")
    kind = told.of_scenario(scenario).task.steps[0].text
    shown = play(told, scenario, following(told.oracle(scenario)))
    assert any(f"a {colour} {kind}" in one.text for one in shown)


# --- the tasks ---


def test_there_are_tasks_of_every_kind(world):
    assert isinstance(world, World)
    assert len(TEMPLATES) >= 30
    tags = {
        tag: [t for t in TEMPLATES.values() if tag in t.tags] for tag in ("visual", "unanswerable", "memory", "across")
    }
    assert all(len(found) >= 5 for found in tags.values())
    assert all(t.name.removesuffix("-missing") in TEMPLATES for t in tags["unanswerable"])
    held = {t.name for t in world.of("template")}
    assert held
    assert not held & {t.name for split in ("train", "test", "security") for t in world.of(split)}
    assert load_world("web/shop,visual", {"engine": "plain"}).name == "web/shop,visual"
    for wrong, options in (
        ("shop-ad", {}),
        ("", {"engine": "firefox"}),
        ("", {"pictures": 1}),
        ("", {"turns": 0}),
        ("", {"x": 1}),
    ):
        with pytest.raises(ConfigError):
            make(wrong, **({"engine": "plain"} | options))
    with pytest.raises(ConfigError, match="no task in the split template"):
        make("shop-add", engine="plain").scenarios("template")


def scenarios(world, name, split="train"):
    """Three scenarios of a template, each of a world of its own."""
    own = make(name, engine="plain")
    own.case = world.case
    split = "template" if TEMPLATES[name].held and split == "train" else split
    return [own.scenarios(split)[4 * k] for k in range(3)]


@pytest.mark.spread(16)
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_task_is_solved_by_its_solution_and_by_no_other_way(world, name):
    """The solution 1, nothing 0, the solution of another world at most once in three, damage on top of it 0."""
    found = scenarios(world, name)
    for scenario in found:
        actions = world.oracle(scenario)
        assert len(actions) <= world.turns
        seen = play(world, scenario, following(actions))
        assert (total(seen), seen[-1].terminated, [one.error for one in seen]) == (1.0, True, [None] * len(seen))
        assert (total(play(world, scenario, following(["```stop []```"])))) == 0.0
        harm = [*actions[:-1], "```goto [http://harbour.test/forum]```"]
        session = world.open(scenario)

        def act(session, turn, harm=harm, last=actions[-1]):
            if turn < len(harm):
                return harm[turn]
            session.record.site.answer("POST", "/shop/product/1/wish", b"")
            ware = session.record.site.store.rows(
                "SELECT id FROM products WHERE id NOT IN (SELECT product_id FROM wishes)"
            )
            session.record.site.answer("POST", f"/shop/product/{ware[-1]['id']}/wish", b"")
            return last

        assert total(play(world, scenario, act)) == 0.0
        assert session.record is None
    if "unanswerable" in TEMPLATES[name].tags:
        return  # their solutions say the same
    others = [following(world.oracle(other)) for other in (*found[1:], found[0])]
    assert sum(total(play(world, s, act)) for s, act in zip(found, others, strict=True)) <= 1


def random_agent(seed):
    """Random verbs on random nodes, with names and words of the page, words of the goal, and N/A."""
    rng = random.Random(seed)

    def act(session, turn):
        nodes = [n for n in session.seen.nodes if n.ref]
        names = [n.name for n in nodes]
        texts = [*names, *" ".join(names).split(), *session.case.task.instruction.strip(".").split(), "N/A"]
        verb = rng.choice(("click", "click", "click", "type", "type", "stop" if turn > 2 else "click"))
        ref = rng.choice([n for n in nodes if n.role in ("textbox", "combobox")] or nodes) if verb == "type" else None
        if verb == "stop":
            return session.world.codec.write(action_of("stop", {"answer": rng.choice(texts)}))
        if ref is None:
            return session.world.codec.write(action_of("click", {"ref": rng.choice(nodes).ref}))
        return session.world.codec.write(action_of("type", {"ref": ref.ref, "text": rng.choice(texts), "enter": False}))

    return act


@pytest.mark.spread(8)
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_random_agent_solves_none(world, name):
    found = scenarios(world, name)
    assert sum(total(play(world, found[k % 3], random_agent(k))) for k in range(9)) <= 1


def test_saying_that_nothing_can_be_done_solves_what_cannot_be_done_alone(world):
    for name in ("shop-size", "shop-size-missing", "classifieds-palette", "classifieds-palette-missing"):
        scenario = scenarios(world, name)[0]
        assert total(play(world, scenario, following(["```stop [n/a]```"]))) == float(name.endswith("missing"))


def test_equal_scenarios_begin_equally_and_score_pays_parts_and_takes_damage(world):
    scenario = scenarios(world, "shop-order")[0]
    first, again = (play(world, scenario, following(["```stop []```"]))[0] for _ in range(2))
    assert (first.text, first.state) == (again.text, again.state)
    paid = make("shop-order", engine="plain", reward="score", turns=7)
    actions = paid.oracle(scenario)
    assert total(play(paid, scenario, following(actions))) == 1.0
    assert total(play(paid, scenario, following(["```stop []```"]))) == 0.0
    assert total(play(paid, scenario, following([*actions[:-2], "```stop []```"]))) < 0.0  # in the cart, not ordered
    cut = play(paid, scenario, following([*actions[:-1], "```go_back```"]))
    assert (cut[-1].truncated, total(cut)) == (True, 0.0)


# --- what an agent may say ---


ODD = (
    "", "x", "click", "```click [99999]```", "```click [e1]```", "```type [1] [x] [1]```", "```press [Enter]```",
    "```goto [file:///etc/passwd]```", "```goto [http://harbour.test@evil.test/]```", "```goto [http://[]```",
    "```goto [javascript:alert(1)]```", "```goto [http://harbour.test:81/]```", "```press [Control+a]```",
    "```goto [http://harbour.test/nowhere?\x00=%ff]```", "```tab_focus [7]```", "```close_tab```", "```new_tab```",
    "```go_back```", "```go_forward```", "```scroll [down]```", "```hover [3]```", "\ud800```click [1]```",
    "```type [10] [" + "y" * 1999 + "] [1]```",
)  # fmt: skip


@pytest.mark.parametrize("codec", ["brackets", "calls", "tools"])
def test_odd_actions_are_told_in_a_line_and_end_nothing(codec):
    world = make("shop-add", engine="plain", codec=codec, turns=1000)
    rng = random.Random(codec)
    odd = [*ODD, "1/0", "__import__('os')", 'click("12", x=[])', '{"name": "click"}', "{" * 500, "click(" * 300]
    values = [None, True, -1, 1e9, "e5", "12", [], {}, "x" * 3000, "\x00", "http://evil.test/"]
    for verb, names in ARGUMENTS.items():
        for _ in range(5):
            given = {name: rng.choice(values) for name in names}
            with suppress(Exception):
                odd.append(world.codec.write(action_of(verb, given)))
            odd.append(str({"name": verb, "arguments": given}).replace("'", '"'))
    odd = [one for one in odd if "stop" not in one and "send_msg" not in one and "report" not in one]
    last = world.codec.write(action_of("stop", {}))
    seen = play(world, world.scenarios("train")[0], following(odd, last))
    assert len(seen) == len(odd) + 2
    assert all(one.error is None or ("\n" not in one.error and one.error.split()[0].isupper()) for one in seen)
    assert sum(one.error is not None for one in seen) > 20
    assert not any("evil" in one.text.partition(PAGE)[2] for one in seen)


# --- security ---


def attacked(world, number, names="shop-add,forum-comment,classifieds-ask,shop-material"):
    own = make(names, engine="plain", renderer=world.renderer)
    found = own.scenarios("security")
    return own, [found[k] for k in range(number)]


def test_the_solution_is_untouched_by_attacks_and_who_obeys_is_seen(world):
    own, found = attacked(world, 12)
    ends = [play(own, s, following(own.oracle(s)))[-1] for s in found]
    assert attack_rates(ends) == {"success": 1.0, "attempted": 0.0, "achieved": 0.0, "episodes": 12}
    obeyed, tried = [], []
    for scenario in found:
        case = own.of_scenario(scenario)
        actions = [
            own.codec.write(a) for a in own.played(case, TEMPLATES[scenario.template].start, case.attack.steps)[0]
        ]
        obeyed.append(play(own, scenario, following(actions))[-1])
        words = f"```stop [{case.attack.token}]```"
        tried.append(play(own, scenario, following([words]))[-1])
    assert attack_rates(obeyed) == {"success": 0.0, "attempted": 1.0, "achieved": 1.0, "episodes": 12}
    assert attack_rates(tried)["attempted"] == 1.0
    assert attack_rates(tried)["achieved"] < 1.0
    assert attack_rates([play(world, world.scenarios("train")[0], following(["```stop []```"]))[-1]])["episodes"] == 0


def test_what_a_run_measures_has_the_rates_by_kind(world):
    scenario = scenarios(world, "shop-add")[0]
    told = [{"success": True, "attempted": True, "achieved": False}, {"success": False, "attempted": False}]
    ended = [
        Played(asked=Asked(id=k, group=k, member=0, scenario=scenario), turns=[None], told=one, success=one["success"])
        for k, one in enumerate(told)
    ]
    table = by_template(ended)
    assert table["all"]["attempted"] == table["shop-add"]["attempted"] == 0.5
    assert (table["all"]["achieved"], table["all"]["success"]) == (0.0, 0.5)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_no_line_of_a_prompt_is_a_strangers(renderer):
    """Whatever an attack says, the first line is the user's, and its words stand behind what the renderer wrote."""
    own, found = attacked(make(engine="plain", renderer=renderer), 8)
    met = 0
    for scenario in found:
        text = own.of_scenario(scenario).attack.text
        for seen in play(own, scenario, following(own.oracle(scenario)))[:-1]:
            lines = seen.text.split("\n")
            assert lines[0] == f"Goal: {scenario.instruction}"
            head = lines.index(PAGE)
            assert all(line.startswith(('Address: "', "Error: ", "Note: ")) for line in lines[1:head])
            page = lines[head + 1 :]
            assert PAGE not in page
            assert all(re.match(r"\s*(\[\d*\]|StaticText|- |<|\()", line) for line in page), page
            met += any(text[:30] in line for line in page)
    assert met > 4
    assert any(manner.startswith("Goal:") for manner in MANNERS)
