"""The exact policy gradient of tabular softmax policies, what it is made of, and the natural gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from operant.mdp.analyse.evaluation import evaluate
from operant.mdp.analyse.finite_horizon import finite_horizon_values, finite_horizon_visits
from operant.mdp.analyse.occupancy import occupancy, start_of, stationary
from operant.mdp.model import MDP
from operant.mdp.policies import averaged, of_rows, over_actions, softmax, uniform
from operant.mdp.rows import Floats, ModelError
from operant.mdp.validate import public


@dataclass(frozen=True, kw_only=True, eq=False)
class ExactGradient:
    """J(θ) and ∂J/∂θ for π(a | s) ∝ exp θ(s, a), with its parts; [L] over rows, or [H, L] decision by decision.

    ∂J/∂θ(s, a) = d(s) π(a | s) A(s, a) with d(s) = Σ_a occupancy(s, a).
    """

    mdp: MDP
    objective: float  # J
    gradient: Floats  # [L]; [H, L] if the logits depend on the time
    policy: Floats  # π(a | s), like the logits
    occupancy: Floats  # discounted visits, [L]; [H, L] for a finite horizon
    advantages: Floats  # A(s, a), [L]; [H, L] for a finite horizon
    values: Floats  # v, [S]; [H+1, S] for a finite horizon; the bias for the average criterion

    @property
    def fisher(self) -> sp.csr_array:
        """F = Σ_s d(s) (diag π_s - π_s π_sᵀ), [L, L], block by state: the Fisher information weighted by visits.

        Raises:
            ModelError: if the logits depend on the time.

        Source: Kakade (2001), A natural policy gradient, section 2 (there with d normalised).
        """
        self._at_all_times()
        visits = self.occupancy if self.occupancy.ndim == 1 else self.occupancy.sum(0)
        mean = averaged(self.mdp, self.policy)  # [S, L]
        weight: Any = sp.dia_array((over_actions(self.mdp, visits)[None], [0]), shape=(self.mdp.num_states,) * 2)
        diagonal: Any = sp.dia_array((visits[None], [0]), shape=(self.mdp.num_rows,) * 2)
        return sp.csr_array(diagonal - mean.T @ weight @ mean)

    @property
    def natural(self) -> Floats:
        """F⁺ ∂J/∂θ, [L]: in a state that is visited A(s, a) less its mean over actions, and 0 in any other.

        Raises:
            ModelError: if the logits depend on the time.

        Source: Kakade (2001), theorem 1; Agarwal et al. (2021), On the theory of policy gradient methods, lemma 15.
        """
        self._at_all_times()
        visits = self.occupancy if self.occupancy.ndim == 1 else self.occupancy.sum(0)
        weight = over_actions(self.mdp, visits)[self.mdp.row_state] * self.policy
        step = np.divide(self.gradient, weight, out=np.zeros_like(weight), where=weight > 0.0)
        return step - over_actions(self.mdp, step * uniform(self.mdp))[self.mdp.row_state] * (weight > 0.0)

    def _at_all_times(self) -> None:
        if self.gradient.ndim != 1:
            raise ModelError("the logits depend on the time: this needs one θ(s, a) for all times.")


@public()
def exact_policy_gradient(
    mdp: MDP, logits: ArrayLike, *, start: ArrayLike | None = None, horizon: int | None = None
) -> ExactGradient:
    """J(θ), its gradient, occupancy and advantages of a softmax policy, with no sampling.

    J is E[Σ γ^t r_t] from the start (discounted, or total with a proper policy), the gain (average criterion, one
    recurrent class), or the sum of H rewards where the model has a horizon.

    Args:
        mdp: the model.
        logits: θ as [S, A] or [L]; for a finite horizon also [H, L].
        start: distribution of the first state [S]; the model's own if None.
        horizon: H; the model's own if None.

    Raises:
        ModelError: if a shape does not fit, there is no start, or the policy is not proper under γ = 1.

    Source: Sutton et al. (1999), Policy gradient methods for reinforcement learning with function approximation,
    theorem 1; Puterman (1994), section 6.9 for occupancies.
    """
    if horizon is not None or mdp.horizon is not None:
        return _finite(mdp, logits, start, horizon)
    policy = softmax(mdp, logits)
    evaluation = evaluate(mdp, policy)
    if evaluation.gain is not None:
        visits = stationary(mdp, policy, start=start)[mdp.row_state] * policy
        objective = float(visits @ mdp.rows.reward)
        if evaluation.certificate.lower.max() > evaluation.certificate.upper.min():
            raise ModelError("the gain depends on the state (several recurrent classes): it has no such gradient.")
    else:
        visits = occupancy(mdp, policy, start=start)
        objective = float(start_of(mdp, start) @ evaluation.values)
    return ExactGradient(
        mdp=mdp,
        objective=objective,
        gradient=visits * evaluation.advantages,
        policy=policy,
        occupancy=visits,
        advantages=evaluation.advantages,
        values=evaluation.values,
    )


def _finite(mdp: MDP, logits: ArrayLike, start: ArrayLike | None, horizon: int | None) -> ExactGradient:
    theta = np.asarray(logits, dtype=np.float64)
    timed = theta.shape[1:] == (mdp.num_rows,) and theta.shape[0] == (mdp.horizon if horizon is None else horizon)
    if timed and theta.shape != (mdp.num_states, mdp.num_actions):
        policy = np.stack([softmax(mdp, now) for now in theta])
    else:
        timed, policy = False, softmax(mdp, of_rows(mdp, theta))
    visits = finite_horizon_visits(mdp, policy, start=start, horizon=horizon)
    values = finite_horizon_values(mdp, policy, horizon=horizon)
    discount = 1.0 if mdp.criterion == "average" else mdp.discount
    visits *= discount ** np.arange(len(visits))[:, None]
    ahead = (mdp.matrix @ values[1:].T).T  # [H, L]
    advantages = mdp.rows.reward + discount * ahead - values[:-1][:, mdp.row_state]
    parts = visits * advantages
    return ExactGradient(
        mdp=mdp,
        objective=float(start_of(mdp, start) @ values[0]),
        gradient=parts if timed else parts.sum(0),
        policy=policy,
        occupancy=visits,
        advantages=advantages,
        values=values,
    )
