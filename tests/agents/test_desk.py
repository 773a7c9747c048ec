"""The desk: every task is solved by its solution, by nothing else, and nothing else may change."""

from __future__ import annotations

import asyncio
import json
import random
import string
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import date

import pytest

from agents.played import following, play, total
from operant.agents.cases import Rejected, Task
from operant.agents.desk import codecs
from operant.agents.desk.draft import FULL, TINY, Draft, base
from operant.agents.desk.endpoints import ENDPOINTS, ApiError
from operant.agents.desk.pools import CHAT
from operant.agents.desk.schema import SCHEMA
from operant.agents.desk.tasks.template import TEMPLATES, Template
from operant.agents.desk.world import DeskWorld, make
from operant.agents.goals import Expected, Holds, answers, completion, judge
from operant.agents.store import Change, Store
from operant.config.errors import ConfigError, EnvError
from operant.language import load_world
from operant.language.episodes.world import World

SEED = 101
TABLES = [line.split("(")[0].split()[-1] for line in SCHEMA.splitlines() if line.startswith("CREATE")]


@pytest.fixture(scope="module")
def full():
    made = make("")
    yield made
    made.close()


@pytest.fixture(scope="module")
def tiny():
    made = make("tiny")
    yield made
    made.close()


@pytest.fixture(scope="module")
def calls(tiny):
    """The small desk in the form of calls; its sandbox, for solutions only, is the other's."""
    made = make("tiny/calls")
    made._sandbox = tiny.sandbox
    return made


EACH = [("full", name) for name in TEMPLATES] + [("tiny", t.name) for t in TEMPLATES.values() if t.tiny]


# --- what there is ---


def test_the_desk_is_as_large_as_it_says(full, tiny):
    assert isinstance(full, World)
    assert len(full.offered) >= 80
    assert len(full.templates) >= 25
    assert {e.app for e in full.offered.values()} >= {
        "messages", "contacts", "payments", "notes", "mail", "shop", "calendar",
    }  # fmt: skip
    assert len(tiny.templates) >= 8
    assert {e.app for e in tiny.offered.values()} == {"desk", "api_docs", "messages", "contacts", "payments"}
    assert 20 <= len(tiny.offered) <= 26
    docs = "\n".join(f"{e.signature}: {e.doc}" for e in tiny.offered.values())
    assert len(docs) < 4 * 1_500, "about 1,500 tokens"
    assert all(e.doc for e in ENDPOINTS.values())


def test_splits_share_no_template_no_app_and_no_world(full, tiny):
    train, held, app = ({t.name for t in full.of(s)} for s in ("train", "template", "app"))
    assert not train & held
    assert not (train | held) & app
    assert held
    assert all("calendar" not in t.apps for t in full.of("train"))
    assert all("calendar" in t.apps for t in full.of("app"))
    assert full.of("test") == full.of("train")
    seeds = [{full.scenarios(split)[k].seed for k in (0, 70, 140)} for split in full.splits]
    assert sum(map(len, seeds)) == len(set.union(*seeds))
    assert list(tiny.splits) == ["train", "test", "template"]


def test_three_variants_stand_together(tiny):
    found = tiny.scenarios("train")
    assert len(found) == 3 * 10 * 200
    for k in (0, 3, 33):
        three = found[k : k + 3]
        assert len({(s.template, s.seed) for s in three}) == 1
        assert [s.variant for s in three] == [0, 1, 2]
        assert len({s.instruction for s in three}) == 3
        assert [s.id for s in three] == [k, k + 1, k + 2]
    assert found[-1].id == len(found) - 1
    with pytest.raises(IndexError):
        found[len(found)]


def test_worlds_are_found_by_name_and_wrong_options_are_refused():
    assert load_world("desk/tiny/calls").name == "desk/tiny/calls"
    assert load_world("desk", {"seeds": 2}).name == "desk"
    with pytest.raises(ConfigError, match="there is no world desk/tinny"):
        load_world("desk/tinny")
    with pytest.raises(ConfigError, match="no option 'sede'"):
        make("tiny", sede=1)
    for option in ({"seeds": 0}, {"turns": 2.5}, {"reward": "all"}, {"seconds": float("nan")}, {"docs": "yes"}):
        with pytest.raises(ConfigError, match=next(iter(option))):
            make("tiny", **option)
    with pytest.raises(ConfigError, match="no split 'valid'"):
        make("tiny").scenarios("valid")


