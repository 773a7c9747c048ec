"""What a solver returns: values, a policy, and a certificate of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from operant.mdp.model import MDP
from operant.mdp.rows import Criterion, Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Certificate:
    """What is known for sure about an answer, rounding included.

    lower(s) ≤ v*(s) ≤ upper(s) for every state, and v*(s) - v_policy(s) ≤ policy_loss. For the average criterion the
    bounds are those of the optimal gain g*(s), and the loss is that of the policy's gain.
    """

    criterion: Criterion
    lower: Floats  # [S]
    upper: Floats  # [S]
    policy_loss: float
    rounding: float  # what floating point may have added, already inside of the bounds and of the loss
    why: str  # the theorem that gives the bound, in one line

    @property
    def gap(self) -> float:
        """max over s of upper(s) - lower(s); 0 where both are the same infinity, inf where one alone is infinite."""
        differs = self.lower != self.upper
        return float(np.max(self.upper[differs] - self.lower[differs], initial=0.0))

    @property
    def radius(self) -> float:
        """Half of the gap: the values of a solution are the midpoints, so none is further off than this."""
        return self.gap / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """An answer.

    For a finite horizon `values` is [horizon+1, S] and `policy` [horizon, S], decision by decision.
    """

    mdp: MDP
    values: Floats  # [S]; for the average criterion the bias (relative values)
    policy: NDArray[np.int32]  # [S]  action label of each state, -1 where terminal
    rows: NDArray[np.int64]  # [S]  the row of the model that the policy takes, -1 where terminal
    certificate: Certificate
    method: str
    why: str  # why this method was chosen, and why it stopped
    iterations: int
    seconds: float
    gain: Floats | None = None  # [S]  average criterion: reward per step
    history: tuple[tuple[int, float], ...] = ()  # (iteration, certified gap then)
    extra: dict[str, object] = field(default_factory=dict)  # what one method alone returns: occupancy, dual, …

    @cached_property
    def action_values(self) -> Floats:
        """q(s, a) of every row, [L], under `values`: r(s, a) + γ Σ p v. Not for a finite horizon."""
        rows = self.mdp.rows
        return rows.reward + self.mdp.discount * (self.mdp.matrix @ self.values)

    def ties(self, tolerance: float | None = None) -> NDArray[np.bool_]:
        """Which rows [L] are greedy up to `tolerance` (twice the certified gap if None): all optimal actions."""
        tolerance = 2 * self.certificate.gap + 1e-12 if tolerance is None else tolerance
        q = self.action_values
        pointer = self.mdp.rows.pointer.astype(np.int64)
        best = np.full(self.mdp.num_states, -np.inf)
        filled = np.flatnonzero(np.diff(pointer))
        best[filled] = np.maximum.reduceat(q, pointer[:-1][filled]) if len(q) else []
        return q >= best[self.mdp.row_state] - tolerance
