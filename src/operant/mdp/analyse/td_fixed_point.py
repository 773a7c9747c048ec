"""Linear value functions: the point to which TD(λ) converges."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from operant.mdp.analyse.chain import Chain
from operant.mdp.analyse.occupancy import start_of, state_occupancy, stationary
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, ModelError
from operant.mdp.validate import public


@public("discounted", "total")
def td_fixed_point(
    mdp: MDP, policy: ArrayLike, features: ArrayLike, *, lam: float = 0.0, weight: ArrayLike | None = None
) -> Floats:
    """w with Φ w = Π T^(λ) Φ w, [K]: the limit of TD(λ) with linear features, of LSTD(λ), and of batch TD at λ = 0.

        A w = b,   A = Φᵀ D (I - γλP)⁻¹ (I - γP) Φ,   b = Φᵀ D (I - γλP)⁻¹ r

    D weighs states: by the stationary distribution if nothing ends, by the expected visits of an episode if the model
    has terminal states. Those keep their own value, and their features are not read. λ = 1 is the best fit of v_π.

    Args:
        mdp: a discounted model, or total reward with a proper policy.
        policy: π(a | s) of each row, [L].
        features: Φ, [S, K].
        lam: λ in [0, 1].
        weight: the diagonal of D, [S]: off-policy, or to compare; on-policy if None.

    Raises:
        ModelError: if a shape does not fit, features depend on each other linearly where D is above 0, λ lies outside
            of [0, 1], or there is neither a stationary distribution nor a start.

    Source: Tsitsiklis and Van Roy (1997), An analysis of temporal-difference learning with function approximation;
    Sutton and Barto (2018), sections 9.4 and 12.
    """
    if not 0.0 <= lam <= 1.0:
        raise ModelError(f"lam is {lam}: λ lies in [0, 1].")
    table = np.asarray(features, dtype=np.float64)
    if table.ndim != 2 or len(table) != mdp.num_states or not np.isfinite(table).all():
        raise ModelError(
            f"features have shape {table.shape}, expected [S, K] = [{mdp.num_states}, K] of finite numbers."
        )
    chain = Chain(mdp, policy)
    d = _weights(mdp, policy) if weight is None else np.asarray(weight, dtype=np.float64)
    if d.shape != (mdp.num_states,) or not np.isfinite(d).all():
        raise ModelError(f"weight has shape {d.shape}, expected one finite number for each of {mdp.num_states} states.")
    running = np.zeros(mdp.num_states)
    running[chain.running] = 1.0
    table = table * running[:, None]
    traced = chain.under(chain.discount * lam).solve(
        (d * running)[:, None] * table, transposed=True
    )  # (Φᵀ D (I - γλP)⁻¹)ᵀ
    ahead = chain.discount * (chain.matrix @ table)
    A, b = traced.T @ (table - ahead), traced.T @ (chain.known() * running)
    if np.linalg.cond(A) > 1e13:
        raise ModelError(
            "the features depend on each other linearly (in the states that are visited): there is no one solution; "
            "leave some of them out."
        )
    return np.linalg.solve(A, b)


def _weights(mdp: MDP, policy: ArrayLike) -> Floats:
    """Expected visits, undiscounted, where episodes end, and else the stationary distribution."""
    if not mdp.rows.terminal.any() and not mdp.leak:
        return stationary(mdp, policy)
    return state_occupancy(Chain(mdp, policy).transient, start_of(mdp, None))
