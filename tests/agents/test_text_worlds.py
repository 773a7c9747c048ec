"""The text worlds: who can solve them, who cannot, and what every session keeps to."""

import random
from collections import defaultdict
from copy import deepcopy
from itertools import pairwise

import pytest

from agents.played import following, play, total
from operant.agents import Calculator, Grid, Quests
from operant.agents.text.recipes import CONTAINERS, HELD_OUT, PEOPLE, RECIPES
from operant.agents.text.session import LONGEST
from operant.config.errors import ConfigError
from operant.language import World, load_world

WORLDS = {"calculator": Calculator, "grid": Grid, "quests": Quests}


@pytest.fixture(scope="module", params=list(WORLDS))
def world(request):
    return WORLDS[request.param](train=900, test=60)


def by_template(world, split, count, agent):
    """Share of solved episodes of each template."""
    solved = defaultdict(list)
    for scenario in world.scenarios(split)[:count]:
        solved[scenario.template].append(total(play(world, scenario, agent(scenario))) >= 1.0 - 1e-9)
    return {name: sum(rows) / len(rows) for name, rows in solved.items()}


def test_it_is_a_world_and_found_by_its_name(world):
    assert isinstance(world, World)
    assert type(load_world(world.name)) is type(world)
    assert load_world(world.name, {"train": 3}).scenarios("train") == world.scenarios("train")[:3]


def test_the_oracle_solves_every_scenario(world):
    for split in world.splits:
        told = by_template(world, split, 60, lambda s: following(world.oracle(s)))
        assert told == dict.fromkeys(world.templates, 1.0)


@pytest.mark.parametrize("nothing", ["", "look", "I do not know.", "```"])
def test_doing_nothing_earns_nothing(world, nothing):
    for scenario in world.scenarios("train")[:15]:
        assert total(play(world, scenario, following([], nothing))) == 0.0


def test_a_random_agent_solves_at_most_two_in_a_hundred(world):
    rng = random.Random(5)
    told = by_template(world, "train", 900, lambda _: lambda session, _: rng.choice(session.game.commands()))
    assert max(told.values()) <= 0.02, told


def test_a_blind_clone_solves_at_most_one_in_five(world):
    """It says what solved another scenario of the template."""
    rng, others = random.Random(6), defaultdict(list)
    for scenario in world.scenarios("train"):
        others[scenario.template].append(scenario)

    def clone(scenario):
        other = rng.choice([s for s in others[scenario.template] if s != scenario])
        return following(world.oracle(other), "look")

    told = by_template(world, "train", 300, clone)
    assert max(told.values()) <= 0.2, told


def test_equal_scenarios_give_equal_episodes(world):
    for scenario in world.scenarios("train")[:6]:
        rng = [random.Random(7), random.Random(7)]
        first, again = (play(world, scenario, lambda s, _, r=r: r.choice(s.game.commands())) for r in rng)
        assert first == again
    other = type(world)(train=900, test=60)
    assert other.scenarios("test") == world.scenarios("test")


def test_no_scenario_is_in_two_splits(world):
    begins = {
        split: {(s.instruction, play(world, s, following([]))[0].text) for s in world.scenarios(split)}
        for split in world.splits
    }
    seeds = {split: {s.seed for s in world.scenarios(split)} for split in world.splits}
    for a in world.splits:
        assert [s.id for s in world.scenarios(a)] == list(range(len(world.scenarios(a))))
        for b in world.splits:
            assert a == b or not (begins[a] & begins[b] or seeds[a] & seeds[b]), (a, b)


ODD = ["", "\n\n", "go", "go nowhere", "calc", "calc 1/0", "calc 9**9**9", "answer", "answer x", "answer 1e9", "take",
       "open chest open", "combine", "combine a", "give a to b", "dial 0", "dial " + "9" * 50, "x" * 5000, "🜛 ok",
       "\x00", "```python\nimport os\n```", "calc " + "(" * 100, "answer " + "9" * 40, "calc 2^99999", "unlock",
       "go go north", "calc x + 1", "answer -0", "read book read", "north\rsouth", "ACTION: look",
       "> inventory"]  # fmt: skip


@pytest.mark.parametrize("action", ODD, ids=range(len(ODD)))
def test_whatever_is_said_is_answered(world, action):
    for scenario in world.scenarios("train")[:3]:
        seen = play(world, scenario, following([], action))
        assert len(seen) <= world.turns + 1
        assert all(one.error is None or one.error in one.text for one in seen)


