"""A model without a matrix has the answers of the model with one, and its outcomes are checked."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
import scipy.sparse as sp

from operant.mdp.model import MDP
from operant.mdp.rows import ModelError
from operant.mdp.solvers.matrix_free import MatrixFree, MatrixFreeBatches, solve_matrix_free
from operant.mdp.solvers.solve import solve

SIDE = 17
STATES = SIDE * SIDE
GOAL = STATES - 1


@numba.njit
def slip_grid(s: int, a: int, successor: Any, probability: Any, reward: Any) -> int:
    """A grid of SIDE × SIDE cells, four moves with slip .2, the corner ends the episode, action 3 not everywhere."""
    if s == GOAL or (a == 3 and s % 5 == 0):
        return 0
    row, column = s // SIDE, s % SIDE
    for k in range(3):
        way = (a + k - 1) % 4
        r = min(max(row + (way == 0) - (way == 2), 0), SIDE - 1)
        c = min(max(column + (way == 1) - (way == 3), 0), SIDE - 1)
        to = r * SIDE + c
        successor[k] = -1 if to == GOAL else to
        probability[k] = 0.8 if k == 1 else 0.1
        reward[k] = -1.0 - (s * 7 % 11) / 10 + (5.0 if to == GOAL else 0.0)
    return 3


def in_batches(s: Any, a: int, successor: Any, probability: Any, reward: Any) -> Any:
    """The same, written for arrays."""
    row, column = s // SIDE, s % SIDE
    for k in range(3):
        way = (a + k - 1) % 4
        to = np.clip(row + (way == 0) - (way == 2), 0, SIDE - 1) * SIDE
        to = to + np.clip(column + (way == 1) - (way == 3), 0, SIDE - 1)
        successor[:, k] = np.where(to == GOAL, -1, to)
        probability[:, k] = 0.8 if k == 1 else 0.1
        reward[:, k] = -1.0 - (s * 7 % 11) / 10 + np.where(to == GOAL, 5.0, 0.0)
    return np.where((s == GOAL) | ((a == 3) & (s % 5 == 0)), 0, 3)


def as_rows(discount: float) -> MDP:
    """The same with a matrix: the transitions enumerated by a slow loop."""
    at, to, p, r, pairs = [], [], [], [], []
    buffers = np.empty(3, np.int64), np.empty(3), np.empty(3)
    for s in range(STATES):
        for a in range(4):
            n = slip_grid.py_func(s, a, *buffers)
            if n:
                r.append(float(buffers[1][:n] @ buffers[2][:n]))
                for k in range(n):
                    at.append(len(pairs))
                    to.append(GOAL if buffers[0][k] < 0 else int(buffers[0][k]))
                    p.append(buffers[1][k])
                pairs.append((s, a))
    matrix = sp.csr_array(sp.coo_array((p, (at, to)), shape=(len(pairs), STATES)))
    states, actions = np.array(pairs).T
    return MDP(matrix, np.array(r), discount, pairs=(states, actions), terminal=[GOAL])


@pytest.fixture(scope="module")
def compiled() -> MatrixFree:
    """One compilation for all tests."""
    return MatrixFree(transition=slip_grid, states=STATES, actions=4, successors=3, discount=0.97)


BATCHES = MatrixFreeBatches(transition=in_batches, states=STATES, actions=4, successors=3, discount=0.97, batch=50)


@pytest.mark.parametrize("method", ["value-iteration", "modified-policy-iteration"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_answer_is_that_of_the_matrix(compiled: MatrixFree, method: Any, threads: int) -> None:
    exact = solve(as_rows(0.97), 1e-11)
    found = solve_matrix_free(compiled, epsilon=1e-5, method=method, threads=threads)
    assert 0 < found.gap <= 1e-5
    assert found.policy_loss == found.gap
    assert found.policy.dtype == np.int8
    assert found.policy[GOAL] == -1
    assert found.values[GOAL] == 0.0
    certificate = found.certificate
    assert (certificate.lower <= exact.certificate.upper).all()
    assert (exact.certificate.lower <= certificate.upper).all()
    assert np.abs(found.values - exact.values).max() <= found.gap / 2 + 1e-11
    best = exact.ties(1e-4)
    mdp = exact.mdp
    for s in range(STATES - 1):  # every action taken is optimal up to the bound
        assert best[mdp.row(s, int(found.policy[s]))]


def test_bounds_are_not_vacuous(compiled: MatrixFree) -> None:
    """The true error comes near to the bound's order, and a bound without the span correction would be broken."""
    exact = solve(as_rows(0.97), 1e-11).values
    found = solve_matrix_free(compiled, epsilon=1e-2, method="value-iteration")
    last = found.history[-1][1]
    assert last == pytest.approx(found.gap, rel=1e-6)
    assert np.abs(found.values - exact).max() > found.gap / 1000
    early = solve_matrix_free(compiled, epsilon=1e-2, method="value-iteration", max_iterations=3)
    assert early.gap > 1.0
    assert "max_iterations" in early.why
    assert (early.certificate.lower <= exact).all()
    assert (exact <= early.certificate.upper).all()


