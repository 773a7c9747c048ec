"""The claims of the design, checked through the library: what one record and one `gae` must be able to express."""

import itertools
from functools import partial

import pytest
import torch

from operant.math.advantage import gae
from operant.math.baseline import group_mean, leave_one_out
from operant.math.objective import clipped_surrogate, policy_gradient
from operant.math.reduce import fixed, sequence_mean, token_mean
from operant.math.scan import reverse_scan
from reference.rows import close, make


@pytest.fixture
def gen():
    return torch.Generator().manual_seed(0)


def normal(gen, *shape):
    return torch.randn(*shape, generator=gen, dtype=torch.float64)


def uniform(gen, *shape):
    return torch.rand(*shape, generator=gen, dtype=torch.float64)


@pytest.mark.parametrize("T", range(1, 50, 3))
def test_fast_equals_the_blackboard(gen, T):
    """The backward loop as a person would write it, for ends that stand on decisions."""
    acted = uniform(gen, 6, T) < 0.7
    end = (uniform(gen, 6, T) < 0.1) & acted
    terminated = end & (uniform(gen, 6, T) < 0.5)
    truncated = end & ~terminated
    reward, value = normal(gen, 6, T) * acted, normal(gen, 6, T + 1)
    want = torch.zeros_like(reward)
    for n in range(6):
        carry, following = 0.0, value[n, T]
        for t in reversed(range(T)):
            if end[n, t]:
                carry, following = 0.0, value[n, t + 1]
            if not acted[n, t]:
                continue
            bootstrap = 0.0 if terminated[n, t] else following
            carry = reward[n, t] + 0.97 * bootstrap - value[n, t] + 0.97 * 0.9 * carry
            want[n, t], following = carry, value[n, t]
    close(gae(reward, value, terminated, truncated, acted, discount=0.97, lam=0.9), want)


def test_textbook_case(gen):
    """No gaps and no truncation: the eight lines found in every PPO file."""
    r, v, d = normal(gen, 5, 30), normal(gen, 5, 31), uniform(gen, 5, 30) < 0.1
    want, last = torch.zeros_like(r), torch.zeros(5, dtype=torch.float64)
    for t in reversed(range(30)):
        delta = r[:, t] + 0.99 * v[:, t + 1] * ~d[:, t] - v[:, t]
        want[:, t] = last = delta + 0.99 * 0.95 * last * ~d[:, t]
    close(gae(r, v, d, torch.zeros_like(d), torch.ones_like(d), discount=0.99, lam=0.95), want)


@pytest.mark.parametrize("seed", range(20))
def test_mask_is_transparent(seed):
    """Deleting the masked steps first gives the same advantages on what remains (the multi-turn rule)."""
    gen = torch.Generator().manual_seed(seed)
    r, v, m = normal(gen, 1, 30), normal(gen, 1, 31), uniform(gen, 1, 30) < 0.6
    no = torch.zeros_like(m)
    k = m[0]
    left = torch.ones(1, int(k.sum()), dtype=torch.bool)
    want = gae(r[:, k], torch.cat((v[:, :-1][:, k], v[:, -1:]), 1), ~left, ~left, left, discount=0.95, lam=0.8)
    close(gae(r, v, no, no, m, discount=0.95, lam=0.8)[:, k], want)


def test_next_step_autoreset(gen):
    """The row after an end is a reset and no decision. The record equals the episodes one by one, with the value of
    the final observation bootstrapped on truncation."""
    rewards, values, terminated, truncated, acted, want = [], [], [], [], [], []
    for episode in range(6):
        L, cut = 2 + episode % 5, episode % 2 == 0
        r, v = normal(gen, L).tolist(), normal(gen, L + 1).tolist()  # v[L] = V(final observation)
        adv, last = [0.0] * L, 0.0
        for t in reversed(range(L)):
            bootstrap = v[t + 1] if (t < L - 1 or cut) else 0.0
            adv[t] = last = r[t] + 0.9 * bootstrap - v[t] + 0.9 * 0.8 * last
        want += adv
        rewards += [*r, 0.0]
        values += v  # the final observation occupies the reset row
        terminated += [False] * (L - 1) + [not cut, False]
        truncated += [False] * (L - 1) + [cut, False]
        acted += [True] * L + [False]
    r, v = (torch.tensor([x], dtype=torch.float64) for x in (rewards, [*values, 123.0]))
    masks = [torch.tensor([x]) for x in (terminated, truncated, acted)]
    close(gae(r, v, *masks, discount=0.9, lam=0.8)[masks[2]], torch.tensor(want, dtype=torch.float64))


@pytest.mark.parametrize("baseline", [group_mean, leave_one_out])
def test_grpo_is_gae_with_a_group_baseline(gen, baseline):
    N, T = 12, 20
    group = torch.arange(3).repeat_interleave(4)
    acted = uniform(gen, N, T) < 0.6
    acted[:, 0] = True
    last = torch.where(acted, torch.arange(T), -1).amax(1)
    score, rows = normal(gen, N), torch.arange(N)
    reward, terminated = torch.zeros(N, T, dtype=torch.float64), torch.zeros(N, T, dtype=torch.bool)
    reward[rows, last], terminated[rows, last] = score, True
    b = baseline(reward.sum(1), group)
    value = b[:, None].expand(-1, T + 1)
    adv = gae(reward, value, terminated, torch.zeros_like(terminated), acted, discount=1.0, lam=1.0)
    close(adv, (score - b)[:, None] * acted)


