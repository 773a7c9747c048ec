"""Losses of methods that learn from fixed data alone: what keeps value and policy near the actions that were taken.

A maximum over actions that nobody took is a maximum over errors: nothing in the data corrects it. Three ways out:

    TD3+BC   the policy's loss has the distance from the data's actions in it (`value_scale` weighs the two)
    CQL      the critic is pushed down on what the policy would do and up on what was done (`conservative_penalty`)
    IQL      no action but the data's is ever asked about: an expectile stands for the maximum (`expectile_loss`), and
             the policy is a clone that counts good actions more (`advantage_weight`)
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from operant.math import _check


def expectile_loss(error: Tensor, *, expectile: float) -> Tensor:
    """|τ − 1{u < 0}| u², u = target − estimate: its minimiser is the τ-expectile of the target.

    At τ = ½ it is ½ u², whose minimiser is the mean; as τ goes to 1 the minimiser goes to the largest target there is.

    Args:
        error: u [...], with the estimate's gradient.
        expectile: τ in [0, 1].

    Returns:
        [...].

    Raises:
        TypeError: `error` is not floating-point.
        ValueError: τ lies outside of [0, 1].

    Source: Kostrikov, Nair and Levine (2021), Offline reinforcement learning with implicit Q-learning, equation 4.
    """
    _check.floating(error=error)
    _check.fraction(expectile=expectile)
    square = error.square()
    return torch.where(error < 0, (1.0 - expectile) * square, expectile * square)


def advantage_weight(adv: Tensor, *, inverse_temperature: float, most: float = 100.0) -> Tensor:
    """min(exp(β A), most): what −log π(a|s) of an action of the data weighs; at β = 0 all weigh 1, as in cloning.

    The minimiser of the weighted loss is π ∝ μ exp(β A), the best policy at a price of 1/β for each nat of KL(π || μ).

    Args:
        adv: A [...], in units of return.
        inverse_temperature: β, at least 0.
        most: the largest weight, above 0.

    Returns:
        [...], detached.

    Raises:
        TypeError: `adv` is not floating-point.
        ValueError: β is below 0 or `most` is not above 0.

    Source: Peng et al. (2019), Advantage-weighted regression, algorithm 1; the bound as in the code of Kostrikov et al.
    (2021).
    """
    _check.floating(adv=adv)
    _check.not_negative(inverse_temperature=inverse_temperature)
    _check.positive(most=most)
    return (inverse_temperature * adv.detach()).clamp(max=log(most)).exp()


def conservative_penalty(q: Tensor, q_data: Tensor, log_density: Tensor | None = None) -> Tensor:
    """log Σ_a exp Q(s, a) − Q(s, a_data): CQL(H)'s, what is added to a critic's loss, times its weight.

    Its gradient pushes Q down by softmax(Q) and up at the action of the data. Of continuous actions the sum is an
    integral, estimated from M actions drawn from known densities p: log (1/M) Σ_m exp(Q(s, a_m) − log p(a_m)). What p
    depends on does not matter, as long as it is the density that a_m was drawn from.

    Args:
        q: [..., A], of all actions, very low where one is ruled out; or [..., M], of drawn ones.
        q_data: [...], of the action of the data.
        log_density: [..., M], log p(a_m) of drawn ones; None where q has all of them.

    Returns:
        [...].

    Raises:
        TypeError: a number tensor is not floating-point.
        ValueError: shapes do not fit.

    Source: Kumar et al. (2020), Conservative Q-learning for offline reinforcement learning, equation 4 and appendix F
    (whose code leaves out the 1/M, which has no gradient).
    """
    _check.floating(q=q, q_data=q_data)
    _check.same_shape((*q_data.shape, q.shape[-1]), q=q)
    if log_density is None:
        return q.logsumexp(-1) - q_data
    _check.floating(log_density=log_density)
    _check.same_shape(q.shape, log_density=log_density)
    return (q - log_density.detach()).logsumexp(-1) - log(q.shape[-1]) - q_data


def value_scale(q: Tensor, acted: Tensor, *, alpha: float) -> Tensor:
    """λ = α / mean |Q|: with it −λ mean Q is of the size of α, whatever the rewards' units, beside mean (π(s) − a)².

    Args:
        q: [...] Q(s, π(s)) of a batch.
        acted: [...] bool; elsewhere it is not read.
        alpha: α, at least 0.

    Returns:
        [], detached; 0 where all are 0.

    Raises:
        TypeError: `acted` is not bool or `q` is not floating-point.
        ValueError: shapes differ, or α is below 0.

    Source: Fujimoto and Gu (2021), A minimalist approach to offline reinforcement learning, equation 5.
    """
    _check.steps(acted, q=q)
    _check.not_negative(alpha=alpha)
    size = torch.where(acted, q.detach().abs(), 0.0).sum() / acted.sum().clamp(min=1)
    return torch.where(size > 0, alpha / size, 0.0)
