# pyright: basic
"""Prediction from whole episodes: Monte Carlo, importance sampling, the offline λ-return.

Source: Sutton and Barto (2018), chapters 5 and 12.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike

from operant.mdp.analyse.sampler import compiled, part, running_policy
from operant.mdp.model import MDP, ModelError
from operant.tabular.keywords import Options, Predicting, keywords
from operant.tabular.learning import Learning, whole_episodes
from operant.tabular.rules import RULES, Rules
from operant.tabular.schedules import Harmonic, Schedule
from operant.tabular.settings import Settings, Visits
from operant.tabular.state_values import Values, follow, follow_unless, predict, update_value, value_of


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
def record_step(memory, state, row, reward):
    """A step; beyond T_max it is not kept, and the episode will not be learned from."""
    record, time = memory.record, memory.record.length[0]
    memory.values.clock[0] += 1
    record.length[0] = time + 1
    if time < len(record.states):
        record.states[time], record.rewards[time], record.rows[time] = state, reward, row
        if record.stamp[state] != record.number[0]:
            record.stamp[state], record.first[state] = record.number[0], time


@part
def is_complete(record, terminated):
    """The episode has terminated and was kept from its beginning."""
    return terminated and record.length[0] <= len(record.states)


class MonteCarloPrediction(NamedTuple):
    """v(s) += α [G - v(s)] after each episode that terminated, at the first or at every visit, backwards in time."""

    values: Values
    record: Record
    every_visit: int  # 0: first visits only


@compiled
def observe_monte_carlo_prediction(memory, state, row, reward, next_state, terminated, truncated):
    """Note the step; learn when the episode has terminated."""
    values, record = memory.values, memory.record
    record_step(memory, state, row, reward)
    if is_complete(record, terminated):
        total = values.v[next_state]
        for time in range(record.length[0] - 1, -1, -1):
            total = record.rewards[time] + values.discount * total
            visited = record.states[time]
            if memory.every_visit or record.first[visited] == time:
                update_value(values, visited, total)
    return follow_unless(memory, next_state, terminated or truncated)


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
def observe_off_policy_prediction(memory, state, row, reward, next_state, terminated, truncated):
    """Note the step; learn when the episode has terminated."""
    values, record = memory.values, memory.record
    record_step(memory, state, row, reward)
    if is_complete(record, terminated):
        total, importance = values.v[next_state], 1.0
        for time in range(record.length[0] - 1, -1, -1):
            total = record.rewards[time] + values.discount * total
            importance *= memory.ratio[record.rows[time]]
            visited = record.states[time]
            if memory.every_visit or record.first[visited] == time:
                memory.total[visited] += importance * total
                memory.weight[visited] += importance if memory.weighted else 1.0
                if memory.weight[visited] > 0.0:
                    values.v[visited] = memory.total[visited] / memory.weight[visited]
    return follow_unless(memory, next_state, terminated or truncated)


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
def observe_offline_lambda(memory, state, row, reward, next_state, terminated, truncated):
    """Note the step; learn when the episode is over."""
    record = memory.record
    record_step(memory, state, row, reward)
    if (terminated or truncated) and record.length[0] <= len(record.states):
        for time in range(record.length[0]):
            update_value(memory.values, record.states[time], lambda_return(memory, time, next_state))
    return follow_unless(memory, next_state, terminated or truncated)


RULES[MonteCarloPrediction] = Rules(begin_record, observe_monte_carlo_prediction, value_of)
RULES[OffPolicyPrediction] = Rules(begin_record, observe_off_policy_prediction, value_of)
RULES[OfflineLambda] = Rules(begin_record, observe_offline_lambda, value_of)


@keywords()
def monte_carlo_prediction(
    mdp: MDP,
    policy: ArrayLike,
    *,
    visits: Visits = "first",
    step_size: float | Schedule | None = None,
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """Monte Carlo: v(s) moves towards the return that followed its first visit in an episode, or every visit.

    The step size is 1/N, which makes averages, unless one is given. Episodes that were cut teach nothing.

    Arguments and errors as `td`. Source: Sutton and Barto (2018), section 5.1.
    """

    def make(values: Values, cfg: Settings) -> MonteCarloPrediction:
        return MonteCarloPrediction(values, new_record(mdp.num_states, cfg.longest), int(cfg.visits == "every"))

    own = {"visits": visits, "step_size": Harmonic() if step_size is None else step_size}
    return predict("Monte Carlo", make, mdp, policy, whole_episodes(mdp, options) | own, initial)


@keywords()
def off_policy_prediction(
    mdp: MDP,
    policy: ArrayLike,
    behaviour: ArrayLike,
    *,
    sampling: Literal["ordinary", "weighted"] = "weighted",
    visits: Visits = "first",
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
    uncovered = np.flatnonzero((target > 0) & ~(acting > 0))
    if len(uncovered):
        row = int(uncovered[0])
        raise ModelError(
            f"the behaviour never takes action {mdp.rows.action[row]} in state {mdp.name(int(mdp.row_state[row]))}, "
            "which the policy may take: give it a positive probability there."
        )
    ratio = np.divide(target, acting, out=np.zeros_like(target), where=acting > 0)

    def make(values: Values, cfg: Settings) -> OffPolicyPrediction:
        record, zero = new_record(mdp.num_states, cfg.longest), np.zeros(mdp.num_states)
        every, weighted = int(cfg.visits == "every"), int(sampling == "weighted")
        return OffPolicyPrediction(values, record, every, weighted, ratio, zero, zero.copy())

    own = {"visits": visits, "step_size": Harmonic()}
    return predict("importance sampling", make, mdp, acting, whole_episodes(mdp, options) | own, initial)


@keywords(step_size=0.1)
def offline_lambda_return(
    mdp: MDP, policy: ArrayLike, *, lam: float, initial: float | ArrayLike = 0.0, **given: Unpack[Predicting]
) -> Learning:
    """The offline λ-return algorithm: after an episode, v(s_t) += α [G^λ_t - v(s_t)] for t = 0, 1, … in order, with

    G^λ_t = r_{t+1} + γ [(1 - λ) v(s_{t+1}) + λ G^λ_{t+1}] under the values as the updates before t left them. (With the
    values of the episode's end in every return the figure of the book does not come out.) λ = 1 is constant-α Monte
    Carlo. An episode of T steps costs T² / 2 operations.

    Arguments and errors as `td`. Source: Sutton and Barto (2018), section 12.1.
    """

    def make(values: Values, cfg: Settings) -> OfflineLambda:
        return OfflineLambda(values, new_record(mdp.num_states, cfg.longest), cfg.lam)

    own = whole_episodes(mdp, given) | {"lam": lam}
    return predict("the offline λ-return algorithm", make, mdp, policy, own, initial)