def test_a_parse_error_is_an_observation_and_counts_as_a_turn(world):
    scenario = world.scenarios("train")[0]
    seen = play(world, scenario, following(["sing a song"]))
    assert seen[1].error.startswith("PARSE")
    assert not seen[1].terminated
    assert (
        play(world, scenario, following([], "y" * (LONGEST + 1)))[1].error
        == f"PARSE more than {LONGEST} characters in a line"
    )
    assert seen[-1].truncated
    assert len(seen) == world.limit(scenario) + 1


def test_what_stands_before_the_last_line_is_thought(world):
    for scenario in world.scenarios("train")[:6]:
        plain = world.oracle(scenario)
        thinking = [f"I think that helps.\n\n> {a}\n" for a in plain]
        assert [o.text for o in play(world, scenario, following(thinking))] == [
            o.text for o in play(world, scenario, following(plain))
        ]


@pytest.mark.parametrize("rooms", [3, 5, 6])
def test_larger_and_smaller_houses_can_be_solved_in_time(rooms):
    world = Quests(train=200, rooms=rooms)
    told = by_template(world, "train", 200, lambda s: following(world.oracle(s)))
    assert told == dict.fromkeys(Quests.templates, 1.0)


def test_the_recipes_of_the_test_are_made_in_no_other_split():
    world = Quests(train=400, test=200, layouts=200)
    made = {split: {world.game(s).goal.thing for s in world.scenarios(split)} for split in world.splits}
    assert made["test"] == set(HELD_OUT)
    assert made["train"] == made["layouts"] == set(RECIPES) - set(HELD_OUT)
    assert len(made["train"]) >= 30
    known = [RECIPES[name] for name in made["train"]]
    for name in HELD_OUT:  # what is new is the combination
        assert set(RECIPES[name].ingredients) <= {x for recipe in known for x in recipe.ingredients}, name
        assert RECIPES[name].station in {recipe.station for recipe in known}
    assert len({(r.station, tuple(sorted(r.ingredients))) for r in RECIPES.values()}) == len(RECIPES)
    assert not set(RECIPES) & {x for r in RECIPES.values() for x in r.ingredients}
    assert not (set(RECIPES) | set(PEOPLE)) & set(CONTAINERS)


def test_what_is_needed_is_told_once_and_early():
    """The safe's number, and a book's recipe: later observations do not have them."""
    world = Quests(train=200)
    for scenario in world.scenarios("train"):
        if scenario.template == "told":
            seen, code = play(world, scenario, following(world.oracle(scenario))), world.game(scenario).code
            assert code in seen[0].text
            assert code not in scenario.instruction
            assert all(code not in one.text for one in seen[1:])
        if scenario.template == "book":
            actions = world.oracle(scenario)
            seen = play(world, scenario, following(actions))
            told = [one.text for one in seen if "combine" in one.text]
            assert actions.count("read book") == len(told) == 1
            assert "combine" not in scenario.instruction


def test_a_state_says_where_everything_stands():
    world = Quests(train=20)
    for scenario in world.scenarios("train"):
        seen = play(world, scenario, following(["look", "inventory", "sing", *world.oracle(scenario)]))
        assert seen[0].state == seen[1].state == seen[2].state == seen[3].state
        moves = [b.state != a.state for a, b in pairwise(seen[3:])]
        assert sum(moves) >= len(moves) - 1  # reading changes nothing


def test_the_oracle_of_quests_uses_only_what_it_saw():
    """Where two houses look alike as long as it looks, it does alike."""
    from operant.agents.text.explorer import Explorer

    world = Quests(train=60)
    for scenario in world.scenarios("train"):
        house = world.game(scenario)
        explorer = Explorer(house)
        for action in world.oracle(scenario):
            twin = deepcopy(explorer)
            for name, room in twin.house.rooms.items():
                if name not in twin.seen:
                    room.floor += ["gem", *house.goal.ingredients]
                for container in room.containers:
                    if name not in twin.seen or container not in twin.house.opened:
                        room.containers[container] = ["wool", "key"]
            assert twin.choose() == explorer.choose() == action
            house.do(action)


def test_bad_options_are_told():
    with pytest.raises(ConfigError, match="no world text/quest; nearest: quests"):
        load_world("text/quest")
    with pytest.raises(ConfigError, match="no option 'rooom'; nearest: rooms"):
        load_world("text/quests", {"rooom": 3})
    with pytest.raises(ConfigError, match="option rooms is 1"):
        load_world("text/quests", {"rooms": 1})
    with pytest.raises(ConfigError, match="option slip is 2"):
        load_world("text/grid", {"slip": 2})
    with pytest.raises(ConfigError, match="option train is -1"):
        load_world("text/calculator", {"train": -1})
    with pytest.raises(ConfigError, match="no split 'tset'; nearest: test"):
        load_world("text/grid").scenarios("tset")