def test_truncated_means_overlong_filtering():
    """A rollout cut at the length limit and tagged `truncated` has advantage exactly 0 under a constant baseline."""
    zeros, no = torch.zeros(1, 10), torch.zeros(1, 10, dtype=torch.bool)
    cut = no.clone()
    cut[0, -1] = True
    value = torch.full((1, 11), 0.37)
    assert bool((gae(zeros, value, no, cut, ~no, discount=1.0, lam=1.0) == 0).all())
    close(gae(zeros, value, cut, no, ~no, discount=1.0, lam=1.0), zeros - 0.37, tol=1e-6)  # tagged terminated: punished


def test_discount_per_step():
    """γ = 1 inside of a turn and 0.9 at its end discounts turns and not tokens."""
    discount = torch.ones(1, 9, dtype=torch.float64)
    discount[0, [2, 5]] = 0.9
    no = torch.zeros(1, 9, dtype=torch.bool)
    end, reward = no.clone(), torch.zeros(1, 9, dtype=torch.float64)
    end[0, -1], reward[0, -1] = True, 1.0
    adv = gae(reward, torch.zeros(1, 10, dtype=torch.float64), end, no, ~no, discount=discount, lam=1.0)
    close(adv[0], torch.tensor([0.81] * 3 + [0.9] * 3 + [1.0] * 3, dtype=torch.float64))


def test_vtrace_is_the_same_scan(gen):
    r, v, rho = normal(gen, 4, 25), normal(gen, 4, 26), normal(gen, 4, 25).exp()
    c = rho.clamp(max=1.0)
    error = torch.zeros_like(v)
    for t in reversed(range(25)):
        error[:, t] = c[:, t] * (r[:, t] + 0.95 * v[:, t + 1] - v[:, t]) + 0.95 * c[:, t] * error[:, t + 1]
    close(reverse_scan(c * (r + 0.95 * v[:, 1:] - v[:, :-1]), 0.95 * c), error[:, :-1])


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_enumerated_mdp_gives_the_exact_policy_gradient(gen, lam):
    """Every path of a small MDP through `gae`, with its exact values, gives the gradient of J, for any λ.

    J(θ) by backward induction over the horizon, and its gradient by autograd, know nothing of advantages.
    """
    S, A, H, discount = 3, 2, 4, 0.9
    P, R = normal(gen, S, A, S).softmax(-1), normal(gen, S, A)
    start = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    theta = normal(gen, S, A).requires_grad_()

    pi, V = theta.softmax(-1), [torch.zeros(S, dtype=torch.float64)]
    for _ in range(H):
        V.insert(0, (pi * (R + discount * P @ V[0])).sum(-1))
    (exact,) = torch.autograd.grad(start @ V[0], theta)

    paths = torch.tensor(list(itertools.product(range(S), *([range(A), range(S)] * H))))
    obs, action = paths[:, 0::2], paths[:, 1::2]  # [N, H+1], [N, H]
    logp = theta.log_softmax(-1)[obs[:, :-1], action]
    probability = start[obs[:, 0]] * (logp.detach().exp() * P[obs[:, :-1], action, obs[:, 1:]]).prod(1)
    assert float(probability.sum()) == pytest.approx(1.0)
    value = torch.stack(V).detach()[torch.arange(H + 1), obs]
    acted = torch.ones_like(action, dtype=torch.bool)
    terminated = torch.zeros_like(acted)
    terminated[:, -1] = True
    adv = gae(R[obs[:, :-1], action], value, terminated, ~acted, acted, discount=discount, lam=lam)
    weight = probability[:, None] * discount ** torch.arange(H) * adv
    loss, _ = policy_gradient(logp, weight, acted, reduce=partial(token_mean, denominator=1.0))
    (got,) = torch.autograd.grad(loss, theta)
    close(got, -exact, tol=1e-6)


def test_clipped_surrogate_starts_as_the_policy_gradient(gen):
    theta, adv = normal(gen, 64, 4).requires_grad_(), normal(gen, 64)
    action = torch.randint(0, 4, (64,), generator=gen)
    logp = theta.log_softmax(-1)[torch.arange(64), action]
    acted = torch.ones(64, dtype=torch.bool)
    (surrogate,) = torch.autograd.grad(clipped_surrogate(logp, logp.detach(), adv, acted, clip=0.2)[0], theta)
    score = torch.eye(4, dtype=torch.float64)[action] - theta.detach().softmax(-1)
    close(surrogate, -adv[:, None] * score / 64)


def test_reductions(gen):
    """Three published losses differ in the reduction alone; micro-batches are exact with the global denominator."""
    x, length = normal(gen, 4, 8), torch.tensor([[2], [4], [7], [8]])
    mask = torch.arange(8) < length
    close(token_mean(x, mask), (x * mask).sum() / 21)
    close(sequence_mean(x, mask), ((x * mask).sum(1) / length[:, 0]).mean())
    close(fixed(x, mask, length=16), (x * mask).sum() / (4 * 16))
    assert len({round(float(f(x, mask)), 9) for f in (token_mean, sequence_mean, partial(fixed, length=16))}) == 3
    halves = [token_mean(x[i : i + 2], mask[i : i + 2], denominator=21) for i in (0, 2)]
    close(sum(halves), token_mean(x, mask))


def test_packed_rows_equal_rows_apart():
    """Several episodes in one row: each as if it were alone."""
    codes = torch.tensor([0, 0, 6, 0, 10, 0, 6, 6, 0, 12]).numpy()  # ends: terminated at 4 (10), truncated at 9 (12)
    r = make(codes[None], seed=8)
    assert [bool(x) for x in (r.terminated[0, 4], r.truncated[0, 9])] == [True, True]
    together = gae(*r.steps, discount=0.9, lam=0.8)
    parts = []
    for a, b in ((0, 5), (5, 10)):
        masks = (x[:, a:b] for x in r.steps[2:])
        parts.append(gae(r.reward[:, a:b], r.value[:, a : b + 1], *masks, discount=0.9, lam=0.8))
    close(torch.cat(parts, 1), together)
