"""Every estimator of operant.math has the expectation that it claims, exactly: all trajectories of a small model are
enumerated with their probabilities, and the exact values, advantages and gradients come from operant.mdp."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch

from operant.math import bellman, divergence, logprob
from operant.math.advantage import gae, n_step, retrace, reward_to_go, vtrace
from operant.math.baseline import group_mean, leave_one_out
from operant.math.objective import (
    cispo,
    clipped_surrogate,
    clipped_value_loss,
    nll,
    policy_gradient,
    td_loss,
    value_loss,
)
from operant.math.preference import cdpo, dpo, ipo
from operant.math.reduce import fixed, sequence_mean, token_mean
from operant.mdp import MDP, evaluate, finite_horizon_values, occupancy, solve
from operant.mdp.analyse.finite_horizon import finite_horizon_visits
from operant.mdp.analyse.gradient import exact_policy_gradient
from operant.mdp.analyse.td_fixed_point import td_fixed_point
from operant.mdp.policies import over_actions, softmax
from operant.mdp.solvers.soft import soft_policy_iteration
from reference.paths import enumerate_paths

S, A, T = 4, 2, 4  # state 3 is terminal
DISCOUNT = 0.9
POWERS = DISCOUNT ** torch.arange(T, dtype=torch.float64)
LAMBDAS = [0.0, 0.6, 1.0]


def model(seed=0, discount=DISCOUNT, horizon=None):
    """Rewards depend on the outcome, every state can end, one pair is not admissible."""
    rng = np.random.default_rng(seed)
    P, R = rng.dirichlet(np.full(S, 0.7), (S, A)), rng.normal(size=(S, A, S))
    mdp = MDP(P, R, discount, terminal=[3], start=[0.5, 0.3, 0.2, 0.0], horizon=horizon)
    return mdp


def logits(seed=1, rows=6):
    return np.random.default_rng(seed).normal(size=rows)


@pytest.fixture(scope="module")
def world():
    """(the model, π, μ, v_π, q_π, A_π) of the discounted problem without a horizon."""
    mdp = model()
    pi, mu = softmax(mdp, logits(1)), softmax(mdp, logits(2))
    found = evaluate(mdp, pi)
    return mdp, pi, mu, found.values, found.action_values, found.advantages


@pytest.fixture(scope="module")
def on_policy(world):
    """Trajectories of π, cut off after T steps."""
    return enumerate_paths(world[0], world[1], T, cut="truncated")


@pytest.fixture(scope="module")
def off_policy(world):
    """Trajectories of μ, cut off after T steps."""
    return enumerate_paths(world[0], world[2], T, cut="truncated")


close = partial(np.testing.assert_allclose, rtol=1e-10)


def same(got, want, tolerance=1e-12):
    """Equal wherever the left side is a number (a row that is never taken has no conditional mean)."""
    want = np.broadcast_to(np.asarray(want), got.shape)
    known = ~np.isnan(got)
    assert known.sum() >= 6
    close(got[known], want[known], atol=tolerance)


def operator(mdp, policy):
    """T_π as a function of values [S]."""

    def backup(v):
        q = mdp.rows.reward + mdp.discount * (mdp.matrix @ np.where(mdp.rows.terminal, 0.0, v))
        return over_actions(mdp, policy * q)

    return backup


def test_the_enumeration_is_complete(on_policy, off_policy):
    for paths in (on_policy, off_policy):
        assert float(paths.probability.sum()) == pytest.approx(1.0, abs=1e-13)
        assert bool((paths.terminated.sum(1) + paths.truncated.sum(1) == 1).all())
        assert len(paths.probability) > 1000


# ------------------------------------------------------------------ returns and advantages on policy
def test_reward_to_go_is_q(world, on_policy):
    _, _, _, v, q, _ = world
    paths = on_policy
    got = reward_to_go(paths.reward, *paths.masks, discount=DISCOUNT, value=paths.at_states(v, blank=7.0))
    same(paths.mean_by_row(got), q)


def test_reward_to_go_without_a_value_is_the_finite_horizon():
    mdp = model(horizon=T)
    pi = softmax(mdp, logits())
    paths = enumerate_paths(mdp, pi, T, cut="terminated")
    got = reward_to_go(paths.reward, *paths.masks, discount=DISCOUNT)
    values = finite_horizon_values(mdp, pi)
    same(paths.mean_by_state(got), values[:-1])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_n_step(world, on_policy, n):
    """With v_π it is q_π; with any other V it is T_π applied n times (fewer where the row is cut off before)."""
    mdp, pi, _, v, q, _ = world
    paths = on_policy
    same(
        paths.mean_by_row(n_step(paths.reward, paths.at_states(v, blank=7.0), *paths.masks, n=n, discount=DISCOUNT)), q
    )
    guess = np.random.default_rng(3).normal(size=S)
    got = paths.mean_by_state(
        n_step(paths.reward, paths.at_states(guess, blank=7.0), *paths.masks, n=n, discount=DISCOUNT)
    )
    for t in range(T):
        want = guess
        for _ in range(min(n, T - t)):
            want = operator(mdp, pi)(want)
        same(got[[t]][:, :3].repeat(2, 0), want[:3])


@pytest.mark.parametrize("lam", LAMBDAS)
def test_gae(world, on_policy, lam):
    """With v_π it is A_π for any λ; with any other V, A + V is the λ-return operator of what was seen."""
    mdp, pi, _, v, _, advantage = world
    paths = on_policy
    same(paths.mean_by_row(gae(paths.reward, paths.at_states(v), *paths.masks, discount=DISCOUNT, lam=lam)), advantage)
    guess = np.random.default_rng(4).normal(size=S)
    value = paths.at_states(guess)
    got = paths.mean_by_state(gae(paths.reward, value, *paths.masks, discount=DISCOUNT, lam=lam) + value[:, :-1])
    powers = [guess]
    for _ in range(T):
        powers.append(operator(mdp, pi)(powers[-1]))
    for t in range(T):
        left = T - t
        want = sum((1 - lam) * lam ** (n - 1) * powers[n] for n in range(1, left)) + lam ** (left - 1) * powers[left]
        same(got[[t]][:, :3].repeat(2, 0), want[:3])


# ------------------------------------------------------------------ off policy
def mixed(mdp, pi, mu, clip):
    """π_ρ̄(a | s) ∝ min(ρ̄ μ, π): the policy whose value V-trace learns."""
    least = np.minimum(clip * mu, pi)
    return least / over_actions(mdp, least)[mdp.row_state]


@pytest.mark.parametrize(("clip_rho", "clip_c"), [(1.0, 1.0), (0.7, 0.5), (1.5, 1.0), (1e9, 1e9), (1e9, 1.0)])
@pytest.mark.parametrize("lam", LAMBDAS)
def test_vtrace_fixed_point(world, off_policy, clip_rho, clip_c, lam):
    """The value of π_ρ̄ is where the expected target stays, for any c̄ and λ; the advantage there is ρ (q - v)."""
    mdp, pi, mu, _, _, _ = world
    found = evaluate(mdp, mixed(mdp, pi, mu, clip_rho))
    paths, value = off_policy, off_policy.at_states(found.values)
    target, advantage = vtrace(
        paths.at_rows(np.log(pi)), paths.at_rows(np.log(mu)), paths.reward, value, *paths.masks,
        discount=DISCOUNT, clip_rho=clip_rho, clip_c=clip_c, lam=lam,
    )  # fmt: skip
    same(paths.mean_by_state(target), found.values)
    rho = np.minimum(pi / mu, clip_rho)
    same(paths.mean_by_row(advantage), rho * found.advantages)
    if clip_rho == 1e9:
        close(found.values, world[3], atol=1e-12)


@pytest.mark.parametrize(("clip_rho", "clip_c"), [(1.0, 1.0), (2.0, 0.5), (1e9, 1e9)])
@pytest.mark.parametrize("lam", LAMBDAS)
def test_vtrace_operator(world, off_policy, clip_rho, clip_c, lam):
    """For any V the expected target is V + Σ_k (γ P_c)^k E_μ[ρ δ], as far as the row goes."""
    mdp, pi, mu, _, _, _ = world
    guess = np.where(mdp.rows.terminal, 0.0, np.random.default_rng(5).normal(size=S))
    paths = off_policy
    target, _ = vtrace(
        paths.at_rows(np.log(pi)), paths.at_rows(np.log(mu)), paths.reward, paths.at_states(guess), *paths.masks,
        discount=DISCOUNT, clip_rho=clip_rho, clip_c=clip_c, lam=lam,
    )  # fmt: skip
    got = paths.mean_by_state(target)
    ratio, P = pi / mu, mdp.matrix.toarray()
    delta = mdp.rows.reward + DISCOUNT * P @ guess - guess[mdp.row_state]
    first = over_actions(mdp, mu * np.minimum(ratio, clip_rho) * delta)
    keep = np.zeros((S, S))
    np.add.at(keep, mdp.row_state, (mu * lam * np.minimum(ratio, clip_c))[:, None] * P)
    for t in range(T):
        want, term = guess.copy(), first
        for _ in range(T - t):
            want, term = want + term, DISCOUNT * keep @ term
        same(got[[t]][:, :3].repeat(2, 0), want[:3])


@pytest.mark.parametrize("lam", LAMBDAS)
def test_retrace(world, off_policy, lam):
    """q_π is its fixed point for any behaviour and λ; for any Q it is the operator of Munos et al., equation 3."""
    mdp, pi, mu, _, q, _ = world
    paths = off_policy
    logs = paths.at_rows(np.log(pi)), paths.at_rows(np.log(mu))

    def target(of_pairs):
        value = np.where(mdp.rows.terminal, 0.0, over_actions(mdp, pi * of_pairs))
        return paths.mean_by_row(
            retrace(
                *logs,
                paths.reward,
                paths.at_rows(of_pairs),
                paths.at_states(value),
                *paths.masks,
                discount=DISCOUNT,
                lam=lam,
            )
        )

    same(target(q), q)
    guess = np.random.default_rng(6).normal(size=6)
    P = mdp.matrix.toarray()
    delta = mdp.rows.reward + DISCOUNT * P @ over_actions(mdp, pi * guess) - guess
    keep = P[:, mdp.row_state] * (mu * lam * np.minimum(pi / mu, 1.0))  # [L, L]: (s, a) to (s', a')
    got = target(guess)
    for t in range(T):
        want, term = guess.copy(), delta
        for _ in range(T - t):
            want, term = want + term, DISCOUNT * keep @ term
        same(got[[t]], want)
    assert np.abs(got - q)[0].max() > 1e-3


def test_importance_weighted_returns(world, off_policy):
    """Π ρ over the whole rest of the row makes the return of μ that of π: v-trace without clips, and by hand."""
    _, pi, mu, v, _, _ = world
    paths = off_policy
    ratio = torch.where(paths.acted, paths.at_rows(pi / mu), 1.0)
    rest = ratio.flip(1).cumprod(1).flip(1)
    # the return's later parts need the later ratios alone, so the product is taken reward by reward
    total = torch.zeros(len(ratio), dtype=torch.float64)
    weight = torch.ones_like(total)
    value = paths.at_states(v, blank=7.0)
    for t in range(T):
        weight = weight * ratio[:, t]
        total += torch.where(paths.acted[:, t], DISCOUNT**t * weight * paths.reward[:, t], 0.0)
        total += torch.where(paths.truncated[:, t], DISCOUNT ** (t + 1) * weight * value[:, t + 1], 0.0)
    same(paths.mean_by_state(total[:, None].expand(-1, T))[:1, :3].repeat(2, 0), v[:3])
    zero = torch.zeros(len(ratio), T + 1, dtype=torch.float64)
    zero[:, -1] = torch.where(paths.truncated[:, -1], value[:, -1], 0.0)
    target, _ = vtrace(
        paths.at_rows(np.log(pi)), paths.at_rows(np.log(mu)), paths.reward, zero, *paths.masks,
        discount=DISCOUNT, clip_rho=1e9, clip_c=1e9,
    )  # fmt: skip
    close(target[:, 0], total, atol=1e-12)
    ordinary = reward_to_go(paths.reward, *paths.masks, discount=DISCOUNT, value=value)
    weighted = torch.where(paths.acted, ordinary * rest, 0.0)  # and the plain form: one product for all
    same(paths.mean_by_state(weighted), v)


# ------------------------------------------------------------------ policy gradients
@pytest.fixture(scope="module")
def episodes():
    """A task of T decisions: (model, θ, exact gradient, trajectories)."""
    mdp = model(7, horizon=T)
    theta = logits(8)
    exact = exact_policy_gradient(mdp, theta)
    return mdp, theta, exact, enumerate_paths(mdp, exact.policy, T, cut="terminated")


def log_policy(paths, theta):
    """[N, T] log π_θ(a | s), with θ [L] laid out in pairs."""
    return theta.view(-1, A).log_softmax(-1).view(-1)[paths.row]


def expected_gradient(paths, theta, loss):
    """-∂ of the expectation: `loss(logp, weight)` is called with p(path) γ^t in the weight's place."""
    leaf = torch.tensor(theta, requires_grad=True)
    weight = paths.probability[:, None] * POWERS
    (gradient,) = torch.autograd.grad(loss(log_policy(paths, leaf), weight), leaf)
    return -gradient.numpy()


