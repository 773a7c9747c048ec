"""What a policy is worth: exactly, by certified iteration, sweep by sweep; and the best of all ε-soft policies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from operant.mdp.analyse.average import gain_and_bias
from operant.mdp.analyse.chain import Chain
from operant.mdp.bounds.certify import Progress, initial_values
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.kernels.bellman import backup_range
from operant.mdp.model import MDP
from operant.mdp.options import Watch
from operant.mdp.policies import action_values, induced, table
from operant.mdp.rows import Criterion, Floats, ModelError
from operant.mdp.solution import Certificate
from operant.mdp.validate import public

EvaluationMethod = Literal["exact", "iterative"]
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
    def q(self) -> Floats:
        """q_π(s, a) as a table, [S, A]: `action_values`, and -inf where an action is not admissible."""
        return table(self.mdp, self.action_values)

    @cached_property
    def advantages(self) -> Floats:
        """q_π(s, a) - v_π(s) of every row, [L]; its mean over the policy is 0 in every state."""
        return self.action_values - self.values[self.mdp.row_state]


@public("discounted", "total", "average")
def evaluate(
    mdp: MDP,
    policy: ArrayLike,
    *,
    method: EvaluationMethod = "exact",
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
        policy: an action for each state, integers (or names) [S]; or π(a | s), a table [S, A] or of each row, [L]. See
            `operant.mdp.policies`.
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
    started = time.perf_counter()
    if mdp.criterion == "average":
        if method != "exact":
            raise ModelError('the average criterion is evaluated exactly: method="exact".')
        return _average(Chain(mdp.replace(discount=1.0, criterion="average"), policy), started)
    chain = Chain(mdp, policy)
    if method == "exact":
        steps = chain.solve(np.ones(mdp.num_states))
        values = chain.worth + chain.solve(chain.known())
        lower, upper, noise = chain.bounds(values, steps)
        sweep = 1
    elif method == "iterative" and mdp.criterion == "discounted":
        return _discounted(mdp, chain, epsilon, watch, max_iterations, started)
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
        seconds=time.perf_counter() - started,
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
    mdp: MDP, chain: Chain, epsilon: float, watch: Watch | None, max_iterations: int, started: float
) -> Evaluation:
    """Value iteration on the model that has the policy's rows alone: v* is v_π there, and so are its bounds."""
    run = Progress(induced(mdp, chain.policy), epsilon=epsilon, watch=watch, max_iterations=max_iterations)
    solution = run.finish(run.value_iteration(), method="value-iteration", why="value iteration")
    if solution.certificate.radius > epsilon:
        raise ModelError(_too_few(epsilon, max_iterations))
    return Evaluation(
        mdp=mdp,
        policy=chain.policy,
        values=solution.values,
        certificate=replace(solution.certificate, policy_loss=0.0),
        method="iterative",
        iterations=solution.iterations,
        seconds=time.perf_counter() - started,
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


def _average(chain: Chain, started: float) -> Evaluation:
    """Gain and bias, and bounds of the gain from what is left of their equations."""
    rows, (label, closed) = chain.mdp.rows, chain.classes
    solution = gain_and_bias(rows, chain.matrix, chain.reward, np.where(closed[label], label, -1))
    gain, bias = solution.gain, solution.bias
    change = chain.reward + chain.matrix @ bias - bias - gain
    spread = float(np.max(np.abs(change[chain.recurrent]), initial=0.0))
    rest, off = chain.transient.running, np.zeros(len(gain))
    if len(rest):
        steps = chain.transient.solve(np.ones(len(gain)))
        uneven = float(np.max(np.abs((chain.matrix @ gain - gain)[rest])))
        off[rest] = 2.0 * steps[rest] * (uneven + chain.rounding(gain))
    noise = chain.rounding(np.concatenate((bias, gain)))
    off += np.where(rows.terminal, 0.0, spread + noise)
    return Evaluation(
        mdp=chain.mdp,
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
        seconds=time.perf_counter() - started,
    )


@public("discounted", "total")
def evaluation_sweeps(
    mdp: MDP, policy: ArrayLike, *, order: Order = "synchronous", initial: Floats | None = None
) -> Iterator[tuple[Floats, float]]:
    """Iterative policy evaluation without end: (v_k as a copy [S], max |v_k - v_{k-1}|) for sweeps k = 1, 2, …

    "synchronous" computes every state from the last sweep's values, "in-place" from the newest ones, states in order.

    Raises:
        ModelError: if `policy` is none, naming the state; or the model is of another kind.

    Source: Sutton and Barto (2018), section 4.1.
    """
    engine = Sweeps(induced(mdp, policy), threads=1)
    values, rows = initial_values(mdp, initial), np.empty(mdp.num_states, dtype=np.int64)
    while True:
        before = values.copy()
        if order == "synchronous":
            engine.backup(before, values, rows)
        else:
            backup_range(*_ends(values), *engine.arrays, engine.discount, values, values, rows)
        yield values.copy(), float(np.max(np.abs(values - before), initial=0.0))


def _ends(values: Floats) -> tuple[np.uint64, np.uint64]:
    return np.uint64(0), np.uint64(len(values))