# --- each template ---


@pytest.mark.parametrize(("which", "template"), EACH)
def test_a_template_is_solved_by_its_solution_and_by_no_other_way(which, template, request):
    """Five worlds: the solution 1, nothing 0, the solution of another world at most one in five, 80 at random none."""
    world = request.getfixturevalue(which)
    found = [world.case(template, SEED + k, k % 3) for k in range(5)]
    solved = [world._replay(case, case.task.steps) for case in found]
    assert [verdict.score for verdict, _ in solved] == [1.0] * 5
    for case in found:
        nothing = world.begin(case)
        nothing.call("desk.complete", [], {})
        verdict = judge(case.task.expected, case.task.answer, nothing.store.changes(), nothing.answer)
        assert verdict.score == 0.0
        assert not verdict.solved
    assert sum(world.solved_by(found[k], found[k - 1].task.steps).solved for k in range(5)) <= 1
    assert sum(solved_by_calls(world, found[k], solved[k - 1][1]) for k in range(5)) <= 1
    assert sum(solved_by_calls(world, c, made) for c in found for made in random_calls(world, c, SEED, 16)) <= 1


def solved_by_calls(world, case, made):
    """Whether calls, one after the other, solve a task; what is refused is passed over."""
    desk = world.begin(case)
    for name, arguments in made:
        with suppress(ApiError):
            desk.call(name, [], arguments)
    verdict = judge(case.task.expected, case.task.answer, desk.store.changes(), desk.answer)
    desk.store.close()
    return verdict.solved and desk.completed


IDS = {
    "messages": ["messages"], "contacts": ["contacts"], "payments": ["requests", "transactions"], "notes": ["notes"],
    "mail": ["mails"], "shop": ["orders"], "calendar": ["events"], "product_id": ["products"], "item_id": ["items"],
    "card_id": ["cards"],
}  # fmt: skip


def random_calls(world, case, seed, episodes):
    """Episodes of calls at random, with arguments that are in the world, and where they belong by their name."""
    rng, store = random.Random(seed), Store(case.snapshot)
    rows = {table: store.rows(f"SELECT * FROM {table}") for table in TABLES}
    store.close()
    columns = {}
    for row in (row for found in rows.values() for row in found):
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    columns |= {"email": [r["email"] for r in rows["contacts"]], "amount": [v / 100 for v in columns["amount"]]}
    columns["to"] = columns["email"]
    texts = [
        v for name in ("name", "text", "note", "title") for v in columns.get(name, [])
    ] + case.task.instruction.split()
    numbers = [v for found in columns.values() for v in found if isinstance(v, int | float)]
    logins = [] if world.tiny else rows["passwords"]
    offered = [e for e in world.offered.values() if e.full != "desk.complete"]

    def value(app, name, kind):
        tables = IDS.get(name) or (IDS.get(app) if name == "id" else None)
        if tables:
            return rng.choice([row["id"] for table in tables for row in rows[table]] or [1])
        if columns.get(name) and isinstance(columns[name][0], kind) and rng.random() < 0.8:
            return rng.choice(columns[name])
        if kind is bool:
            return rng.random() < 0.5
        if kind is str or (kind is object and rng.random() < 0.3):
            return rng.choice(texts)
        return int(rng.choice(numbers)) if kind is int else rng.choice((1, 0.01)) * rng.choice(numbers)

    for _ in range(episodes):
        made = [(f"{row['app']}.login", {"password": row["password"]}) for row in logins]
        for found in rng.choices(offered, k=8):
            given = [p for p in found.parameters if p.required or rng.random() < 0.3]
            made.append((found.full, {p.name: value(found.app, p.name, p.kind) for p in given}))
        yield [*made, ("desk.complete", {"answer": value("desk", "answer", object)})]


def test_the_small_desks_solutions_take_six_calls_at_most(calls):
    for name in calls.templates:
        for seed in (SEED, SEED + 1, SEED + 2):
            assert len(made := calls.case(name, seed, seed % 3).calls) <= 6, (name, made)