total = partial(token_mean, denominator=1.0)


def weights_on_policy(name, mdp, exact, paths):
    """[N, T]: each way to weigh a decision that has the advantage, up to a baseline, as its expectation."""
    value, steps = paths.at_states(exact.values), (paths.reward, *paths.masks)
    constant = torch.full_like(value, 0.3)
    logs = paths.at_rows(np.log(exact.policy))
    guess = paths.at_states(np.random.default_rng(9).normal(size=S))
    given = {"discount": DISCOUNT}
    match name:
        case "return":
            return reward_to_go(*steps, **given)
        case "return less any baseline":
            return reward_to_go(*steps, **given) - guess[:, :-1]
        case "n-step":
            finite = paths.at_states(exact.values, blank=7.0)
            return n_step(paths.reward, finite, *paths.masks, n=2, **given) - value[:, :-1]
        case "gae 0" | "gae 0.5" | "gae 1":
            return gae(paths.reward, value, *paths.masks, lam=float(name.split()[1]), **given)
        case "gae 1, any value":
            return gae(paths.reward, guess, *paths.masks, lam=1.0, **given)
        case "gae 1, constant value":
            return gae(paths.reward, constant, *paths.masks, lam=1.0, **given)
        case "vtrace":
            return vtrace(logs, logs, paths.reward, value, *paths.masks, lam=0.7, **given)[1]
        case "retrace":
            table = exact.advantages + exact.values[:-1][:, mdp.row_state]
            return retrace(logs, logs, paths.reward, paths.at_rows(table), value, *paths.masks, **given) - value[:, :-1]
        case _:
            raise AssertionError(name)


