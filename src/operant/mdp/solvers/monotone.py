"""The policy iteration that never decreases the return: a lower bound is maximised in place of an estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.analyse.evaluation import evaluate
from operant.mdp.analyse.occupancy import occupancy, start_of
from operant.mdp.kernels.improvement import penalised
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, ModelError
from operant.mdp.validate import public


@dataclass(frozen=True, kw_only=True, eq=False)
class MonotoneStep:
    """One policy of the iteration, and what was promised of it."""

    policy: Floats  # [O, A]
    objective: float  # η(π), exact
    bound: float  # L(π) - C max KL of the policy before, which η(π) is at least; -inf of the first
    divergence: float  # max_o KL(before || π); 0 of the first
    penalty: float  # C of the step that led here; 0 of the first


@public("discounted")
def monotone_policy_iteration(
    mdp: MDP,
    *,
    groups: ArrayLike | None = None,
    initial: ArrayLike | None = None,
    penalty: float | None = None,
    iterations: int = 100,
    start: ArrayLike | None = None,
) -> list[MonotoneStep]:
    """π ← argmax_π' L_π(π') - C max_o KL(π(·|o) || π'(·|o)), with C = 4 ε γ / (1 - γ)² and ε = max |A_π|.

    L_π(π') = η(π) + Σ_s ρ_π(s) Σ_a π'(a|s) A_π(s, a) is exact at π' = π, where the penalty is 0, and η(π') ≥ L_π(π')
    - C max KL everywhere: so η never falls, whatever the class of policies. The class here is that of policies which
    see the group of a state and not the state; alone in its group each state is seen.

    Args:
        mdp: the model.
        groups: o of each state [S], from 0; None for a group each. States of one group must have the same actions.
        initial: π(a | o) to begin with, [O, A]; uniform if None.
        penalty: C; the theorem's if None. Without one, 0, the step maximises L alone: that is policy iteration where
            each state is seen, which never decreases the return either, but may where it is not.
        iterations: how many steps.
        start: distribution of the first state [S]; the model's own if None.

    Returns:
        iterations + 1 steps, the first being the policy that it began with.

    Raises:
        ModelError: if a shape does not fit, or the states of a group have different actions.

    Source: Schulman et al. (2015), Trust region policy optimization, algorithm 1 and theorem 1; Kakade and Langford
    (2002), Approximately optimal approximate reinforcement learning.
    """
    group, admissible = _groups(mdp, groups)
    pi = admissible / admissible.sum(-1, keepdims=True) if initial is None else np.asarray(initial, dtype=np.float64)
    if pi.shape != admissible.shape:
        raise ModelError(f"initial has shape {pi.shape}, expected a probability for each of {admissible.shape}.")
    first = start_of(mdp, start)
    cell = group[mdp.row_state], mdp.rows.action
    found, bound, apart, weight = list[MonotoneStep](), -np.inf, 0.0, 0.0
    while True:
        evaluation = evaluate(mdp, pi[cell])
        objective = float(first @ evaluation.values)
        found.append(MonotoneStep(policy=pi, objective=objective, bound=bound, divergence=apart, penalty=weight))
        if len(found) > iterations:
            return found
        advantages = evaluation.advantages
        gain = np.zeros(admissible.shape)
        np.add.at(gain, cell, _visits(mdp, pi[cell], first) * advantages)
        epsilon = float(np.abs(advantages).max(initial=0.0))
        weight = 4 * epsilon * mdp.discount / (1 - mdp.discount) ** 2 if penalty is None else penalty
        after = np.zeros_like(pi)
        if weight > 0.0:
            apart = float(penalised(pi, gain, weight, after))
        else:
            best = np.where(admissible, gain, -np.inf).argmax(-1)
            after[np.arange(len(best)), best] = 1.0
            apart = np.inf
        bound = objective + float((gain * (after - pi)).sum()) - (weight * apart if weight > 0.0 else 0.0)
        pi = after


def _visits(mdp: MDP, policy: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """ρ_π of each row's state."""
    rho = occupancy(mdp, policy, start=first)
    visits: NDArray[np.float64] = np.bincount(mdp.row_state, weights=rho, minlength=mdp.num_states).astype(np.float64)
    return visits[mdp.row_state]


def _groups(mdp: MDP, groups: ArrayLike | None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The group of each state [S], and which actions each group has [O, A]; terminal states may be in any."""
    has = np.zeros((mdp.num_states, mdp.num_actions), np.bool_)
    has[mdp.row_state, mdp.rows.action] = True
    group = np.arange(mdp.num_states) if groups is None else np.asarray(groups)
    if group.shape != (mdp.num_states,) or group.dtype.kind not in "iu" or (group < 0).any():
        raise ModelError(f"groups must be a whole number from 0 for each of {mdp.num_states} states.")
    admissible = np.zeros((int(group.max()) + 1, mdp.num_actions), np.bool_)
    np.logical_or.at(admissible, group, has)
    differ = np.flatnonzero((has != admissible[group]).any(-1) & has.any(-1))
    if len(differ):
        raise ModelError(f"state {mdp.name(int(differ[0]))} lacks an action of its group {group[differ[0]]}.")
    admissible[~admissible.any(-1), 0] = True  # a group of terminal states decides nothing
    return group.astype(np.int64), admissible
