"""Inverse reinforcement learning by maximum (causal) entropy: the reward that best explains what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.analyse.chain import Chain
from operant.mdp.analyse.finite_horizon import finite_horizon_visits, undiscounted
from operant.mdp.analyse.occupancy import occupancy, start_of
from operant.mdp.model import MDP
from operant.mdp.options import Watch
from operant.mdp.policies import averaged, softmax
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solvers.soft import soft_policy_iteration, soft_values
from operant.mdp.validate import public


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """A reward that explains demonstrations, up to what they leave open (constants, potentials, dead features)."""

    mdp: MDP  # the model with the reward found
    weights: Floats  # [K]
    policy: Floats  # the soft optimal policy of that reward, [L], or [H, L] for a finite horizon
    expectations: Floats  # [K]  feature expectations of that policy
    mismatch: float  # max |expectations - those of the demonstrations|
    log_likelihood: float  # E[Σ γ^t log π(a_t | s_t)] per demonstration
    iterations: int


@public("discounted", "total", "finite-horizon")
def feature_expectations(
    mdp: MDP, features: ArrayLike, demonstrations: Sequence[tuple[ArrayLike, ArrayLike]]
) -> Floats:
    """The mean over demonstrations of Σ_t γ^t f(s_t, a_t), [K].

    Args:
        mdp: the model; γ and the rows are read.
        features: f as [L, K], or [S, K] of states.
        demonstrations: (states [T] or [T+1], actions [T]) of each; a last state without an action is not read.

    Raises:
        ModelError: if there are none, an action is not admissible, one is longer than the horizon, or the criterion is
            the average.

    Source: Abbeel and Ng (2004), Apprenticeship learning via inverse reinforcement learning, section 2.
    """
    table, discount = _features(mdp, features), undiscounted(mdp).discount
    if not demonstrations:
        raise ModelError("there are no demonstrations.")
    total = np.zeros(table.shape[1])
    for states, actions in demonstrations:
        done: NDArray[np.int64] = np.asarray(actions, dtype=np.int64)
        seen: NDArray[np.int64] = np.asarray(states, dtype=np.int64)
        if mdp.horizon is not None and len(done) > mdp.horizon:
            raise ModelError(f"a demonstration has {len(done)} decisions, and the horizon is {mdp.horizon}.")
        rows = [mdp.row(int(s), int(a)) for s, a in zip(seen, done, strict=False)]
        total += discount ** np.arange(len(rows)) @ table[rows]
    return total / len(demonstrations)


@public()
def maxent_irl(
    mdp: MDP,
    features: ArrayLike,
    expert: ArrayLike,
    *,
    start: ArrayLike | None = None,
    horizon: int | None = None,
    penalty: float = 0.0,
    tolerance: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int = 1000,
) -> Explanation:
    """The weights w of r(s, a) = w · f(s, a) under which the expert's features have the greatest likelihood.

    Among all policies that match the expert's feature expectations μ_E, the one of greatest causal entropy is the soft
    optimal one (τ = 1) of some w, and w minimises the convex dual

        L(w) = E[V_w(s_0)] - w · μ_E + ½ penalty ‖w‖²,   ∇L = μ_w - μ_E + penalty · w,

    with V_w by a soft backward pass and μ_w by a forward pass. For deterministic dynamics it is the distribution
    P(path) ∝ exp(w · f(path)) over paths. Minimised by L-BFGS, and by Newton's method at the
    end, where the line search of L-BFGS meets the rounding of L.

    Args:
        mdp: a discounted model, or one with a horizon; its own reward and terminal values are not read.
        features: f as [L, K], or [S, K] of states.
        expert: μ_E [K], the expert's discounted feature expectations; see `feature_expectations`.
        start: distribution of the first state [S]; the model's own if None.
        horizon: number of decisions; the model's own if None.
        penalty: weight of the square of w, at least 0.
        tolerance: stops where no component of the gradient is larger.
        watch: called with (iteration, max |μ_w - μ_E|, weights [K]).
        max_iterations: of both together.

    Raises:
        ModelError: if shapes do not fit, the model is neither discounted nor of a finite horizon, or the gradient is
            not within `tolerance` after `max_iterations` (μ_E then may lie outside of what policies can attain).

    Source: Ziebart et al. (2008), Maximum entropy inverse reinforcement learning, sections 3 and 4 and algorithm 1;
    Ziebart (2010), Modeling purposeful adaptive behavior, section 6.2 for stochastic dynamics.
    """
    model = _Passes(mdp, _features(mdp, features), start_of(mdp, start), mdp.horizon if horizon is None else horizon)
    aim = _expectations(expert, model.table.shape[1])
    dual = _Dual(model, aim, penalty, watch)
    weights, worst = dual.minimise(tolerance, max_iterations)
    if worst > tolerance:
        raise ModelError(
            f"the gradient is still {worst:.2g} after {dual.count} iterations, above tolerance={tolerance:g}: raise "
            "one of them, or set penalty above 0 if no policy has the expert's feature expectations."
        )
    value, expected, policy = model(weights)
    return Explanation(
        mdp=model.rewarded(weights),
        weights=weights,
        policy=policy,
        expectations=expected,
        mismatch=float(np.max(np.abs(expected - aim), initial=0.0)),
        log_likelihood=float(weights @ aim) - value,
        iterations=dual.count,
    )


class _Dual:
    """L(w) and its gradient; how many iterations have been made."""

    def __init__(self, model: _Passes, aim: Floats, penalty: float, watch: Watch | None) -> None:
        self.model, self.aim, self.penalty, self.watch, self.count = model, aim, penalty, watch, 0

    def __call__(self, weights: Floats) -> tuple[float, Floats]:
        value, expected, _ = self.model(weights)
        square = float(weights @ weights)
        slope = expected - self.aim + self.penalty * weights
        return value - float(weights @ self.aim) + 0.5 * self.penalty * square, slope

    def minimise(self, tolerance: float, max_iterations: int) -> tuple[Floats, float]:
        """L-BFGS from zeros, then Newton's method: (w, max |∇L|)."""
        from scipy.optimize import minimize  # a fifth of a second to import

        options = {"gtol": 0.5 * tolerance, "ftol": 0.0, "maxiter": max_iterations, "maxfun": 10 * max_iterations}
        result = minimize(
            self,
            np.zeros(len(self.aim)),
            jac=True,
            method="L-BFGS-B",
            callback=self.counted,
            options=options | {"maxcor": 30},
        )
        return self.polished(np.asarray(result.x, dtype=np.float64), tolerance, max_iterations)

    def counted(self, weights: Floats) -> None:
        self.count += 1
        if self.watch is not None:
            self.watch(self.count, float(np.max(np.abs(self.model(weights)[1] - self.aim))), weights)

    def polished(self, weights: Floats, tolerance: float, max_iterations: int) -> tuple[Floats, float]:
        """Newton steps while they lower max |∇L|: (w, max |∇L|).

        A line search compares values of L, so it ends where these are equal up to rounding, at a gradient of about
        √u. How near depends on how the processor adds. The gradient itself is known to about u.
        """
        slope = self(weights)[1]
        worst = float(np.max(np.abs(slope), initial=0.0))
        while worst > tolerance and self.count < max_iterations:
            curvature = self.model.curvature(weights) + self.penalty * np.eye(len(weights))
            step: Floats = np.asarray(np.linalg.lstsq(curvature, slope, rcond=1e-10)[0], dtype=np.float64)
            if not np.abs(step).max() <= max(1.0, np.abs(weights).max()):
                break  # not at the end of a search: there is no minimum, or it is far
            slope = self(weights - step)[1]
            if not np.abs(slope).max() < worst:
                break
            weights, worst = weights - step, float(np.abs(slope).max())
            self.counted(weights)
        return weights, worst


