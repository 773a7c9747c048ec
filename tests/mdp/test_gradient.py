"""The exact policy gradient against autograd through a solved linear system, and against finite differences."""

import numpy as np
import pytest
import torch

from operant.mdp import MDP, ModelError, evaluate, finite_horizon, occupancy, solve
from operant.mdp.analyse.finite_horizon import finite_horizon_visits
from operant.mdp.analyse.gradient import exact_policy_gradient
from operant.mdp.policies import softmax


def arrays(seed, S=5, A=3):
    rng = np.random.default_rng(seed)
    return (
        rng.dirichlet(np.full(S, 0.5), (S, A)),
        rng.normal(size=(S, A)),
        rng.dirichlet(np.ones(S)),
        rng.normal(size=(S, A)),
    )


def by_autograd(P, R, start, theta, discount, ends=(), worth=0.0):
    """J = start · (I - γP_π)⁻¹ r_π, with terminal states cut out, and its gradient."""
    P, R, start = map(torch.tensor, (P, R, start))
    theta = torch.tensor(theta, requires_grad=True)
    pi = theta.softmax(-1)
    S = len(P)
    inner = [s for s in range(S) if s not in ends]
    known = torch.zeros(S, dtype=torch.float64)
    known[list(ends)] = worth
    chain, r = torch.einsum("sa,sat->st", pi, P), (pi * R).sum(-1)
    v = torch.linalg.solve(
        torch.eye(len(inner), dtype=torch.float64) - discount * chain[inner][:, inner],
        (r + discount * chain @ known)[inner],
    )
    J = start[inner] @ v + start @ known
    (gradient,) = torch.autograd.grad(J, theta)
    return J.item(), gradient.numpy()[inner]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("discount", "ends", "worth"), [(0.9, (), 0.0), (0.9, (4,), 2.0), (1.0, (3, 4), -1.5), (0.0, (), 0.0)]
)
def test_infinite_horizon(seed, discount, ends, worth):
    P, R, start, theta = arrays(seed)
    mdp = MDP(P, R, discount, terminal=dict.fromkeys(ends, worth), start=start)
    J, want = by_autograd(P, R, start, theta, discount, ends, worth)
    got = exact_policy_gradient(mdp, theta)
    assert got.objective == pytest.approx(J, abs=1e-12)
    np.testing.assert_allclose(got.gradient, want.ravel(), atol=1e-11)
    inner = ~mdp.rows.terminal
    paid = got.occupancy @ mdp.rows.reward  # J is linear in the occupancy, but for what ends are worth
    reached = start + discount * (mdp.matrix.T @ got.occupancy)
    assert paid + (reached * mdp.rows.terminal_value)[~inner].sum() == pytest.approx(J, abs=1e-11)


@pytest.mark.parametrize("timed", [False, True])
def test_finite_horizon(timed):
    P, R, start, theta = arrays(7)
    H, discount = 4, 0.8
    mdp = MDP(P, R, discount, terminal={2: 0.7}, start=start, horizon=H)
    rng = np.random.default_rng(7)
    if timed:
        theta = rng.normal(size=(H, 5, 3))
    leaf = torch.tensor(theta, requires_grad=True)
    v = torch.tensor([0.0, 0.0, 0.7, 0.0, 0.0], dtype=torch.float64)
    for t in reversed(range(H)):
        pi = (leaf[t] if timed else leaf).softmax(-1)
        fresh = (pi * (torch.tensor(R) + discount * torch.tensor(P) @ v)).sum(-1)
        v = torch.where(torch.tensor(mdp.rows.terminal), v, fresh)
    J = torch.tensor(start) @ v
    (want,) = torch.autograd.grad(J, leaf)
    inner = [0, 1, 3, 4]
    flat = theta[:, inner].reshape(H, -1) if timed else theta[inner].ravel()
    got = exact_policy_gradient(mdp, flat)
    assert got.objective == pytest.approx(J.item(), abs=1e-12)
    np.testing.assert_allclose(got.gradient, want.numpy()[..., inner, :].reshape(flat.shape), atol=1e-12)
    if not timed:
        np.testing.assert_allclose(exact_policy_gradient(mdp, theta).gradient, got.gradient)


