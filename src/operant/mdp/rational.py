"""Exact rational arithmetic for small models: evaluation, policy iteration, and all breakpoints of a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.model import MDP


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """An interval of the parameter, and what is optimal all over it."""

    low: Fraction | None  # None: -∞
    high: Fraction | None  # None: +∞
    policy: NDArray[np.int32] | None  # [S] action labels, -1 where terminal; None where unbounded
    values: tuple[Fraction, ...]  # [S]  v*(s) = values + parameter · slopes
    slopes: tuple[Fraction, ...]  # [S]
    optimal: NDArray[np.bool_] | None  # [L]  rows optimal all over the interval
    unbounded: bool = False  # no proper policy is optimal: the total grows without limit


def breakpoints(
    mdp: MDP, slope: ArrayLike, *, low: Fraction | None = None, high: Fraction | None = None
) -> list[Piece]:
    """The optimal policies of r(s, a) + parameter · slope(s, a) for all values of the parameter, in order.

    Args:
        mdp: the model at parameter 0; its probabilities, rewards and discount are taken as the simplest fractions that
            round to them.
        slope: how much each reward grows with the parameter: [L], [S, A], or [S] (R(s), of terminal states too).
        low, high: the interval that is searched; None: no limit.
    """
    raise NotImplementedError
