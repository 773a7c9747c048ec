"""What is suspicious in a model that is valid: states that cannot be reached, or left, or that never end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from operant.mdp.graph.reachability import prob1_every, prob1_some, reachable
from operant.mdp.model import MDP
from operant.mdp.rows import Mask
from operant.mdp.validate import public


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a valid model that is often a mistake."""

    kind: Literal["unreachable", "absorbing", "endless", "improper"]
    states: NDArray[np.int64]  # which, in increasing order
    message: str

    def __str__(self) -> str:
        return self.message


@public()
def check(mdp: MDP) -> list[Problem]:
    """What is suspicious in a model; empty if nothing is.

    - "unreachable": states that no policy visits from the start distribution (where one is given).
    - "absorbing": states that are not terminal and that every action leaves for themselves alone.
    - "endless": under γ = 1 without a horizon, states from which no policy terminates with probability one.
    - "improper": the same, states from which some policy does not. A total reward is then well defined only if such
      policies lose: Bertsekas & Tsitsiklis (1991), An analysis of stochastic shortest path problems, assumption 1.
    """
    rows, problems = mdp.rows, list[Problem]()

    def tell(kind: Any, mask: Mask, text: str) -> None:
        states = np.flatnonzero(mask)
        if len(states):
            some = ", ".join(mdp.name(int(s)) for s in states[:5]) + (", …" if len(states) > 5 else "")
            count = f"{len(states):,} of {mdp.num_states:,} states" if len(states) > 1 else "state"
            problems.append(Problem(kind=kind, states=states, message=f"{kind}: {count} {text}: {some}."))

    tell("unreachable", ~reachable(mdp), "cannot be reached from the start; leave out what is not wanted")
    alone = np.diff(rows.indptr) == 1
    stays = alone & (rows.indices[np.minimum(rows.indptr[:-1], max(mdp.nnz - 1, 0))] == mdp.row_state)
    leaves = np.zeros(mdp.num_states, dtype=bool)
    leaves[mdp.row_state[~stays]] = True
    stuck = ~leaves & ~rows.terminal
    tell("absorbing", stuck, "never left but not terminal; name it in `terminal` if the episode ends there")
    if mdp.discount == 1.0 and mdp.horizon is None and mdp.criterion != "average":
        endless = ~prob1_some(mdp)
        tell("endless", endless, "from which no policy is sure to terminate, with γ = 1; add a way out, or a discount")
        some = ~prob1_every(mdp) & ~endless
        tell("improper", some, "from which some policy may never terminate, with γ = 1; see that this cannot pay")
    return problems
