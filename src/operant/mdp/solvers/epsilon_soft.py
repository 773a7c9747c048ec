"""The best of all ε-soft policies, and bounds of v* from the exact value of one policy."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from operant.mdp.analyse.chain import Chain
from operant.mdp.analyse.evaluation import Evaluation, evaluate
from operant.mdp.model import MDP
from operant.mdp.options import Watch
from operant.mdp.policies import best_of, decides, epsilon_soft, soften, uniform
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Certificate, Solution
from operant.mdp.validate import public


@public("discounted", "total")
def best_epsilon_soft(
    mdp: MDP, epsilon: float, *, watch: Watch | None = None, max_iterations: int = 1000
) -> tuple[Solution, Floats]:
    """The best policy among those that take a uniform action with probability ε: the limit of SARSA and of expected
    SARSA under constant ε, by policy iteration with exact evaluation.

    Args:
        mdp: the model, discounted, or total with every ε-soft policy proper.
        epsilon: ε in (0, 1]; for ε = 0 use `operant.mdp.solve`.
        watch: called with (improvement, largest gain of an action over its state's value, values).
        max_iterations: improvements at most.

    Returns:
        The solution of `soften(mdp, epsilon)`, whose `policy` is the greedy part, and the ε-soft policy [L] of `mdp`.

    Raises:
        ModelError: if the policy still improves after `max_iterations`, or is not proper under γ = 1.

    Source: Sutton and Barto (2018), section 5.4 (policy iteration works for ε-soft policies).
    """
    started = time.perf_counter()
    if epsilon == 0.0:
        raise ModelError("epsilon is 0, which is the optimal policy itself: use operant.mdp.solve.")
    model = soften(mdp, epsilon)
    evaluation, history = _improve(model, watch, max_iterations)
    rows = np.full(mdp.num_states, -1)
    chosen = np.flatnonzero(evaluation.policy > 0.5)
    rows[mdp.row_state[chosen]] = chosen
    certificate = certify_policy(evaluation, max_iterations=max_iterations)
    solution = Solution(
        mdp=model,
        values=(certificate.lower + certificate.upper) / 2,
        policy=mdp.action_labels(rows),
        rows=rows,
        certificate=certificate,
        method="policy-iteration",
        why="exact policy iteration among ε-soft policies; it stopped because no action improves any state",
        iterations=len(history),
        seconds=time.perf_counter() - started,
        history=tuple(history),
    )
    return solution, epsilon_soft(mdp, evaluation.policy, epsilon)


def _improve(model: MDP, watch: Watch | None, max_iterations: int) -> tuple[Evaluation, list[tuple[int, float]]]:
    """Policy iteration from the uniform policy; a state changes its row only for one better by more than rounding."""
    policy, has, states = uniform(model), decides(model), model.row_state
    history: list[tuple[int, float]] = []
    for iteration in range(1, max_iterations + 1):
        evaluation = evaluate(model, policy)
        q = evaluation.action_values
        best, now = best_of(model, q), np.full(model.num_states, -np.inf)
        now[states[policy > 0.5]] = q[policy > 0.5]
        margin = 1e-11 * np.maximum(1.0, np.abs(best)) + min(evaluation.certificate.gap, 1e300)
        change = has & (now < best - margin)
        history.append((iteration, float(np.max((best - evaluation.values)[has], initial=0.0))))
        if watch is not None:
            watch(*history[-1], evaluation.values)
        if not change.any():
            return evaluation, history
        first = np.full(model.num_states, -1)
        greedy = np.flatnonzero(q >= (best - margin)[states])[::-1]
        first[states[greedy]] = greedy  # the first of them: the last one written
        policy = policy * ~change[states]
        policy[first[change]] = 1.0
    raise ModelError(f"the policy still improves after {max_iterations} rounds: raise max_iterations.")


def certify_policy(evaluation: Evaluation, *, max_iterations: int = 1000) -> Certificate:
    """Bounds of v* (under γ = 1 of the best policy that ends) from the exact value v of one policy.

    v ≤ v* ≤ v + h max(Tv - v, 0), where h bounds the steps of an optimal policy. Upper bounds are infinite where no h
    is found: some policy never ends, and steps are free.

    Args:
        evaluation: of `evaluate`, discounted or total.
        max_iterations: improvements at most in the search for h.

    Source: Bertsekas and Tsitsiklis (1991), An analysis of stochastic shortest path problems, section 2.
    """
    model = evaluation.mdp
    noise = Chain(model, evaluation.policy).rounding(evaluation.values)
    excess = float(np.max(evaluation.advantages, initial=0.0)) + noise
    steps, why = _longest(model, evaluation, max_iterations)
    lower = evaluation.certificate.lower
    reach = steps * excess if excess > 0.0 else np.zeros_like(steps)
    upper = np.maximum(evaluation.certificate.upper, evaluation.values + reach)
    upper[model.rows.terminal] = lower[model.rows.terminal]
    return Certificate(
        criterion=model.criterion,
        lower=lower,
        upper=upper,
        policy_loss=float(np.max(upper - lower, initial=0.0)),
        rounding=evaluation.certificate.rounding,
        why=f"v* ≤ v + h max(Tv - v), with h the steps of an optimal policy {why}, and v* ≥ v of the policy",
    )


def _longest(model: MDP, evaluation: Evaluation, max_iterations: int) -> tuple[Floats, str]:
    """A bound on the (discounted) steps of an optimal policy, [S], and its reason; inf where none was found.

    Where every step costs at least c, an optimal policy makes at most (best end - v) / c of them. Otherwise no policy
    makes more than any h > 0 with h ≥ 1 + γ P h in every row; the candidate is the longest episode, and it is checked.
    """
    cheapest = float(np.max(model.rows.reward, initial=-1.0))
    if model.discount == 1.0 and cheapest < 0.0:
        best_end = float(np.max(model.rows.terminal_value, initial=0.0))
        return (max(best_end, 0.0) - evaluation.certificate.lower) / -cheapest * (1 + 1e-12), "(every step costs)"
    if model.discount < 1.0:
        steps = np.where(model.rows.terminal, 0.0, 1.0 / (1.0 - model.discount))
    else:
        ones, none = np.ones(model.num_rows), np.zeros(model.num_states)
        count = replace(model.rows, reward=ones, outcome_reward=None, terminal_value=none)
        try:
            steps = _improve(model.replace(rows=count), None, max_iterations)[0].values
        except ModelError:  # a policy that never ends
            return np.full(model.num_states, np.inf), "(of which no bound was found)"
    kept = steps[model.row_state] - model.discount * (model.matrix @ steps)
    slack = float(np.min(kept, initial=1.0)) - 1e-9
    if not slack > 0.0:
        return np.full(model.num_states, np.inf), "(of which no bound was found)"
    return steps / slack, "(at most the longest episode of any)"