WEIGHTS = [
    "return",
    "return less any baseline",
    "n-step",
    "gae 0",
    "gae 0.5",
    "gae 1",
    "gae 1, any value",
    "gae 1, constant value",
    "vtrace",
    "retrace",
]


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("objective", ["policy_gradient", "clipped_surrogate", "cispo"])
def test_on_policy_gradients(episodes, name, objective):
    """Each weight in each objective, at π = π_old: the exact policy gradient."""
    mdp, theta, exact, paths = episodes
    adv = weights_on_policy(name, mdp, exact, paths)
    old = paths.at_rows(np.log(exact.policy))

    def loss(logp, weight):
        adv_weighted = torch.where(paths.acted, weight * adv, 0.0)
        match objective:
            case "policy_gradient":
                return policy_gradient(logp, adv_weighted, paths.acted, reduce=total)[0]
            case "clipped_surrogate":
                return clipped_surrogate(logp, old, adv_weighted, paths.acted, clip=0.2, reduce=total)[0]
            case _:
                return cispo(logp, old, adv_weighted, paths.acted, max_ratio=2.0, reduce=total)[0]

    close(expected_gradient(paths, theta, loss), exact.gradient, atol=1e-12)


def test_what_would_be_wrong(episodes):
    """The check has teeth: reward without its future, undiscounted weights and a wrong mask miss the gradient."""
    _, theta, exact, paths = episodes
    adv = gae(paths.reward, paths.at_states(exact.values), *paths.masks, discount=DISCOUNT, lam=1.0)
    for wrong in (
        lambda weight: weight * paths.reward.nan_to_num(),
        lambda weight: paths.probability[:, None] * adv,
        lambda weight: weight * adv.abs(),
    ):
        got = expected_gradient(
            paths,
            theta,
            lambda logp, weight, wrong=wrong: policy_gradient(logp, wrong(weight), paths.acted, reduce=total)[0],
        )
        assert not np.allclose(got, exact.gradient, atol=1e-3)


