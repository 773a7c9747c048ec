"""A moving average by steps, for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def smooth(step: ArrayLike, value: ArrayLike, *, window: float) -> NDArray[np.float64]:
    """A centred moving average: at each row the mean of the values within `window`/2 environment steps of it.

    The window is a number of steps, not of rows, so that rows written more densely do not count for more road. It is
    cut off at the ends of the run. Where the window holds a value that is not finite, the average is NaN: a gap.

    Args:
        step: [K], ascending.
        value: [K].
        window: width in environment steps.

    Returns:
        [K]
    """
    import numpy as np

    step, value = np.asarray(step, dtype=np.float64), np.asarray(value, dtype=np.float64)  # [K]
    begin = np.searchsorted(step, step - window / 2, side="left")
    end = np.searchsorted(step, step + window / 2, side="right")
    edges = np.stack([begin, end], axis=1).reshape(-1)  # [2K]
    # Window by window, not by differences of a running sum: one value of 1e20 would spoil all that follow it.
    with np.errstate(invalid="ignore", over="ignore"):
        average = np.add.reduceat(np.append(value, 0.0), edges)[::2] / (end - begin) if len(step) else value
    return np.where(np.isfinite(average), average, np.nan)