def test_any_number_of_threads_gives_the_same_bits(compiled: MatrixFree) -> None:
    one, two = (solve_matrix_free(compiled, threads=threads) for threads in (1, 2))
    assert one.values.tobytes() == two.values.tobytes()
    assert one.policy.tobytes() == two.policy.tobytes()
    assert one.history == two.history


def test_batches_are_the_compiled_function(compiled: MatrixFree) -> None:
    rng = np.random.default_rng(0)
    v = rng.normal(size=STATES)
    outs, policies = np.empty((2, STATES)), np.empty((2, STATES), np.int8)
    for model, out, policy in zip((compiled, BATCHES), outs, policies, strict=True):
        changes = model.improve(v, out, policy)
        assert changes == ((out - v).min(), (out - v).max())
    np.testing.assert_allclose(outs[0], outs[1], rtol=0, atol=1e-14)
    assert np.array_equal(policies[0], policies[1])
    for model, out in zip((compiled, BATCHES), outs, strict=True):
        model.evaluate(v, out, policies[0])
    np.testing.assert_allclose(outs[0], outs[1], rtol=0, atol=1e-14)
    slow, fast = solve_matrix_free(BATCHES, epsilon=1e-4), solve_matrix_free(compiled, epsilon=1e-4)
    np.testing.assert_allclose(slow.values, fast.values, rtol=0, atol=1e-4)
    assert BATCHES.check() == compiled.check(2)


@numba.njit
def broken(s: int, a: int, successor: Any, probability: Any, reward: Any) -> int:
    """One fault at each of the states 3 … 9, chosen by a."""
    successor[0], probability[0], reward[0] = s, 1.0, 0.0
    if s == 3 and a == 0:
        return len(successor) + 1
    if s == 4 and a == 1:
        successor[0] = 10
    if s == 5 and a == 2:
        successor[1], probability[0], probability[1], reward[1] = 0, 1.25, -0.25, 0.0
        return 2
    if s == 6 and a == 3:
        probability[0] = 0.5
    if s == 7 and a == 4:
        reward[0] = np.inf
    if s == 8 and a == 5:
        probability[0] = np.nan
    return 1


FAULTS = [
    (0, r"state 3, action 0 returns 3 outcomes"),
    (1, r"state 4, action 1 leads to state 10"),
    (2, r"state 5, action 2 has the probability -0\.25"),
    (3, r"state 6, action 3 has probabilities that sum to 0\.5"),
    (4, r"state 7, action 4 has the reward inf"),
    (5, r"state 8, action 5 has the probability nan"),
]


