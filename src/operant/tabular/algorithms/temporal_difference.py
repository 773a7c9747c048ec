# pyright: basic
"""Prediction by temporal differences: TD(0), n-step TD, TD(λ), true online TD(λ).

Source: Sutton and Barto (2018), chapters 6, 7 and 12.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike

from operant.mdp.analyse.sampler import compiled
from operant.mdp.model import MDP
from operant.tabular.eligibility import Trace, clear, mark, spread, trace_of, true_online
from operant.tabular.keywords import Predicting, keywords
from operant.tabular.learning import Learning
from operant.tabular.rules import RULES, Rules
from operant.tabular.settings import Settings, TraceKind
from operant.tabular.state_values import Values, follow, follow_unless, predict, step_size_of, update_value, value_of


class TD0(NamedTuple):
    """v(s) += α [r + γ v(s') - v(s)] (Sutton 1988)."""

    values: Values


@compiled
def observe_td0(memory, state, row, reward, next_state, terminated, truncated):
    """Learn from one transition; follow the policy."""
    values = memory.values
    update_value(values, state, reward + values.discount * values.v[next_state])
    values.clock[0] += 1
    return follow_unless(memory, next_state, terminated or truncated)


class NStepTD(NamedTuple):
    """v(s_t) += α [r_{t+1} + … + γ^{n-1} r_{t+n} + γ^n v(s_{t+n}) - v(s_t)]."""

    values: Values
    n: int
    time: Any  # [1]
    states: Any  # [n]  a ring of the last n states and rewards
    rewards: Any  # [n]


@compiled
def begin_n_step_td(memory, state):
    """The ring is empty; follow the policy."""
    memory.time[0] = 0
    return follow(memory, state)


@compiled
def observe_n_step_td(memory, state, row, reward, next_state, terminated, truncated):
    """Learn about the state n steps back; at the end about all that are left."""
    values, n, time = memory.values, memory.n, memory.time[0]
    memory.states[time % n], memory.rewards[time % n] = state, reward
    over = terminated or truncated
    first = time + 1 - n
    for start in range(max(first, 0), time + 1 if over else first + 1):
        total = values.v[next_state]
        for k in range(time, start - 1, -1):
            total = memory.rewards[k % n] + values.discount * total
        update_value(values, memory.states[start % n], total)
    values.clock[0] += 1
    memory.time[0] = time + 1
    return follow_unless(memory, next_state, over)


class TDLambda(NamedTuple):
    """δ = r + γ v(s') - v(s); v += α δ e, with accumulating, replacing or dutch traces e."""

    values: Values
    trace: Trace


@compiled
def begin_td_lambda(memory, state):
    """No trace is left of the last episode; follow the policy."""
    clear(memory.trace)
    return follow(memory, state)


@compiled
def observe_td_lambda(memory, state, row, reward, next_state, terminated, truncated):
    """Learn from one transition; follow the policy."""
    values = memory.values
    error = reward + values.discount * values.v[next_state] - values.v[state]
    alpha = step_size_of(values, state)
    mark(memory.trace, state, alpha)
    spread(memory.trace, values.v, alpha * error)
    values.error[0] = error
    values.clock[0] += 1
    return follow_unless(memory, next_state, terminated or truncated)


class TrueOnlineTD(NamedTuple):
    """True online TD(λ), which equals the online forward view exactly (van Seijen and Sutton 2014)."""

    values: Values
    trace: Trace
    before: Any  # [1]  v(s) of the state that is left, before the last update


@compiled
def begin_true_online_td(memory, state):
    """No trace is left of the last episode; follow the policy."""
    memory.before[0] = memory.values.v[state]
    return begin_td_lambda(memory, state)


@compiled
def observe_true_online_td(memory, state, row, reward, next_state, terminated, truncated):
    """Learn from one transition; follow the policy."""
    values = memory.values
    reached = values.v[next_state]
    target = reward + values.discount * reached
    values.error[0] = target - values.v[state]
    true_online(memory.trace, values.v, state, step_size_of(values, state), target, memory.before[0])
    memory.before[0] = reached
    values.clock[0] += 1
    return follow_unless(memory, next_state, terminated or truncated)


RULES[TD0] = Rules(follow, observe_td0, value_of)
RULES[NStepTD] = Rules(begin_n_step_td, observe_n_step_td, value_of)
RULES[TDLambda] = Rules(begin_td_lambda, observe_td_lambda, value_of)
RULES[TrueOnlineTD] = Rules(begin_true_online_td, observe_true_online_td, value_of)


@keywords(step_size=0.1)
def td(mdp: MDP, policy: ArrayLike, *, initial: float | ArrayLike = 0.0, **given: Unpack[Predicting]) -> Learning:
    """TD(0): v(s) += α [r + γ v(s') - v(s)].

    Args:
        mdp: the model that is drawn from; γ is its discount.
        policy: probabilities of the rows, [L], as in `operant.mdp.evaluate`.
        initial: value with which states begin, one or [S].
        options: seeds, episodes and the like, see `Options`.

    Raises:
        ConfigError: if a setting or an option is out of range, or there is none of that name.
        ModelError: if the policy is not one, or nothing says where an episode begins.

    Source: Sutton and Barto (2018), section 6.1.
    """
    return predict("TD(0)", lambda values, _: TD0(values), mdp, policy, given, initial)


@keywords(step_size=0.1)
def n_step_td(
    mdp: MDP, policy: ArrayLike, *, n: int, initial: float | ArrayLike = 0.0, **given: Unpack[Predicting]
) -> Learning:
    """n-step TD; n = 1 is TD(0). Arguments and errors as `td`. Source: Sutton and Barto (2018), section 7.1."""

    def make(values: Values, cfg: Settings) -> NStepTD:
        return NStepTD(values, cfg.n, np.zeros(1, dtype=np.int64), np.zeros(cfg.n, dtype=np.int64), np.zeros(cfg.n))

    return predict(f"{n}-step TD", make, mdp, policy, {**given, "n": n}, initial)


@keywords(step_size=0.1)
def td_lambda(
    mdp: MDP,
    policy: ArrayLike,
    *,
    lam: float,
    traces: TraceKind = "accumulating",
    initial: float | ArrayLike = 0.0,
    **given: Unpack[Predicting],
) -> Learning:
    """TD(λ) with eligibility traces; λ = 0 is TD(0). Arguments and errors as `td`.

    Source: Sutton and Barto (2018), section 12.2; Singh and Sutton (1996) for replacing traces.
    """
    own, states = {**given, "lam": lam, "traces": traces}, mdp.num_states
    return predict("TD(λ)", lambda v, cfg: TDLambda(v, trace_of(states, cfg)), mdp, policy, own, initial)


@keywords(step_size=0.1)
def true_online_td(
    mdp: MDP, policy: ArrayLike, *, lam: float, initial: float | ArrayLike = 0.0, **given: Unpack[Predicting]
) -> Learning:
    """True online TD(λ): the online λ-return algorithm at the cost of TD(λ). Arguments and errors as `td`.

    Source: van Seijen and Sutton (2014); Sutton and Barto (2018), section 12.5.
    """

    def make(values: Values, cfg: Settings) -> TrueOnlineTD:
        return TrueOnlineTD(values, trace_of(mdp.num_states, cfg), np.zeros(1))

    return predict("true online TD(λ)", make, mdp, policy, {**given, "lam": lam, "traces": "dutch"}, initial)