def test_average_reward_by_finite_differences():
    P, R, start, theta = arrays(3)
    mdp = MDP(P, R, 1.0, criterion="average", start=start)
    got = exact_policy_gradient(mdp, theta)
    assert got.objective == pytest.approx(evaluate(mdp, softmax(mdp, theta)).gain[0], abs=1e-12)
    step = 1e-6
    for at in np.ndindex(theta.shape):
        ends = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[at] += sign * step
            ends.append(evaluate(mdp, softmax(mdp, moved)).gain[0])
        assert got.gradient[np.ravel_multi_index(at, theta.shape)] == pytest.approx(
            (ends[0] - ends[1]) / (2 * step), abs=1e-8
        )


@pytest.mark.parametrize("kind", ["discounted", "horizon", "partly visited"])
def test_natural_gradient(kind):
    """F is the expected outer product of scores, and `natural` the minimal solution of F x = ∂J."""
    P, R, start, theta = arrays(11)
    horizon = 3 if kind == "horizon" else None
    if kind == "partly visited":
        P[:, :, 4], start = 0.0, np.array([1.0, 0, 0, 0, 0])
        P /= P.sum(-1, keepdims=True)
    mdp = MDP(P, R, 0.9, start=start, horizon=horizon)
    got = exact_policy_gradient(mdp, theta)
    visits = got.occupancy.sum(0) if horizon else got.occupancy
    F = np.zeros((15, 15))
    for row in range(15):
        score = np.zeros(15)
        score[row] = 1.0
        score[row // 3 * 3 : row // 3 * 3 + 3] -= got.policy[row // 3 * 3 : row // 3 * 3 + 3]
        F += visits[row] * np.outer(score, score)
    np.testing.assert_allclose(got.fisher.toarray(), F, atol=1e-12)
    np.testing.assert_allclose(got.natural, np.linalg.pinv(F, rcond=1e-10) @ got.gradient, atol=1e-9)


def test_visits_of_a_finite_horizon():
    """They are probabilities, and pay the value of the policy."""
    P, R, start, theta = arrays(5)
    mdp = MDP(P, R, 1.0, start=start, horizon=6, criterion="total", terminal=[1])
    policy = softmax(mdp, theta)
    visits = finite_horizon_visits(mdp, policy)
    assert visits.shape == (6, mdp.num_rows)
    totals = visits.sum(1)
    assert (np.diff(totals) < 0).all()
    assert totals[0] == pytest.approx(1 - start[1])
    assert exact_policy_gradient(mdp, theta).objective == pytest.approx(float((visits @ mdp.rows.reward).sum()))
    best = finite_horizon(mdp).values[0] @ start
    assert exact_policy_gradient(mdp, theta).objective < best


def test_ascent_reaches_the_optimum():
    """Natural gradient steps are policy iteration in the limit: J rises at every step and ends at v*."""
    P, R, start, theta = arrays(2)
    mdp = MDP(P, R, 0.9, start=start)
    theta = theta.ravel()
    last = -np.inf
    for _ in range(200):
        found = exact_policy_gradient(mdp, theta)
        assert found.objective >= last - 1e-12
        last = found.objective
        theta = theta + 30.0 * found.natural
    assert last == pytest.approx(float(start @ solve(mdp, 1e-9).values), abs=1e-6)


def test_a_class_that_is_reached_late_is_one_class():
    """Its gain is computed to the number of steps there times the rounding, far from what the class itself has."""
    P = np.array([[1 - 1e-9, 1e-9, 0.0], [0.0, 0.25, 0.75], [0.0, 0.5, 0.5]])
    mdp = MDP(P[:, None, :], np.array([[5.0], [1 / 3], [-1 / 7]]), 1.0, criterion="average", start=[1.0, 0.0, 0.0])
    found = exact_policy_gradient(mdp, np.zeros((3, 1)))
    assert found.objective == pytest.approx(0.4 / 3 - 0.6 / 7)


def test_errors():
    P, R, start, theta = arrays(1)
    with pytest.raises(ModelError, match="start"):
        exact_policy_gradient(MDP(P, R, 0.9), theta)
    with pytest.raises(ModelError, match="shape"):
        exact_policy_gradient(MDP(P, R, 0.9, start=start), theta[:, :2])
    loops = MDP(np.eye(2)[:, None, :], np.array([[1.0], [0.0]]), 1.0, criterion="average", start=[0.5, 0.5])
    with pytest.raises(ModelError, match="recurrent classes"):
        exact_policy_gradient(loops, np.zeros((2, 1)))
    assert occupancy(MDP(P, R, 0.9, start=start), softmax(MDP(P, R, 0.9), theta)).sum() == pytest.approx(10.0)
