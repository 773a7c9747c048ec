"""A mind in parts: what each module answers at its port, alone, swapped and taken out."""

from typing import get_args

import numpy as np
import pytest

from operant.agents.mind.mind import Part, mind
from operant.agents.mind.modules import (
    Aimless,
    AnyThing,
    Curiosity,
    Episodes,
    Greedy,
    Grid,
    Held,
    Map,
    Monitor,
    Newest,
    Table,
    TemporalDifference,
)
from operant.agents.mind.ports import Percept, Thing

KEY, BALL = Thing("key", (0, -1)), Thing("ball", (5, 2))


def seen(*things, here=(0, 0), free=((0, 0), (1, 0)), blocked=()):
    return Percept(here=here, facing=0, free=frozenset(free), blocked=frozenset(blocked), things=things)


def rng():
    return np.random.default_rng(0)


def test_by_dead_reckoning_it_knows_where_it_is_and_what_stands_where():
    """Against the maze itself, on a random walk."""
    from operant.env.make import make_one

    env = make_one("MiniGrid-MemoryS11-v0")
    try:
        obs, _ = env.reset(seed=3)
        its, start, draw, kinds = env.unwrapped, tuple(env.unwrapped.agent_pos), rng(), set()
        perception = Grid()
        perception.begin()
        for _ in range(60):
            percept = perception.see(obs["image"])
            here = (percept.here[0] + start[0], percept.here[1] + start[1])
            assert (here, percept.facing) == (tuple(its.agent_pos), its.agent_dir)
            for x, y in percept.free - {percept.here}:
                assert its.grid.get(x + start[0], y + start[1]) is None
            for x, y in percept.blocked:
                assert its.grid.get(x + start[0], y + start[1]) is not None
            for thing in percept.things:
                assert its.grid.get(thing.at[0] + start[0], thing.at[1] + start[1]).type == thing.kind
                kinds.add(thing.kind)
            action = int(draw.choice([0, 1, 2], p=[0.2, 0.2, 0.6]))
            perception.moved(action, percept)
            obs, _, ended, _, _ = env.step(action)
            if ended:
                break
        assert kinds
        assert {t.kind for t in Grid(apart=False).see(obs["image"]).things} <= {"thing"}
    finally:
        env.close()


def test_attention_looks_at_the_newest_that_it_has_not_looked_at():
    assert Newest().focus([BALL, KEY], set()) == BALL
    assert Newest().focus([BALL, KEY], {BALL.at}) == KEY
    assert Newest().focus([BALL], {BALL.at}) is None
    assert AnyThing(rng()).focus([BALL], {BALL.at}) == BALL


def test_working_memory_holds_a_goal_or_does_not():
    for holds in (True, False):
        working = Held(holds)
        working.hold((1, 2))
        assert working.goal() == (1, 2)
        assert working.goal() == ((1, 2) if holds else None)


def test_what_was_met_is_recalled_where_it_is_kept():
    far = Thing("key", (9, 2))
    for keeps in (True, False):
        episodic = Episodes(keeps)
        episodic.begin()
        episodic.store(seen(KEY))
        episodic.store(seen(far, BALL))
        assert episodic.things(seen()) == ([BALL, far, KEY] if keeps else [BALL, far])
        assert episodic.recall(far) == ("met" if keeps else "not met")
        assert episodic.recall(BALL) == "not met"
        episodic.begin()
        assert episodic.recall(far) == "not met"


def test_a_map_grows_or_is_what_is_in_view():
    for keeps in (True, False):
        place = Map(keeps)
        assert place.store(seen(blocked=((0, 1),))) == 3
        assert place.store(seen(free=((1, 0), (2, 0)))) == 1
        assert place.map()[0] == ({(0, 0), (1, 0), (2, 0)} if keeps else {(1, 0), (2, 0)})


def test_learning_is_q_learning_and_a_policy_is_what_it_writes_into():
    learning, table = TemporalDifference(0.5), Table()
    situation = ("met", True)
    assert table.values(situation, ["explore"]) == [1.0]
    learning.learn(table, situation, "explore", 0.0, 0.4)
    assert table.values(situation, ["explore", "approach"]) == [pytest.approx(0.7), 1.0]
    table.has = False
    assert table.values(situation, ["explore", "approach"]) == [1.0, 1.0]


def test_selection_follows_value_and_doubt():
    assert {Greedy(rng()).choose([0.0, 1.0], 0.0) for _ in range(20)} == {1}
    greedy = Greedy(rng())
    assert {greedy.choose([0.0, 1.0], 1.0) for _ in range(50)} == {0, 1}
    assert {greedy.choose([1.0, 1.0], 0.0) for _ in range(50)} == {0, 1}
    assert {Greedy(rng(), explores=False).choose([1.0, 1.0], 1.0) for _ in range(9)} == {0}


def test_doubt_falls_with_success_and_goals_are_given_up():
    monitor, blind = Monitor(patience=3), Monitor(watches=False)
    for _ in range(50):
        monitor.ended(0.9)
        blind.ended(0.9)
    assert monitor.doubt() < 0.01
    assert blind.doubt() == 0.3
    assert (monitor.gives_up(3), monitor.gives_up(4), blind.gives_up(99)) == (False, True, False)


def test_curiosity_sets_the_nearest_unknown_as_its_goal():
    known = {(0, 0), (1, 0), (2, 0), *((x, y) for x in (-1, 0, 1) for y in (-1, 1)), (-1, 0)}
    assert Curiosity().goal([(0, 0), (1, 0), (2, 0)], known) == (2, 0)
    assert Curiosity().goal([(0, 0)], known) is None
    assert Curiosity(0.1).reward(3) == pytest.approx(0.3)
    assert Aimless(rng()).goal([(4, 4)], known) == (4, 4)
    assert Aimless(rng()).reward(3) == 0.0


def test_a_module_is_swapped_and_the_decision_differs_without_what_was_met():
    """A key was met at first; then a key and a ball are in view. Whoever values what was met goes to the key."""

    def chosen(without):
        its = mind(rng(), without)
        its.begin()
        for situation in (("met", False), ("not met", False)):
            its.procedural.q[situation, "elsewhere"] = 0.5
        its.procedural.q[("met", False), "approach"], its.procedural.q[("not met", False), "approach"] = 1.0, 0.0
        its.metacognition.won = 1.0
        its.motivation.goal = lambda reachable, known: None
        cells = [(x, 0) for x in range(6)] + [(5, -1), (5, 1)]
        its.episodic.store(seen(KEY))
        percept = seen(Thing("key", (5, -2)), BALL, free=cells, here=(5, 0))
        its.semantic.store(percept)
        its.episodic.store(percept)
        return its._decide(percept, its._ways(percept))

    assert chosen(None) == (5, -1)
    assert chosen("episodic") is None


@pytest.mark.parametrize("without", [None, *get_args(Part)])
def test_no_module_is_needed_to_act(without):
    from operant.recipes import recipe
    from operant.recipes.recipe import Trial

    arm = "whole" if without is None else f"without {without}"
    found = recipe("cognitive-architecture").trial(Trial(arm=arm, seed=101, folder=None, miniature=True))
    assert 0.0 <= found["success"] <= 1.0
    assert found["steps"] > 0
