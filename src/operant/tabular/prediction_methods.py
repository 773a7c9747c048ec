"""The value of a policy from samples of a model: one function per algorithm, many seeds at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.config.errors import ConfigError
from operant.mdp.analyse.sampler import running_policy
from operant.mdp.model import MDP, ModelError
from operant.tabular.algorithms import Floats, trace_of
from operant.tabular.learning import KEPT, Learning, Options, learn
from operant.tabular.rules.linear import LinearTD
from operant.tabular.rules.state_values import (
    TD0,
    MonteCarloPrediction,
    NStepTD,
    OfflineLambda,
    OffPolicyPrediction,
    Record,
    TDLambda,
    TrueOnlineTD,
    Values,
)
from operant.tabular.schedules import Harmonic, Schedule, schedule, warn_of


def _predict(
    mdp: MDP,
    policy: ArrayLike,
    name: str,
    make: Callable[[Values], Any],
    step_size: float | Schedule,
    initial: float | ArrayLike,
    options: Options,
) -> Learning:
    """Run a prediction algorithm; `make` completes its memory."""
    steps = schedule(step_size, what="step_size")
    warn_of(name, steps=steps)
    rows, states = mdp.rows, mdp.num_states
    first = np.append(np.broadcast_to(np.asarray(initial, dtype=np.float64), states), 0.0)
    first[:-1][rows.terminal] = rows.terminal_value[rows.terminal]
    running, pointer = running_policy(mdp, policy), rows.pointer.astype(np.int64)

    def memory(random: NDArray[np.uint64]) -> Any:
        return make(
            Values(
                v=first.copy(),
                pointer=pointer,
                running=running,
                visits=np.zeros(states, dtype=np.int64),
                clock=np.zeros(1, dtype=np.int64),
                error=np.zeros(1),
                random=random.copy(),
                step_size=steps.encode(),
                discount=mdp.discount,
            )
        )

    return learn(mdp, memory, options)


def _record(mdp: MDP, kept: int) -> Record:
    return Record(
        states=np.zeros(kept, dtype=np.int64),
        rewards=np.zeros(kept),
        rows=np.zeros(kept, dtype=np.int64),
        length=np.zeros(1, dtype=np.int64),
        number=np.zeros(1, dtype=np.int64),
        stamp=np.zeros(mdp.num_states, dtype=np.int64),
        first=np.zeros(mdp.num_states, dtype=np.int64),
    )


def _kept(mdp: MDP, options: Options) -> int:
    """Length up to which episodes are kept; `options` receives it as the limit."""
    return options.setdefault("max_steps", mdp.horizon or KEPT)


def td(
    mdp: MDP,
    policy: ArrayLike,
    *,
    step_size: float | Schedule = 0.1,
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """TD(0): v(s) += α [r + γ v(s') - v(s)].

    Args:
        mdp: the model that is drawn from; γ is its discount.
        policy: probabilities of the rows, [L], as in `operant.mdp.analyse.evaluation`.
        step_size: α in [0, 1], or a schedule.
        initial: value with which states begin, one or [S].
        options: seeds, episodes and the like, see `Options`.

    Raises:
        ConfigError: if an option is out of range.
        ModelError: if the policy is not one, or nothing says where an episode begins.

    Source: Sutton and Barto (2018), section 6.1.
    """
    return _predict(mdp, policy, "TD(0)", TD0, step_size, initial, options)


def n_step_td(
    mdp: MDP,
    policy: ArrayLike,
    *,
    n: int,
    step_size: float | Schedule = 0.1,
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """n-step TD; n = 1 is TD(0). Arguments and errors as `td`.

    Source: Sutton and Barto (2018), section 7.1.
    """
    if n < 1:
        raise ConfigError(f"n is {n}: it is at least 1.")

    def make(values: Values) -> NStepTD:
        return NStepTD(values, n, np.zeros(1, dtype=np.int64), np.zeros(n, dtype=np.int64), np.zeros(n))

    return _predict(mdp, policy, f"{n}-step TD", make, step_size, initial, options)


def td_lambda(
    mdp: MDP,
    policy: ArrayLike,
    *,
    lam: float,
    traces: Literal["accumulating", "replacing", "dutch"] = "accumulating",
    step_size: float | Schedule = 0.1,
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """TD(λ) with eligibility traces; λ = 0 is TD(0). Arguments and errors as `td`.

    Source: Sutton and Barto (2018), section 12.2; Singh and Sutton (1996) for replacing traces.
    """

    def make(values: Values) -> TDLambda:
        return TDLambda(values, trace_of(mdp.num_states, lam, mdp.discount, traces))

    return _predict(mdp, policy, "TD(λ)", make, step_size, initial, options)


def true_online_td(
    mdp: MDP,
    policy: ArrayLike,
    *,
    lam: float,
    step_size: float | Schedule = 0.1,
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """True online TD(λ): the online λ-return algorithm at the cost of TD(λ). Arguments and errors as `td`.

    Source: van Seijen and Sutton (2014); Sutton and Barto (2018), section 12.5.
    """

    def make(values: Values) -> TrueOnlineTD:
        return TrueOnlineTD(values, trace_of(mdp.num_states, lam, mdp.discount, "dutch"), np.zeros(1))

    return _predict(mdp, policy, "true online TD(λ)", make, step_size, initial, options)


def semi_gradient_td(
    mdp: MDP,
    policy: ArrayLike,
    active: ArrayLike,
    *,
    lam: float = 0.0,
    step_size: float | Schedule = 0.1,
    **options: Unpack[Options],
) -> Learning:
    """Semi-gradient TD(λ) with linear values over binary features and accumulating traces.

    Arguments and errors as `td`, and

    Args:
        active: the features of each state that are 1, [S, K]: one tile per grid, or [S, 1] groups of states.

    It converges to the fixed point of the projected TD(λ) operator (Tsitsiklis and Van Roy 1997), not to v.

    Source: Sutton and Barto (2018), sections 9.3 and 12.2.
    """
    features = np.ascontiguousarray(active, dtype=np.int64)
    if features.ndim != 2 or len(features) != mdp.num_states or features.min(initial=0) < 0:
        raise ConfigError(f"active has shape {features.shape}: expected features per state, [{mdp.num_states}, K].")
    count = int(features.max(initial=0)) + 1

    def make(values: Values) -> LinearTD:
        trace = trace_of(count, lam, mdp.discount, "accumulating")
        return LinearTD(values, np.zeros(count), features, trace)

    return _predict(mdp, policy, "semi-gradient TD(λ)", make, step_size, 0.0, options)


def offline_lambda_return(
    mdp: MDP,
    policy: ArrayLike,
    *,
    lam: float,
    step_size: float | Schedule = 0.1,
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """The offline λ-return algorithm; λ = 1 is constant-α Monte Carlo. Arguments and errors as `td`.

    An episode of T steps costs T² / 2 operations. λ lies in [0, 1].

    Source: Sutton and Barto (2018), section 12.1.
    """
    kept = _kept(mdp, options)

    def make(values: Values) -> OfflineLambda:
        return OfflineLambda(values, _record(mdp, kept), lam)

    return _predict(mdp, policy, "the offline λ-return algorithm", make, step_size, initial, options)


def monte_carlo_prediction(
    mdp: MDP,
    policy: ArrayLike,
    *,
    visits: Literal["first", "every"] = "first",
    step_size: float | Schedule | None = None,
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """Monte Carlo: v(s) moves towards the return that followed its first visit in an episode, or every visit.

    Arguments and errors as `td`; the step size is 1/N, which makes averages, unless one is given. Episodes that were
    cut teach nothing.

    Source: Sutton and Barto (2018), section 5.1.
    """
    kept = _kept(mdp, options)

    def make(values: Values) -> MonteCarloPrediction:
        return MonteCarloPrediction(values, _record(mdp, kept), int(visits == "every"))

    return _predict(mdp, policy, "Monte Carlo", make, Harmonic() if step_size is None else step_size, initial, options)


def off_policy_prediction(
    mdp: MDP,
    policy: ArrayLike,
    behaviour: ArrayLike,
    *,
    sampling: Literal["ordinary", "weighted"] = "weighted",
    visits: Literal["first", "every"] = "first",
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """The value of a policy from the episodes of another, by importance sampling. Arguments and errors as `td`.

    Ordinary importance sampling over first visits is unbiased, and its variance may be infinite; weighted is biased,
    consistent, and of bounded variance where returns are bounded.

    Raises:
        ModelError: if the policy may take a row that the behaviour never takes.

    Source: Sutton and Barto (2018), sections 5.5 and 5.6.
    """
    target, acting = np.asarray(policy, dtype=np.float64), np.asarray(behaviour, dtype=np.float64)
    running_policy(mdp, target)
    ratio = _ratio(mdp, target, acting)
    kept = _kept(mdp, options)

    def make(values: Values) -> OffPolicyPrediction:
        zero = np.zeros(mdp.num_states)
        return OffPolicyPrediction(
            values, _record(mdp, kept), int(visits == "every"), int(sampling == "weighted"), ratio, zero, zero.copy()
        )

    return _predict(mdp, acting, "importance sampling", make, Harmonic(), initial, options)


def _ratio(mdp: MDP, target: Floats, acting: Floats) -> Floats:
    uncovered = np.flatnonzero((target > 0) & ~(acting > 0))
    if len(uncovered):
        row = int(uncovered[0])
        raise ModelError(
            f"the behaviour never takes action {mdp.rows.action[row]} in state {mdp.name(int(mdp.row_state[row]))}, "
            "which the policy may take: give it a positive probability there."
        )
    return np.divide(target, acting, out=np.zeros_like(target), where=acting > 0)
