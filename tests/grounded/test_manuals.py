"""Worlds that are played by reading: what a slow reader of their texts does wins, and texts are all that tells how."""

import os

import numpy as np
import pytest

from operant.env.text import words_of
from operant.grounded import Manual, Messenger
from operant.grounded.messenger import NAMES
from operant.grounded.quest import BLADES, ELEMENTS, MONSTERS, TEAMS

WORDS = ["grammar", pytest.param("people", marks=pytest.mark.skipif("OPERANT_DATA" not in os.environ, reason="data"))]


def toward(here, there):
    """The action of a step on the way, first along the rows."""
    dx, dy = np.sign(np.subtract(there, here)).tolist()
    return {(-1, 0): 0, (1, 0): 2, (0, 1): 1, (0, -1): 3}[(dx, 0) if dx else (0, dy)]


@pytest.mark.parametrize("split", ["train", "held-out"])
def test_who_reads_the_manual_wins_and_who_meets_the_other_monster_loses(split):
    world = Manual(40, split)
    obs, _ = world.reset(seed=0)
    assert world.single_observation_space.contains({k: v[0] for k, v in obs.items()})
    for i in range(40):
        view, text = obs["view"][i], words_of(obs["manual"][i])
        says = {text[k]: text[k + 2] for k in range(0, len(text), 4)}
        assert sorted(says[x] for x in MONSTERS) == sorted([*TEAMS] * 2)
        assert sorted(says[x] for x in BLADES) == sorted([*ELEMENTS] * 2)
        assert says[MONSTERS[world.monster[i, 0]]] == words_of(obs["goal"][i])[1] != says[MONSTERS[world.monster[i, 1]]]
        element = ELEMENTS[int(view[tuple(world.at[i, 0])][len(MONSTERS) : len(MONSTERS) + 2].argmax())]
        assert says[BLADES[world.blade[i, 0]]] == element != says[BLADES[world.blade[i, 1]]]
    rows = np.arange(40)
    assert (world.touch(rows, np.zeros(40, int)) == -1).all()  # without the weapon
    assert (world.touch(rows, np.full(40, 3)) == 0).all()
    assert (world.touch(rows, np.zeros(40, int)) == -1).all()  # with the other one
    assert (world.touch(rows, np.full(40, 2)) == 0).all()
    assert (world.touch(rows, np.ones(40, int)) == -1).all()
    assert (world.touch(rows, np.zeros(40, int)) == 1).all()
    assert (world.at[:, 2:] == -1).all()


def test_rules_that_are_held_out_are_never_met_in_training():
    found = {}
    for split in ("train", "held-out"):
        world = Manual(1, split)
        world.rng = np.random.default_rng(0)
        found[split] = {tuple(map(tuple, world.rules())) for _ in range(500)}
    assert not found["train"] & found["held-out"]
    assert len(found["train"] | found["held-out"]) == 36


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_messenger_who_knows_wins_and_the_manual_has_a_sentence_for_each(words, split):
    world = Messenger(32, words, split, noise=1)
    obs, _ = world.reset(seed=2)
    assert world.single_observation_space.contains({k: v[0] for k, v in obs.items()})
    wanted, reward = [1 + int(has) for has in world.has[:, 0]], None
    for _ in range(2):
        action = [toward(world.here[i], world.at[i, wanted[i]]) for i in range(32)]
        before = obs
        obs, reward, over, _, _ = world.step(np.array(action))
    assert (reward == 1).all()
    assert over.all()
    for i in range(32):
        names = {NAMES[int(k)] for k in before["view"][i][..., : len(NAMES)].reshape(-1, len(NAMES)).argmax(1)}
        assert before["manual"][i].count(".") >= 4
        assert len(names) >= 3
    if words == "grammar":
        for i in range(32):
            there = {NAMES[int(k)] for x, y in world.at[i] for k in np.flatnonzero(obs["view"][i, x, y, :12])}
            assert there <= {*words_of(obs["manual"][i])}


def test_a_manual_of_another_game_tells_nothing():
    plain, blind = Messenger(64), Messenger(64, blind=True)
    for world, same in ((plain, True), (blind, False)):
        obs, _ = world.reset(seed=1)
        named = [
            {NAMES[int(k)] for x, y in world.at[i] for k in np.flatnonzero(obs["view"][i, x, y, :12])}
            <= {*words_of(obs["manual"][i])}
            for i in range(64)
        ]
        assert all(named) is same
