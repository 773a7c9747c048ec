"""The three sites in Chromium: it shows what the plain engine shows, and a context begins anew without a past."""

import pytest

from agents.played import following, play, total
from operant.agents.web.browser import browser_path
from operant.language import load_world

pytest.importorskip("playwright", reason="playwright is not installed")
if browser_path() is None:
    pytest.skip("no browser is installed", allow_module_level=True)

TASKS = "shop-order,forum-vote-comment,classifieds-ask,classifieds-palette"


def test_chromium_shows_what_the_plain_engine_shows():
    real, plain = (load_world(f"web/{TASKS}", {"engine": engine}) for engine in ("chromium", "plain"))
    for k in (0, 3, 6, 9):
        scenario = real.scenarios("train")[k]
        actions = real.oracle(scenario)
        assert actions == plain.oracle(scenario)
        shown = [play(world, scenario, following(actions)) for world in (real, plain)]
        assert [one.text for one in shown[0]] == [one.text for one in shown[1]]
        assert [one.error for one in shown[0]] == [one.error for one in shown[1]]
        assert total(shown[0]) == total(shown[1]) == 1.0
    assert len(real.idle) == 1  # one context, used four times


def test_a_context_that_begins_anew_has_no_past_and_pictures_arrive():
    world = load_world("web/shop-add")
    first, other = (world.scenarios("train")[k] for k in (0, 3))
    play(world, first, following([*world.oracle(first)[:-1], "```stop []```"]))
    wide = "document.images.length && [...document.images].every((one) => one.naturalWidth === 96)"

    async def looked(session):
        return await session._tabs.ask(f"() => {wide}")

    told = {}

    def act(session, turn):
        if turn == 0:
            told["pictures"] = world.browser.do(lambda: looked(session), 20)
        return "```go_back```" if turn < 3 else "```stop []```"

    seen = play(world, other, act)
    assert told["pictures"] is True
    assert [one.text for one in seen[1:4]] == [seen[0].text] * 3
