"""A fixed number of decisions: what a policy is worth with so many to go, and where it is when."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from operant.data.ranges import whole
from operant.mdp.analyse.occupancy import start_of
from operant.mdp.model import MDP
from operant.mdp.policies import checked, over_actions
from operant.mdp.rows import Floats, Mask, ModelError
from operant.mdp.validate import public


@public()
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
    steps = decisions(mdp, horizon)
    each = policy_at(mdp, policy, steps)
    discount = undiscounted(mdp).discount
    values, matrix = last_values(mdp, steps, final), mdp.matrix
    for t in range(steps - 1, -1, -1):
        values[t] = over_actions(mdp, each[t] * (mdp.rows.reward + discount * (matrix @ values[t + 1])))
        keep_terminal(mdp, values[t])
    return values


def finite_horizon_visits(
    mdp: MDP, policy: ArrayLike, *, start: ArrayLike | None = None, horizon: int | None = None
) -> Floats:
    """P(S_t = s, A_t = a) of every row for t = 0, …, H-1, [H, L]; not discounted.

    Args:
        mdp: the model.
        policy: π(a | s) as [L] or [H, L].
        start: distribution of the first state [S]; the model's own if None.
        horizon: H; the model's own if None.

    Raises:
        ModelError: if there is no horizon or start, or the policy is none.

    Source: Puterman (1994), section 4.2.
    """
    steps = decisions(mdp, horizon)
    each, state = policy_at(mdp, policy, steps), start_of(mdp, start)
    visits = np.empty((steps, mdp.num_rows))
    for t in range(steps):
        visits[t] = state[mdp.row_state] * each[t]
        state = mdp.matrix.T @ visits[t]
    return visits


def policy_at(mdp: MDP, policy: ArrayLike, steps: int) -> Floats:
    """[H, L]: a policy for each time, checked; [L] is repeated. An action for each state serves too: [S] or [H, S].

    Raises:
        ModelError: if it is none, naming the state.
    """
    each = np.asarray(policy)
    if each.ndim == 1:
        return np.broadcast_to(checked(mdp, each), (steps, mdp.num_rows))
    if len(each) != steps:
        raise ModelError(
            f"the policy has shape {each.shape}, expected [L] or [H, L] with H = {steps}, or actions [S] or [H, S]."
        )
    return np.stack([checked(mdp, now) for now in each])


def decisions(mdp: MDP, horizon: int | None) -> int:
    """H: the horizon that was passed, or the model's own.

    Raises:
        ModelError: if there is neither, or it is no number of decisions.
    """
    steps = mdp.horizon if horizon is None else horizon
    if steps is None:
        raise ModelError("the model has no horizon: pass horizon=, the number of decisions.")
    return whole("horizon", steps, 0, error=ModelError)


def undiscounted(mdp: MDP) -> MDP:
    """The model itself; with γ = 1 for the average criterion, which reads no discount."""
    return mdp.replace(discount=1.0, criterion="average") if mdp.criterion == "average" else mdp


def last_values(mdp: MDP, steps: int, final: ArrayLike | None) -> Floats:
    """[H+1, S], of which the last row is filled in: `final`, or 0, and what terminal states are worth."""
    values = np.zeros((steps + 1, mdp.num_states))
    if final is not None:
        last = np.asarray(final, dtype=np.float64)
        if last.shape != (mdp.num_states,):
            raise ModelError(f"final has shape {last.shape}, expected one value for each of {mdp.num_states} states.")
        values[steps] = last
    keep_terminal(mdp, values[steps])
    return values


def keep_terminal(mdp: MDP, values: Floats) -> None:
    """Terminal states keep their value."""
    terminal: Mask = mdp.rows.terminal
    values[terminal] = mdp.rows.terminal_value[terminal]