def test_solutions_in_both_forms_earn_one_through_the_contract(full, tiny, calls):
    for world in (full, tiny, calls):
        found = world.scenarios("test")
        for index in range(0, 3 * len(world.of("test")), 3):
            seen = play(world, found[index], following(world.oracle(found[index])))
            assert total(seen) == 1.0, found[index]
            assert seen[-1].terminated
            assert seen[-1].info["success"] is True
            assert all(one.error is None for one in seen)
            assert len(seen) - 1 <= world.turns


def test_said_tersely_the_desk_is_the_same(calls):
    """No system message, answers in tables that hold what the JSON holds, and solutions that earn one."""
    terse = make("tiny/calls", terse=True)
    terse._sandbox = calls.sandbox
    assert terse.system == ""
    found = calls.scenarios("test")
    for index in range(0, 3 * len(calls.of("test")), 3):
        long, short = (play(w, found[index], following(w.oracle(found[index]))) for w in (calls, terse))
        assert total(short) == total(long) == 1.0
        for a, b in zip(long[1:], short[1:], strict=True):
            told = json.loads(a.text)
            rows = told if isinstance(told, list) else [told]
            names, *lines = (line.split("\t") for line in b.text.split("\n"))
            assert names == list(rows[0])
            assert lines == [[str(x) for x in row.values()] for row in rows]
    assert codecs.table([]) == "[]"
    assert codecs.table(12.5) == "12.5"
    assert codecs.table([{"text": "two\tlines\nof it", "read": True}]) == "text\tread\ntwo lines of it\tTrue"
    with pytest.raises(ConfigError, match="option terse of desk/tiny is"):
        make("tiny", terse=1.5)


# --- the lecture's task ---


def test_the_friend_who_wrote_is_paid_and_not_the_namesake(full):
    """Pay Alice and Bob what they texted: there are two of one name, and one only said something about the gym."""
    case = full.case("pay_for_trip", SEED, 0)
    wanted = [e for e in case.task.expected if e.table == "transactions"]
    assert len(wanted) == 2
    store = Store(case.snapshot)
    to = store.row("SELECT * FROM users WHERE username = ?", wanted[0].values["receiver"])
    first = to["name"].split()[0]
    twins = store.rows("SELECT * FROM users WHERE friend = 1 AND name LIKE ?", f"{first} %")
    assert len(twins) == 2
    other = next(u for u in twins if u["username"] != to["username"])
    store.close()
    login = "payments.login(password=desk.passwords()['payments'])\n"
    sends = [f"payments.send(username={e.values['receiver']!r}, amount={e.values['amount'] / 100})" for e in wanted]
    done = "\ndesk.complete()"
    assert full.solved_by(case, [login + "\n".join(sends) + done]).solved
    wrong = sends[0].replace(to["username"], other["username"])
    verdict = full.solved_by(case, [login + "\n".join([wrong, sends[1]]) + done])
    assert [r.passed for r in verdict.requirements] == [False, True, False]
    assert verdict.score == 0.0  # one of two was brought about, and something else was damaged
    assert full.solved_by(case, [login + sends[1] + done]).score == 0.5


# --- what is judged ---


def test_collateral_damage_costs_wherever_the_episode_ends(tiny, calls):
    scenario = tiny.scenarios("train")[0]
    harm = f"messages.delete(id={first_message(tiny, scenario)})"
    solution = tiny.oracle(scenario)
    seen = play(tiny, scenario, following([codecs.fenced(harm), *solution]))
    assert 0 < total(seen) < 1
    assert seen[-1].info["success"] is False
    assert "nothing else has changed" in seen[-1].info["failed"]
    scenario = calls.scenarios("train")[0]
    harm = f"messages.delete(id={first_message(calls, scenario)})"
    seen = play(calls, scenario, following([harm, "desk.complete()"]))
    assert total(seen) < 0
    seen = play(calls, scenario, following([harm], then="desk.now()"))
    assert seen[-1].truncated
    assert not seen[-1].terminated
    assert len(seen) - 1 == calls.turns
    assert total(seen) < 0
    almost = play(calls, scenario, following(calls.oracle(scenario)[:-1], then="desk.now()"))
    assert total(almost) == 0.0  # what is done counts when the policy says that it is done
    assert almost[-1].info["success"] is False


