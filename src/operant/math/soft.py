"""Maximum-entropy control: what a state is worth with the entropy of the policy in it, and the step of its price.

The objective is E[Σ γ^t (r_t + α H(π(·|s_t)))]. `soft_value` estimates V from one action, `expected_soft_value` has the
sum over all; the critic's target is `operant.math.bellman.backup` of either, the policy's loss minus its mean, with
gradients through the action or the probabilities. The optimum over all π is `operant.math.bellman.soft_backup`'s.
"""

from __future__ import annotations

import torch
from torch import Tensor

from operant.math import _check


def soft_value(q: Tensor, logp: Tensor, temperature: float | Tensor) -> Tensor:
    """Q(s, a) − α log π(a|s), a drawn from π(·|s): an estimate of V(s).

    Of a squashed action log π is the density of what Q reads, with the slope of the squashing in it
    (`operant.math.logprob.squashed_normal_logp`): without it the entropy has no bound and is earned by saturating.

    Args:
        q: [...], of several critics their minimum.
        logp: [...] log π(a|s).
        temperature: α, at least 0 (a tensor [] is not read), in units of reward per nat.

    Returns:
        [...].

    Raises:
        TypeError: `q` or `logp` is not floating-point.
        ValueError: shapes differ, or a Python `temperature` is below 0.

    Source: Haarnoja et al. (2018), Soft actor-critic algorithms and applications, equation 3.
    """
    _check.floating(q=q, logp=logp)
    _check.same_shape(q.shape, logp=logp)
    if not isinstance(temperature, Tensor):
        _check.not_negative(temperature=temperature)
    return q - temperature * logp


def expected_soft_value(q: Tensor, logits: Tensor, temperature: float | Tensor) -> Tensor:
    """Σ_a π(a|s) (Q(s, a) − α log π(a|s)), with π = softmax(logits): V(s) with no sampling.

    What π gives probability 0, as by `operant.math.logprob.masked_logits`, has no share, whatever its Q.

    Args:
        q: [..., A], of several critics their minimum.
        logits: [..., A].
        temperature: α, at least 0 (a tensor [] is not read), in units of reward per nat.

    Returns:
        [...].

    Raises:
        TypeError: `q` or `logits` is not floating-point.
        ValueError: shapes differ, or a Python `temperature` is below 0.

    Source: Christodoulou (2019), Soft actor-critic for discrete action settings, equation 10.
    """
    _check.floating(q=q, logits=logits)
    _check.same_shape(q.shape, logits=logits)
    if not isinstance(temperature, Tensor):
        _check.not_negative(temperature=temperature)
    logp = logits.log_softmax(-1)
    chance = logp.exp()
    possible = chance > 0
    logp = torch.where(possible, logp, 0.0)  # before it is multiplied: half the lowest number times α is infinite
    return (chance * (torch.where(possible, q, 0.0) - temperature * logp)).sum(-1)


def swept_value(q: Tensor, chance: Tensor, choices: int) -> Tensor:
    """(1/M) Σ_k Σ_j π_k(j) Q(s, x, c with c_k = j): E Q over M choices that are independent given the state.

    Every choice is in turn summed over while the others stay as they were drawn, so each term, and their mean, is an
    estimate of E Q without bias; of one choice it is E Q itself. By what `q` depends on the gradient is that of the
    mean. By π_k it is that of the k-th term, whole: the others are drawn, and do not depend on π_k's parameters.

    Args:
        q: [..., S], of several critics their minimum; S options of all M choices.
        chance: [..., S], π_k(j).
        choices: M; 1 where there is nothing to choose, and `q` and `chance` 1 are [..., 1].

    Returns:
        [...].

    Raises:
        TypeError: `q` or `chance` is not floating-point.
        ValueError: shapes differ.

    Source: Titsias and Lázaro-Gredilla (2015), Local expectation gradients for black box variational inference,
        equation 6; with one choice Delalleau et al. (2019), arXiv:1912.11077.
    """
    _check.floating(q=q, chance=chance)
    _check.same_shape(q.shape, chance=chance)
    credit = (chance * q.detach()).sum(-1)
    return (chance.detach() * q).sum(-1) / choices + credit - credit.detach()


def temperature_loss(price: Tensor, entropy: Tensor, target: float | Tensor) -> Tensor:
    """w (H − H̄), mean: its gradient lowers w where the policy's entropy H is above its target H̄, and raises it below.

    w is α itself in the paper's dual problem, or log α, whose steps do not shrink with α. Only w has a gradient.

    Args:
        price: w [], with a gradient.
        entropy: [...] in nats; −log π(a|s) is an estimate of it.
        target: H̄, a number or [...]; −(numbers of an action) is usual for actions in [-1, 1].

    Returns:
        [].

    Raises:
        TypeError: `price` or `entropy` is not floating-point.
        ValueError: `price` is not one number.

    Source: Haarnoja et al. (2018), Soft actor-critic algorithms and applications, equation 18.
    """
    _check.floating(price=price, entropy=entropy)
    _check.same_shape((), price=price)
    return price * (entropy - target).detach().mean()
