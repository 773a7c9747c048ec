"""How much memory a model and its solution need, told before it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from operant.data.memory import gigabytes, usable
from operant.mdp.model import MDP
from operant.mdp.rows import ModelError
from operant.mdp.validate import public


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Bytes.

    A model holds, per entry, a probability (8) and a successor (4); per pair its reward (8), action (4) and the place
    of its entries (4); per state the place of its rows (4), whether it is terminal (1) and worth what (8). Places take
    8 bytes from 2³² on, and so do successors.
    A solve holds, per state, two vectors of values, two bounds, the rows and actions of the policy (52); and the
    policy's own transitions, one row per state, where the method iterates on them.
    """

    states: int
    pairs: int
    entries: int
    model: int  # the arrays of the model
    solve: int  # what a solver adds to them

    @property
    def total(self) -> int:
        """The model and a solve together."""
        return self.model + self.solve

    def __str__(self) -> str:
        return (
            f"{self.states:,} states, {self.pairs:,} pairs, {self.entries:,} entries: "
            f"{gigabytes(self.model)} for the model, {gigabytes(self.solve)} more to solve it"
        )


@public()
def memory(
    states: int, actions: float, successors: float, *, outcome_rewards: bool = False, policy_copy: bool = True
) -> Forecast:
    """The memory of a model with so many states, actions per state and successors per pair (both may be averages).

    Args:
        states: S.
        actions: pairs per state, L / S.
        successors: entries per pair, nnz / L.
        outcome_rewards: rewards depend on the successor and are kept for sampling: 8 bytes more per entry.
        policy_copy: the solver keeps the policy's transitions apart (modified policy iteration does).
    """
    pairs = round(states * actions)
    entries = round(pairs * successors)
    row, entry, successor = (4 if count < 2**32 else 8 for count in (pairs, entries, states))
    model = (8 + successor + 8 * outcome_rewards) * entries + (8 + 4 + entry) * pairs + (9 + row) * states
    solve = 52 * states
    if policy_copy:
        solve += round(((8 + successor) * successors + 12) * states)
    return Forecast(states=states, pairs=pairs, entries=entries, model=model, solve=solve)


@public()
def memory_of(mdp: MDP, *, policy_copy: bool = True) -> Forecast:
    """The memory of a model that exists, and of a solve: with a horizon, 36 bytes per state and decision."""
    pairs = max(mdp.num_rows, 1)
    guess = memory(mdp.num_states, mdp.num_rows / mdp.num_states, mdp.nnz / pairs, policy_copy=policy_copy)
    solve = guess.solve if mdp.horizon is None else 36 * mdp.num_states * (mdp.horizon + 1)
    return Forecast(states=mdp.num_states, pairs=mdp.num_rows, entries=mdp.nnz, model=mdp.rows.nbytes, solve=solve)


def require_solve(mdp: MDP, *, limit: int | None = None) -> None:
    """Refuse to solve a model where there is no memory for it, instead of being killed on the way.

    Raises:
        ModelError: with what is needed and what may be used (`limit`, or nine tenths of what is available).
    """
    require(memory_of(mdp).solve, f"solving {mdp.num_states:,} states", limit=limit)


def require(needed: int, what: str, *, limit: int | None = None) -> None:
    """Refuse what would not fit.

    Args:
        needed: bytes.
        what: for the message: "the model of 10,000,000 states".
        limit: bytes that may be used; if None, nine tenths of what is available.

    Raises:
        ModelError: with both figures.
    """
    allowed = usable() if limit is None else limit
    if allowed is not None and needed > allowed:
        raise ModelError(
            f"{what} needs {gigabytes(needed)} of memory and {gigabytes(allowed)} may be used: "
            "use fewer states, a model without a matrix (operant.mdp.MatrixFree) or one on disk "
            "(operant.mdp.open_mapped), or raise the limit if you know better."
        )