def first_message(world, scenario):
    """The id of a message that no task is about."""
    store = Store(world.case(scenario.template, scenario.seed, scenario.variant).snapshot)
    found = next(row["id"] for row in store.rows("SELECT id, text FROM messages") if row["text"] in CHAT)
    store.close()
    return found


def test_a_reward_of_all_or_nothing(tiny):
    strict = make("tiny", reward="solved")
    strict._sandbox = tiny.sandbox
    found = strict.scenarios("train")
    scenario = next(s for s in found[:30] if s.template == "pay_for_trip")
    case = strict.case(scenario.template, scenario.seed, scenario.variant)
    first = case.task.expected[0].values
    half = f"payments.send(username={first['receiver']!r}, amount={first['amount'] / 100})\ndesk.complete()"
    assert total(play(strict, scenario, following([codecs.fenced(half)]))) == 0.0
    assert total(play(tiny, scenario, following([codecs.fenced(half)]))) == 0.5
    assert total(play(strict, scenario, following(strict.oracle(scenario)))) == 1.0


def test_the_log_of_writes_is_the_difference_of_databases(full):
    """Fast equals slow, over random episodes; a write past the log would be seen."""
    for k, name in enumerate(list(full.templates)[::3]):
        case = full.case(name, SEED, 0)
        desk = full.begin(case)
        for call, arguments in [c for made in random_calls(full, case, k, 20) for c in made]:
            if call != "desk.complete":
                with suppress(ApiError):
                    desk.call(call, [], arguments)
        assert desk.store.written > 3
        assert key(desk.store.changes()) == key(slow_changes(case, desk.store))
        desk.store._connection.execute("UPDATE me SET name = 'x'")
        assert key(desk.store.changes()) != key(slow_changes(case, desk.store))
        desk.store.close()


def key(changes):
    return sorted((c.table, c.id, repr(c.before), repr(c.after)) for c in changes)


def slow_changes(case, after):
    """Every row of every table, before and after."""
    before, found = Store(case.snapshot), []
    for table in TABLES:
        old, new = ({r["id"]: r for r in s.rows(f"SELECT * FROM {table}")} for s in (before, after))
        ids = sorted(old.keys() | new.keys())
        found += [Change(table, i, old.get(i), new.get(i)) for i in ids if old.get(i) != new.get(i)]
    before.close()
    return found


def test_changes_are_met_one_for_one():
    row = {"id": 3, "number": "1", "text": "Hello, there.", "unread": 0}
    added = Change("messages", 3, None, row)
    assert Expected("messages", "added", {"text": " hello,  THERE"}).meets(added)
    assert Expected("messages", "added", {"text": Holds(("there",))}).meets(added)
    assert not Expected("messages", "added", {"text": "hello"}).meets(added)
    assert not Expected("messages", "removed", {"text": "hello, there"}).meets(added)
    read = Change("messages", 3, row | {"unread": 1}, row)
    assert Expected("messages", "changed", {"unread": 0}, 3).meets(read)
    assert not Expected("messages", "changed", {"unread": 0}, 4).meets(read)
    both = Change("messages", 3, row | {"unread": 1, "number": "2"}, row)
    assert not Expected("messages", "changed", {"unread": 0}, 3).meets(both)  # another column changed, too
    twice = [Expected("messages", "added", {"number": "1"})] * 2
    assert [r.passed for r in judge(twice, None, [added], None).requirements] == [True, False, True]
    assert not judge([], 5, [], "6").solved
    assert judge([], 5, [], "$5.00").score == 1.0


@pytest.mark.parametrize(
    ("right", "given", "is_right"),
    [
        (110, 110, True), (110, 110.0, True), (110, "110", True), (110, "$110.00", True), (110, "110 dollars", True),
        (1234.5, "1,234.50", True), (110, 110.01, False), (110, "110 and 111", False), (110, True, False),
        (1, True, False),
        (110, None, False), (110, "", False), (110, "nan", False), ("Bob Lund", " bob  lund.", True),
        ("Bob", "Rob", False),
        (date(2026, 5, 1), "2026-05-01", True), (date(2026, 5, 1), "1 May", False), (date(2026, 5, 1), 20260501, False),
    ],
)  # fmt: skip
def test_answers_are_typed(right, given, is_right):
    assert answers(right, given) is is_right


