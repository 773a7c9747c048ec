"""MiniWoB++ as a world: what its tags name, that scripts solve it, and that nothing leaks or is lost."""

import asyncio
from importlib.util import find_spec

import pytest

from agents.played import following, play, total
from operant.agents.web.browser import browser_path
from operant.agents.web.tasks import SCRIPTS, TAGS, tasks_of
from operant.config.errors import ConfigError
from operant.language import World, load_world


def test_125_tasks_with_tags():
    assert len(TAGS) == 125
    assert all(tags for tags in TAGS.values())
    assert not [name for name, tags in TAGS.items() if "text" in tags and {"drag", "vision", "pointer"} & {*tags}]
    assert tasks_of("") == [*TAGS]
    assert tasks_of("scripted, drag-box") == [*SCRIPTS, "drag-box"]
    with pytest.raises(ConfigError, match="click-test"):
        tasks_of("click-tset")


if find_spec("playwright") is None or find_spec("miniwob") is None or browser_path() is None:
    pytest.skip("no browser is installed", allow_module_level=True)


@pytest.fixture(scope="module")
def world():
    return load_world("miniwob/scripted", {"train": 2, "test": 1})


def test_scripts_solve_their_tasks_and_doing_nothing_none(world):
    assert isinstance(world, World)
    for scenario in world.scenarios("train"):
        seen = play(world, scenario, following(world.oracle(scenario)))
        assert (total(seen), seen[-1].terminated, seen[-1].info["success"]) == (1.0, True, True), scenario
        assert all("reward" not in one.text.lower() and "Time left" not in one.text for one in seen)
    scenario = world.scenarios("test")[0]
    seen = play(world, scenario, following([], "```scroll [down]```"))
    assert (total(seen), seen[-1].truncated, len(seen)) == (0.0, True, 11)


def test_equal_seeds_begin_equally_and_a_goal_is_told_each_turn(world):
    first, other = (world.scenarios("train")[k] for k in (3, 10))
    said = ["nothing", "```goto [http://evil.test/]```", "```click [99]```", "```stop []```"]
    seen = play(world, first, following(said))
    assert [one.error and one.error.split()[0] for one in seen] == [None, "PARSE", "NAV_BLOCKED", "UNKNOWN_REF", None]
    assert all(one.text.startswith("Goal: Select ") for one in seen[:-1])
    assert (seen[-1].terminated, total(seen)) == (True, 0.0)
    begins = [play(world, one, following(["```stop []```"]))[0].text for one in (first, other, first)]
    assert begins[0] == begins[2] == seen[0].text != begins[1]


def test_episodes_side_by_side_have_contexts_of_their_own(world):
    async def one(scenario):
        session = world.open(scenario)
        try:
            shown = [await session.reset()]
            for action in said[scenario.id]:
                shown.append(await session.step(action))
            return sum(seen.reward for seen in shown)
        finally:
            await session.close()

    async def all_():
        return await asyncio.gather(*(one(s) for s in scenarios))

    scenarios = world.scenarios("train")[:7]
    said = {s.id: world.oracle(s) for s in scenarios}
    assert asyncio.run(all_()) == [1.0] * 7
