"""Prioritised sweeping: the queue, and fewer backups where changes are local."""

from __future__ import annotations

import numpy as np

from operant.mdp.kernels import local as kernels
from operant.mdp.solvers.prioritised import prioritised_sweeping
from operant.mdp.solvers.value_iteration import value_iteration
from reference import mdp as slow
from reference.mdp_models import grid, line


def test_levels_are_powers_of_two() -> None:
    assert [kernels.level_of(p, 1.0) for p in (4.0, 1.0, 0.5, 0.26, 0.25, 1e-300)] == [0, 0, 1, 2, 2, 63]


def test_the_queue_keeps_its_lists() -> None:
    """Random changes of priority against a plain set of levels."""
    rng, states = np.random.default_rng(0), 50
    level, after, before = (np.full(states, -1, dtype=np.int64) for _ in range(3))
    heads = np.full(kernels.LEVELS, -1, dtype=np.int64)
    want: dict[int, int] = {}
    for _ in range(3000):
        s = int(rng.integers(states))
        if s in want and rng.random() < 0.3:
            kernels.take_out(s, level, heads, after, before)
            del want[s]
        else:
            priority = float(10 ** rng.uniform(-8, 0))
            kernels.place(s, priority, 1.0, level, heads, after, before)
            want[s] = kernels.level_of(priority, 1.0)
        found = {}
        for bucket in range(kernels.LEVELS):
            s = heads[bucket]
            while s >= 0:
                found[int(s)] = bucket
                s = after[s]
        assert found == want


def test_a_change_at_the_end_of_a_line_needs_one_pass() -> None:
    mdp = line(400, 0.05, 0.99)
    found = prioritised_sweeping(mdp, epsilon=1e-6)
    assert np.abs(found.values - slow.best_values(mdp)).max() <= 1e-6
    assert found.extra["backups"] < 0.5 * 400 * value_iteration(mdp, epsilon=1e-6).iterations


def test_on_a_grid() -> None:
    mdp = grid(15, 0.99)
    found = prioritised_sweeping(mdp, epsilon=1e-5)
    assert np.abs(found.values - slow.best_values(mdp)).max() <= 1e-5
