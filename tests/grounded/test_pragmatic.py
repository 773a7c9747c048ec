"""What words say of weights: the posterior against enumeration, a slow loop of the speaker, and rounds of a grammar."""

import os
from itertools import product

import numpy as np
import pytest

from operant.data.streams import Streams
from operant.env.text import Words, words_of
from operant.grounded import Grounding, Posterior, grammar, people, pragmatic_speaker, prior, teach
from operant.grounded.flights import FEATURES, LEVELS

LAMBDAS = (0.0, 0.5, 1.0)


@pytest.mark.parametrize("lam", LAMBDAS)
def test_the_speaker_is_that_of_a_slow_loop(lam):
    rng = np.random.default_rng(0)
    listener, speaker, best = rng.normal(size=(5, 3)), rng.normal(size=(5, 4)), np.array([0, 2, 1, 2])
    found = pragmatic_speaker(listener, speaker, best, 3, beta=2.0, lam=lam)
    for k in range(4):
        weight = [np.exp(2.0 * (lam * listener[u, best[k]] + (1 - lam) * speaker[u, k])) for u in range(5)]
        assert np.isclose(found[k], np.log(weight[3] / sum(weight)))


def grounded(features, seed=0):
    words, streams = Words(["cheap", "late", "one", "the"], 4), Streams(seed)
    return [tuple(Grounding(words, features, 8, streams.torch(name)) for name in ("listener", "speaker"))]


def test_particles_come_to_the_posterior_of_an_enumeration():
    bank, menu = ["cheap", "late one"], np.random.default_rng(1).random((3, 3))
    every = np.array([*product(LEVELS, repeat=3)])
    exact, drawn = (
        Posterior(grounded(3), bank, theta, beta=1.0, lam=0.5)
        for theta in (every, prior(20_000, 3, np.random.default_rng(2)))
    )
    for belief in (exact, drawn):
        belief.hear("the late one", menu)
        belief.hear("cheap", menu[::-1])
    np.testing.assert_allclose(drawn.mean, exact.mean, atol=1e-2)
    assert abs(exact.mean).max() > 0.005


def test_the_mechanism_changes_what_is_believed():
    menu, found = np.random.default_rng(1).random((3, 3)), []
    for lam in LAMBDAS:
        belief = Posterior(grounded(3), ["cheap"], prior(200, 3, np.random.default_rng(0)), beta=1.0, lam=lam)
        belief.hear("the late one", menu)
        found.append(belief.mean)
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[1], found[2])


def test_a_grammar_s_words_are_learnt_from():
    rounds, games = grammar(np.random.default_rng(0), 300, 3)
    assert all((x.options @ x.weights).argmax() == x.best for x in rounds)
    assert all({tuple(x.weights) for x in game} == {tuple(game[0].weights)} for game in games)
    table, streams = Words(sorted({w for x in rounds for w in words_of(x.text)}), 12), Streams(0)
    listener, speaker = (Grounding(table, len(FEATURES), 16, streams.torch(name)) for name in ("listener", "speaker"))
    heard, said = teach(listener, speaker, rounds, steps=80, batch=32, lr=1e-2, rng=np.random.default_rng(1))
    assert heard < np.log(3) - 0.1
    assert said < np.log(32) - 0.2


@pytest.mark.skipif("OPERANT_DATA" not in os.environ, reason="needs OPERANT_DATA")
def test_people_s_rounds_are_what_they_say():
    rounds, games = people()
    assert len(rounds) == 2248
    assert len(games) <= 90
    assert np.mean([(x.options @ x.weights).max() <= x.options[x.best] @ x.weights + 1e-9 for x in rounds]) > 0.99
    assert all(x.text for game in games for x in game)