def test_tasks_and_scenarios_are_counted_apart():
    assert completion({("a", 1): [True, True, False], ("a", 2): [True, True, True]}) == (5 / 6, 1 / 2)
    assert completion({("a", 1): [False]}) == (0.0, 0.0)
    with pytest.raises(ConfigError, match="no task was tried"):
        completion({})


# --- what makes no task ---


def made_world(tiny, template):
    world = DeskWorld(True)
    world._sandbox = tiny.sandbox
    world.templates = {"probe": Template("probe", ("messages",), template, True, False)}
    return world


def test_draws_that_make_no_task_are_drawn_again(tiny):
    tried = []

    def choosy(d: Draft) -> Task:
        tried.append(d.rng.random())
        if len(tried) < 3:
            d.refuse("two people fit")
        id = d.text(d.one(), "star me")
        return Task("star it", [f"messages.star(id={id})\ndesk.complete()"], [d.changes("messages", id, starred=1)])

    assert made_world(tiny, choosy).case("probe", SEED, 0).task.instruction == "star it"
    assert len(set(tried)) == 3


@pytest.mark.parametrize("why", ["trivially true", "its solution fails", "always refused"])
def test_a_template_that_never_makes_a_task_is_a_fault(tiny, why):
    def bad(d: Draft) -> Task:
        if why == "always refused":
            d.refuse("never")
        if why == "trivially true":
            id = d.text(d.one(), "read me")
            return Task("read it", ["desk.complete()"], [d.changes("messages", id, unread=0)])
        return Task("say 5", ["desk.complete(answer=6)"], answer=5)

    with pytest.raises(EnvError, match="template probe makes no task"):
        made_world(tiny, bad).case("probe", SEED, 0)
    with pytest.raises(Rejected):
        Draft(base(1, TINY), random.Random(1), locks=False).refuse("why")


# --- endpoints ---


def call(desk, text, /, **kwargs):
    return desk.call(text, [], kwargs)


def test_errors_say_what_is_wrong_and_what_to_do(full):
    desk = full.begin(full.case("pay_person", SEED, 0))
    for code, name, kwargs, words in [
        (401, "payments.balance", {}, "log in first"),
        (401, "payments.login", {"password": "x"}, "desk.passwords() has it"),
        (404, "payments.pay", {}, "payments has login, balance"),
        (404, "bank.pay", {}, "the apps are desk"),
        (404, "contacts.get", {"id": 999}, "there is no contact 999"),
        (404, "api_docs.call", {"name": "x"}, "api_docs.app"),
        (422, "contacts.get", {}, "id is missing: a whole number"),
        (422, "contacts.get", {"id": "1"}, "must be a whole number, not str"),
        (422, "contacts.get", {"id": True}, "not bool"),
        (422, "contacts.get", {"id": 1.5}, "not float"),
        (422, "contacts.get", {"id": 10**30}, "too large"),
        (422, "contacts.get", {"id": float("nan")}, "not float"),
        (422, "contacts.get", {"key": 1}, "it takes id"),
        (422, "contacts.search", {"name": "x" * 3000}, "at most 2,000"),
        (422, "messages.search", {"limit": 21}, "from 1 to 20"),
        (422, "messages.search", {"page": -1}, "0 or more"),
        (422, "messages.send", {"number": "12", "text": "x"}, "seven digits"),
        (422, "messages.send", {"number": "1234567", "text": " "}, "must not be empty"),
        (422, "calendar.create", {"title": "x", "day": "Monday", "start": "10:00"}, "YYYY-MM-DD"),
        (422, "contacts.update", {"id": 1}, "give a name"),
    ]:  # fmt: skip
        with pytest.raises(ApiError, match=str(code)) as caught:
            call(desk, name, **kwargs)
        assert words in str(caught.value), (name, str(caught.value))
    call(desk, "payments.login", password=call(desk, "desk.passwords")["payments"])
    user = call(desk, "payments.search_users", query="")[0]["username"]
    for code, amount in ((422, 0.0), (422, -5), (422, 1.234), (409, 9999.0), (422, 1e9)):
        with pytest.raises(ApiError, match=str(code)):
            call(desk, "payments.send", username=user, amount=amount)
    assert call(desk, "contacts.get", id=1.0)["id"] == 1  # a whole number, written otherwise
    call(desk, "desk.complete")
    with pytest.raises(ApiError, match="409: the task is complete"):
        call(desk, "desk.now")
    assert desk.store.changes() == []


