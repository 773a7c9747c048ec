"""Episodes that are looked at as they go, and the task that is meant."""

import pytest

from agents.played import following, play
from operant.agents import Grid, Quests
from operant.agents.spoken import block, line, parts
from operant.agents.watch import Watched, chosen
from operant.config.errors import ConfigError
from operant.language import World


def test_thought_and_action_are_told_apart():
    assert line("I think.\nSo:\n> go north\n\n") == ("I think.\nSo:", "go north")
    assert line("Action: go north") == ("", "go north")
    assert line("Why not?\n```\nlook\n```") == ("Why not?", "look")
    assert line("``` \n```") == ("``` \n```", "")
    assert line("`look`") == ("", "look")
    assert block("Now.\n```python\nprint(1)\nx = '`'\n```\nand more ```b```") == ("Now.", "print(1)\nx = '`'")
    assert block("no code, ```only this``` in a line") == ("no code, ```only this``` in a line", None)
    assert parts("Now.\n```python\nprint(1)\n```") == ("Now.", "print(1)")
    assert parts("Now.\ngo north") == ("Now.", "go north")


def test_a_watched_world_is_the_world_and_tells_of_every_turn():
    world, steps = Quests(train=5), []
    watched = Watched(world, steps.append)
    assert isinstance(watched, World)
    scenario = watched.scenarios("train")[0]
    said = [f"I see.\n> {a}" for a in watched.oracle(scenario)]
    seen = play(watched, scenario, following(said))
    assert seen == play(world, scenario, following(said))
    assert [step.seen for step in steps] == seen
    assert [step.number for step in steps] == list(range(len(seen)))
    assert [step.action for step in steps[1:]] == list(world.oracle(scenario))
    assert {step.thought for step in steps[1:]} == {"I see."}


def test_a_task_is_found_by_its_words_or_its_number():
    world = Quests(train=200)
    found = chosen(world, "train", "please make me a TORCH", None)
    assert "torch" in found.instruction
    assert chosen(world, "train", "", 7) == world.scenarios("train")[7]
    assert chosen(world, "train", "", None) == world.scenarios("train")[0]
    with pytest.raises(ConfigError, match=r"has a word of 'fly xylophones'.*It asks for things such as"):
        chosen(world, "train", "fly xylophones", None)
    with pytest.raises(ConfigError, match="--scenario is 200, and text/quests has 200"):
        chosen(world, "train", "", 200)
    with pytest.raises(ConfigError, match="no scenarios in the split train"):
        chosen(Grid(train=0), "train", "", None)
