"""The one recursion of the library: x_t = b_t + a_t x_{t+1}, backwards in time."""

from __future__ import annotations

import torch
from torch import Tensor

from operant.math import _check

LOOP_UP_TO = 16  # steps; measured, see `reverse_scan`


def reverse_scan(b: Tensor, a: Tensor) -> Tensor:
    """Solve x_t = b_t + a_t x_{t+1} with x_T = 0, for all t at once.

    Rows of up to `LOOP_UP_TO` steps go through a loop (T small kernels), longer ones through doubling (3 log2 T
    kernels, each over the whole array). On one CPU core the loop is the faster up to 16 steps and the slower from 32
    on, for 1 to 64 rows; at 256 steps doubling takes a sixth of the time. Both are differentiable.

    Args:
        b: [..., T] what each step adds.
        a: [..., T] how much of the next step's solution it keeps. The last one multiplies x_T = 0.

    Returns:
        x: [..., T].

    Raises:
        TypeError: `b` or `a` is not floating-point.
        ValueError: the shapes differ, or there is no time dimension.

    Source: Blelloch (1990), Prefix sums and their applications, section 1.4 (recurrences as scans of (a, b) pairs).
    """
    _check.floating(b=b, a=a)
    _check.at_least(1, b=b)
    _check.same_shape(b.shape, a=a)
    return loop(b, a) if b.shape[-1] <= LOOP_UP_TO else doubling(b, a)


def loop(b: Tensor, a: Tensor) -> Tensor:
    """`reverse_scan` one step after the other: T products. Shapes as there; nothing is asserted."""
    if b.shape[-1] == 0:
        return b.clone()
    adds, keeps = b.unbind(-1), a.unbind(-1)
    x = [adds[-1]]
    for add, keep in zip(adds[-2::-1], keeps[-2::-1], strict=True):
        x.append(torch.addcmul(add, keep, x[-1]))
    return torch.stack(x[::-1], -1)


def doubling(b: Tensor, a: Tensor) -> Tensor:
    """`reverse_scan` in log2 T rounds: after the round of `step`, x_t holds the terms of steps [t, t + 2 step)."""
    T, step = b.shape[-1], 1
    x, keep = b, a[..., :-1]  # keep_t = a_t ... a_{t+step-1}, wherever that window ends before T
    while step < T:
        x = torch.cat((torch.addcmul(x[..., :-step], keep, x[..., step:]), x[..., -step:]), -1)
        keep = keep[..., : max(T - 2 * step, 0)] * keep[..., step:]
        step *= 2
    return x
