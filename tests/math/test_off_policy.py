"""Importance ratios: their expectation over another policy's paths is the exact gradient, and known bugs show."""

from __future__ import annotations

from functools import partial
from math import inf

import numpy as np
import pytest
import torch

from operant.math import off_policy
from operant.math.advantage import gae, vtrace
from operant.math.objective import policy_gradient
from operant.math.off_policy import off_policy_weighting
from operant.math.ratio import prefix_weight, sequence_weight, trajectory_weight
from operant.math.reduce import token_mean
from operant.mdp import MDP, exact_policy_gradient
from reference.paths import enumerate_paths

GAMMA, HORIZON = 0.8, 4


@pytest.fixture(scope="module")
def world():
    """Three states and one that ends, θ of π and θ of μ, and all of μ's paths of four decisions."""
    rng = np.random.default_rng(7)
    transitions = rng.dirichlet(np.ones(4), (4, 2))
    transitions[3] = np.eye(4)[3]
    reward = rng.normal(size=(4, 2)) * np.array([[1.0], [1.0], [1.0], [0.0]])
    mdp = MDP(transitions, reward, GAMMA, terminal=[3], start=[0.6, 0.4, 0.0, 0.0])
    theta, other = rng.normal(size=(2, mdp.num_rows))
    mu = exact_policy_gradient(mdp, other, horizon=HORIZON).policy
    return mdp, theta, mu, enumerate_paths(mdp, mu, HORIZON, cut="terminated")


def logs(mdp, theta, mu, paths):
    """log π with its graph, θ, and log μ."""
    logits = torch.tensor(theta, requires_grad=True)
    state = torch.as_tensor(mdp.row_state)
    norm = torch.zeros(mdp.num_states).double().index_add(0, state, logits.exp()).log()
    return (logits - norm[state])[paths.row], logits, torch.as_tensor(np.log(mu))[paths.row]


def gradient(world, weigh, value=None, shift=0.0):
    """E_μ[Σ_t γ^t A_t ∇ log π(a_t|s_t)] over every path of μ."""
    mdp, theta, mu, paths = world
    found = exact_policy_gradient(mdp, theta, horizon=HORIZON)
    logp, logits, behaviour = logs(mdp, theta, mu, paths)
    value = paths.at_states(found.values, blank=0.0) + shift if value is None else value
    adv, _ = weigh(logp, behaviour, torch.nan_to_num(paths.reward), value, *paths.masks)
    weight = adv * GAMMA ** torch.arange(HORIZON)
    loss, _ = policy_gradient(
        logp, paths.probability[:, None] * weight, paths.acted, reduce=partial(token_mean, denominator=1.0)
    )
    return -torch.autograd.grad(loss, logits)[0].numpy(), found


def weighting(name, lam=1.0, bound=inf):
    return off_policy_weighting(name, discount=GAMMA, lam=lam, bound=bound)


@pytest.mark.parametrize("shift", [0.0, 0.7], ids=["exact value", "wrong value"])
@pytest.mark.parametrize("name", ["per-decision", "per-trajectory"])
def test_both_products_give_the_exact_gradient_under_another_policy(world, name, shift):
    got, found = gradient(world, weighting(name), shift=shift)
    np.testing.assert_allclose(got, found.gradient, atol=1e-10)


def test_per_decision_with_the_exact_value_is_exact_at_any_lambda(world):
    for lam in (0.0, 0.5):
        got, found = gradient(world, weighting("per-decision", lam))
        np.testing.assert_allclose(got, found.gradient, atol=1e-10)


def test_one_ratio_a_step_is_the_lectures_gradient(world):
    """Σ_t γ^t Σ_s d_t^μ(s) Σ_a ∇π(a|s) A^π(s, a): the states stay μ's, so it is not ∇J."""
    mdp, _, mu, _ = world
    got, found = gradient(world, weighting("step"))
    visits = exact_policy_gradient(mdp, np.log(np.maximum(mu, 1e-300)), horizon=HORIZON).occupancy  # [T, L] with γ^t
    state = mdp.row_state
    per_state = np.zeros((HORIZON, mdp.num_states))
    np.add.at(per_state.T, state, visits.T)
    want = (per_state[:, state] * found.policy * found.advantages).sum(0)  # softmax: ∇ of Σ π A is π A at A's mean 0
    np.testing.assert_allclose(got, want, atol=1e-10)
    assert np.abs(got - found.gradient).max() > 1e-2


