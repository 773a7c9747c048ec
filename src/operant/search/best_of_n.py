"""Best of n: of n answers give the one that scores highest, what that is worth, and how far it goes from the policy."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def best_of_n(score: Tensor) -> Tensor:
    """[N] int64: of each row of `score` [N, n] the place of the highest; the first of several that are equal."""
    return score.argmax(-1)


def best_of_n_value(score: Tensor, value: Tensor, n: int) -> Tensor:
    """What the best of n by `score` is worth by `value`: the mean over all choices of n of the N samples, exactly.

    With samples in ascending order of score, the i-th is the best of C(i − 1, n − 1) of the C(N, n) choices. So one set
    of N samples gives the whole curve over n without bias, with far less noise than drawing n anew; `value = score`
    gives the expected highest score, a gold reward shows over-optimisation. Equal scores share their weight.

    Args:
        score: [N], what is chosen by.
        value: [N], what counts.
        n: 1 … N.

    Returns:
        [] float64.

    Raises:
        ValueError: shapes differ, or n is not in 1 … N.

    Source: Nakano et al. (2021), WebGPT, arXiv:2112.09332, appendix I; Gao et al. (2022), Scaling laws for reward
    model overoptimization, arXiv:2210.10760, section 2.
    """
    if score.ndim != 1 or score.shape != value.shape:
        raise ValueError(f"score and value must both have shape [N], got {list(score.shape)} and {list(value.shape)}")
    if not 1 <= n <= len(score):
        raise ValueError(f"n is {n}; of {len(score)} samples 1 to {len(score)} can be drawn")
    _, member, count = torch.unique(score, return_inverse=True, return_counts=True)  # in ascending order of score
    mean = torch.zeros(len(count), dtype=torch.float64).index_add(0, member, value.double()) / count
    i = torch.arange(len(score) + 1, dtype=torch.float64)  # P(the best is among the first i) = C(i, n) / C(N, n)
    log_below = torch.lgamma(i + 1) - torch.lgamma((i - n + 1).clamp(min=1))
    below = torch.where(i >= n, (log_below - log_below[-1]).exp(), 0.0)
    edge = torch.cat((count.new_zeros(1), count.cumsum(0)))
    return ((below[edge[1:]] - below[edge[:-1]]) * mean).sum()


def kl_bound(n: int) -> float:
    """log n − (n − 1)/n, nats: KL(best of n ‖ policy) if no two answers score the same, else above it.

    Raises:
        ValueError: if n is below 1.

    Source: Stiennon et al. (2020), appendix G.3; Beirami et al. (2024), arXiv:2401.01879, theorem 1, for the bound.
    """
    if n < 1:
        raise ValueError(f"n is {n}; give at least 1")
    return math.log(n) - (n - 1) / n


def best_of_n_policy(p: Tensor, score: Tensor, n: int) -> Tensor:
    """The distribution [Y] of the best of n draws from `p` [Y]; of several that score highest, one at random.

    π_n(y) = p(y)/p(level of y) · (F(y)^n − F⁻(y)^n), F and F⁻ the probabilities of a score at most, and below, y's.

    Raises:
        ValueError: if p is no distribution, or shapes differ.
    """
    if p.ndim != 1 or p.shape != score.shape or bool((p < 0).any()) or abs(float(p.sum()) - 1.0) > 1e-6:
        raise ValueError("p must be a distribution [Y], and score have its shape")
    _, member = torch.unique(score, return_inverse=True)
    level = torch.zeros(int(member.max()) + 1, dtype=torch.float64).index_add(0, member, p.double())
    at_most = level.cumsum(0).clamp(max=1.0)
    at_most[-1] = 1.0
    won = at_most**n - torch.cat((at_most.new_zeros(1), at_most[:-1])) ** n
    return torch.where(p > 0, p.double() / level[member] * won[member], 0.0)


def kl_exact(p: Tensor, score: Tensor, n: int) -> Tensor:
    """KL(best of n ‖ policy), nats [], of answers with probabilities `p` [Y] and scores [Y]: at most `kl_bound`.

    Raises:
        ValueError: as `best_of_n_policy`.

    Source: Beirami et al. (2024), arXiv:2401.01879, section 3.
    """
    q = best_of_n_policy(p, score, n)
    return torch.where(q > 0, q * (q / p.double()).log(), 0.0).sum()