class _Passes:
    """Backward and forward pass of one problem: (E[V(s_0)], feature expectations [K], policy) of weights [K]."""

    def __init__(self, mdp: MDP, table: Floats, start: Floats, steps: int | None) -> None:
        if steps is None and mdp.criterion != "discounted":
            raise ModelError("maximum-entropy IRL needs a discount below 1 or a horizon: pass horizon=.")
        none = np.zeros(mdp.num_states)
        rows = replace(mdp.rows, terminal_value=none, outcome_reward=None)
        self.mdp = undiscounted(mdp.replace(rows=rows))
        self.table, self.start, self.steps = table, start, steps
        self.last: Floats | None = None  # the values found before: the next weights are near

    def rewarded(self, weights: Floats) -> MDP:
        """The model with r = w · f."""
        return self.mdp.replace(rows=replace(self.mdp.rows, reward=self.table @ weights))

    def __call__(self, weights: Floats) -> tuple[float, Floats, Floats]:
        mdp = self.rewarded(weights)
        if self.steps is not None:
            return self._finite(mdp, self.steps)
        evaluation = soft_policy_iteration(mdp, temperature=1.0, initial=self.last)
        self.last = evaluation.values
        visits = occupancy(mdp, evaluation.policy, start=self.start)
        return float(self.start @ evaluation.values), visits @ self.table, evaluation.policy

    def _finite(self, mdp: MDP, steps: int) -> tuple[float, Floats, Floats]:
        values, policy = np.zeros(mdp.num_states), np.empty((steps, mdp.num_rows))
        for t in range(steps - 1, -1, -1):
            q = mdp.rows.reward + mdp.discount * (mdp.matrix @ values)
            policy[t] = softmax(mdp, q)
            values = np.where(mdp.rows.terminal, 0.0, soft_values(mdp, q, 1.0))
        visits = finite_horizon_visits(mdp, policy, start=self.start, horizon=steps)
        weight = mdp.discount ** np.arange(steps) @ visits
        return float(self.start @ values), weight @ self.table, policy

    def curvature(self, weights: Floats) -> Floats:
        """∇²E[V(s_0)], [K, K]: Σ μ(s, a) A(s, a) A(s, a)ᵀ, with A [L, K] the advantages of each feature as a reward."""
        mdp, table = self.mdp, self.table
        policy = self(weights)[2]
        if self.steps is None:
            chain = Chain(mdp, policy)
            ahead = chain.solve(chain.weights @ table)
            spread = table + mdp.discount * (mdp.matrix @ ahead) - ahead[mdp.row_state]
            return spread.T @ (occupancy(mdp, policy, start=self.start)[:, None] * spread)
        visits = finite_horizon_visits(mdp, policy, start=self.start, horizon=self.steps)
        total, ahead = np.zeros((table.shape[1],) * 2), np.zeros((mdp.num_states, table.shape[1]))
        for t in range(self.steps - 1, -1, -1):
            gained = table + mdp.discount * (mdp.matrix @ ahead)
            ahead = averaged(mdp, policy[t]) @ gained
            spread = gained - ahead[mdp.row_state]
            total += mdp.discount**t * spread.T @ (visits[t][:, None] * spread)
        return total


def _expectations(expert: ArrayLike, features: int) -> Floats:
    aim = np.asarray(expert, dtype=np.float64)
    if aim.shape != (features,):
        raise ModelError(f"expert has shape {aim.shape}, expected one expectation for each of {features} features.")
    return aim


def _features(mdp: MDP, features: ArrayLike) -> Floats:
    table = np.asarray(features, dtype=np.float64)
    if table.ndim == 2 and table.shape[0] == mdp.num_rows:
        return table
    if table.ndim == 2 and table.shape[0] == mdp.num_states:
        return table[mdp.row_state]
    raise ModelError(
        f"features have shape {table.shape}, expected [L, K] = [{mdp.num_rows}, K] or [S, K] = [{mdp.num_states}, K]."
    )
