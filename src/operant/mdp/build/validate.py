"""What makes arrays a Markov decision process; every failure names its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from operant.mdp.kernels import rows as found
from operant.mdp.model import ModelError

if TYPE_CHECKING:
    from operant.mdp.model import MDP


def check_scalars(mdp: MDP) -> None:
    """Discount, horizon, criterion, start distribution and names.

    Raises:
        ModelError: what is wrong and what it may be.
    """
    if not 0.0 <= mdp.discount <= 1.0:
        raise ModelError(f"discount is {mdp.discount}: γ lies in [0, 1].")
    horizon: Any = mdp.horizon
    if horizon is not None and (not isinstance(horizon, int | np.integer) or horizon < 1):
        raise ModelError(f"horizon is {horizon!r}: give the number of decisions, 1 or more, or None for no limit.")
    if mdp.criterion not in ("discounted", "total", "average"):
        raise ModelError(f'criterion is {mdp.criterion!r}: it is "discounted", "total" or "average".')
    if mdp.criterion == "discounted" and mdp.discount == 1.0 and mdp.horizon is None:
        raise ModelError('criterion is "discounted" with γ = 1: give a discount below 1, or criterion="total".')
    if mdp.criterion == "total" and mdp.discount < 1.0:
        raise ModelError(f'criterion is "total" with γ = {mdp.discount:g}: give discount=1, or criterion="discounted".')
    for what, names, count in (("states", mdp.states, mdp.num_states), ("actions", mdp.actions, mdp.num_actions)):
        if names is not None and len(names) != count:
            raise ModelError(f"{what} holds {len(names)} names: the model has {count} {what}, give one name for each.")
    if mdp.grid is not None and (len(mdp.grid.cell) != mdp.num_states or len(mdp.grid.moves) != mdp.num_actions):
        raise ModelError(
            f"grid has {len(mdp.grid.cell)} cells and {len(mdp.grid.moves)} moves: "
            f"give one for each of {mdp.num_states} states and {mdp.num_actions} actions."
        )
    _check_start(mdp)


def _check_start(mdp: MDP) -> None:
    if mdp.start is None:
        return
    start = mdp.start
    if start.shape != (mdp.num_states,):
        raise ModelError(f"start has shape {start.shape}: give one probability per state, ({mdp.num_states},).")
    wrong = np.flatnonzero(~(start >= 0.0) | ~np.isfinite(start))
    if len(wrong):
        state = int(wrong[0])
        raise ModelError(f"start gives state {mdp.name(state)} probability {start[state]}: it lies in [0, 1].")
    total = float(start.sum())
    if abs(total - 1.0) > 1e-8 * max(1, np.count_nonzero(start)):
        raise ModelError(f"the start probabilities sum to {total:.9g}, not to 1: divide start by its sum.")


def check_structure(mdp: MDP) -> None:
    """Lengths, types and pointers of the arrays, and which states have rows: all that is needed before reading entries.

    Raises:
        ModelError: which array, or which state.
    """
    rows, states, count = mdp.rows, len(mdp.rows.terminal), len(mdp.rows.action)
    if states == 0:
        raise ModelError("the model has no states: give at least one.")
    for name, kinds in (
        ("pointer", "u"),
        ("action", "i"),
        ("indptr", "u"),
        ("indices", "u"),
        ("data", "f"),
        ("reward", "f"),
    ):
        array = getattr(rows, name)
        if array.ndim != 1 or array.dtype.kind != kinds or (kinds == "f" and array.dtype != np.float64):
            wanted = {"u": "unsigned integers (operant.mdp.model.unsigned)", "i": "int32", "f": "float64"}[kinds]
            raise ModelError(
                f"rows.{name} is {array.dtype} of shape {array.shape}: expected one dimension of {wanted}."
            )
    for name, length in (
        ("pointer", states + 1),
        ("indptr", count + 1),
        ("reward", count),
        ("indices", len(rows.data)),
        ("outcome_reward", len(rows.data)),
        ("terminal_value", states),
    ):
        array = getattr(rows, name)
        if array is not None and array.shape != (length,):
            raise ModelError(f"rows.{name} has shape {array.shape}: expected ({length},).")
    for name, array, last in (("pointer", rows.pointer, count), ("indptr", rows.indptr, len(rows.data))):
        if array[0] != 0 or array[-1] != last or np.any(array[1:] < array[:-1]):
            raise ModelError(f"rows.{name} does not rise from 0 to {last}: it says where each part begins and ends.")
    _check_states(mdp)


def _check_states(mdp: MDP) -> None:
    """Terminal states have no rows, the others have some, and the actions of each increase."""
    rows = mdp.rows
    empty = rows.pointer[1:] == rows.pointer[:-1]
    wrong = np.flatnonzero(empty == ~rows.terminal)
    if len(wrong):
        state = int(wrong[0])
        if rows.terminal[state]:
            raise ModelError(f"terminal state {mdp.name(state)} has rows: leave them out, or take it from `terminal`.")
        raise ModelError(f"state {mdp.name(state)} has no actions: give it a row, or name it in `terminal`.")
    if len(rows.action) and rows.action.min() < 0:
        row = int(np.flatnonzero(rows.action < 0)[0])
        raise ModelError(f"{mdp.where(row)}: action labels are 0, 1, 2, …; renumber them.")
    inside = np.ones(len(rows.action), dtype=bool)
    inside[rows.pointer[:-1][~empty]] = False
    wrong = np.flatnonzero(inside[1:] & (rows.action[1:] <= rows.action[:-1]))
    if len(wrong):
        row = int(wrong[0]) + 1
        what = "is named twice" if rows.action[row] == rows.action[row - 1] else "comes after a larger label"
        raise ModelError(f"{mdp.where(row)} {what}: each state has one row per action, in increasing order.")
    worth = rows.terminal_value
    wrong = np.flatnonzero(~np.isfinite(worth) | (~rows.terminal & (worth != 0.0)))
    if len(wrong):
        state = int(wrong[0])
        raise ModelError(
            f"terminal_value of state {mdp.name(state)} is {worth[state]}: "
            "it is finite, and 0 where the state is not terminal."
        )


def check_rows(mdp: MDP) -> None:
    """Probabilities, successors and rewards, in one O(nnz) pass without a copy.

    Sums are accepted within 1e-8 per entry.

    Raises:
        ModelError: the first faulty row by state and action, and what to do.
    """
    rows = mdp.rows
    outcome = np.empty(0) if rows.outcome_reward is None else rows.outcome_reward
    row, entry, fault, number = found.inspect(
        rows.indptr, rows.indices, rows.data, rows.reward, outcome, mdp.num_states, mdp.leak, 0
    )
    if fault == found.GOOD:
        return
    successor = int(rows.indices[entry]) if 0 <= entry < mdp.nnz else -1
    to = mdp.name(successor)
    text = {
        found.NOT_FINITE: f"the probability of state {to} is {number}: probabilities are numbers from 0 to 1",
        found.NEGATIVE: f"the probability of state {to} is {number:.9g}: probabilities are not negative",
        found.ZERO: f"the probability of state {to} is 0: leave the entry out",
        found.RANGE: f"successor {successor} does not exist: the model has states 0 to {mdp.num_states - 1}",
        found.ORDER: f"successor {to} is named twice or out of order: sort each row by successor and sum duplicates",
        found.SUM: f"the probabilities sum to {number:.9g}, {_sum(number, leak=mdp.leak)}",
        found.REWARD: f"the reward is {number}: rewards are finite; leave out pairs that are not admissible",
        found.MEAN: f"reward is {rows.reward[row]:.9g} but its outcomes average {number:.9g}: "
        "reward is the mean of outcome_reward over successors",
        found.OUTCOME: f"the reward on the way to state {to} is {number}: rewards are finite",
    }[fault]
    raise ModelError(f"{mdp.where(int(row))}: {text}.")


def _sum(total: float, *, leak: bool) -> str:
    if leak:
        return "more than 1: scale the row"
    if total == 0.0:
        return "not to 1: give the pair reward -inf or leave it out if the action is not admissible there"
    return "not to 1: correct the row" + (
        ", or set leak=True if what is missing ends the episode" if total < 1.0 else ""
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a valid model that is often a mistake."""

    kind: Literal["unreachable", "absorbing", "endless", "improper"]
    states: NDArray[np.int64]  # which, in increasing order
    message: str

    def __str__(self) -> str:
        return self.message


