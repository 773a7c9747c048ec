"""Ratings against what made the games, their intervals against repetition, and pools against their rule."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from operant.config.errors import ConfigError
from operant.games import Pool, ratings


def test_two_players_have_the_odds_of_their_points():
    found = ratings([[0, 75], [25, 0]], prior=0.0)
    assert found.elo[1] == pytest.approx(400 * np.log10(25 / 75))
    assert found.elo[0] == found.low[0] == found.high[0] == 0
    error = 400 / np.log(10) / np.sqrt(100 * 0.75 * 0.25)  # 1/√(n p (1 − p)), Fisher's information of one difference
    assert found.high[1] - found.elo[1] == pytest.approx(1.959964 * error)


def test_ratings_are_the_maximum_of_the_likelihood():
    rng = np.random.default_rng(0)
    won = rng.integers(0, 12, (5, 5)).astype(float)
    np.fill_diagonal(won, 0)

    def loss(r):
        r = np.concatenate([[0.0], r])
        return (won * np.log1p(np.exp(r[None] - r[:, None]))).sum()

    best = minimize(loss, np.zeros(4), tol=1e-12).x * 400 / np.log(10)
    assert ratings(won, prior=0.0).elo[1:] == pytest.approx(best, abs=0.02)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, truth = np.random.default_rng(1), np.array([0.0, 80.0, -150.0, 200.0])
    p = 1 / (1 + 10 ** ((truth[None] - truth[:, None]) / 400))
    inside = 0
    for _ in range(200):
        won = np.triu(rng.binomial(60, p), 1)
        won = won + np.tril(60 - won.T, -1)
        found = ratings(won, prior=0.0)
        inside += int(((found.low <= truth) & (truth <= found.high))[1:].sum())
    assert inside / 600 == pytest.approx(0.95, abs=0.03)


def test_a_player_who_won_every_game_has_a_finite_rating_and_strangers_have_none():
    assert np.isfinite(ratings([[0, 0], [20, 0]])).all()
    with pytest.raises(ConfigError, match=r"\[2\] never met"):
        ratings([[0, 3, 0], [4, 0, 0], [0, 0, 0]])
    with pytest.raises(ConfigError, match="square"):
        ratings([[0, -1], [1, 0]])


def test_a_pool_forgets_whom_it_beats():
    pool: Pool[str] = Pool(latest=0.8, rate=0.01)
    rng = np.random.default_rng(2)
    assert pool.draw(rng) is None
    for name in "abc":
        pool.add(name)
    drawn = [pool.draw(rng) for _ in range(10_000)]
    assert drawn.count(None) / 10_000 == pytest.approx(0.8, abs=0.02)
    before = pool.probabilities()
    pool.beaten(0)
    assert pool.quality[0] == pytest.approx(-0.01 / (3 * before[0]))
    for _ in range(500):
        pool.beaten(0)
    assert pool.probabilities()[0] < 0.05
    pool.add("d")
    assert pool.quality[3] == max(pool.quality)
    assert np.isfinite(pool.probabilities()).all()
    with pytest.raises(ConfigError, match="latest"):
        Pool(latest=1.5)
