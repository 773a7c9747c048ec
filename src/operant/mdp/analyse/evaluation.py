"""What a policy is worth: exactly, by certified iteration, sweep by sweep; and the best of all ε-soft policies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from operant.mdp.analyse.chain import Chain
from operant.mdp.bounds.certify import begin
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.kernels.bellman import backup_range
from operant.mdp.model import MDP
from operant.mdp.options import Watch
from operant.mdp.policies import best_of, decides, epsilon_soft, induced, labels_of, soften, uniform
from operant.mdp.rows import Criterion, Floats, ModelError
from operant.mdp.solution import Certificate, Solution
from operant.mdp.solvers.value_iteration import value_iteration

Method = Literal["exact", "iterative"]
Order = Literal["synchronous", "in-place"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The value of a policy. The certificate's bounds are those of v_π (of its gain for the average criterion)."""

    mdp: MDP
    policy: Floats  # [L]
    values: Floats  # [S]; for the average criterion the bias
    certificate: Certificate
    method: str
    iterations: int
    seconds: float
    gain: Floats | None = None  # [S]  average criterion: reward per step

    @cached_property
    def action_values(self) -> Floats:
        """q_π(s, a) of every row, [L]; for the average criterion less the gain of the row's state."""
        q = action_values(self.mdp, self.values)
        return q if self.gain is None else q - self.gain[self.mdp.row_state]

    @cached_property
    def advantages(self) -> Floats:
        """q_π(s, a) - v_π(s) of every row, [L]; its mean over the policy is 0 in every state."""
        return self.action_values - self.values[self.mdp.row_state]


def action_values(mdp: MDP, values: Floats) -> Floats:
    """q(s, a) = r(s, a) + γ Σ p(s' | s, a) v(s') of every row, [L] (γ = 1 for the average criterion)."""
    discount = 1.0 if mdp.criterion == "average" else mdp.discount
    return mdp.rows.reward + discount * (mdp.matrix @ values)


def evaluate(
    mdp: MDP,
    policy: ArrayLike,
    *,
    method: Method = "exact",
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int = 1_000_000,
) -> Evaluation:
    """v_π, the solution of v = r_π + γ P_π v, with bounds; for the average criterion gain and bias.

    Under γ = 1 the policy must be proper: from every state it ends, or comes to where nothing more is earned (which is
    worth 0). For the average criterion the chain may have any number of recurrent classes: g = P g, g + h = r + P h,
    and the bias h has mean 0 under the stationary distribution of each class; a terminal state earns nothing more.

    Args:
        mdp: the model.
        policy: π(a | s) of each row, [L]; see `operant.mdp.policies`.
        method: "exact" solves the sparse system (LU, refined once). "iterative" sweeps until the bounds are within
            ±ε: no factors, for large models; not for the average criterion.
        epsilon: "iterative" stops when no value is further off than this.
        watch: called with (sweep, certified gap or inf, values).
        max_iterations: of "iterative".

    Raises:
        ModelError: if the policy is none, naming the state; if it is not proper under γ = 1; if ε is not reached within
            `max_iterations` or is below what floating point can certify.

    Source: Puterman (1994), sections 6.1, 7.1 (total) and 8.2 (average); Sutton and Barto (2018), section 4.1.
    """
    began = time.perf_counter()
    if mdp.criterion == "average":
        if method != "exact":
            raise ModelError('the average criterion is evaluated exactly: method="exact".')
        return _average(Chain(mdp.replace(discount=1.0, criterion="average"), policy), began)
    chain = Chain(mdp, policy)
    if method == "exact":
        steps = chain.solve(np.ones(mdp.num_states))
        values = chain.worth + chain.solve(chain.known())
        lower, upper, noise = chain.bounds(values, steps)
        sweep = 1
    elif method == "iterative" and mdp.criterion == "discounted":
        return _discounted(mdp, chain, epsilon, watch, max_iterations, began)
    elif method == "iterative":
        values, lower, upper, noise, sweep = _iterate(chain, epsilon, watch, max_iterations)
    else:
        raise ModelError(f'method is "{method}": choose "exact" or "iterative".')
    return Evaluation(
        mdp=mdp,
        policy=chain.policy,
        values=values,
        certificate=_certificate(mdp.criterion, lower, upper, noise),
        method=method,
        iterations=sweep,
        seconds=time.perf_counter() - began,
    )


def _certificate(criterion: Criterion, lower: Floats, upper: Floats, noise: float) -> Certificate:
    return Certificate(
        criterion=criterion,
        lower=lower,
        upper=upper,
        policy_loss=0.0,
        rounding=noise,
        why="v_π = v + (I - γP)⁻¹(Tv - v), with (I - γP)⁻¹1 bounded by a checked number of steps",
    )