def test_a_judge_that_forgets_damage_would_be_seen(monkeypatch, tiny):
    """The known bug of graders by the final state: what is wanted is there, and so is what nobody asked for."""
    scenario = tiny.scenarios("train")[0]
    case = tiny.case(scenario.template, scenario.seed, scenario.variant)
    harm = f"messages.delete(id={first_message(tiny, scenario)})"
    assert not tiny.solved_by(case, [harm, *case.task.steps]).solved
    monkeypatch.setattr("operant.agents.store.Store._note", lambda self, table, id, before: None)
    assert not tiny.solved_by(case, case.task.steps).solved  # without its log nothing is seen to be brought about
    monkeypatch.undo()
    forgetful = [r for r in tiny.solved_by(case, [harm, *case.task.steps]).requirements if r.label == "no_op_fail"]
    assert all(r.passed for r in forgetful)  # so a judge of these alone would pay it


def test_a_note_does_not_grow_for_ever(full):
    desk = full.begin(full.case("add_to_note", SEED, 0))
    id = call(desk, "notes.create", title="x")["id"]

    def fill():
        for _ in range(20):
            call(desk, "notes.append", id=id, text="y" * 2_000)

    with pytest.raises(ApiError, match="409: the note is full"):
        fill()
    assert len(call(desk, "notes.get", id=id)["body"]) <= 20_000


ODD = [
    None, True, False, 0, 1, -1, 5, 0.5, 1.0, -2.5, 1e300, float("inf"), float("nan"), 2**53, 2**63, -(2**70), "", " ",
    "a", "1", "%", "_", "\\", "'", '"; DROP TABLE me; --', "\x00", "\ud800", "é\u202e", "x" * 2_000, "x" * 2_001,
    "2026-02-30", "2026-05-20", "25:00", "10:00", "a@b.c", "@", "1234567", [], {}, [1], {"a": None}, b"x", 1j, object(),
]  # fmt: skip


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_call_with_odd_arguments_answers_or_refuses(full, name):
    """Whatever is given: what JSON can hold, or an ApiError; and what is written is in the log."""
    rng, case = random.Random(name), full.case("pay_person", SEED, 0)
    desk, found = full.begin(case), ENDPOINTS[name]
    desk.logged_in |= {"payments", "mail", "shop"}
    ids = [r["id"] for t in TABLES for r in desk.store.rows(f"SELECT id FROM {t} LIMIT 3")]
    for _ in range(60):
        given = {p.name: rng.choice(ids) if rng.random() < 0.3 else rng.choice(ODD) for p in found.parameters}
        with suppress(ApiError):
            json.dumps(desk.call(name, [], {k: v for k, v in given.items() if rng.random() < 0.9}), allow_nan=False)
        desk.completed = False
    assert key(desk.store.changes()) == key(slow_changes(case, desk.store))
    desk.store.close()


def test_pages_have_every_row_once(full):
    desk = full.begin(full.case("pay_person", SEED, 0))
    for name, table, where in (("messages.search", "messages", "1"), ("contacts.list", "contacts", "1"),
                               ("calendar.list", "events", "1"), ("shop.search", "products", "1"),
                               ("notes.list", "notes", "1")):  # fmt: skip
        for limit in (5, 7, 20):
            got, page = [], 0
            while rows := call(desk, name, page=page, limit=limit):
                got += rows
                page += 1
            want = desk.store.rows(f"SELECT id FROM {table} WHERE {where}")
            assert sorted(r["id"] for r in got) == [r["id"] for r in want]
    assert len(call(desk, "messages.search")) == 5
    assert call(desk, "messages.search", page=10**9) == []
    found = call(desk, "contacts.search", name="%")
    assert found == []  # a sign that is none of a pattern