def test_a_bad_outcome_names_its_state_and_action() -> None:
    for action, message in FAULTS:

        def one(s: Any, a: int, successor: Any, probability: Any, reward: Any, fault: int = action) -> Any:
            """Only this fault, in batches."""
            n = np.ones(len(s), dtype=np.int64)
            for i, state in enumerate(s):
                n[i] = broken.py_func(int(state), fault, successor[i], probability[i], reward[i])
            return n if a == fault else np.zeros(len(s), dtype=np.int64)

        model = MatrixFreeBatches(transition=one, states=10, actions=6, successors=2, discount=0.9, batch=4)
        with pytest.raises(ModelError, match=message):
            solve_matrix_free(model)
    model = MatrixFree(transition=broken, states=10, actions=6, successors=2, discount=0.9)
    with pytest.raises(ModelError, match=FAULTS[0][1]):
        solve_matrix_free(model, threads=2)
    buffers = np.empty(2, np.int64), np.empty(2), np.empty(2)
    for fault in range(6):  # each by itself: the check of one state
        what, state, action, *_ = model._kernels[2](fault + 3, fault + 4, 10, 6, *buffers)
        assert (what, state, action) == ((1, 2, 3, 4, 5, 3)[fault], fault + 3, fault)
    assert model._kernels[2](0, 3, 10, 6, *buffers)[0] == 0


@numba.njit
def leaking(s: int, a: int, successor: Any, probability: Any, reward: Any) -> int:
    """A chain that ends with probability .3 in every step: the mass that leaves makes the bounds one-sided."""
    successor[0], probability[0], reward[0] = (s + 1) % 10, 0.7, 1.0 + (s + 3 * a) % 4
    successor[1], probability[1], reward[1] = -1, 0.3, -2.0
    return 2


def test_mass_that_ends_the_episode_does_not_break_the_bound() -> None:
    model = MatrixFree(transition=leaking, states=10, actions=2, successors=2, discount=0.99)
    contraction = model.check()
    assert contraction.most == pytest.approx(0.7)
    exact = solve_matrix_free(model, epsilon=1e-12).values
    for sweeps in range(1, 20):
        found = solve_matrix_free(model, epsilon=1e-12, method="value-iteration", max_iterations=sweeps)
        assert (found.certificate.lower <= exact).all(), sweeps
        assert (exact <= found.certificate.upper).all(), sweeps


def test_what_cannot_be_is_said(compiled: MatrixFree) -> None:
    with pytest.raises(ModelError, match="cannot be certified in double precision"):
        solve_matrix_free(compiled, epsilon=1e-16)
    with pytest.raises(ModelError, match="needs a matrix"):
        solve_matrix_free(compiled, method="policy-iteration")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="discount is 1"):
        MatrixFree(transition=slip_grid, states=1, actions=1, successors=1, discount=1.0)
    with pytest.raises(ModelError, match="successors is 0"):
        MatrixFree(transition=slip_grid, states=1, actions=1, successors=0, discount=0.5)
    with pytest.raises(ModelError, match="Numba cannot compile"):
        MatrixFree(transition=lambda *_: {}["no"], states=1, actions=1, successors=1, discount=0.5)
    with pytest.raises(ModelError, match="initial has shape"):
        solve_matrix_free(compiled, initial=np.zeros(3))


def test_a_warm_start_is_used_and_watched(compiled: MatrixFree) -> None:
    cold = solve_matrix_free(compiled, epsilon=1e-6)
    seen: list[tuple[int, float]] = []
    warm = solve_matrix_free(
        compiled, epsilon=1e-6, initial=cold.values.copy(), watch=lambda i, gap, v: seen.append((i, gap))
    )
    assert warm.iterations < cold.iterations
    assert tuple(seen) == warm.history
    np.testing.assert_allclose(warm.values, cold.values, atol=1e-6)


@pytest.mark.parametrize(("actions", "dtype"), [(127, np.int8), (128, np.int16), (32_768, np.int32)])
def test_the_policy_is_as_narrow_as_the_actions_allow(actions: int, dtype: type) -> None:
    def last_is_best(s: Any, a: int, successor: Any, probability: Any, reward: Any) -> Any:
        successor[:, 0], probability[:, 0], reward[:, 0] = s, 1.0, a
        return np.ones(len(s), dtype=np.int64)

    model = MatrixFreeBatches(transition=last_is_best, states=2, actions=actions, successors=1, discount=0.0)
    found = solve_matrix_free(model)
    assert found.policy.dtype == dtype
    assert found.policy.tolist() == [actions - 1] * 2