def check(mdp: MDP) -> list[Problem]:
    """What is suspicious in a model; empty if nothing is.

    - "unreachable": states that no policy visits from the start distribution (where one is given).
    - "absorbing": states that are not terminal and that every action leaves for themselves alone.
    - "endless": under γ = 1 without a horizon, states from which no policy terminates with probability one.
    - "improper": the same, states from which some policy does not. A total reward is then well defined only if such
      policies lose: Bertsekas & Tsitsiklis (1991), An analysis of stochastic shortest path problems, assumption 1.
    """
    from operant.mdp.graph import reachability  # which needs the model's type

    rows, found = mdp.rows, list[Problem]()

    def tell(kind: Any, mask: NDArray[np.bool_], text: str) -> None:
        states = np.flatnonzero(mask)
        if len(states):
            some = ", ".join(mdp.name(int(s)) for s in states[:5]) + (", …" if len(states) > 5 else "")
            count = f"{len(states):,} of {mdp.num_states:,} states" if len(states) > 1 else "state"
            found.append(Problem(kind=kind, states=states, message=f"{kind}: {count} {text}: {some}."))

    tell("unreachable", ~reachability.reachable(mdp), "cannot be reached from the start; leave out what is not wanted")
    alone = np.diff(rows.indptr) == 1
    stays = alone & (rows.indices[np.minimum(rows.indptr[:-1], max(mdp.nnz - 1, 0))] == mdp.row_state)
    leaves = np.zeros(mdp.num_states, dtype=bool)
    leaves[mdp.row_state[~stays]] = True
    stuck = ~leaves & ~rows.terminal
    tell("absorbing", stuck, "never left but not terminal; name it in `terminal` if the episode ends there")
    if mdp.discount == 1.0 and mdp.horizon is None and mdp.criterion != "average":
        endless = ~reachability.prob1_some(mdp)
        tell("endless", endless, "from which no policy is sure to terminate, with γ = 1; add a way out, or a discount")
        some = ~reachability.prob1_every(mdp) & ~endless
        tell("improper", some, "from which some policy may never terminate, with γ = 1; see that this cannot pay")
    return found
