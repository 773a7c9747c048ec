"""What a solver returns: values, a policy, and a certificate of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from html import escape

import numpy as np
from numpy.typing import NDArray

from operant.mdp.model import MDP
from operant.mdp.policies import action_values, best_of, table
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

    def _repr_html_(self) -> str:
        """How a notebook shows it: the method, how far values and policy may be off, and why it stopped."""
        known = self.certificate
        rows = {
            "model": f"{self.mdp.num_states:,} states, {self.mdp.num_actions} actions, {known.criterion}",
            "method": f"{self.method}, {self.iterations:,} iterations, {self.seconds:.3g} s",
            "values within": f"{known.radius:.3g}",
            "policy loses at most": f"{known.policy_loss:.3g}",
            "why": self.why,
        }
        cells = "".join(f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
        return f"<table>{cells}</table>"

    @cached_property
    def action_values(self) -> Floats:
        """q(s, a) of every row, [L], under `values`: r(s, a) + γ Σ p v, by `operant.mdp.action_values`.

        For a finite horizon [H, L], decision by decision. For the average criterion γ = 1 and `values` are relative:
        there they tell rows apart that lead to the same gain, and no others (`ties` looks at both).
        """
        return action_values(self.mdp, self.values)

    @cached_property
    def q(self) -> Floats:
        """q(s, a) as a table, [S, A] or [H, S, A]: `action_values`, and -inf where an action is not admissible.

        A terminal state has no actions: its row is -inf throughout, and `values` holds what it is worth.
        """
        return table(self.mdp, self.action_values)

    def ties(self, tolerance: float | None = None) -> NDArray[np.bool_]:
        """Which rows are greedy up to `tolerance` (twice the certified gap if None): all optimal actions.

        [L], or [H, L] for a finite horizon. For the average criterion those that lead to the greatest gain, Σ p g, and
        among these those of the greatest r + Σ p h (Puterman 1994, section 9.1.1); what rounding may hide, 1e-9 of the
        largest number, is added to the gap. Under γ = 1 an optimal action may be taken once: one that only waits is
        among them, and a policy that waits for ever is worth what it earns.
        """
        q = self.action_values
        slack = 2 * self.certificate.gap + 1e-12 if tolerance is None else tolerance
        if self.gain is not None:
            finite = q[np.isfinite(q)]
            slack += 1e-9 * float(np.abs(finite).max(initial=1.0)) if tolerance is None else 0.0
            q = np.where(self._greedy(self.mdp.matrix @ self.gain, slack), q, -np.inf)
        return self._greedy(q, slack) if q.ndim == 1 else np.stack([self._greedy(now, slack) for now in q])

    def _greedy(self, q: Floats, slack: float) -> NDArray[np.bool_]:
        """Which rows [L] come within `slack` of the greatest of their state."""
        with np.errstate(invalid="ignore"):
            return q >= best_of(self.mdp, q)[self.mdp.row_state] - slack
