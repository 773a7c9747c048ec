"""The suite's comparisons: an implementation against its slow loop. The known-bug tests run them on wrong ones."""

from __future__ import annotations

import math

import torch

from operant.math.reduce import fixed, sequence_mean, token_mean
from reference import advantage as slow
from reference import losses
from reference.rows import Rows, close


# ------------------------------------------------------------------ advantages
def compare_gae(implementation, r: Rows) -> None:
    for discount in (0.9, r.discount):
        close(implementation(*r.steps, discount=discount, lam=0.8), slow.gae(*r.steps, discount, 0.8))


def compare_reward_to_go(implementation, r: Rows) -> None:
    masks = r.terminated, r.truncated, r.acted
    for discount in (0.9, r.discount):
        got = implementation(r.reward, *masks, discount=discount, value=r.value)
        close(got, slow.reward_to_go(r.reward, *masks, discount, r.value))
        close(implementation(r.reward, *masks, discount=discount), slow.reward_to_go(r.reward, *masks, discount))


def compare_n_step(implementation, r: Rows) -> None:
    for n, discount in ((1, 0.9), (2, 0.9), (3, r.discount), (7, 1.0), (100, 0.9)):
        close(implementation(*r.steps, n=n, discount=discount), slow.n_step(*r.steps, n, discount))


def compare_vtrace(implementation, r: Rows) -> None:
    for clips in ({}, {"lam": 0.7}, {"clip_rho": 1.5, "clip_c": 0.8, "lam": 0.9}):
        got = implementation(r.logp, r.behaviour_logp, *r.steps, discount=0.9, **clips)
        want = slow.vtrace(r.logp, r.behaviour_logp, *r.steps, 0.9, **clips)
        close(got[0], want[0])
        close(got[1], want[1])


def compare_retrace(implementation, r: Rows) -> None:
    steps = r.reward, r.q, *r.steps[1:]
    for lam in (1.0, 0.6):
        got = implementation(r.logp, r.behaviour_logp, *steps, discount=r.discount, lam=lam)
        close(got, slow.retrace(r.logp, r.behaviour_logp, *steps, r.discount, lam))


# ------------------------------------------------------------------ losses
def compare_reduction(implementation, loop, r: Rows) -> None:
    close(implementation(r.reward, r.acted), loop(r.reward, r.acted))
    x = r.reward.masked_fill(~r.acted, torch.nan)
    close(implementation(x, r.acted), loop(r.reward, r.acted))


def compare_loss(loss, per_step, r: Rows) -> None:
    """loss(reduce=...) against the loop's numbers [N, T] under every reduction."""
    close(loss(reduce=token_mean)[0], losses.token_mean(per_step, r.acted))
    close(loss(reduce=sequence_mean)[0], losses.sequence_mean(per_step, r.acted))
    got = loss(reduce=lambda x, mask: fixed(x, mask, length=7))[0]
    close(got, losses.fixed(per_step, r.acted, 7))


def compare_clipped_surrogate(implementation, r: Rows) -> None:
    for clip, clip_high in ((0.2, None), (0.2, 0.28), (0.0, 0.0)):
        high = clip if clip_high is None else clip_high
        per_step = losses.clipped_surrogate(r.logp, r.behaviour_logp, r.reward, clip, high)

        def loss(reduce, clip=clip, clip_high=clip_high):
            return implementation(
                r.logp, r.behaviour_logp, r.reward, r.acted, clip=clip, clip_high=clip_high, reduce=reduce
            )

        compare_loss(loss, per_step, r)


def compare_whiten(implementation, r: Rows) -> None:
    for eps in (1e-8, 0.5):
        close(implementation(r.reward, r.acted, eps), losses.whiten(r.reward, r.acted, eps))


def compare_squashed(implementation) -> None:
    """log(1 - tanh² u) = log 4 + 2u - 2 log(1 + e^{2u}), here with each sign's own stable form."""
    for u in (-30.0, -8.0, -1.0, 0.0, 0.3, 2.0, 8.0, 30.0):
        size = abs(u)
        log_slope = math.log(4.0) - 2.0 * size - 2.0 * math.log1p(math.exp(-2.0 * size))
        normal = -0.5 * ((u - 0.5) / math.exp(-0.3)) ** 2 + 0.3 - 0.5 * math.log(2.0 * math.pi)
        got = implementation(*(torch.tensor([x], dtype=torch.float64) for x in (0.5, -0.3, u)))
        close(got, normal - log_slope)
