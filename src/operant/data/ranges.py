"""What is looked at before compiled code reads it: whole numbers, indices within a range, finite numbers.

Compiled code looks at nothing: an index beyond an array reads or writes another one's memory, and NaN as an index is
the least of all. So each function that hands numbers of a caller's to it asks here first, once, outside of its loops.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.config.errors import ConfigError, OperantError


def whole(what: str, value: Any, least: int = 1, *, error: type[OperantError] = ConfigError) -> int:
    """A whole number of at least `least`.

    Raises:
        ConfigError: if it is none, or `error`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise error(f"{what} is {value!r}: give a whole number, {least} or more.")
    return number


def index(what: str, value: Any, count: int, *, error: type[OperantError] = ConfigError) -> int:
    """A whole number from 0 to `count` - 1, such as the number of a state.

    Raises:
        ConfigError: if it is none, or `error`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < count:
        raise error(f"{what} is {value!r}: {outside(count)}.")
    return number


def indices(what: str, values: ArrayLike, count: int, *, error: type[OperantError] = ConfigError) -> NDArray[np.int64]:
    """Whole numbers from 0 to `count` - 1, of any shape; none at all are whole too.

    Raises:
        ConfigError: if one is not, naming it, or `error`.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise error(f"{what} are {array.dtype} of shape {list(array.shape)}: {outside(count)}.")
    wrong = array[(array < 0) | (array >= count)]
    if wrong.size:
        raise error(f"{what} hold {wrong.flat[0]}: {outside(count)}.")
    return array.astype(np.int64)


def outside(count: int) -> str:
    """What an index may be."""
    return f"a whole number from 0 to {count - 1} is needed" if count else "there are none"


def finite(what: str, value: Any, *, error: type[OperantError] = ConfigError) -> float:
    """A number that is neither infinite nor NaN.

    Raises:
        ConfigError: if it is none, or `error`.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise error(f"{what} is {value!r}: it is not finite, or no number.")
    return number
