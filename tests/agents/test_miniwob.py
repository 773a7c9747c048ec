"""MiniWoB++ as a world: what its tags name, that scripts solve it, and that nothing leaks or is lost."""

import asyncio
from importlib.util import find_spec

import pytest

from agents.played import following, play, total
from operant.agents.web import miniwob
from operant.agents.web.browser import browser_path
from operant.agents.web.miniwob import MiniWoBSession
from operant.agents.web.nodes import Node
from operant.agents.web.tasks import LADDER, SCRIPTS, TAGS, tasks_of
from operant.api import train
from operant.config.errors import ConfigError, EnvError
from operant.language import World, load_world


def test_125_tasks_with_tags():
    assert len(TAGS) == 125
    assert all(tags for tags in TAGS.values())
    assert not [name for name, tags in TAGS.items() if "text" in tags and {"drag", "vision", "pointer"} & {*tags}]
    assert tasks_of("") == [*TAGS]
    assert tasks_of("scripted, drag-box") == [*SCRIPTS, "drag-box"]
    assert tasks_of("ladder") == [*LADDER]
    assert len(LADDER) == 8
    assert SCRIPTS.keys() >= {*LADDER}
    with pytest.raises(ConfigError, match="click-test"):
        tasks_of("click-tset")


@pytest.mark.parametrize(("goal", "shown", "clicked"), [
    ("felis.", ["Eget", "felis.", "felis"], "e2"), ("felis", ["felis,", "felis"], "e2"),
    ("felis.", ["x", "felis"], "e2"),
])  # fmt: skip
def test_the_script_of_tabs_finds_a_link_that_is_named_with_its_full_stop(goal, shown, clicked):
    nodes = [Node(f"e{k}", "text", name, "", (), (0, 0, 9, 9), True, True, 0) for k, name in enumerate(shown, 1)]
    assert SCRIPTS["click-tab-2-easy"](f'Click on the link "{goal}".', nodes, 0).ref == clicked


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


def test_what_is_told_tersely_is_the_same_without_instructions(world):
    terse = load_world("web/ladder", {"train": 1, "test": 1, "terse": True})
    assert (terse.system, terse.tasks) == ("", [*LADDER])
    assert world.system
    one = terse.scenarios("train")[0]
    assert play(terse, one, following([]))[0].text == play(world, one, following([]))[0].text
    with pytest.raises(ConfigError, match="option terse of miniwob is 2"):
        load_world("web/ladder", {"terse": 2})


def test_a_script_is_played_once_and_again_where_the_browser_fails(world, monkeypatch):
    scenario = world.scenarios("test")[0]
    calls = []

    async def begin(session):
        calls.append(session)
        if len(calls) < 3:
            raise EnvError("the browser fails")
        return await begun(session)

    begun = MiniWoBSession.begin
    monkeypatch.setattr(MiniWoBSession, "begin", begin)
    said = world.oracle(scenario)
    assert (len(calls), len(said), world.oracle(scenario)) == (3, 1, said)
    monkeypatch.setattr(MiniWoBSession, "begin", lambda session: begin(calls.clear() or session))
    with pytest.raises(EnvError, match="the browser fails"):
        world.oracle(world.scenarios("test")[1])


def test_a_script_that_does_not_know_its_way_ends(world, monkeypatch):
    monkeypatch.setitem(SCRIPTS, "login-user", lambda goal, nodes, k: nodes[99])
    monkeypatch.setattr(world, "_said", {})
    assert world.oracle(world.scenarios("test")[4]) == []


def test_contexts_that_wait_are_bounded_and_go_to_another_task(world, monkeypatch):
    monkeypatch.setattr(miniwob, "IDLE", 2)
    few = load_world("web/ladder", {"train": 1, "test": 1})
    for scenario in few.scenarios("train"):
        shown = play(few, scenario, following(few.oracle(scenario)))
        assert total(shown) == 1.0
        assert not [one.text for one in shown if "Note:" in one.text]
    assert sum(map(len, few.idle.values())) == 2
    assert {len(kept) for task, kept in few.idle.items() if task == LADDER[-1]} == {1}


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


@pytest.mark.filterwarnings("ignore::operant.language.learn.batch_checks.TrainingWarning")
def test_the_smallest_clone_of_the_ladder_is_made_and_measured(tmp_path):
    pytest.importorskip("transformers")
    found = train("clone", "web/ladder", runs=tmp_path, quiet=True, total_steps=8, **{
        "base.width": 16, "base.layers": 1, "algo.traces": 8, "eval.episodes": 2, "eval.samples": 0,
        "sampling.max_tokens": 4, "sampling.slots": 2, "save.report": False,
    })  # fmt: skip
    assert found.config.task.id == "web/ladder"
    info = found.folder.info()["evaluation"]
    assert info["accuracy_greedy"] == 0.0  # eight rows teach nothing, and nothing breaks
    assert found.config.base.positions == 1280
