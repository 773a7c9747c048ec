"""A fixed number of decisions: backward induction, and the value of a policy with that many decisions to go."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.analyse.chain import UNIT
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.model import MDP
from operant.mdp.options import Watch
from operant.mdp.policies import checked, labels_of, over_actions
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Certificate, Solution


def finite_horizon(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
    horizon: int | None = None,
    final: ArrayLike | None = None,
) -> Solution:
    """Backward induction: v_t(s) = max_a r(s, a) + γ Σ p(s' | s, a) v_{t+1}(s'), t = H-1, …, 0; any γ in [0, 1].

    Args:
        mdp: the model; for the average criterion γ = 1 is taken.
        epsilon: no value may be further off than this; rounding is the only error.
        watch: called with (decisions to go, twice the rounding so far, v_t).
        max_iterations: not needed: H sweeps are made; fewer than H are refused.
        threads: how many; None for all, or one if the model is small.
        horizon: H decisions; the model's own if None.
        final: v_H [S], what a state is worth once the last decision is made; 0 if None. Terminal states keep theirs.

    Returns:
        values [H+1, S], policy and rows [H, S]; the bounds of the certificate are [H+1, S] too.

    Raises:
        ModelError: if there is no horizon, or `final` has another shape, or ε is below the rounding.

    Source: Puterman (1994), section 4.5.
    """
    began = time.perf_counter()
    steps = _horizon(mdp, horizon)
    if max_iterations is not None and max_iterations < steps:
        raise ModelError(f"max_iterations is {max_iterations}: a horizon of {steps} needs as many sweeps.")
    engine = Sweeps(_undiscounted(mdp), threads)
    discount, rounding = engine.discount, _rounding(mdp)
    values, off = _frame(mdp, steps, final), np.zeros(steps + 1)
    choice = np.full((steps, mdp.num_states), -1, dtype=np.int64)
    for t in range(steps - 1, -1, -1):
        after = values[t + 1]
        engine.backup(after, values[t], choice[t])
        _keep(mdp, values[t])
        off[t] = discount * (1.0 + 1e-8) * off[t + 1] + rounding(after)
        if watch is not None:
            watch(steps - t, 2 * off[t], values[t])
    worst = float(off.max(initial=0.0))
    if worst > epsilon:
        raise ModelError(
            f"epsilon is {epsilon:g}, but rounding may add {worst:.2g} to a value: ask for more than that."
        )
    return Solution(
        mdp=mdp,
        values=values,
        policy=labels_of(mdp, choice),
        rows=choice,
        certificate=Certificate(
            criterion=mdp.criterion,
            lower=values - off[:, None],
            upper=values + off[:, None],
            policy_loss=2 * worst,
            rounding=worst,
            why="backward induction is exact but for the rounding of its sums",
        ),
        method="finite-horizon",
        why=f"the horizon is finite: {steps} sweeps backwards from the end",
        iterations=steps,
        seconds=time.perf_counter() - began,
    )


def finite_horizon_values(
    mdp: MDP, policy: ArrayLike, *, horizon: int | None = None, final: ArrayLike | None = None
) -> Floats:
    """v_t of a policy with H - t decisions to go, [H+1, S].

    Args:
        mdp: the model.
        policy: π(a | s) as [L], or as [H, L] if it depends on the time.
        horizon: H; the model's own if None.
        final: v_H [S], as in `finite_horizon`.

    Raises:
        ModelError: if there is no horizon, or the policy is none.

    Source: Puterman (1994), section 4.2.
    """
    steps = _horizon(mdp, horizon)
    each = policy_at(mdp, policy, steps)
    discount = _undiscounted(mdp).discount
    values, matrix = _frame(mdp, steps, final), mdp.matrix
    for t in range(steps - 1, -1, -1):
        values[t] = over_actions(mdp, each[t] * (mdp.rows.reward + discount * (matrix @ values[t + 1])))
        _keep(mdp, values[t])
    return values


def policy_at(mdp: MDP, policy: ArrayLike, steps: int) -> Floats:
    """[H, L]: a policy for each time, checked; [L] is repeated.

    Raises:
        ModelError: if it is none, naming the state.
    """
    each = np.asarray(policy, dtype=np.float64)
    if each.ndim == 1:
        return np.broadcast_to(checked(mdp, each), (steps, mdp.num_rows))
    if len(each) != steps:
        raise ModelError(f"the policy has shape {each.shape}, expected [L] or [H, L] with H = {steps}.")
    return np.stack([checked(mdp, now) for now in each])


def _horizon(mdp: MDP, horizon: int | None) -> int:
    steps = mdp.horizon if horizon is None else horizon
    if steps is None:
        raise ModelError("the model has no horizon: pass horizon=, the number of decisions.")
    if steps < 0:
        raise ModelError(f"horizon is {steps}: a number of decisions is at least 0.")
    return steps


def _undiscounted(mdp: MDP) -> MDP:
    """The model itself; with γ = 1 for the average criterion, which reads no discount."""
    return mdp.replace(discount=1.0, criterion="average") if mdp.criterion == "average" else mdp


def _frame(mdp: MDP, steps: int, final: ArrayLike | None) -> Floats:
    """[H+1, S] with its last row filled in."""
    values = np.zeros((steps + 1, mdp.num_states))
    if final is not None:
        last = np.asarray(final, dtype=np.float64)
        if last.shape != (mdp.num_states,):
            raise ModelError(f"final has shape {last.shape}, expected one value for each of {mdp.num_states} states.")
        values[steps] = last
    _keep(mdp, values[steps])
    return values


def _keep(mdp: MDP, values: Floats) -> None:
    """Terminal states keep their value."""
    terminal: NDArray[np.bool_] = mdp.rows.terminal
    values[terminal] = mdp.rows.terminal_value[terminal]


def _rounding(mdp: MDP) -> Callable[[Floats], float]:
    """How far one entry of a sweep of values can be off: a sum of k products has a relative error of (k + 2) u."""
    most = int(np.diff(mdp.rows.indptr).max(initial=0))
    reward = float(np.abs(mdp.rows.reward).max(initial=0.0))
    return lambda values: (most + 2) * UNIT * (reward + float(np.abs(values).max(initial=0.0)))
