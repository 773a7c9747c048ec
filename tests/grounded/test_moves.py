"""Blocks that are moved by instructions: ways, what they are paid, the two shapings, people's scenes."""

import os

import numpy as np
import pytest
import torch

from operant.env.text import words_of
from operant.grounded import Moves, cloned, prepared
from operant.grounded.moves import LENGTH, STOP, grammar, people
from operant.math.advantage import gae
from operant.recipes import misra_2017

WORDS = ["grammar", pytest.param("people", marks=pytest.mark.skipif("OPERANT_DATA" not in os.environ, reason="data"))]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_shortest_way_leads_there_and_shaping_telescopes(words, split):
    world = Moves(16, words, split, limit=40)
    obs, _ = world.reset(seed=1)
    assert world.single_observation_space.contains({k: v[0] for k, v in obs.items()})
    away, total, ended = np.hypot(*world.away().T), np.zeros(16), np.zeros(16, bool)
    steps = np.zeros(16)
    for _ in range(30):
        _, reward, over, _, _ = world.step(world.shortest())
        total, steps = total + np.where(ended, 0, reward), steps + ~ended
        done = over & ~ended
        ended |= over
        assert (world.error[done] < 0.75).all()
        expected = 1 - 0.02 * (steps - 1) + away - world.error * LENGTH + 1  # Σ F2 is its last value
        np.testing.assert_allclose(total[done], expected[done], atol=1e-4)
    assert ended.all()


def test_what_is_said_is_what_is_meant():
    for k, text in enumerate(grammar("train").texts[:50]):
        block, other = (int(word) - 1 for word in words_of(text) if word.isdigit())
        assert block == grammar("train").block[k]
        away = grammar("train").to[k] - grammar("train").at[k, other]
        side = next(word for word in words_of(text) if word in ("north", "east", "south", "west"))
        expected = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}[side]
        np.testing.assert_allclose(away, 1.2 * LENGTH * np.array(expected), atol=1e-5)


@pytest.mark.skipif("OPERANT_DATA" not in os.environ, reason="needs OPERANT_DATA")
def test_people_s_sentences_are_of_moves_of_one_block():
    its = people("test")
    assert len(its.block) > 1000
    moved = its.at[np.arange(len(its.block)), its.block]
    assert np.isfinite(moved).all()
    assert (np.hypot(*(its.to - moved).T) > 1e-3).all()


def test_the_mechanism_judges_a_step_by_its_own_reward():
    """Later rewards change the advantage of a step under γ = 0.99, and leave it where γ = 0."""
    reward, flags = torch.tensor([[0.1, 0.2, 5.0]]), torch.zeros(1, 3, dtype=torch.bool)
    for name, own in (("bandit", True), ("returns", False)):
        gamma = misra_2017.ARMS[name][0]
        adv = [gae(r, torch.zeros(1, 4), flags, flags, ~flags, discount=gamma, lam=0.95)[0, 0]
               for r in (reward, reward * torch.tensor([1, 1, -1]))]  # fmt: skip
        assert bool(adv[0] == adv[1]) is own


def test_demonstrations_are_copied():
    rows, actions = misra_2017.demonstrations("grammar", 6, 0)
    assert (actions == STOP).sum() == 6
    settings = misra_2017.SETTINGS | {"env.num": 1}
    agent = prepared("operant.grounded:Moves", seed=1, total_steps=1, settings=settings).agent
    first, last = (
        cloned(agent, rows, actions, steps=n, batch=8, lr=3e-3, rng=np.random.default_rng(0)) for n in (1, 40)
    )
    assert last > first + 1
