"""Models from Gymnasium's tabular environments: `env.unwrapped.P[s][a] = [(p, s', r, terminated), …]`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.suggest import did_you_mean, nearest
from operant.mdp.build.terminal_split import split_endings
from operant.mdp.convert.row_builder import assemble, shrink
from operant.mdp.kernels.rows import tidy
from operant.mdp.model import MDP
from operant.mdp.rows import Grid, Integers, ModelError, unsigned
from operant.mdp.validate import public

FROZEN_LAKE = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}
CLIFF_WALKING = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
TAXI = ("south", "north", "east", "west", "pick up", "drop off")


@public()
def from_gymnasium(
    env: Any,
    *,
    discount: float,
    horizon: int | None = None,
    start: Any = None,
    **options: Any,
) -> MDP:
    """The model inside of a Gymnasium environment that has a table `P` (FrozenLake, CliffWalking, Taxi and their like).

    A successor that ends the episode whenever it is entered is a terminal state, and its own rows are dropped. One that
    sometimes ends it and sometimes does not, or where episodes start, gets a terminal twin (numbered after the table's
    states and named ("end", state)), to which the entries that end lead. Duplicate successors are summed, their
    rewards averaged.

    A time limit is no part of the table: pass horizon=env.spec.max_episode_steps to solve for it exactly.

    Args:
        env: an id, an environment, or the table itself.
        discount: γ.
        horizon: number of decisions, or None.
        start: the start distribution; if None, the environment's `initial_state_distrib`, if it has one.
        options: for `gymnasium.make`, with an id: map_name="8x8", is_slippery=False.

    Raises:
        ModelError: if there is no table, or a row of it is not a list of (p, s', r, terminated); names the row.
    """
    made = None
    if isinstance(env, str):
        import gymnasium

        try:
            env = made = gymnasium.make(env, **options)
        except (gymnasium.error.Error, TypeError, ImportError) as error:
            raise ModelError(f"gymnasium cannot make {env!r}: {error}.{_meant(options)}") from error
    elif options:
        raise ModelError(
            f"{', '.join(options)}: options are for an environment that is given by its id.{_meant(options)}"
        )
    try:
        return _from_table(env, discount=discount, horizon=horizon, start=start)
    finally:
        if made is not None:
            made.close()


def _meant(options: Mapping[str, Any]) -> str:
    """Which parameter of ours an option may have been meant for."""
    return did_you_mean([name for option in options for name in nearest(option, ("discount", "horizon", "start"))])


def _from_table(env: Any, *, discount: float, horizon: int | None, start: Any) -> MDP:
    plain = getattr(env, "unwrapped", env)
    table: Any = plain if isinstance(plain, Mapping | list | tuple) else getattr(plain, "P", None)
    if table is None:
        raise ModelError(
            f"{type(plain).__name__} has no table P: enumerate its model from a function (operant.mdp.enumerate_mdp)."
        )
    if start is None:
        start = getattr(plain, "initial_state_distrib", None)
    pointer, action, indptr, entries = _flatten(table)
    known = len(pointer) - 1
    start = _start(start, known)
    state = np.repeat(np.arange(known), np.diff(pointer))
    successor = entries[:, 1].astype(np.int64)
    done = entries[:, 3] != 0.0
    begins = np.zeros(known, dtype=bool) if start is None else start > 0.0
    ends, twins, successor = split_endings(np.repeat(state, np.diff(indptr)), successor, done, begins)
    keep = ~ends[state]
    entry = np.repeat(keep, np.diff(indptr))
    lengths = np.diff(indptr)[keep]
    total = known + len(twins)
    indptr = unsigned(np.concatenate(([0], np.cumsum(lengths))))
    indices = unsigned(successor[entry], total - 1)
    data, reward = entries[entry, 0].copy(), entries[entry, 2].copy()
    left = tidy(indptr, indices, data, reward)
    terminal = np.concatenate((ends, np.ones(len(twins), dtype=bool)))
    rows = assemble(
        state[keep],
        action[keep],
        indptr,
        shrink(indices, left),
        shrink(data, left),
        shrink(reward, left),
        reward=None,
        terminal=terminal,
        terminal_value=np.zeros(total),
    )
    names, grid = _picture(plain, known, twins)
    return MDP.from_rows(
        rows,
        discount,
        start=None if start is None else np.concatenate((start, np.zeros(len(twins)))),
        horizon=horizon,
        states=[*range(known), *(("end", s) for s in twins.tolist())] if len(twins) else None,
        actions=names,
        grid=grid,
    )


def _start(start: Any, states: int) -> NDArray[np.float64] | None:
    if start is None:
        return None
    if isinstance(start, int | np.integer) and 0 <= start < states:
        return np.eye(1, states, int(start)).ravel()
    distribution = np.asarray(start, dtype=np.float64)
    if distribution.shape != (states,):
        raise ModelError(f"start is {start!r}: give a state from 0 to {states - 1}, or one probability for each.")
    return distribution


def _flatten(table: Any) -> tuple[Integers, Integers, Integers, NDArray[np.float64]]:
    """(pointer [S+1], action [L], indptr [L+1], entries [nnz, 4]) of the table, in order of state and action."""
    rows_of = [table[s] for s in sorted(table)] if isinstance(table, Mapping) else list(table)
    if isinstance(table, Mapping) and (min(table, default=0), max(table, default=-1)) != (0, len(rows_of) - 1):
        raise ModelError(f"the table's {len(rows_of)} states are not numbered 0 to {len(rows_of) - 1}: renumber them.")
    choices = [dict(sorted(row.items())) if isinstance(row, Mapping) else dict(enumerate(row)) for row in rows_of]
    counts = np.fromiter(map(len, choices), np.int64, len(choices))
    action = np.fromiter(chain.from_iterable(choices), np.int64, int(counts.sum()))
    rows = list(chain.from_iterable(row.values() for row in choices))
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    size = int(lengths.sum())
    try:
        entries = np.fromiter(chain.from_iterable(chain.from_iterable(rows)), np.float64).reshape(size, 4)
    except (TypeError, ValueError):
        _complain(choices)
        raise
    pointer = np.concatenate(([0], np.cumsum(counts)))
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    successor = entries[:, 1]
    wrong = np.flatnonzero(~((successor >= 0) & (successor < len(choices)) & (successor == np.floor(successor))))
    if len(wrong):
        row = int(np.searchsorted(indptr, wrong[0], side="right")) - 1
        state = int(np.searchsorted(pointer, row, side="right")) - 1
        raise ModelError(
            f"state {state}, action {action[row]}: successor {successor[wrong[0]]:g} does not exist: "
            f"the table has states 0 to {len(choices) - 1}."
        )
    return pointer, action, indptr, entries


def _complain(choices: list[dict[Any, Any]]) -> None:
    """Raise for the first row that is not a list of (p, s', r, terminated)."""
    for state, row in enumerate(choices):
        for action, outcomes in row.items():
            for outcome in outcomes:
                try:
                    fits = np.asarray(outcome, dtype=np.float64).shape == (4,)
                except (TypeError, ValueError):
                    fits = False
                if not fits:
                    raise ModelError(f"P[{state}][{action}] holds {outcome!r}: expected (p, s', r, terminated).")


def _picture(env: Any, states: int, twins: NDArray[np.int64]) -> tuple[tuple[str, ...] | None, Grid | None]:
    """Names of the actions, and the map, of the environments that are known."""
    kind = type(env).__name__
    if kind == "TaxiEnv":
        return TAXI, None
    if kind == "FrozenLakeEnv":
        lines, moves = ["".join(cell.decode() for cell in row) for row in env.desc], FROZEN_LAKE
    elif kind == "CliffWalkingEnv":
        height, width = env.shape
        cells = np.where(env._cliff, "C", ".")
        cells.flat[env.start_state_index] = "S"
        cells[height - 1, width - 1] = "G"
        lines, moves = ["".join(row) for row in cells], CLIFF_WALKING
    else:
        return None, None
    cell = np.concatenate((np.arange(states), twins))
    return tuple(moves), Grid(lines=tuple(lines), cell=cell, moves=tuple(moves.values()))
