"""Entropy-regularised control: soft value iteration, and the value of a policy with its entropy counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from operant.mdp.analyse.evaluation import Evaluation, evaluate
from operant.mdp.bounds.certify import Contraction, initial_values, norm_of
from operant.mdp.bounds.fixed_point import fixed_point
from operant.mdp.bounds.sweeps import Choice, Sweeps, using
from operant.mdp.kernels import soft as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.policies import action_values, best_of, checked, over_actions, softmax
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Solution
from operant.mdp.validate import public


def soft_values(mdp: MDP, action_values: Floats, temperature: float) -> Floats:
    """τ log Σ_a exp(q(s, a) / τ), [S], from q [L]; states without rows have -inf.

    It is max over π of E_π[q - τ log π], attained by `softmax(mdp, q / τ)`.

    Source: Haarnoja et al. (2017), Reinforcement learning with deep energy-based policies, equation 3.
    """
    best = best_of(mdp, action_values)
    total = over_actions(mdp, np.exp((action_values - best[mdp.row_state]) / temperature))
    with np.errstate(divide="ignore"):
        return best + temperature * np.log(total)


@public("discounted")
def soft_value_iteration(mdp: MDP, *, temperature: float, **limits: Unpack[Limits]) -> Solution:
    """v(s) = τ log Σ_a exp((r(s, a) + γ Σ p v) / τ): the discounted return plus τ times the policy's entropy.

    As τ falls to 0 it tends to value iteration, from above and by at most τ log A / (1 - γ).

    Args:
        mdp: a discounted model.
        temperature: τ, above 0, in units of reward per nat.
        limits: as for every solver, see `operant.mdp.solve`.

    Returns:
        `policy` is the most likely action; `extra["policy"]` the soft optimal policy π(a | s) ∝ exp(q / τ), [L], whose
        soft value is within the certificate's loss of the optimum.

    Raises:
        ModelError: if τ is not above 0, the model is not discounted, or ε cannot be certified.

    Source: Ziebart (2010), Modeling purposeful adaptive behavior, chapter 6; Geist, Scherrer and Pietquin (2019), A
    theory of regularized Markov decision processes, section 2.
    """
    _check(temperature)
    most = int(np.diff(mdp.rows.pointer.astype(np.int64)).max(initial=1))
    base = Contraction.of(mdp)
    contraction = replace(
        base, longest=base.longest + most + 16, reward=base.reward + temperature * (1.0 + float(np.log(most)))
    )

    engine, q = Sweeps(mdp, limits.get("threads")), np.empty(mdp.num_rows)

    def sweep(values: Floats) -> tuple[Floats, Choice]:
        out, rows = np.empty_like(values), np.empty(mdp.num_states, dtype=np.int64)
        given = *engine.arrays, engine.discount, temperature, values, q, out, rows
        if engine.threads == 1:
            kernels.soft_range(np.uint64(0), np.uint64(len(values)), *given)
        else:
            with using(engine.threads):
                kernels.soft(engine.starts, *given)
        return out, rows

    solution = fixed_point(
        mdp,
        sweep,
        contraction,
        method="soft-value-iteration",
        theorem="the soft backup is monotone and carries constants as γ does, so the span of one sweep bounds it",
        **limits,
    )
    return replace(solution, extra={"policy": softmax(mdp, solution.action_values / temperature)})


@public("discounted")
def soft_policy_iteration(
    mdp: MDP, *, temperature: float, initial: Floats | None = None, max_iterations: int = 100
) -> Evaluation:
    """The soft optimal policy and its exact soft value: evaluate, then π ∝ exp(q / τ), until nothing changes.

    It is Newton's method on the soft Bellman equation: the error is squared in every round, down to rounding. For
    bounds on the error use `soft_value_iteration`, with these values as `initial`.

    Args:
        mdp: a discounted model.
        temperature: τ, above 0.
        initial: values [S] to start from; zeros if None.
        max_iterations: rounds at most.

    Raises:
        ModelError: if τ is not above 0, the model is not discounted, or values still move after `max_iterations`.

    Source: Haarnoja et al. (2018), Soft actor-critic, theorem 1; Puterman (1994), section 6.4.3, on Newton's method.
    """
    _check(temperature)
    values, last = initial_values(mdp, initial), np.inf
    for _ in range(max_iterations):
        evaluation = soft_evaluate(mdp, softmax(mdp, action_values(mdp, values) / temperature), temperature=temperature)
        moved = float(np.max(np.abs(evaluation.values - values), initial=0.0))
        values = evaluation.values
        scale = max(1.0, norm_of(values))
        if moved <= 1e-12 * scale or (moved < 1e-6 * scale and moved >= last):
            return evaluation
        last = moved
    raise ModelError(f"soft policy iteration still moves by {last:.2g} after {max_iterations} rounds.")


@public("discounted", "total", "average")
def soft_evaluate(mdp: MDP, policy: ArrayLike, *, temperature: float) -> Evaluation:
    """E_π[Σ γ^t (r_t - τ log π(a_t | s_t))]: the value of a policy with its entropy counted, exactly.

    `action_values` and `advantages` of the result count the entropy of later states only: they are less by the
    -τ log π(a | s) of the row itself than the bracket above.

    Raises:
        ModelError: if τ is negative, the policy is none, or under γ = 1 is not proper.
    """
    if not temperature >= 0.0:
        raise ModelError(f"temperature is {temperature}: it must be at least 0.")
    pi = checked(mdp, policy)
    bonus = -temperature * np.log(np.where(pi > 0.0, pi, 1.0))
    paid = replace(mdp.rows, reward=mdp.rows.reward + bonus, outcome_reward=None)
    return replace(evaluate(mdp.replace(rows=paid), pi), mdp=mdp)


def _check(temperature: float) -> None:
    if not temperature > 0.0:
        raise ModelError(f"temperature is {temperature}: it must be above 0; for 0 use operant.mdp.solve.")