@pytest.mark.parametrize("reduction", ["fixed", "token_mean", "sequence_mean"])
def test_reductions_of_the_gradient(episodes, reduction):
    """A constant in place of lengths keeps the direction; dividing each row by its own length does not (Dr. GRPO)."""
    _, theta, exact, paths = episodes
    adv = gae(paths.reward, paths.at_states(exact.values), *paths.masks, discount=DISCOUNT, lam=1.0)
    reduce = {
        "fixed": partial(fixed, length=T, denominator=1.0 / T),
        "token_mean": total,
        "sequence_mean": partial(sequence_mean, denominator=1.0),
    }[reduction]

    def loss(logp, weight):
        return policy_gradient(logp, torch.where(paths.acted, weight * adv, 0.0), paths.acted, reduce=reduce)[0]

    got = expected_gradient(paths, theta, loss)
    if reduction != "sequence_mean":
        close(got, exact.gradient, atol=1e-12)
    else:
        cosine = got @ exact.gradient / np.linalg.norm(got) / np.linalg.norm(exact.gradient)
        assert cosine < 0.999


@pytest.mark.parametrize(("baseline", "share"), [(leave_one_out, 1.0), (group_mean, 0.5), (None, 1.0)])
def test_group_baselines(baseline, share):
    """All pairs of rollouts from one start: leaving oneself out is unbiased, the group's mean is (n-1)/n of it."""
    mdp = model(7, discount=1.0, horizon=2)
    mdp = mdp.replace(start=[1.0, 0.0, 0.0, 0.0])
    theta = logits(8)
    exact = exact_policy_gradient(mdp, theta)
    paths = enumerate_paths(mdp, exact.policy, 2, cut="terminated")
    N = len(paths.probability)
    first, second = (x.ravel() for x in np.indices((N, N)))
    both = torch.tensor(np.stack([first, second], 1).ravel())  # [2 N²] rows, in groups of two
    ret = torch.where(paths.acted, paths.reward, 0.0).sum(1)[both]
    group = torch.arange(N * N).repeat_interleave(2)
    adv = ret if baseline is None else ret - baseline(ret, group)
    weight = (paths.probability[first] * paths.probability[second]).repeat_interleave(2) / 2
    leaf = torch.tensor(theta, requires_grad=True)
    logp = log_policy(paths, leaf)[both]
    acted = paths.acted[both]
    loss, _ = policy_gradient(logp, (weight * adv)[:, None].expand_as(logp), acted, reduce=total)
    (gradient,) = torch.autograd.grad(loss, leaf)
    close(-gradient.numpy(), share * exact.gradient, atol=1e-12)