def _discounted(
    mdp: MDP, chain: Chain, epsilon: float, watch: Watch | None, max_iterations: int, began: float
) -> Evaluation:
    """Value iteration on the model that has the policy's rows alone: v* is v_π there, and so are its bounds."""
    found = value_iteration(induced(mdp, chain.policy), epsilon=epsilon, watch=watch, max_iterations=max_iterations)
    if found.certificate.radius > epsilon:
        raise ModelError(_too_few(epsilon, max_iterations))
    return Evaluation(
        mdp=mdp,
        policy=chain.policy,
        values=found.values,
        certificate=replace(found.certificate, policy_loss=0.0),
        method="iterative",
        iterations=found.iterations,
        seconds=time.perf_counter() - began,
    )


def _too_few(epsilon: float, max_iterations: int) -> str:
    return (
        f"no certified value within {epsilon:g} after {max_iterations} sweeps: raise max_iterations or epsilon, "
        'or use method="exact".'
    )


def _iterate(
    chain: Chain, epsilon: float, watch: Watch | None, max_iterations: int
) -> tuple[Floats, Floats, Floats, float, int]:
    """Sweeps of v and of the number of steps h together: h_k / (1 - max γ^k P^k 1) bounds the steps from above."""
    values, alive = chain.worth, np.zeros(chain.mdp.num_states)
    alive[chain.running] = 1.0
    steps, check = np.zeros_like(alive), 8
    for sweep in range(1, max_iterations + 1):
        values, steps = chain.sweep(values), steps + alive
        moved = np.zeros_like(alive)
        moved[chain.running] = chain.discount * (chain.matrix @ alive)[chain.running]
        alive = moved
        gap = np.inf
        if sweep in (check, max_iterations):
            check = sweep + max(8, sweep // 8)
            lower, upper, noise = chain.bounds(values, steps)
            gap = float(np.max(upper - lower, initial=0.0))
            if gap <= 2 * epsilon:
                return (lower + upper) / 2, lower, upper, noise, sweep
            if 2 * noise > 2 * epsilon:
                raise ModelError(
                    f"epsilon is {epsilon:g}, but rounding alone may add {noise:.2g} to a value: ask for more."
                )
        if watch is not None:
            watch(sweep, gap, values)
    raise ModelError(_too_few(epsilon, max_iterations))


def _average(chain: Chain, began: float) -> Evaluation:
    """Gain and bias: each recurrent class by one solve, then the transient states."""
    from operant.mdp.analyse.occupancy import recurrent_classes  # it needs this file's chain, and this file its classes

    mdp, states = chain.mdp, chain.mdp.num_states
    gain, bias = np.zeros(states), chain.worth
    spread = 0.0
    for members, weight, solved in recurrent_classes(chain):
        gain[members], bias[members] = solved[0], np.concatenate(([0.0], solved[1:]))
        bias[members] -= weight @ bias[members]
        inside = chain.reward[members] + (chain.matrix @ bias)[members] - bias[members]
        spread = max(spread, float(np.max(np.abs(inside - solved[0]))))
    through = _Transient(chain)
    gain += through.solve(chain.matrix @ gain)
    bias += through.solve(chain.reward - gain + chain.matrix @ bias)
    rest = through.running
    off = np.zeros(states)
    if len(rest):
        steps = through.solve(np.ones(states))
        uneven = float(np.max(np.abs((chain.matrix @ gain - gain)[rest])))
        noise = chain.rounding(gain)
        off[rest] = 2.0 * steps[rest] * (uneven + noise)
    noise = chain.rounding(np.concatenate((bias, gain)))
    off += np.where(mdp.rows.terminal, 0.0, spread + noise)
    return Evaluation(
        mdp=mdp,
        policy=chain.policy,
        values=bias,
        gain=gain,
        certificate=Certificate(
            criterion="average",
            lower=gain - off,
            upper=gain + off,
            policy_loss=0.0,
            rounding=noise,
            why="min and max of r + Ph - h over a recurrent class bound its gain",
        ),
        method="exact",
        iterations=1,
        seconds=time.perf_counter() - began,
    )


class _Transient(Chain):
    """The same chain, of which only the transient states run."""

    def __init__(self, chain: Chain) -> None:
        self.mdp, self.policy, self.weights = chain.mdp, chain.policy, chain.weights
        self.matrix, self.reward, self.discount = chain.matrix, chain.reward, 1.0
        self.running = np.flatnonzero(~(chain.recurrent | chain.mdp.rows.terminal))


def evaluation_sweeps(
    mdp: MDP, policy: ArrayLike, *, order: Order = "synchronous", initial: Floats | None = None
) -> Iterator[tuple[Floats, float]]:
    """Iterative policy evaluation without end: (v_k as a copy [S], max |v_k - v_{k-1}|) for sweeps k = 1, 2, …

    "synchronous" computes every state from the last sweep's values, "in-place" from the newest ones, states in order.

    Raises:
        ModelError: if `policy` is none, naming the state.

    Source: Sutton and Barto (2018), section 4.1.
    """
    engine = Sweeps(induced(mdp, policy), threads=1)
    values, rows = begin(mdp, initial), np.empty(mdp.num_states, dtype=np.int64)
    while True:
        before = values.copy()
        if order == "synchronous":
            engine.backup(before, values, rows)
        else:
            backup_range(*_ends(values), *engine.arrays, engine.discount, values, values, rows)
        yield values.copy(), float(np.max(np.abs(values - before), initial=0.0))


def _ends(values: Floats) -> tuple[np.uint64, np.uint64]:
    return np.uint64(0), np.uint64(len(values))


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
    began = time.perf_counter()
    if epsilon == 0.0:
        raise ModelError("epsilon is 0, which is the optimal policy itself: use operant.mdp.solve.")
    model = soften(mdp, epsilon)
    found, history = _improve(model, watch, max_iterations)
    rows = np.full(mdp.num_states, -1)
    chosen = np.flatnonzero(found.policy > 0.5)
    rows[mdp.row_state[chosen]] = chosen
    certificate = certify_policy(found, max_iterations=max_iterations)
    solution = Solution(
        mdp=model,
        values=(certificate.lower + certificate.upper) / 2,
        policy=labels_of(mdp, rows),
        rows=rows,
        certificate=certificate,
        method="policy-iteration",
        why="exact policy iteration among ε-soft policies; it stopped because no action improves any state",
        iterations=len(history),
        seconds=time.perf_counter() - began,
        history=tuple(history),
    )
    return solution, epsilon_soft(mdp, found.policy, epsilon)


def _improve(model: MDP, watch: Watch | None, max_iterations: int) -> tuple[Evaluation, list[tuple[int, float]]]:
    """Policy iteration from the uniform policy; a state changes its row only for one better by more than rounding."""
    policy, has, states = uniform(model), decides(model), model.row_state
    history: list[tuple[int, float]] = []
    for iteration in range(1, max_iterations + 1):
        found = evaluate(model, policy)
        q = found.action_values
        best, now = best_of(model, q), np.full(model.num_states, -np.inf)
        now[states[policy > 0.5]] = q[policy > 0.5]
        margin = 1e-11 * np.maximum(1.0, np.abs(best)) + min(found.certificate.gap, 1e300)
        change = has & (now < best - margin)
        history.append((iteration, float(np.max((best - found.values)[has], initial=0.0))))
        if watch is not None:
            watch(*history[-1], found.values)
        if not change.any():
            return found, history
        first = np.full(model.num_states, -1)
        greedy = np.flatnonzero(q >= (best - margin)[states])[::-1]
        first[states[greedy]] = greedy  # the first of them: the last one written
        policy = policy * ~change[states]
        policy[first[change]] = 1.0
    raise ModelError(f"the policy still improves after {max_iterations} rounds: raise max_iterations.")


def certify_policy(found: Evaluation, *, max_iterations: int = 1000) -> Certificate:
    """Bounds of v* (under γ = 1 of the best policy that ends) from the exact value v of one policy.

    v ≤ v* ≤ v + h max(Tv - v, 0), where h bounds the steps of an optimal policy. Upper bounds are infinite where no h
    is found: some policy never ends, and steps are free.

    Args:
        found: of `evaluate`, discounted or total.
        max_iterations: improvements at most in the search for h.

    Source: Bertsekas and Tsitsiklis (1991), An analysis of stochastic shortest path problems, section 2.
    """
    model = found.mdp
    noise = Chain(model, found.policy).rounding(found.values)
    excess = float(np.max(found.advantages, initial=0.0)) + noise
    steps, why = _longest(model, found, max_iterations)
    lower = found.certificate.lower
    reach = steps * excess if excess > 0.0 else np.zeros_like(steps)
    upper = np.maximum(found.certificate.upper, found.values + reach)
    upper[model.rows.terminal] = lower[model.rows.terminal]
    return Certificate(
        criterion=model.criterion,
        lower=lower,
        upper=upper,
        policy_loss=float(np.max(upper - lower, initial=0.0)),
        rounding=found.certificate.rounding,
        why=f"v* ≤ v + h max(Tv - v), with h the steps of an optimal policy {why}, and v* ≥ v of the policy",
    )


def _longest(model: MDP, found: Evaluation, max_iterations: int) -> tuple[Floats, str]:
    """A bound on the (discounted) steps of an optimal policy, [S], and its reason; inf where none was found.

    Where every step costs at least c, an optimal policy makes at most (best end - v) / c of them. Otherwise no policy
    makes more than any h > 0 with h ≥ 1 + γ P h in every row; the candidate is the longest episode, and it is checked.
    """
    cheapest = float(np.max(model.rows.reward, initial=-1.0))
    if model.discount == 1.0 and cheapest < 0.0:
        best_end = float(np.max(model.rows.terminal_value, initial=0.0))
        return (max(best_end, 0.0) - found.certificate.lower) / -cheapest * (1 + 1e-12), "(every step costs)"
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
