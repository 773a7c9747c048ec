"""What counts as one: from a number per step to one number.

A reduction is a function of (x, mask) and a keyword `denominator`. Called without one, it divides by what it sees. To
accumulate gradients over micro-batches, or over processes, count over the whole batch first and hand the count to
each: `partial(token_mean, denominator=count)`. The parts then sum to the full batch's loss and gradient, exactly.

Where a mask is False the number is not read (it may be NaN), and its gradient is 0.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from operant.math import _check


class Reduction(Protocol):
    """A function from [..., T] numbers and a mask of the same shape to one number."""

    def __call__(self, x: Tensor, mask: Tensor, /) -> Tensor: ...


def token_mean(x: Tensor, mask: Tensor, denominator: float | Tensor | None = None) -> Tensor:
    """Σ x over the mask / denominator: every step counts the same, so long rows weigh more.

    Args:
        x: [...].
        mask: [...] bool.
        denominator: how many steps the whole batch counts; the mask's own count when None (an empty mask gives 0).

    Returns:
        [].

    Raises:
        TypeError: `mask` is not bool or `x` is not floating-point.
        ValueError: the shapes differ.

    Source: Yu et al. (2025), DAPO, section 3.3.
    """
    _check.boolean(mask=mask)
    _check.floating(x=x)
    _check.same_shape(x.shape, mask=mask)
    if denominator is None:
        denominator = mask.sum().clamp(min=1)
    return torch.where(mask, x, 0.0).sum() / denominator


def sequence_mean(x: Tensor, mask: Tensor, denominator: float | Tensor | None = None) -> Tensor:
    """The mean over rows of each row's own mean: every row counts the same, so a step in a long row weighs less.

    Args:
        x: [N, T].
        mask: [N, T] bool.
        denominator: how many rows the whole batch counts; the rows with a True in their mask when None (no such row
            gives 0).

    Returns:
        [].

    Raises:
        TypeError: `mask` is not bool or `x` is not floating-point.
        ValueError: the shapes differ, or there is only one dimension.

    Source: Shao et al. (2024), DeepSeekMath, equation 3.
    """
    _check.boolean(mask=mask)
    _check.floating(x=x)
    _check.at_least(2, x=x)
    _check.same_shape(x.shape, mask=mask)
    count = mask.sum(-1)
    if denominator is None:
        denominator = (count > 0).sum().clamp(min=1)
    return (torch.where(mask, x, 0.0).sum(-1) / count.clamp(min=1)).sum() / denominator


def fixed(x: Tensor, mask: Tensor, *, length: float, denominator: float | Tensor | None = None) -> Tensor:
    """Σ x over the mask / (denominator · length): a constant in place of the lengths, so that none of them biases.

    Args:
        x: [N, T].
        mask: [N, T] bool.
        length: the length every row is taken to have, as a rule the longest allowed; above 0.
        denominator: how many rows the whole batch counts; N when None (empty rows included).

    Returns:
        [].

    Raises:
        TypeError: `mask` is not bool or `x` is not floating-point.
        ValueError: the shapes differ, there is only one dimension, or `length` is not above 0.

    Source: Liu et al. (2025), Understanding R1-Zero-like training (Dr. GRPO), section 3.2.
    """
    _check.boolean(mask=mask)
    _check.floating(x=x)
    _check.at_least(2, x=x)
    _check.same_shape(x.shape, mask=mask)
    _check.positive(length=length)
    if denominator is None:
        denominator = max(x.shape[:-1].numel(), 1)
    return torch.where(mask, x, 0.0).sum() / (denominator * length)