def test_documentation_tells_every_call(full):
    desk = full.begin(full.case("pay_person", SEED, 0))
    told = {}
    for app in call(desk, "api_docs.apps"):
        told |= call(desk, "api_docs.app", name=app)
    assert set(told) == {e.signature for e in full.offered.values()}
    one = call(desk, "api_docs.call", name="payments.send")
    assert one["parameters"] == ["username: str", "amount: float", "note: str = ''"]
    assert one["needs_login"] is True
    assert "payments.send" in [e["call"] for e in call(desk, "api_docs.search", query="pay user", limit=20)]
    assert len(desk.read) == len(full.offered)


def test_a_payment_moves_the_balance_and_the_clock_moves_with_each_write(tiny):
    desk = tiny.begin(tiny.case("pay_person", SEED, 0))
    before, now = call(desk, "payments.balance"), call(desk, "desk.now")
    user = call(desk, "payments.search_users", query="")[0]["username"]
    call(desk, "payments.send", username=user, amount=12.34)
    assert round(before - call(desk, "payments.balance"), 2) == 12.34
    assert (now, call(desk, "desk.now")) == ("2026-05-18 09:00", "2026-05-18 09:01")
    assert call(desk, "payments.transactions")[0]["amount"] == 12.34


# --- episodes ---


def test_equal_scenarios_begin_equally_and_do_not_touch_one_another(tiny):
    scenario = tiny.scenarios("train")[3]
    id = first_message(tiny, scenario)

    async def main():
        first, second = tiny.open(scenario), tiny.open(scenario)
        a, b = await first.reset(), await second.reset()
        assert a == b
        seen = await first.step(f"```python\nx = 1\nprint(messages.delete(id={id}))\n```")
        same = await second.step(f"```python\nprint('x' in globals(), messages.get(id={id})['id'])\n```")
        assert "deleted" in seen.text
        assert same.text == f"False {id}"
        assert seen.state != same.state
        again = await second.step(f"```python\nmessages.delete(id={id})\n```")
        assert again.state == seen.state
        assert again.text == "Execution successful."
        await first.reset()  # a session that is begun again begins anew
        assert "True" not in (await first.step("```python\nprint('x' in globals())\n```")).text
        await first.close()
        await second.close()

    asyncio.run(main())


def test_a_session_may_be_run_by_one_thread_after_another(tiny, calls):
    """As by a runner that begins in place, and goes on where coroutines may wait."""
    with pytest.raises(StopIteration) as first:
        calls.open(calls.scenarios("train")[0]).reset().send(None)  # never waits
    assert first.value.value.text.startswith("Task: ")
    session = tiny.open(tiny.scenarios("train")[0])
    assert session.reset().send(None) is None  # waits, which is seen at once
    asyncio.run(session.reset())
    with pytest.raises(RuntimeError, match="no running event loop"):
        session.step(codecs.fenced("print(1)")).send(None)
    seen = []

    def work():
        seen.append(asyncio.run(session.step(codecs.fenced("print(desk.now())"))).text)
        asyncio.run(session.close())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == ["2026-05-18 09:00"]


def test_scenarios_do_not_depend_on_the_process(tiny):
    code = "from operant.agents.desk.draft import *; import hashlib\n"
    code += "print([hashlib.sha256(base(7, s).snapshot).hexdigest() for s in (FULL, TINY)])"
    seen = set()
    for salt in ("1", "2"):
        env = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": salt}
        seen.add(
            subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        )
    assert len(seen) == 1
    other = make("tiny")
    other._sandbox = tiny.sandbox
    for index in (0, 7, 31):
        assert other.scenarios("train")[index] == tiny.scenarios("train")[index]
    assert base(7, FULL).snapshot != base(8, FULL).snapshot


def test_output_is_cut_at_the_end_of_a_line_and_says_so():
    world = make("tiny", output=200)
    try:
        scenario = world.scenarios("train")[0]
        seen = play(
            world,
            scenario,
            following(["```python\nfor i in range(1000): print('line', i)\n```"], codecs.fenced("desk.complete()")),
        )
    finally:
        world.close()
    head, last = seen[1].text.rsplit("\n", 1)
    assert len(head) <= 200
    assert head.splitlines()[-1].startswith("line ")
    assert last.endswith("more characters were cut off]")


