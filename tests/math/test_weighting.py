"""Ψ by every name: its expectation is the exact gradient, it reduces to its kin, and known bugs show."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from operant.math.advantage import gae, n_step, reward_to_go
from operant.math.baseline import exponential_average
from operant.math.objective import policy_gradient
from operant.math.reduce import token_mean
from operant.math.weighting import (
    critic_target,
    discount_weight,
    episode_number,
    q_weighting,
    time_in_episode,
    total_return,
    weighting,
    whole,
)
from operant.mdp import MDP, exact_policy_gradient
from reference.paths import enumerate_paths
from reference.rows import Rows, close, every

GAMMA, HORIZON = 0.8, 4
NAMES = ("return", "to-go", "td", "td-n", "gae")


@pytest.fixture(scope="module")
def world():
    """Three states and one that ends; every path of four decisions, its exact values step by step, and θ."""
    rng = np.random.default_rng(5)
    transitions = rng.dirichlet(np.ones(4), (4, 2))
    transitions[3] = np.eye(4)[3]
    reward = rng.normal(size=(4, 2)) * np.array([[1.0], [1.0], [1.0], [0.0]])
    mdp = MDP(transitions, reward, GAMMA, terminal=[3], start=[0.6, 0.4, 0.0, 0.0])
    theta = rng.normal(size=mdp.num_rows)
    return mdp, theta


def paths_of(mdp, theta):
    found = exact_policy_gradient(mdp, theta, horizon=HORIZON)
    paths = enumerate_paths(mdp, found.policy, HORIZON, cut="terminated")
    value = paths.at_states(found.values, blank=0.0)
    reward = torch.nan_to_num(paths.reward)
    return found, paths, reward, value


def gradient_of(mdp, theta, paths, weight):
    """E[Σ_t weight_t ∇ log π(a_t|s_t)] over every path, as the losses compute it."""
    logits = torch.tensor(theta, requires_grad=True)
    state = torch.as_tensor(mdp.row_state)
    norm = torch.zeros(mdp.num_states).double().index_add(0, state, logits.exp()).log()
    logp = (logits - norm[state])[paths.row]
    loss, _ = policy_gradient(
        logp, paths.probability[:, None] * weight, paths.acted, reduce=partial(token_mean, denominator=1.0)
    )
    return -torch.autograd.grad(loss, logits)[0].numpy()


def psi_of(name, found, paths, reward, value):
    if name in ("q", "advantage"):
        q = paths.at_rows(found.advantages) + value[:, :-1]
        return q_weighting(name)(torch.nan_to_num(q), value[:, :-1], paths.acted)
    return weighting(name, discount=GAMMA, n=2, lam=0.6)(reward, value, *paths.masks)


@pytest.mark.parametrize("name", [*NAMES, "q", "advantage"])
def test_every_weighting_is_the_exact_gradient_of_the_discounted_objective(world, name):
    found, paths, reward, value = paths_of(*world)
    psi = psi_of(name, found, paths, reward, value)
    weight = psi if name == "return" else psi * discount_weight(*paths.masks, discount=GAMMA)
    np.testing.assert_allclose(gradient_of(*world, paths, weight), found.gradient, atol=1e-6)


@pytest.mark.parametrize("name", ["to-go", "td", "td-n", "gae", "q", "advantage"])
def test_without_the_weight_it_is_what_is_written_without_it(world, name):
    """Σ_t E[∇ log π A_t] with undiscounted visits: not the gradient of the discounted objective."""
    mdp, theta = world
    found, paths, reward, value = paths_of(mdp, theta)
    undiscounted = found.occupancy / GAMMA ** np.arange(HORIZON)[:, None]
    want = (undiscounted * found.advantages).sum(0)
    got = gradient_of(mdp, theta, paths, psi_of(name, found, paths, reward, value))
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert np.abs(got - found.gradient).max() > 1e-2  # the weight forgotten shows


@pytest.mark.parametrize("baseline", ["none", "number", "state"])
def test_baselines_leave_the_gradient_where_it_is(world, baseline):
    found, paths, reward, value = paths_of(*world)
    subtract = {"none": 0.0, "number": 3.0, "state": torch.sin(paths.obs[:, :-1].double())}[baseline]
    gamma_t = discount_weight(*paths.masks, discount=GAMMA)
    to_go = weighting("to-go", discount=GAMMA)(reward, value, *paths.masks)
    np.testing.assert_allclose(gradient_of(*world, paths, (to_go - subtract) * gamma_t), found.gradient, atol=1e-6)
    total = weighting("return", discount=GAMMA)(reward, value, *paths.masks)
    np.testing.assert_allclose(gradient_of(*world, paths, total - subtract), found.gradient, atol=1e-6)


def test_a_truncated_horizon_bootstraps_and_a_terminated_one_does_not(world):
    """Cut after one decision of an endless task, with its exact values: the first decision's part of its gradient."""
    mdp, theta = world
    endless = exact_policy_gradient(mdp, theta)
    paths = enumerate_paths(mdp, endless.policy, 1, cut="truncated")
    value = paths.at_states(endless.values, blank=0.0)
    psi = weighting("td", discount=GAMMA)(torch.nan_to_num(paths.reward), value, *paths.masks)
    start = mdp.start[mdp.row_state] * endless.policy
    np.testing.assert_allclose(gradient_of(mdp, theta, paths, psi), start * endless.advantages, atol=1e-6)
    wrong = weighting("td", discount=GAMMA)(
        torch.nan_to_num(paths.reward), value, paths.terminated | paths.truncated, paths.truncated & False, paths.acted
    )
    assert np.abs(gradient_of(mdp, theta, paths, wrong) - start * endless.advantages).max() > 1e-3