def test_surrogates_away_from_the_old_policy(episodes):
    """Their expectation is the surrogate of the theory, Σ d_μ(s) Σ_a min(π A, clip(π/μ) μ A), and its gradient."""
    mdp, _, exact, paths = episodes
    other = logits(11)
    old, new = exact.policy, softmax(mdp, other)
    adv = paths.at_rows(exact.advantages)
    logs = paths.at_rows(np.log(old))

    def surrogate(clip, high=None):
        leaf = torch.tensor(other, requires_grad=True)
        weight = paths.probability[:, None] * POWERS
        loss, _ = clipped_surrogate(
            log_policy(paths, leaf), logs, torch.where(paths.acted, weight * adv, 0.0), paths.acted,
            clip=clip, clip_high=high, reduce=total,
        )  # fmt: skip
        (gradient,) = torch.autograd.grad(loss, leaf)
        return -loss.item(), -gradient.numpy()

    ratio = new / old
    for clip, high in ((0.1, None), (0.2, 0.5), (1e9, None)):
        clamped = np.clip(ratio, 1 - clip, 1 + (clip if high is None else high))
        want = (exact.occupancy * np.minimum(ratio * exact.advantages, clamped * exact.advantages)).sum()
        assert surrogate(clip, high)[0] == pytest.approx(want, abs=1e-12)
    step, unit = 1e-6, np.eye(6)
    difference = [
        (
            (exact.occupancy * softmax(mdp, other + step * unit[i]) / old * exact.advantages).sum()
            - (exact.occupancy * softmax(mdp, other - step * unit[i]) / old * exact.advantages).sum()
        )
        / (2 * step)
        for i in range(6)
    ]
    close(surrogate(1e9)[1], difference, atol=1e-8)


def test_metrics_of_the_surrogates_are_means_under_the_old_policy():
    """Actions in the proportions of π_old = (1/8, 2/8, 5/8): KL(π_old || π), mean ratio 1, share of the clipped."""
    old, new = torch.tensor([1, 2, 5]) / 8.0, torch.tensor(logits(3, rows=3)).softmax(-1)
    action = torch.tensor([0, 1, 1, 2, 2, 2, 2, 2])
    logp, logs, acted = new.log()[action], old.double().log()[action], torch.ones(8, dtype=torch.bool)
    ratio = new / old
    kl = divergence.kl_categorical(old.double().log(), new.log()).item()
    for metrics, outside in (
        (clipped_surrogate(logp, logs, logp, acted, clip=0.3)[1], (ratio < 0.7) | (ratio > 1.3)),
        (cispo(logp, logs, logp, acted, max_ratio=1.3)[1], ratio > 1.3),
    ):
        assert metrics["kl"].item() == pytest.approx(kl, abs=1e-14)
        assert metrics["ratio"].item() == pytest.approx(1.0, abs=1e-14)
        assert metrics["clip_fraction"].item() == pytest.approx(float(old[outside].sum()), abs=1e-14)


def test_importance_weights_make_one_step_exact():
    """A bandit: data of μ, the ratio unclipped: `cispo` and the surrogate have π's exact gradient."""
    mdp = model(7, horizon=1)
    theta, behaviour = logits(8), softmax(mdp, logits(2))
    exact = exact_policy_gradient(mdp, theta)
    paths = enumerate_paths(mdp, behaviour, 1, cut="terminated")
    old, adv = paths.at_rows(np.log(behaviour)), paths.reward
    for objective in (partial(cispo, max_ratio=1e9), partial(clipped_surrogate, clip=1e9)):
        leaf = torch.tensor(theta, requires_grad=True)
        loss, _ = objective(log_policy(paths, leaf), old, paths.probability[:, None] * adv, paths.acted, reduce=total)
        (gradient,) = torch.autograd.grad(loss, leaf)
        close(-gradient.numpy(), exact.gradient, atol=1e-12)


def test_vtrace_gradient_off_policy():
    """Data of μ, V-trace without clips, one extra product for how often π comes there: π's exact gradient."""
    mdp = model(7, horizon=T)
    theta, behaviour = logits(8), softmax(mdp, logits(2))
    exact = exact_policy_gradient(mdp, theta)
    paths = enumerate_paths(mdp, behaviour, T, cut="terminated")
    logs = paths.at_rows(np.log(exact.policy)), paths.at_rows(np.log(behaviour))
    _, adv = vtrace(
        *logs, paths.reward, paths.at_states(exact.values), *paths.masks, discount=DISCOUNT, clip_rho=1e9, clip_c=1e9
    )
    ratio = torch.where(paths.acted, (logs[0] - logs[1]).exp(), 1.0)
    before = torch.cat((torch.ones(len(ratio), 1, dtype=torch.float64), ratio.cumprod(1)[:, :-1]), 1)
    got = expected_gradient(
        paths, theta, lambda logp, weight: policy_gradient(logp, weight * before * adv, paths.acted, reduce=total)[0]
    )
    close(got, exact.gradient, atol=1e-12)


