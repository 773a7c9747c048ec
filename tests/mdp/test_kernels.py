"""Sweeps against loops, bit for bit, and for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core import config

from operant.mdp import MDP, ModelError
from operant.mdp.bounds import sweeps
from operant.mdp.bounds.sweeps import PaddedSweeps, PolicySweeps, Sweeps, chunks_of, thread_count
from operant.mdp.graph.ordering import permuted, restored, spread, two_colours
from operant.mdp.kernels import bellman as kernels
from reference import mdp as slow

MODELS = [
    slow.random_mdp(np.random.default_rng(seed), states, 0.9, terminal=seed % 2 == 1, leak=seed % 3 == 2)
    for seed, states in enumerate([1, 2, 7, 30, 200, 31])
]


@pytest.fixture(autouse=True)
def small_models_run_on_threads_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "SMALL", 0)


THREADS = sorted({1, min(2, config.NUMBA_NUM_THREADS)})


@pytest.mark.parametrize("mdp", MODELS, ids=repr)
@pytest.mark.parametrize("threads", THREADS)
def test_backup_is_the_loop(mdp: MDP, threads: int) -> None:
    v = np.random.default_rng(1).normal(size=mdp.num_states)
    out, choice = np.empty_like(v), np.empty(len(v), dtype=np.int64)
    low, high = Sweeps(mdp, threads).backup(v, out, choice)
    want, rows = slow.backup(mdp, v)
    np.testing.assert_allclose(out, want, rtol=1e-15, atol=1e-15)  # a fused multiply-add rounds once
    assert np.array_equal(choice, rows)
    assert (low, high) == ((out - v).min(), (out - v).max())


@pytest.mark.parametrize("mdp", MODELS, ids=repr)
def test_first_of_equal_actions_is_taken(mdp: MDP) -> None:
    zero = MDP.from_rows(
        type(mdp.rows)(**{k: getattr(mdp.rows, k) for k in mdp.rows.__slots__} | {"reward": 0 * mdp.rows.reward}),
        mdp.discount,
        leak=mdp.leak,
    )
    v, choice = np.zeros(mdp.num_states), np.empty(mdp.num_states, dtype=np.int64)
    Sweeps(zero, 1).backup(v, np.empty_like(v), choice)
    live = np.diff(zero.rows.pointer.astype(int)) > 0
    assert np.array_equal(choice[live], zero.rows.pointer[:-1][live])
    assert (choice[~live] == -1).all()


@pytest.mark.parametrize("mdp", MODELS, ids=repr)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("form", [PolicySweeps, PaddedSweeps])
def test_policy_sweeps(mdp: MDP, threads: int, form: type) -> None:
    """Both forms of a policy's rows give its sweep, after any sequence of policies."""
    rng = np.random.default_rng(2)
    own = form(mdp, threads)
    pointer = mdp.rows.pointer.astype(np.int64)
    for _ in range(4):
        choice = np.where(
            np.diff(pointer) > 0, rng.integers(pointer[:-1], np.maximum(pointer[1:], pointer[:-1] + 1)), -1
        )
        own.take(choice)
        v = rng.normal(size=mdp.num_states)
        out = np.empty_like(v)
        low, high = own.evaluate(v, out)
        for s in range(mdp.num_states):
            want = mdp.rows.terminal_value[s] if choice[s] < 0 else slow.q_value(mdp, int(choice[s]), v)
            assert out[s] == pytest.approx(want, rel=1e-15, abs=1e-15)
        assert (low, high) == ((out - v).min(), (out - v).max())


def test_a_policy_taken_twice_is_not_copied() -> None:
    mdp = MODELS[3]
    own = PolicySweeps(mdp, 1)
    choice = Sweeps(mdp, 1)
    rows, v = np.empty(mdp.num_states, dtype=np.int64), np.zeros(mdp.num_states)
    choice.backup(v, np.empty_like(v), rows)
    assert own.take(rows) == mdp.num_states
    assert own.take(rows) == 0
    other = rows.copy()
    other[0] = mdp.rows.pointer[0] + (rows[0] == mdp.rows.pointer[0])
    assert own.take(other) == (other[0] != rows[0])


@pytest.mark.parametrize("mdp", MODELS, ids=repr)
def test_masses(mdp: MDP) -> None:
    total = np.asarray(mdp.matrix.sum(axis=1)).ravel()
    least, most, longest = kernels.masses(mdp.rows.indptr, mdp.rows.data)
    assert least == pytest.approx(total.min(), rel=1e-15)
    assert most == pytest.approx(total.max(), rel=1e-15)
    assert longest == np.diff(mdp.rows.indptr.astype(int)).max()


def test_chunks_cover_and_balance() -> None:
    cost = np.concatenate(([0], np.cumsum(np.random.default_rng(0).integers(0, 100, size=1000))))
    starts = chunks_of(cost, 3)
    assert starts[0] == 0
    assert starts[-1] == 1000
    assert (np.diff(starts.astype(int)) >= 0).all()
    assert np.diff(cost[starts.astype(int)]).max() <= cost[-1] / 12 + 100


def test_threads_that_are_not_there() -> None:
    assert thread_count(1, 10**9) == 1
    with pytest.raises(ModelError, match="threads is 0"):
        thread_count(0, 10)
    with pytest.raises(ModelError, match="NUMBA_NUM_THREADS"):
        thread_count(config.NUMBA_NUM_THREADS + 1, 10)


def test_colours_of_a_grid_are_those_of_a_chessboard() -> None:
    side = 6
    y, x = np.divmod(np.arange(side * side), side)
    P = np.zeros((side * side, 4, side * side))
    for a, (dy, dx) in enumerate([(0, 1), (1, 0), (0, -1), (-1, 0)]):
        P[np.arange(side * side), a, np.clip(y + dy, 0, side - 1) * side + np.clip(x + dx, 0, side - 1)] = 1.0
    red, black = two_colours(MDP(P, np.zeros((side * side, 4)), 0.9))
    assert set(((y + x) % 2)[red]) | set(((y + x) % 2)[black]) == {0, 1}
    assert len(set(((y + x) % 2)[red])) == len(set(((y + x) % 2)[black])) == 1


@pytest.mark.parametrize("mdp", MODELS, ids=repr)
def test_a_permuted_model_is_the_same(mdp: MDP) -> None:
    order = np.random.default_rng(3).permutation(mdp.num_states)
    moved = permuted(mdp, order)
    v = np.random.default_rng(4).normal(size=mdp.num_states)
    want, _ = slow.backup(mdp, v)
    got, _ = slow.backup(moved, v[order])
    np.testing.assert_allclose(restored(got, order), want, rtol=1e-14, atol=1e-14)
    assert spread(mdp) >= 0