def test_without_a_ratio_old_data_are_biased_by_just_this_much(world):
    """Σ_t γ^t E_μ[∇ log π (Q^μ − V)], written from the exact tables of μ."""
    mdp, _, mu, _ = world
    got, found = gradient(world, weighting("none"))
    under = exact_policy_gradient(mdp, np.log(np.maximum(mu, 1e-300)), horizon=HORIZON)
    state = mdp.row_state
    zeroed = np.where(np.asarray(mdp.rows.terminal), 0.0, found.values[:HORIZON])
    old = np.where(np.asarray(mdp.rows.terminal), 0.0, under.values[:HORIZON])
    error = under.advantages + old[:, state] - zeroed[:, state]  # Q^μ − V^π
    weight = under.occupancy * error
    want = np.zeros(mdp.num_rows)
    for t in range(HORIZON):
        total = np.zeros(mdp.num_states)
        np.add.at(total, state, weight[t])
        want += weight[t] - found.policy * total[state]  # Σ_a w_a ∇ log π(a) = w − π Σ w
    np.testing.assert_allclose(got, want, atol=1e-10)
    assert np.abs(got - found.gradient).max() > 0.05


@pytest.mark.parametrize("name", ["none", "step", "per-decision", "per-trajectory"])
@pytest.mark.parametrize("bound", [1.0, inf])
def test_on_policy_all_are_generalised_advantages(world, name, bound):
    mdp, theta, *_ = world
    found = exact_policy_gradient(mdp, theta, horizon=HORIZON)
    paths = enumerate_paths(mdp, found.policy, HORIZON, cut="terminated")
    logp, _, _ = logs(mdp, theta, found.policy, paths)
    value = torch.randn(len(paths.obs), HORIZON + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reward = torch.nan_to_num(paths.reward)
    adv, target = weighting(name, 0.6, bound)(logp, logp.detach(), reward, value, *paths.masks)
    want = gae(reward, value, *paths.masks, discount=GAMMA, lam=0.6)
    torch.testing.assert_close(adv, want)
    torch.testing.assert_close(target[paths.acted], (want + value[:, :-1])[paths.acted])
    assert not adv.requires_grad


def test_truncation_bounds_every_weight_and_is_a_bias(world):
    for name in ("step", "per-decision", "per-trajectory"):
        got, found = gradient(world, weighting(name, bound=1.0))
        assert np.abs(got - found.gradient).max() > 1e-2
    mdp, theta, mu, paths = world
    logp, _, behaviour = logs(mdp, theta, mu, paths)
    value, reward = torch.zeros(len(paths.obs), HORIZON + 1).double(), torch.nan_to_num(paths.reward)
    ends = (torch.zeros_like(paths.acted), paths.truncated | paths.terminated, paths.acted)
    free, bounded = (weighting("per-trajectory", bound=b)(logp, behaviour, reward, value, *ends)[0] for b in (inf, 0.5))
    plain = weighting("none")(logp, behaviour, reward, value, *ends)[0]
    assert (free.abs() > plain.abs() + 0.1).any()
    assert (bounded.abs() <= 0.5 * plain.abs() + 1e-12).all()


# ---------------------------------------------------------------------------------------------------- V-trace
@pytest.mark.parametrize(("rho", "c"), [(1.0, 1.0), (0.7, 0.3), (2.0, 0.5), (inf, 1.0)])
def test_the_fixed_point_of_vtrace_is_the_value_of_its_own_policy(rho, c):
    """π_ρ̄(a|s) ∝ min(ρ̄ μ(a|s), π(a|s)), computed exactly: at its value the expected step of every state is 0."""
    rng = np.random.default_rng(3)
    mdp = MDP(rng.dirichlet(np.ones(3), (3, 3)), rng.normal(size=(3, 3)), 0.9, start=np.full(3, 1 / 3))
    theta, other = rng.normal(size=(2, mdp.num_rows))
    pi, mu = (exact_policy_gradient(mdp, x).policy for x in (theta, other))
    own = exact_policy_gradient(mdp, np.log(np.minimum(rho * mu, pi))).values  # the softmax divides by the sum
    paths = enumerate_paths(mdp, mu, 3, cut="truncated")
    logp, behaviour = (torch.as_tensor(np.log(x))[paths.row] for x in (pi, mu))

    def expected_step(table):
        value = paths.at_states(table)
        bounds = {"clip_rho": rho, "clip_c": c}
        target, _ = vtrace(logp, behaviour, paths.reward, value, *paths.masks, discount=0.9, **bounds)
        return np.abs(paths.mean_by_state(target - value[:, :-1])[0]).max()

    assert expected_step(own) < 1e-12
    of_pi = exact_policy_gradient(mdp, theta).values
    assert expected_step(of_pi) < 1e-12 if rho == inf else expected_step(of_pi) > 1e-2


# ---------------------------------------------------------------------------------------------------- products
def slow(logp, behaviour, ended, acted):
    """Prefix and whole product of each step's episode, one step after the other."""
    n, t = logp.shape
    before, whole = torch.zeros(n, t).double(), torch.zeros(n, t).double()
    for i in range(n):
        first = 0
        for k in range(t):
            if ended[i, k] or k == t - 1:
                product = 1.0
                for j in range(first, k + 1):
                    before[i, j] = product if acted[i, j] else 0.0
                    product *= float((logp - behaviour)[i, j].exp()) if acted[i, j] else 1.0
                whole[i, first : k + 1] = torch.where(acted[i, first : k + 1], product, 0.0)
                first = k + 1
    return before, whole


def test_products_are_those_of_a_slow_loop_within_episodes():
    gen = torch.Generator().manual_seed(0)
    logp, behaviour = torch.randn(2, 6, 23, generator=gen, dtype=torch.float64) * 0.5
    acted, ended = torch.rand(2, 6, 23, generator=gen) < 0.75
    logp[~acted] = torch.nan  # what was not chosen is not read
    before, whole = slow(logp, behaviour, ended, acted)
    torch.testing.assert_close(prefix_weight(logp, behaviour, ended, acted), before)
    torch.testing.assert_close(trajectory_weight(logp, behaviour, ended, acted), whole)
    one = trajectory_weight(logp, behaviour, torch.zeros_like(ended), acted)
    torch.testing.assert_close(one, torch.where(acted, sequence_weight(logp, behaviour, acted), 0.0))


# ---------------------------------------------------------------------------------------------------- known bugs
def test_a_ratio_applied_twice_shows(world, monkeypatch):
    """As where an advantage that holds ρ_t is put into a surrogate whose gradient brings ρ_t again."""
    mdp, theta, mu, paths = world
    logp, _, behaviour = logs(mdp, theta, mu, paths)
    ratio = (logp - behaviour).exp().detach()

    def twice(*of):
        adv, target = weighting("per-decision")(*of)
        return adv * ratio, target

    got, found = gradient(world, twice)
    assert np.abs(got - found.gradient).max() > 1e-2


def test_a_product_that_goes_on_into_the_next_episode_shows(world, monkeypatch):
    """Two episodes in one row: each has its own product."""
    mdp, theta, mu, paths = world
    logp, _, behaviour = logs(mdp, theta, mu, paths)
    two = [torch.cat([x, x.flip(0)], 1) for x in (logp.detach(), behaviour, torch.nan_to_num(paths.reward))]
    ends = [torch.cat([x, x.flip(0)], 1) for x in paths.masks]
    value = torch.zeros(len(paths.obs), 2 * HORIZON + 1).double()
    for name in ("per-decision", "per-trajectory"):
        both, _ = weighting(name)(*two, value, *ends)
        alone, _ = weighting(name)(*(x[:, :HORIZON] for x in two), value[:, : HORIZON + 1], *paths.masks)
        torch.testing.assert_close(both[:, :HORIZON], alone)
        with monkeypatch.context() as patch:
            for product in ("prefix_weight", "trajectory_weight"):
                whole = getattr(off_policy, product)
                patch.setattr(off_policy, product, lambda a, b, e, c, f=whole: f(a, b, torch.zeros_like(e), c))
            wrong, _ = weighting(name)(*two, value, *ends)
        assert (wrong - both).abs().max() > 1e-2


def test_a_ratio_that_counts_where_nothing_was_chosen_shows():
    """Steps that were not the policy's between two decisions hold log-probabilities of nothing."""
    gen = torch.Generator().manual_seed(1)
    logp, behaviour, reward = torch.randn(3, 4, 9, generator=gen, dtype=torch.float64)
    value = torch.randn(4, 10, generator=gen, dtype=torch.float64)
    acted, no = torch.rand(4, 9, generator=gen) < 0.6, torch.zeros(4, 9, dtype=torch.bool)
    acted[:, [0, -1]] = True
    for name in ("step", "per-decision", "per-trajectory"):
        weigh = weighting(name, lam=0.7)
        want, _ = weigh(logp, behaviour, reward, value, no, no, acted)
        junk = [torch.where(acted, x, 5.0) for x in (logp, behaviour)]
        got, _ = weigh(junk[0], junk[1] - 9.0 * ~acted, reward, value, no, no, acted)
        torch.testing.assert_close(got, want)
        wrong, _ = weigh(torch.where(acted, logp, behaviour + 1.0), behaviour, reward, value, no, no, ~no)
        assert (wrong - want)[acted].abs().max() > 1e-2
