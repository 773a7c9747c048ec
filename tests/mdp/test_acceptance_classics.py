"""Published numbers: random walks, forest management, Howard's taxicab, Puterman's two states, mdpsolver's README."""

import numpy as np
import pytest

from operant.mdp import solve, worlds
from operant.mdp.analyse.evaluation import evaluate
from operant.mdp.policies import uniform


def test_random_walks():
    five, nineteen = worlds.random_walk(), worlds.random_walk(19, left=-1.0)
    for mdp, expected, first, rms in (
        (five, np.arange(1, 6) / 6, 0.5, 0.235702),
        (nineteen, np.arange(1, 20) / 10 - 1, 0.0, 0.547723),
    ):
        values = evaluate(mdp, uniform(mdp)).values[1:-1]
        assert values == pytest.approx(expected, abs=1e-12)
        assert np.sqrt(np.mean((first - values) ** 2)) == pytest.approx(rms, abs=1e-6)
        assert solve(mdp, epsilon=1e-9).values[1:-1] == pytest.approx(expected, abs=1e-9)


def test_forest():
    assert solve(worlds.forest(), epsilon=1e-9).values == pytest.approx([74.6496, 78.1056, 82.1056], abs=1e-8)
    assert solve(worlds.forest(discount=0.9), epsilon=1e-9).values == pytest.approx([26.244, 29.484, 33.484], abs=1e-8)
    found = solve(worlds.forest(discount=1.0).replace(criterion="average"), epsilon=1e-9)
    assert found.gain == pytest.approx([3.24] * 3, abs=1e-9)
    assert found.values - found.values[2] == pytest.approx([-7.6, -4.0, 0.0], abs=1e-6)


def test_howards_taxicab():
    found = solve(worlds.taxicab(), epsilon=1e-9)
    assert found.gain == pytest.approx([13.344538] * 3, abs=1e-6)
    assert found.values - found.values[2] == pytest.approx([-1.176471, 12.655462, 0.0], abs=1e-6)
    assert found.policy.tolist() == [1, 1, 1]  # drive to the stand, alternative 2 in each town


def test_two_and_three_states():
    assert solve(worlds.two_state(), epsilon=1e-9).values == pytest.approx([-8.571429, -20.0], abs=1e-6)
    found = solve(worlds.three_state(), epsilon=1e-9)
    assert found.values == pytest.approx([30.443299, 40.288660, 117.917526], abs=1e-6)
    assert found.policy.tolist() == [1, 1, 0]