def test_an_error_is_an_observation_with_its_kind(tiny, calls):
    blocks = ["no block", "```python\nx = 1/0\n```", "```python\npayments.send(username='nobody', amount=3)\n```",
              "```\nimport os\nos._exit(1)\n```", "```python\nprint('still here')\n```"]  # fmt: skip
    seen = play(tiny, tiny.scenarios("train")[0], following(blocks, codecs.fenced("desk.complete()")))
    assert [(one.error or "").split(" ")[0] for one in seen[1:6]] == ["PARSE", "RAISED", "RAISED", "ENDED", ""]
    assert "ApiError: 404: there is no user 'nobody'" in seen[3].text
    assert seen[5].text == "still here"
    scenario = calls.scenarios("train")[0]
    id = first_message(calls, scenario)
    lines = ["hm", f"messages.get(id={id})", "I think.\n> messages.get(id=99999)", "f(x)", "messages.get(id=[1])"]
    seen = play(calls, scenario, following(lines, "desk.complete()"))
    assert [(one.error or "").split(" ")[0] for one in seen[1:6]] == ["PARSE", "", "ERROR", "PARSE", "ERROR"]
    assert seen[2].text.startswith(f'{{"id": {id},')


MALFORMED = [
    "", " ", "\n\n", "```", "```python", "```python\n", "``````", "```python\n```", "\x00", "\ud800", "a" * 100_000,
    "(" * 50_000, "f(" * 5_000, "[" * 3_000 + "]" * 3_000, "-" * 4_000 + "1", "f(**{'a': 1})", "f(*[1])", "f(x=y)",
    "messages.get(id=1e999)", "messages.get(id=-1)", "messages.get(id=10**10)", "messages.get(id='1')", "lambda: 0",
    "messages.get(1, 2, 3)", "messages.get(id=1, id=2)", "messages.get(1, id=2)", "__import__('os').system('true')",
    "messages.__class__()", "messages.get.__call__(id=1)", "desk.call('x')", "exec('1')",
    "messages.search(query='\\ud800')",
    "messages.search(query='\x00')", "messages.get(id=nan)",
    "messages.send(number='1234567', text='%s%n')",
    "messages.search(query=b'x')", "messages.search(query={'a': {1, 2}})", "messages.search(query=1j)", "await f()",
    "f'{messages}'", "messages.search(query=...)", "desk.complete(answer=[1])",
    "desk.complete(answer={})", "yield",
    "x = f()",
    "messages.search(query='" + "x" * 5_000 + "')", "1", "None", "{}", "messages", "messages.search",
    "messages.search()()",
]  # fmt: skip


def garbage(rng, n):
    """Actions that are none: bits of calls, of fences, and of anything."""
    parts = ["messages", ".", "get", "(", ")", "id", "=", "1", "'", '"', "```python\n", "```", "\n", "[", "]", "{",
             ",", "desk.now()", "\\", "\u202e", "é", "print(", "while True: pass\n", "raise SystemExit\n",
             "del print\n"]  # fmt: skip
    for _ in range(n):
        yield "".join(
            rng.choice([rng.choice(parts), rng.choice(string.printable)]) for _ in range(rng.randrange(1, 30))
        )


def test_malformed_actions_are_observations_in_the_form_of_calls(tiny):
    world = make("tiny/calls", turns=10_000)
    world._sandbox = tiny.sandbox
    rng = random.Random(SEED)
    actions = [*MALFORMED, *garbage(rng, 900)]
    session = world.open(world.scenarios("train")[0])

    async def main():
        await session.reset()
        for action in actions:
            seen = await session.step(action)
            assert isinstance(seen.text, str)
            seen.text.encode()
            if seen.terminated:
                await session.reset()
        await session.close()

    asyncio.run(main())
    assert len(actions) > 900


def test_malformed_actions_are_observations_in_the_form_of_blocks(tiny):
    world = make("tiny", turns=10_000, seconds=0.2)
    rng = random.Random(SEED)
    actions = [codecs.fenced(text) for text in [*MALFORMED, *garbage(rng, 60)]] + list(garbage(rng, 60))
    session = world.open(world.scenarios("train")[0])

    async def main():
        await session.reset()
        for action in actions:
            seen = await session.step(action)
            seen.text.encode()
            if seen.terminated:
                await session.reset()
        await session.close()

    try:
        asyncio.run(main())
    finally:
        world.close()
