"""Models estimated from logged transitions: counts, with smoothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.build.terminal_split import split_endings
from operant.mdp.convert.row_builder import assemble
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, ModelError, unsigned
from operant.mdp.validate import public

Transitions = tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike, ArrayLike]
"""(state, action, reward, successor, terminated), [n] each."""


@public()
def from_logs(
    log: Any,
    *,
    discount: float,
    states: int | None = None,
    smoothing: float = 0.0,
    unvisited: float | None = None,
    start: Any = None,
    horizon: int | None = None,
) -> MDP:
    """The model that n logged transitions suggest.

    p(s' | s, a) = (n(s, a, s') + α) / Σ (n(s, a, ·) + α) over the successors that were seen from s under any action:
    the posterior mean under a symmetric Dirichlet prior on these (α = 0: relative frequencies), as sparse as the log.
    r(s, a, s') is the mean of the rewards that were seen, and where there are none, that of (s, a). A pair that was
    never tried is not admissible.

    A successor that ends the episode whenever it is entered is a terminal state; one that sometimes does not gets a
    terminal twin, numbered after all others.

    Args:
        log: (state, action, reward, successor, terminated), [n] each; or a Trajectory (or what has its fields) whose
            observations are states: steps with `acted` count, also those that were truncated.
        discount: γ.
        states: S; if None, one more than the largest state in the log.
        smoothing: α ≥ 0.
        unvisited: states that were never left, and did not end an episode, become terminal with this value; if None,
            such a state is an error.
        start, horizon: as `MDP`.

    Raises:
        ModelError: if arrays do not fit, a state is not an index, or a state was never left.

    Source: Mannor, Simester, Sun & Tsitsiklis (2007), Bias and variance approximation in value function estimates, for
        what the noise of such a model does to its values.
    """
    state, action, reward, successor, terminated = _arrays(log, states)
    if not (smoothing >= 0.0 and np.isfinite(smoothing)):
        raise ModelError(f"smoothing is {smoothing}: α is a number, 0 or more.")
    known = int(max(state.max(), successor.max())) + 1 if states is None else states
    begins = np.zeros(known, dtype=bool)
    if start is not None:
        begins[np.flatnonzero(start) if np.ndim(start) else start] = True
    ends, twins, successor = split_endings(state, successor, terminated, begins)
    keep = ~ends[state]
    table = _counted(state[keep], action[keep], successor[keep], reward[keep])
    if smoothing > 0.0:
        table = _smoothed(*table, smoothing)
    return _model(table, ends, len(twins), discount, unvisited, start, horizon)


Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats, Floats]
"""(state, action, successor, count, mean reward) of each distinct transition, in this order."""


def _arrays(log: Any, states: int | None) -> Any:
    """The five columns of a log, checked."""
    if hasattr(log, "acted"):
        acted = np.asarray(log.acted, dtype=bool)
        observed = np.asarray(log.obs)
        if observed.ndim != 2:
            raise ModelError(f"observations have shape {observed.shape}: expected states [N, T+1].")
        columns = [observed[:, :-1], log.action, log.reward, observed[:, 1:], log.terminated]
        columns = [np.asarray(column)[acted] for column in columns]
    else:
        try:
            columns = [np.asarray(column) for column in log]
        except TypeError:
            columns = []
        if len(columns) != 5:
            raise ModelError("a log is (state, action, reward, successor, terminated), or a Trajectory.")
    names = ("state", "action", "reward", "successor", "terminated")
    for name, column in zip(names, columns, strict=True):
        if column.shape != (len(columns[0]),) or len(column) == 0:
            raise ModelError(f"{name} has shape {column.shape}: give one entry for each of the logged transitions.")
    for name, limit in (("state", states), ("action", 2**31 - 1), ("successor", states)):
        column = columns[names.index(name)]
        integers = column.astype(np.int64)
        wrong = np.flatnonzero(
            (integers != column) | (integers < 0) | (integers >= (2**62 if limit is None else limit))
        )
        if len(wrong):
            raise ModelError(f"{name}[{wrong[0]}] is {column[wrong[0]]}: expected an index, 0 or more, in range.")
        columns[names.index(name)] = integers
    reward = columns[2].astype(np.float64)
    if not np.isfinite(reward).all():
        raise ModelError(f"reward[{np.flatnonzero(~np.isfinite(reward))[0]}] is not finite: leave the transition out.")
    return columns[0], columns[1], reward, columns[3], columns[4].astype(bool)


def _counted(state: Any, action: Any, successor: Any, reward: Any) -> Columns:
    """Distinct transitions, how often each was seen, and its mean reward."""
    order = np.lexsort((successor, action, state))
    s, a, to = state[order], action[order], successor[order]
    new = np.ones(len(s), dtype=bool)
    new[1:] = (s[1:] != s[:-1]) | (a[1:] != a[:-1]) | (to[1:] != to[:-1])
    at = np.flatnonzero(new)
    count = np.diff(np.append(at, len(s))).astype(np.float64)
    return s[at], a[at], to[at], count, (np.add.reduceat(reward[order], at) if len(at) else np.zeros(0)) / count


def _smoothed(state: Any, action: Any, successor: Any, count: Any, reward: Any, alpha: float) -> Columns:
    """α more of every successor that was seen from the state, for each of its actions."""
    first = (np.diff(state, prepend=-1) != 0) | (np.diff(action, prepend=-1) != 0)
    at, pair = np.flatnonzero(first), np.cumsum(first) - 1  # where each pair begins; the pair of each entry
    mean = np.add.reduceat(count * reward, at) / np.add.reduceat(count, at)
    order = np.lexsort((successor, state))
    new = (np.diff(state[order], prepend=-1) != 0) | (np.diff(successor[order], prepend=-1) != 0)
    seen, number = order[new], np.empty(len(order), dtype=np.int64)  # one entry for each (state, successor)
    number[order] = np.cumsum(new) - 1
    begin = np.searchsorted(state[seen], state[at])
    lengths = np.searchsorted(state[seen], state[at], side="right") - begin
    offset = np.cumsum(lengths) - lengths
    rows = np.repeat(np.arange(len(at)), lengths)
    to = successor[seen][begin[rows] + np.arange(len(rows)) - offset[rows]]
    place = offset[pair] + number - begin[pair]  # of each entry that was counted
    weight, pays = np.full(len(rows), alpha), mean[rows]
    weight[place] += count
    pays[place] = reward
    return state[at][rows], action[at][rows], to, weight, pays


def _model(table: Columns, ends: Any, twins: int, discount: float, unvisited: Any, start: Any, horizon: Any) -> MDP:
    state, action, successor, count, reward = table
    total = len(ends) + twins
    terminal = np.concatenate((ends, np.ones(twins, dtype=bool)))
    worth = np.zeros(total)
    left = np.zeros(total, dtype=bool)
    left[state] = True
    stuck = np.flatnonzero(~left & ~terminal)
    if len(stuck) and unvisited is None:
        times = int(np.count_nonzero(successor == stuck[0]))
        raise ModelError(
            f"state {stuck[0]} was never left ({len(stuck)} such states; it follows {times} pairs): "
            "give unvisited=0.0, the value that such states shall have."
        )
    terminal[stuck], worth[stuck] = True, 0.0 if unvisited is None else unvisited
    new = (np.diff(state, prepend=-1) != 0) | (np.diff(action, prepend=-1) != 0)
    at = np.flatnonzero(new)
    lengths = np.diff(np.append(at, len(state)))
    rows = assemble(
        state[at],
        action[at],
        unsigned(np.append(at, len(state))),
        unsigned(successor, total - 1),
        count / np.repeat(np.add.reduceat(count, at), lengths),
        reward,
        reward=None,
        terminal=terminal,
        terminal_value=worth,
    )
    first = start if start is None or np.ndim(start) == 0 else np.append(start, np.zeros(twins))
    return MDP.from_rows(rows, discount, start=first, horizon=horizon)
