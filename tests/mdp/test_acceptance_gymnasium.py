"""Gymnasium's toy texts, solved from their own tables (numbers of Gymnasium 1.4)."""

import numpy as np
import pytest

from operant.mdp import from_gymnasium, solve


def model(name, discount, **options):
    return from_gymnasium(name, discount=discount, **options)


@pytest.mark.parametrize(("discount", "value"), [(1.0, 14 / 17), (0.99, 0.542026), (0.9, 0.068891)])
def test_frozen_lake_4x4(discount, value):
    mdp = model("FrozenLake-v1", discount)
    assert mdp.start @ solve(mdp, epsilon=1e-8).values == pytest.approx(value, abs=1e-6)


def test_frozen_lake_under_its_time_limit():
    mdp = model("FrozenLake-v1", 1.0).replace(horizon=100)
    found = solve(mdp, method="finite-horizon")
    assert mdp.start @ found.values[0] == pytest.approx(0.744190, abs=1e-6)


@pytest.mark.parametrize(("discount", "value"), [(1.0, 1.0), (0.99, 0.414640)])
def test_frozen_lake_8x8(discount, value):
    mdp = model("FrozenLake-v1", discount, map_name="8x8")
    assert mdp.start @ solve(mdp, epsilon=1e-8).values == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("discount", "value"), [(1.0, 7.93), (0.99, 6.327464)])
def test_taxi(discount, value):
    mdp = model("Taxi-v4", discount)
    assert (mdp.start > 0).sum() == 300
    assert np.allclose(mdp.start[mdp.start > 0], 1 / 300)
    assert mdp.start @ solve(mdp, epsilon=1e-8).values == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("discount", "value"), [(1.0, -13.0), (0.99, -12.247898)])
def test_cliff_walking(discount, value):
    mdp = model("CliffWalking-v1", discount)
    assert mdp.start @ solve(mdp, epsilon=1e-8).values == pytest.approx(value, abs=1e-6)
