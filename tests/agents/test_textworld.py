"""TextWorld's games as a world: on the package where it is there, and on a stand-in that says what it said."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from agents.played import following, play, total
from operant.config.errors import ConfigError
from operant.language import World, load_world

OBJECTIVE = (
    "Welcome to another exciting game of TextWorld! First of all, move south. Then, drop the nest of caterpillars."
)
WALK = ["go south", "take nest of caterpillars from mantelpiece", "drop nest of caterpillars"]
SAID = ["\n-= Study =-\nLook around you.\n", "You take the nest of caterpillars from the mantelpiece.\n\n\n",
        "You drop the nest of caterpillars on the ground.\n\n\nYour score has just gone up by one point."]  # fmt: skip


class StandIn:
    """A game of textworld 1.7.0 of seed 5, three rooms, four objects and three commands, as it was recorded."""

    def __init__(self):
        self.done, self.closed = 0, False

    def state(self, feedback):
        return SimpleNamespace(
            feedback=feedback, objective=OBJECTIVE, description="-= Pantry =-\nYou are in a pantry.", max_score=1,
            won=self.done == 3, policy_commands=WALK[self.done :], score=int(self.done == 3),
        )  # fmt: skip

    def reset(self):
        self.done = 0
        return self.state("banner")

    def step(self, command):
        if command != WALK[self.done]:
            return self.state("That's not a verb I recognise.\n\n"), 0, False
        self.done += 1
        return self.state(SAID[self.done - 1]), int(self.done == 3), self.done == 3

    def close(self):
        self.closed = True


@pytest.fixture
def recorded(monkeypatch):
    package = ModuleType("textworld")
    package.made, package.games = [], []
    package.GameOptions = SimpleNamespace
    package.EnvInfos = lambda **asked: asked

    def make(options):
        package.made.append(options.seeds)
        Path(options.path).write_text("z8")
        return options.path, None

    def start(path, infos):
        assert infos["won"]
        package.games.append(StandIn())
        return package.games[-1]

    package.make, package.start = make, start
    monkeypatch.setitem(sys.modules, "textworld", package)
    return package


def test_a_game_from_its_objective_to_its_end(recorded, tmp_path):
    world = load_world("text/textworld", {"folder": str(tmp_path), "train": 3, "test": 2, "turns": 5})
    assert isinstance(world, World)
    scenarios = world.scenarios("test")
    assert [s.seed for s in scenarios] == [3, 4]
    assert world.oracle(scenarios[0]) == WALK
    seen = play(world, scenarios[0], following(["I go.\n> go south", "dance", *WALK[1:]]))
    assert seen[0].text == f"{OBJECTIVE}\n\n-= Pantry =-\nYou are in a pantry."
    assert seen[2].error == "PARSE That's not a verb I recognise."
    assert seen[2].error in seen[2].text
    assert (total(seen), seen[-1].terminated, seen[-1].info["success"]) == (1.0, True, True)
    assert total(play(world, scenarios[0], following([], "look"))) == 0.0
    assert play(world, scenarios[0], following([], ""))[-1].truncated
    assert recorded.made == [3], "a game is made once"
    assert all(game.closed for game in recorded.games)


def test_games_of_a_folder(recorded, tmp_path):
    for k in range(6):
        (tmp_path / f"{k}.z8").write_text("")
    world = load_world("text/textworld", {"games": str(tmp_path)})
    assert (len(world.scenarios("train")), len(world.scenarios("test"))) == (5, 1)
    assert total(play(world, world.scenarios("test")[0], following(WALK))) == 1.0
    assert recorded.made == []
    with pytest.raises(ConfigError, match=r"has 0 games \(\*.z8"):
        load_world("text/textworld", {"games": str(tmp_path / "none")})


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "textworld", None)
    with pytest.raises(ConfigError, match="pip install textworld"):
        load_world("text/textworld")


def test_the_package_itself(tmp_path):
    pytest.importorskip("textworld")
    world = load_world("text/textworld", {"folder": str(tmp_path), "turns": 10})
    first, second = world.scenarios("train")[:2]
    assert total(play(world, first, following(world.oracle(first)))) == pytest.approx(1.0)
    assert total(play(world, first, following([], "look"))) == 0.0
    assert play(world, first, following(["dance wildly"], "look"))[1].error.startswith("PARSE")
    begins = [play(world, s, following([], "look"))[0].text for s in (first, first, second)]
    assert begins[0] == begins[1] != begins[2]
    assert world.oracle(second)