# ---------------------------------------------------------------------------------------------------- reduces to
def test_weightings_reduce_to_one_another():
    def compare(r: Rows) -> None:
        steps, masks, d = r.steps, (r.terminated, r.truncated, r.acted), 0.9
        far = r.reward.shape[1]
        mc = reward_to_go(r.reward, *masks, discount=d, value=r.value)
        less = r.value[:, :-1] * r.acted
        close(weighting("td-n", discount=d, n=1)(*steps), weighting("td", discount=d)(*steps))
        close(weighting("td-n", discount=d, n=far)(*steps), mc - less)
        close(weighting("gae", discount=d, lam=0.0)(*steps), weighting("td", discount=d)(*steps))
        close(weighting("gae", discount=d, lam=1.0)(*steps), mc - less)
        close(weighting("gae", discount=d, lam=0.7)(*steps), gae(*steps, discount=d, lam=0.7))
        close(weighting("to-go", discount=d)(*steps), mc)
        close(critic_target("mc", discount=d)(*steps), mc)
        close(critic_target("lambda", discount=d, lam=1.0)(*steps), mc)
        close(critic_target("lambda", discount=d, lam=0.0)(*steps), n_step(*steps, n=1, discount=d))
        close(critic_target("td", discount=d)(*steps), n_step(*steps, n=1, discount=d))
        close(q_weighting("advantage")(r.q, r.value[:, :-1], r.acted), (r.q - r.value[:, :-1]) * r.acted)
        close(q_weighting("q")(r.q, r.value[:, :-1], r.acted), r.q * r.acted)

    every(compare, 60)


# ---------------------------------------------------------------------------------------------------- slow loops
def slow(r: Rows, elapsed, discount):
    """Time, wholeness and total return of each decision: one step after the other."""
    time, entire, total = (np.zeros(r.reward.shape) for _ in range(3))
    to_go = reward_to_go(r.reward, r.terminated, r.truncated, r.acted, discount=discount, value=r.value)
    for n in range(len(r.reward)):
        clock, older, members = int(elapsed[n]), bool(elapsed[n]), []
        for t in range(r.reward.shape[1]):
            time[n, t] = clock
            if r.acted[n, t]:
                members.append(t)
                total[n, t] = to_go[n, members[0]]
                clock += 1
            if r.terminated[n, t] or r.truncated[n, t]:
                entire[n, members] = not older
                clock, older, members = 0, False, []
    return time, entire, total


def test_time_wholeness_and_total_return_equal_the_slow_loop():
    def compare(r: Rows) -> None:
        masks = (r.terminated, r.truncated, r.acted)
        elapsed = torch.arange(len(r.reward)) % 3
        time, entire, total = slow(r, elapsed, 0.9)
        on = r.acted.numpy()
        np.testing.assert_array_equal(time_in_episode(*masks, elapsed).numpy()[on], time[on])
        np.testing.assert_array_equal(whole(*masks, elapsed).numpy(), entire.astype(bool))
        np.testing.assert_allclose(total_return(r.reward, r.value, *masks, discount=0.9).numpy()[on], total[on])
        weight = discount_weight(*masks, elapsed, discount=0.9)
        np.testing.assert_allclose(weight.numpy()[on], 0.9 ** time[on], rtol=1e-6)

    every(compare, 60)


def test_episodes_of_a_row_are_numbered_by_their_decisions():
    acted = torch.tensor([[True, True, False, True, False, False, True]])
    ended = torch.tensor([[False, True, False, True, True, False, False]])
    number = episode_number(ended, ended & False, acted)
    assert number[acted].tolist() == [0, 0, 1, 2]


def test_what_began_before_the_row_or_runs_over_its_end_is_not_whole():
    """The bug of weighing open episodes: their returns are cut at the row's end."""
    acted = torch.ones(1, 6, dtype=torch.bool)
    ended = torch.tensor([[False, True, False, True, False, False]])
    assert whole(ended, ended & False, acted).tolist() == [[True, True, True, True, False, False]]
    assert whole(ended, ended & False, acted, torch.tensor([3])).tolist() == [[False, False, True, True, False, False]]


def test_the_weight_of_an_episode_that_goes_on_from_the_last_row_goes_on():
    """γ^t counted from the row's start, in place of the episode's, is another number."""
    acted = torch.ones(1, 3, dtype=torch.bool)
    none = torch.zeros(1, 3, dtype=torch.bool)
    weight = discount_weight(none, none, acted, torch.tensor([5]), discount=0.5)
    torch.testing.assert_close(weight, 0.5 ** torch.tensor([[5.0, 6.0, 7.0]]))


def test_the_exponential_average_forgets_at_its_rate_and_reads_only_the_mask():
    x, mask = torch.tensor([1.0, 3.0, float("nan")]), torch.tensor([True, True, False])
    first = exponential_average(None, x, mask, rate=0.1)
    assert first == 2.0
    assert exponential_average(first, x + 10, mask, rate=0.1) == pytest.approx(3.0)
    assert exponential_average(5.0, x, mask & False, rate=0.1) == 5.0
    with pytest.raises(ValueError, match="nothing to average"):
        exponential_average(None, x, mask & False, rate=0.1)


def test_unknown_names_are_refused():
    with pytest.raises(KeyError):
        weighting("q", discount=0.9)
    with pytest.raises(KeyError):
        critic_target("gae", discount=0.9)