# ------------------------------------------------------------------ divergences
def test_divergences_of_actions():
    """On actions of π, enumerated: values and gradients as each estimator's docstring claims."""
    theta = torch.tensor(logits(3).reshape(3, 2), requires_grad=True)
    ref = torch.tensor(logits(4).reshape(3, 2))
    logp, ref_logp = theta.log_softmax(-1), ref.log_softmax(-1)
    pi = logp.detach().exp()
    kl, reverse = divergence.kl_categorical(theta, ref), divergence.kl_categorical(ref, theta)
    for estimator, unbiased in ((divergence.k1, True), (divergence.k2, False), (divergence.k3, True)):
        mean = (pi * estimator(logp, ref_logp)).sum(-1)
        assert torch.allclose(mean, kl, atol=1e-14) is unbiased
    gradient = {
        name: torch.autograd.grad((pi * getattr(divergence, name)(logp, ref_logp)).sum(), theta, retain_graph=True)[0]
        for name in ("k1", "k2", "k3")
    }
    exact, other = (torch.autograd.grad(x.sum(), theta, retain_graph=True)[0] for x in (kl, reverse))
    close(gradient["k1"], torch.zeros(3, 2), atol=1e-14)
    close(gradient["k2"], exact, atol=1e-14)
    close(gradient["k3"], other, atol=1e-14)


def test_a_penalty_in_the_reward_has_the_exact_gradient(episodes):
    """k1 in the reward: the gradient of J - β Σ γ^t KL(π || π_ref), with KL over the states that π visits."""
    mdp, theta, exact, paths = episodes
    beta, ref = 0.3, softmax(mdp, logits(12))
    penalty = beta * divergence.k1(paths.at_rows(np.log(exact.policy)), paths.at_rows(np.log(ref)))
    ret = reward_to_go(paths.reward - penalty, *paths.masks, discount=DISCOUNT)
    got = expected_gradient(
        paths, theta, lambda logp, weight: policy_gradient(logp, weight * ret, paths.acted, reduce=total)[0]
    )

    def objective(at):
        found = exact_policy_gradient(mdp, at)
        kl = over_actions(mdp, found.policy * (np.log(found.policy) - np.log(ref)))
        return found.objective - beta * (found.occupancy.sum(0) * kl[mdp.row_state]).sum()

    step, unit = 1e-5, np.eye(6)
    want = [(objective(theta + step * e) - objective(theta - step * e)) / (2 * step) for e in unit]
    close(got, want, atol=1e-9)


# ------------------------------------------------------------------ losses of values and of demonstrations
def expectation(paths):
    """A reduction: the sum over a path's steps, averaged over paths."""
    return lambda x, mask: torch.where(mask, paths.probability[:, None] * x, 0.0).sum()


@pytest.mark.parametrize("loss", [value_loss, td_loss, partial(clipped_value_loss, clip=10.0)])
def test_value_losses_are_least_at_the_exact_value(world, on_policy, loss):
    """Targets are returns: the expected loss of a table has gradient 0 at v_π, and its curvature is the visits."""
    _, _, _, v, _, _ = world
    paths = on_policy
    target = reward_to_go(paths.reward, *paths.masks, discount=DISCOUNT, value=paths.at_states(v, blank=7.0))
    table = torch.tensor(v, requires_grad=True)
    value = table[paths.obs[:, :-1]]
    extra = (value.detach(),) if isinstance(loss, partial) else ()
    result, _ = loss(value, *extra, target, paths.acted, reduce=expectation(paths))
    (gradient,) = torch.autograd.grad(result, table)
    close(gradient, np.zeros(S), atol=1e-12)


@pytest.mark.parametrize("lam", [0.0, 0.8])
def test_semi_gradient_vanishes_at_the_td_fixed_point(lam):
    """The expected semi-gradient of TD with linear features is 0 where `td_fixed_point` says, over whole episodes."""
    mdp = model(3, discount=0.5)
    steps = 9
    P = np.zeros((S, A, S))
    P[0, :, [1, 3]], P[1, :, [2, 3]], P[2, :, 3] = 0.5, 0.5, 1.0  # ends within three steps
    mdp = MDP(P, np.random.default_rng(3).normal(size=(S, A, S)), DISCOUNT, terminal=[3], start=mdp.start)
    pi = softmax(mdp, logits())
    features = np.array([[1.0, 0.0], [0.5, 1.0], [1.0, 1.0], [0.0, 0.0]])
    w = td_fixed_point(mdp, pi, features, lam=lam)
    paths = enumerate_paths(mdp, pi, steps, cut="truncated")
    weights = torch.tensor(w, requires_grad=True)
    value = torch.tensor(features)[paths.obs] @ weights
    adv = gae(paths.reward, value.detach(), *paths.masks, discount=DISCOUNT, lam=lam)
    loss, _ = td_loss(value[:, :-1], adv + value.detach()[:, :-1], paths.acted, reduce=expectation(paths))
    (gradient,) = torch.autograd.grad(loss, weights)
    close(gradient, np.zeros(2), atol=1e-12)
    assert np.abs(features[:3] @ w - evaluate(mdp, pi).values[:3]).max() > 1e-3  # it is not v_π


