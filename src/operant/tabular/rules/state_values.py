# pyright: basic
"""Prediction: the value of each state under a policy that is followed. TD(0), n-step TD, TD(λ), Monte Carlo.

Source: Sutton and Barto (2018), chapters 5 to 7 and 12.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from operant.mdp.analyse.sampler import choose_row, compiled, part
from operant.tabular.rules import RULES, Rules, evaluate
from operant.tabular.rules.traces import Trace, forget, mark, spread, true_online


class Values(NamedTuple):
    """State values, the policy that acts, and what every prediction algorithm keeps beside them."""

    v: Any  # [S+1]  the fixed value where terminal; the last entry is nowhere, 0
    pointer: Any  # [S+1]
    running: Any  # [L]    running sums of the policy's row probabilities
    visits: Any  # [S]    updates of each state so far
    clock: Any  # [1]    steps so far
    error: Any  # [1]    the last error
    random: Any  # [4]
    step_size: Any  # [4]    schedule
    discount: float


@compiled
def follow(memory, state):
    """A row by the policy: the `begin` of what keeps nothing from one episode to the next."""
    values = memory.values
    return choose_row(values.pointer, values.running, state, values.random)


@part
def follow_unless(memory, state, over):
    """A row by the policy, or -1 where the episode is over."""
    return np.int64(-1) if over else np.int64(follow(memory, state))


@compiled
def value_of(memory, state):
    """The `estimate` of prediction algorithms."""
    return memory.values.v[state]


@part
def step_size_of(values, state):
    """α of a state now; counts the update."""
    alpha = evaluate(values.step_size, values.clock[0], values.visits[state])
    values.visits[state] += 1
    return alpha


@part
def shift_value(values, state, target):
    """v(s) += α (target - v(s)); the error is kept."""
    error = target - values.v[state]
    values.v[state] += step_size_of(values, state) * error
    values.error[0] = error


class TD0(NamedTuple):
    """v(s) += α [r + γ v(s') - v(s)] (Sutton 1988)."""

    values: Values


@compiled
def observe_td0(memory, state, row, reward, following, terminated, truncated):
    """Learn from one transition; follow the policy."""
    values = memory.values
    shift_value(values, state, reward + values.discount * values.v[following])
    values.clock[0] += 1
    return follow_unless(memory, following, terminated or truncated)


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
def observe_n_step_td(memory, state, row, reward, following, terminated, truncated):
    """Learn about the state n steps back; at the end about all that are left."""
    values, n, time = memory.values, memory.n, memory.time[0]
    memory.states[time % n], memory.rewards[time % n] = state, reward
    over = terminated or truncated
    first = time + 1 - n
    for start in range(max(first, 0), time + 1 if over else first + 1):
        total = values.v[following]
        for k in range(time, start - 1, -1):
            total = memory.rewards[k % n] + values.discount * total
        shift_value(values, memory.states[start % n], total)
    values.clock[0] += 1
    memory.time[0] = time + 1
    return follow_unless(memory, following, over)


class TDLambda(NamedTuple):
    """δ = r + γ v(s') - v(s); v += α δ e, with accumulating, replacing or dutch traces e."""

    values: Values
    trace: Trace


@compiled
def begin_td_lambda(memory, state):
    """No trace is left of the last episode; follow the policy."""
    forget(memory.trace)
    return follow(memory, state)


@compiled
def observe_td_lambda(memory, state, row, reward, following, terminated, truncated):
    """Learn from one transition; follow the policy."""
    values = memory.values
    error = reward + values.discount * values.v[following] - values.v[state]
    alpha = step_size_of(values, state)
    mark(memory.trace, state, alpha)
    spread(memory.trace, values.v, alpha * error)
    values.error[0] = error
    values.clock[0] += 1
    return follow_unless(memory, following, terminated or truncated)


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
def observe_true_online_td(memory, state, row, reward, following, terminated, truncated):
    """Learn from one transition; follow the policy."""
    values = memory.values
    reached = values.v[following]
    target = reward + values.discount * reached
    values.error[0] = target - values.v[state]
    true_online(memory.trace, values.v, state, step_size_of(values, state), target, memory.before[0])
    memory.before[0] = reached
    values.clock[0] += 1
    return follow_unless(memory, following, terminated or truncated)


class Record(NamedTuple):
    """The states and rewards of the current episode."""

    states: Any  # [T_max]
    rewards: Any  # [T_max]
    rows: Any  # [T_max]
    length: Any  # [1]
    number: Any  # [1]    episodes begun
    stamp: Any  # [S]    the last episode in which the state occurred
    first: Any  # [S]    when it occurred there first


def new_record(states: int, longest: int) -> Record:
    """The record with which learning begins; T_max is `longest`."""
    return Record(
        states=np.zeros(longest, dtype=np.int64),
        rewards=np.zeros(longest),
        rows=np.zeros(longest, dtype=np.int64),
        length=np.zeros(1, dtype=np.int64),
        number=np.zeros(1, dtype=np.int64),
        stamp=np.zeros(states, dtype=np.int64),
        first=np.zeros(states, dtype=np.int64),
    )


@compiled
def begin_record(memory, state):
    """Nothing has happened yet; follow the policy."""
    memory.record.length[0] = 0
    memory.record.number[0] += 1
    return follow(memory, state)


@part
def note_state(memory, state, row, reward):
    """A step; beyond T_max it is not kept, and the episode will not be learned from."""
    record, time = memory.record, memory.record.length[0]
    memory.values.clock[0] += 1
    record.length[0] = time + 1
    if time < len(record.states):
        record.states[time], record.rewards[time], record.rows[time] = state, reward, row
        if record.stamp[state] != record.number[0]:
            record.stamp[state], record.first[state] = record.number[0], time


@part
def is_whole(record, terminated):
    """The episode has terminated and was kept from its beginning."""
    return terminated and record.length[0] <= len(record.states)


class MonteCarloPrediction(NamedTuple):
    """v(s) += α [G - v(s)] after each episode that terminated, at the first or at every visit, backwards in time."""

    values: Values
    record: Record
    every_visit: int  # 0: first visits only


@compiled
def observe_monte_carlo_prediction(memory, state, row, reward, following, terminated, truncated):
    """Note the step; learn when the episode has terminated."""
    values, record = memory.values, memory.record
    note_state(memory, state, row, reward)
    if is_whole(record, terminated):
        total = values.v[following]
        for time in range(record.length[0] - 1, -1, -1):
            total = record.rewards[time] + values.discount * total
            visited = record.states[time]
            if memory.every_visit or record.first[visited] == time:
                shift_value(values, visited, total)
    return follow_unless(memory, following, terminated or truncated)


class OffPolicyPrediction(NamedTuple):
    """Follows b and averages returns for π by importance sampling, ρ = Π π(a|s) / b(a|s) over the rest of the episode:

    ordinary Σ ρ G / N, weighted Σ ρ G / Σ ρ, over first visits or over all.
    """

    values: Values  # `running` is b's
    record: Record
    every_visit: int
    weighted: int  # 0: ordinary
    ratio: Any  # [L]  π / b
    total: Any  # [S]  Σ ρ G
    weight: Any  # [S]  Σ ρ, or N


@compiled
def observe_off_policy_prediction(memory, state, row, reward, following, terminated, truncated):
    """Note the step; learn when the episode has terminated."""
    values, record = memory.values, memory.record
    note_state(memory, state, row, reward)
    if is_whole(record, terminated):
        total, importance = values.v[following], 1.0
        for time in range(record.length[0] - 1, -1, -1):
            total = record.rewards[time] + values.discount * total
            importance *= memory.ratio[record.rows[time]]
            visited = record.states[time]
            if memory.every_visit or record.first[visited] == time:
                memory.total[visited] += importance * total
                memory.weight[visited] += importance if memory.weighted else 1.0
                if memory.weight[visited] > 0.0:
                    values.v[visited] = memory.total[visited] / memory.weight[visited]
    return follow_unless(memory, following, terminated or truncated)


class OfflineLambda(NamedTuple):
    """The offline λ-return algorithm; see `offline_lambda_return`."""

    values: Values
    record: Record
    lam: float


@part
def lambda_return(memory, start, reached):
    """G^λ at time `start` under the values now; `reached` is the state in which the episode is over."""
    values, record = memory.values, memory.record
    value, total = values.v[reached], values.v[reached]
    for time in range(record.length[0] - 1, start - 1, -1):
        total = record.rewards[time] + values.discount * ((1.0 - memory.lam) * value + memory.lam * total)
        value = values.v[record.states[time]]
    return total


@compiled
def observe_offline_lambda(memory, state, row, reward, following, terminated, truncated):
    """Note the step; learn when the episode is over."""
    record = memory.record
    note_state(memory, state, row, reward)
    if (terminated or truncated) and record.length[0] <= len(record.states):
        for time in range(record.length[0]):
            shift_value(memory.values, record.states[time], lambda_return(memory, time, following))
    return follow_unless(memory, following, terminated or truncated)


RULES[TD0] = Rules(follow, observe_td0, value_of)
RULES[NStepTD] = Rules(begin_n_step_td, observe_n_step_td, value_of)
RULES[TDLambda] = Rules(begin_td_lambda, observe_td_lambda, value_of)
RULES[TrueOnlineTD] = Rules(begin_true_online_td, observe_true_online_td, value_of)
RULES[MonteCarloPrediction] = Rules(begin_record, observe_monte_carlo_prediction, value_of)
RULES[OffPolicyPrediction] = Rules(begin_record, observe_off_policy_prediction, value_of)
RULES[OfflineLambda] = Rules(begin_record, observe_offline_lambda, value_of)
