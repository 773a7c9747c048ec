"""Episodes that end: which successors are terminal states, when ends are marked on transitions and not on states."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Booleans = NDArray[np.bool_]


def split_endings(
    source: NDArray[np.int64], successor: NDArray[np.int64], done: Booleans, begins: Booleans
) -> tuple[Booleans, NDArray[np.int64], NDArray[np.int64]]:
    """What transitions marked `done` say about states.

    A state is terminal if it ends the episode whenever it is entered (from a state that is not terminal itself), and
    episodes do not begin there. Any other state that some transition ends in gets a terminal twin.

    Args:
        source, successor, done: [nnz] the transitions.
        begins: [S] where episodes begin.

    Returns:
        The terminal states [S]; the states that have twins, which are numbered S, S+1, … in that order; and the
        successors [nnz], those that end in a twinned state led to its twin.
    """
    ends = np.zeros(len(begins), dtype=bool)
    ends[successor[done]] = True
    ends &= ~begins
    plain_source, plain_successor = source[~done], successor[~done]
    while True:  # a state that is taken out has its rows back, and these may enter others without ending
        entered = plain_successor[~ends[plain_source] & ends[plain_successor]]
        if len(entered) == 0:
            break
        ends[entered] = False
    split = done & ~ends[successor]
    twins = np.unique(successor[split])
    number = np.zeros(len(begins), dtype=np.int64)
    number[twins] = len(begins) + np.arange(len(twins))
    return ends, twins, np.where(split, number[successor], successor)