def test_imitation_is_cross_entropy(world, on_policy):
    """The expected negative log-likelihood is Σ visits (H(π) + KL(π || ·)), least at the demonstrator itself."""
    mdp, pi, _, _, _, _ = world
    visits = finite_horizon_visits(mdp, pi, horizon=T).sum(0)
    other = logits(5)
    loss, _ = nll(log_policy(on_policy, torch.tensor(other)), on_policy.acted, reduce=expectation(on_policy))
    assert loss.item() == pytest.approx(-float(visits @ np.log(softmax(mdp, other))), abs=1e-12)
    leaf = torch.tensor(np.log(pi), requires_grad=True)
    (gradient,) = torch.autograd.grad(
        nll(log_policy(on_policy, leaf), on_policy.acted, reduce=expectation(on_policy))[0], leaf
    )
    close(gradient, np.zeros(6), atol=1e-12)


# ------------------------------------------------------------------ preferences: all pairs of five answers
ANSWERS = 5


def preference(objective, probability, log_ratio):
    """Expected gradient over log-ratios of all ordered pairs, the first preferred with `probability` [K, K]."""
    f = torch.tensor(log_ratio, requires_grad=True)
    i, j = (torch.tensor(x) for x in zip(*itertools.permutations(range(ANSWERS), 2), strict=True))
    zeros = torch.zeros(len(i), dtype=torch.float64)
    weight = torch.tensor(probability)[i, j]
    loss, _ = objective(f[i], f[j], zeros, zeros, reduce=lambda x, mask: (weight * x).sum())
    return torch.autograd.grad(loss, f)[0].numpy()


def test_dpo_is_least_at_the_regularised_optimum():
    """Bradley–Terry labels of a reward r: log π/π_ref = r/β up to a constant, which is the optimum of E[r] - β KL."""
    reward, beta = np.random.default_rng(0).normal(size=ANSWERS), 0.3
    win = 1 / (1 + np.exp(reward[None] - reward[:, None]))
    objective = partial(dpo, beta=beta)
    close(preference(objective, win, reward / beta + 0.7), np.zeros(ANSWERS), atol=1e-12)
    assert np.abs(preference(objective, win, reward)).max() > 0.01
    log_ref = torch.tensor(np.log(np.random.default_rng(1).dirichlet(np.ones(ANSWERS))))
    theta = (log_ref + torch.tensor(reward / beta)).requires_grad_()
    goal = theta.softmax(-1) @ torch.tensor(reward) - beta * divergence.kl_categorical(theta, log_ref)
    close(torch.autograd.grad(goal, theta)[0], np.zeros(ANSWERS), atol=1e-12)


def test_cdpo_is_dpo_of_flipped_labels():
    """On clean labels its expected gradient is that of `dpo` on labels of which a share ε is flipped, anywhere."""
    reward, f = np.random.default_rng(0).normal(size=(2, ANSWERS))
    win = 1 / (1 + np.exp(reward[None] - reward[:, None]))
    got = preference(partial(cdpo, beta=0.3, flipped=0.2), win, f)
    close(got, preference(partial(dpo, beta=0.3), 0.8 * win + 0.2 * win.T, f), atol=1e-12)
    assert np.abs(got - preference(partial(dpo, beta=0.3), win, f)).max() > 1e-3


def test_ipo_reaches_its_margin():
    """Preferences ½ + β (f_i - f_j): the squared error is least at log π/π_ref = f."""
    f, beta = np.random.default_rng(2).uniform(-1, 1, ANSWERS), 0.2
    labels = 0.5 + beta * (f[:, None] - f[None])
    close(preference(partial(ipo, beta=beta), labels, f), np.zeros(ANSWERS), atol=1e-12)


# ------------------------------------------------------------------ backups
def transitions(mdp):
    """All (row, successor) of a model: reward, successor, terminated, and the matrix [L, nnz] that averages them."""
    rows = mdp.rows
    row = np.repeat(np.arange(mdp.num_rows), np.diff(rows.indptr.astype(int)))
    average = np.zeros((mdp.num_rows, mdp.nnz))
    average[row, np.arange(mdp.nnz)] = rows.data
    to = rows.indices.astype(int)
    return torch.tensor(rows.outcome_reward), torch.tensor(to), torch.tensor(rows.terminal[to]), torch.tensor(average)


def next_q(table, to):
    """[nnz, A]: q of the successor's actions, NaN in terminal states."""
    padded = torch.full((S, A), torch.nan, dtype=torch.float64)
    padded[:3] = torch.as_tensor(table).reshape(3, A)
    return padded[to]


