"""Inverse reinforcement learning by maximum (causal) entropy: the reward that best explains what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.analyse.gradient import finite_horizon_visits
from operant.mdp.analyse.occupancy import occupancy, start_of
from operant.mdp.model import MDP, Floats, ModelError
from operant.mdp.policies import softmax
from operant.mdp.solution import Watch
from operant.mdp.solvers.soft import soft_policy_iteration, soft_values


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


def feature_expectations(
    mdp: MDP, features: ArrayLike, demonstrations: Sequence[tuple[ArrayLike, ArrayLike]]
) -> Floats:
    """The mean over demonstrations of Σ_t γ^t f(s_t, a_t), [K].

    Args:
        mdp: the model; γ and the rows are read.
        features: f as [L, K], or [S, K] of states.
        demonstrations: (states [T] or [T+1], actions [T]) of each; a last state without an action is not read.

    Raises:
        ModelError: if there are none, or an action is not admissible.

    Source: Abbeel and Ng (2004), Apprenticeship learning via inverse reinforcement learning, section 2.
    """
    table = _features(mdp, features)
    if not demonstrations:
        raise ModelError("there are no demonstrations.")
    total = np.zeros(table.shape[1])
    for states, actions in demonstrations:
        done: NDArray[np.int64] = np.asarray(actions, dtype=np.int64)
        seen: NDArray[np.int64] = np.asarray(states, dtype=np.int64)
        rows = [mdp.row(int(s), int(a)) for s, a in zip(seen, done, strict=False)]
        total += mdp.discount ** np.arange(len(rows)) @ table[rows]
    return total / len(demonstrations)


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
    P(path) ∝ exp(w · f(path)) over paths. Minimised by L-BFGS.

    Args:
        mdp: a discounted model, or one with a horizon; its own reward and terminal values are not read.
        features: f as [L, K], or [S, K] of states.
        expert: μ_E [K], the expert's discounted feature expectations; see `feature_expectations`.
        start: distribution of the first state [S]; the model's own if None.
        horizon: number of decisions; the model's own if None.
        penalty: weight of the square of w, at least 0.
        tolerance: stops where no component of the gradient is larger.
        watch: called with (iteration, max |μ_w - μ_E|, weights [K]).
        max_iterations: of L-BFGS.

    Raises:
        ModelError: if shapes do not fit, the model is neither discounted nor of a finite horizon, or the gradient is
            not within `tolerance` after `max_iterations` (μ_E then may lie outside of what policies can attain).

    Source: Ziebart et al. (2008), Maximum entropy inverse reinforcement learning, sections 3 and 4 and algorithm 1;
    Ziebart (2010), Modeling purposeful adaptive behavior, section 6.2 for stochastic dynamics.
    """
    from scipy.optimize import minimize  # a fifth of a second to import

    table, first, aim = _features(mdp, features), start_of(mdp, start), np.asarray(expert, dtype=np.float64)
    if aim.shape != (table.shape[1],):
        raise ModelError(
            f"expert has shape {aim.shape}, expected one expectation for each of {table.shape[1]} features."
        )
    steps = mdp.horizon if horizon is None else horizon
    if steps is None and mdp.criterion != "discounted":
        raise ModelError("maximum-entropy IRL needs a discount below 1 or a horizon: pass horizon=.")
    model = _Passes(mdp, table, first, steps)
    count = 0

    def dual(weights: Floats) -> tuple[float, Floats]:
        value, expected, _ = model(weights)
        return value - float(weights @ aim) + 0.5 * penalty * float(
            weights @ weights
        ), expected - aim + penalty * weights

    def told(weights: Floats) -> None:
        nonlocal count
        count += 1
        if watch is not None:
            watch(count, float(np.max(np.abs(model(weights)[1] - aim))), weights)

    result = minimize(
        dual,
        np.zeros(len(aim)),
        jac=True,
        method="L-BFGS-B",
        callback=told,
        options={
            "gtol": 0.5 * tolerance,
            "ftol": 0.0,
            "maxiter": max_iterations,
            "maxfun": 10 * max_iterations,
            "maxcor": 30,
        },
    )
    weights: Floats = np.asarray(result.x, dtype=np.float64)
    value, slope = dual(weights)
    worst = float(np.max(np.abs(slope), initial=0.0))
    if worst > tolerance:
        raise ModelError(
            f"the gradient is still {worst:.2g} after {count} iterations, above tolerance={tolerance:g}: raise one of "
            "them, or set penalty above 0 if no policy has the expert's feature expectations."
        )
    _, expected, policy = model(weights)
    return Explanation(
        mdp=model.rewarded(weights),
        weights=weights,
        policy=policy,
        expectations=expected,
        mismatch=float(np.max(np.abs(expected - aim), initial=0.0)),
        log_likelihood=-(value - 0.5 * penalty * float(weights @ weights)),
        iterations=count,
    )


class _Passes:
    """Backward and forward pass of one problem: (E[V(s_0)], feature expectations [K], policy) of weights [K]."""

    def __init__(self, mdp: MDP, table: Floats, start: Floats, steps: int | None) -> None:
        none = np.zeros(mdp.num_states)
        rows = replace(mdp.rows, terminal_value=none, outcome_reward=None)
        self.mdp, self.table, self.start, self.steps = mdp.replace(rows=rows), table, start, steps
        self.last: Floats | None = None  # the values found before: the next weights are near

    def rewarded(self, weights: Floats) -> MDP:
        """The model with r = w · f."""
        return self.mdp.replace(rows=replace(self.mdp.rows, reward=self.table @ weights))

    def __call__(self, weights: Floats) -> tuple[float, Floats, Floats]:
        mdp = self.rewarded(weights)
        if self.steps is not None:
            return self._finite(mdp, self.steps)
        found = soft_policy_iteration(mdp, temperature=1.0, initial=self.last)
        self.last = found.values
        visits = occupancy(mdp, found.policy, start=self.start)
        return float(self.start @ found.values), visits @ self.table, found.policy

    def _finite(self, mdp: MDP, steps: int) -> tuple[float, Floats, Floats]:
        values, policy = np.zeros(mdp.num_states), np.empty((steps, mdp.num_rows))
        for t in range(steps - 1, -1, -1):
            q = mdp.rows.reward + mdp.discount * (mdp.matrix @ values)
            policy[t] = softmax(mdp, q)
            values = np.where(mdp.rows.terminal, 0.0, soft_values(mdp, q, 1.0))
        visits = finite_horizon_visits(mdp, policy, start=self.start, horizon=steps)
        weight = mdp.discount ** np.arange(steps) @ visits
        return float(self.start @ values), weight @ self.table, policy


def _features(mdp: MDP, features: ArrayLike) -> Floats:
    table = np.asarray(features, dtype=np.float64)
    if table.ndim == 2 and table.shape[0] == mdp.num_rows:
        return table
    if table.ndim == 2 and table.shape[0] == mdp.num_states:
        return table[mdp.row_state]
    raise ModelError(
        f"features have shape {table.shape}, expected [L, K] = [{mdp.num_rows}, K] or [S, K] = [{mdp.num_states}, K]."
    )