def test_backups_have_the_exact_fixed_points(world):
    mdp, pi, _, v, q, _ = world
    reward, to, terminated, average = transitions(mdp)
    expected_sarsa = (next_q(q, to) * next_q(pi, to)).sum(-1)
    sampled = bellman.backup(reward, torch.tensor(v)[to], terminated, DISCOUNT)
    for target in (sampled, bellman.backup(reward, expected_sarsa, terminated, DISCOUNT)):
        close(average @ target, q, atol=1e-12)
    best = solve(mdp, 1e-11).action_values
    after = next_q(best, to)
    for target in (
        bellman.backup(reward, bellman.greedy(after), terminated, DISCOUNT),
        bellman.double_q_target(reward, after, after, terminated, DISCOUNT),
        bellman.double_q_target(reward, 3 * after - 1, after, terminated, DISCOUNT),  # the chooser's scale is free
    ):
        close(average @ target, best, atol=1e-10)
    soft = soft_policy_iteration(mdp, temperature=0.4).action_values
    target = bellman.soft_backup(reward, next_q(soft, to), terminated, DISCOUNT, temperature=0.4)
    close(average @ target, soft, atol=1e-12)


def test_distributional_backup_keeps_the_mean(world):
    """The projected distributional operator, iterated exactly to its fixed point, has q_π as its means."""
    mdp, pi, _, _, q, _ = world
    reward, to, terminated, average = transitions(mdp)
    support = torch.linspace(-30, 30, 31, dtype=torch.float64)
    distribution = torch.full((6, 31), 1 / 31, dtype=torch.float64)
    mix = next_q(pi, to).nan_to_num()
    for _ in range(250):
        padded = torch.zeros(S, A, 31, dtype=torch.float64)
        padded[:3] = distribution.view(3, A, 31)
        after = (mix[..., None] * padded[to]).sum(1)
        after[terminated] = torch.eye(31, dtype=torch.float64)[0]  # not read
        distribution = average @ bellman.distributional_projection(reward, after, terminated, DISCOUNT, support=support)
    close(distribution.sum(-1), np.ones(6), atol=1e-12)
    close(distribution @ support, q, atol=1e-9)


# ------------------------------------------------------------------ distributions, by enumeration of their actions
def test_scores_have_mean_zero_and_entropies_are_means():
    gen = torch.Generator().manual_seed(0)
    theta = torch.randn(5, generator=gen, dtype=torch.float64, requires_grad=True)
    actions = torch.arange(5)
    allowed = torch.tensor([True, False, True, True, False])
    coins = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
    pairs = torch.tensor(list(itertools.product(range(2), range(3))))
    cases = {
        "categorical": (logprob.categorical_logp(theta.expand(5, 5), actions), logprob.categorical_entropy(theta)),
        "masked": (
            logprob.categorical_logp(logprob.masked_logits(theta, allowed).expand(5, 5), actions)[allowed],
            logprob.categorical_entropy(logprob.masked_logits(theta, allowed)),
        ),
        "coins": (logprob.bernoulli_logp(theta[:3].expand(8, 3), coins), logprob.bernoulli_entropy(theta[:3])),
        "independent": (
            logprob.multi_categorical_logp(theta.expand(6, 5), [2, 3], pairs),
            logprob.multi_categorical_entropy(theta, [2, 3]),
        ),
    }
    for name, (logp, entropy) in cases.items():
        p = logp.detach().exp()
        assert float(p.sum()) == pytest.approx(1.0, abs=1e-12), name
        assert float(-(p * logp.detach()).sum()) == pytest.approx(entropy.item(), abs=1e-12), name
        (score,) = torch.autograd.grad((p * logp).sum(), theta, retain_graph=True)
        close(score, np.zeros(5), atol=1e-12, err_msg=name)
        (climb,) = torch.autograd.grad(entropy, theta, retain_graph=True)  # ∂H is the gradient with -log π as a reward
        (reinforce,) = torch.autograd.grad((p * -logp.detach() * logp).sum(), theta, retain_graph=True)
        close(climb, reinforce, atol=1e-12, err_msg=name)
    composite = logprob.composite_logp([cases["coins"][0][:, None].expand(8, 5), cases["categorical"][0].expand(8, 5)])
    assert float(composite.detach().exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_the_sampler_takes_each_action_as_often_as_it_should():
    """The share of an even grid of u in [0, 1) that goes to each action is its probability, to one grid step."""
    theta = torch.tensor(logits(1))
    n = 20_000
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    share = torch.bincount(logprob.categorical_sample(theta.expand(n, 6), u), minlength=6) / n
    close(share, theta.softmax(-1), atol=1.01 / n)


def test_occupancy_is_what_trajectories_show(world, on_policy):
    """The discounted visits of whole rows are those of the occupancy, but for what was cut off: γ^T d_T (I - γP)⁻¹."""
    mdp, pi, _, _, _, _ = world
    seen = torch.zeros(6, dtype=torch.float64)
    weight = on_policy.probability[:, None] * POWERS * on_policy.acted
    seen.index_add_(0, on_policy.row.reshape(-1), weight.reshape(-1))
    last = np.zeros(S)
    open_rows = on_policy.truncated.any(1)
    np.add.at(last, on_policy.obs[open_rows, -1].numpy(), on_policy.probability[open_rows].numpy())
    rest = DISCOUNT**T * occupancy(mdp, pi, start=last)
    close(seen.numpy() + rest, occupancy(mdp, pi), atol=1e-12)
