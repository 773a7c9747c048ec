# pyright: basic
"""Monte Carlo control: on-policy (ε-soft or exploring starts; first or every visit) and off-policy by weighted
importance sampling.

An episode is learned from when it has terminated; one that was cut has no return and teaches nothing. Source: Sutton
and Barto (2018), sections 5.3 to 5.7.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np

from operant.mdp.analyse.sampler import below, compiled, part
from operant.mdp.model import MDP
from operant.mdp.policies import decides
from operant.tabular.action_values import (
    MEMORIES,
    Table,
    best_value,
    choose,
    choose_unless,
    epsilon_of,
    run,
    soft_probability,
    state_of_rows,
    update,
)
from operant.tabular.keywords import Exploring, Stepping, keywords
from operant.tabular.learning import Learning, whole_episodes
from operant.tabular.rules import RULES, Rules
from operant.tabular.schedules import Harmonic
from operant.tabular.settings import Settings, Visits


class Episode(NamedTuple):
    """The pairs and rewards of the current episode."""

    rows: Any  # [T_max]
    rewards: Any  # [T_max]
    length: Any  # [1]
    number: Any  # [1]    episodes begun
    stamp: Any  # [L]    the last episode in which the pair occurred
    first: Any  # [L]    when it occurred there first


@part
def new_episode(episode):
    """Nothing has happened yet."""
    episode.length[0] = 0
    episode.number[0] += 1


@part
def record_step(episode, row, reward):
    """A step; beyond T_max it is not kept, and the episode will not be learned from."""
    time = episode.length[0]
    episode.length[0] = time + 1
    if time < len(episode.rows):
        episode.rows[time], episode.rewards[time] = row, reward
        if episode.stamp[row] != episode.number[0]:
            episode.stamp[row], episode.first[row] = episode.number[0], time


class MonteCarlo(NamedTuple):
    """q(s, a) += α [G - q(s, a)] after each episode, at the first or at every visit, backwards in time."""

    table: Table
    episode: Episode
    every_visit: int  # 0: first visits only
    exploring_starts: int  # 1: the first action of an episode is drawn uniformly


@compiled
def begin_monte_carlo(memory, state):
    """Choose."""
    table = memory.table
    new_episode(memory.episode)
    if memory.exploring_starts:
        return table.pointer[state] + below(table.random, table.pointer[state + 1] - table.pointer[state])
    return choose(table, table.q, state)


@compiled
def observe_monte_carlo(memory, state, row, reward, next_state, terminated, truncated):
    """Note the step; learn when the episode has terminated; choose."""
    table, episode = memory.table, memory.episode
    record_step(episode, row, reward)
    table.clock[0] += 1
    if terminated and episode.length[0] <= len(episode.rows):
        total = table.terminal_value[next_state]
        for time in range(episode.length[0] - 1, -1, -1):
            total = episode.rewards[time] + table.discount * total
            pair = episode.rows[time]
            if memory.every_visit or episode.first[pair] == time:
                table.error[0] = update(table, table.q, pair, total)
    return choose_unless(table, table.q, next_state, terminated or truncated)


class OffPolicyMonteCarlo(NamedTuple):
    """Acts ε-greedily, learns the greedy policy: q(s, a) += W / C(s, a) [G - q(s, a)], backwards until an action was
    not greedy, where W is the product of π / b behind the pair and C the sum of the W so far."""

    table: Table
    episode: Episode
    behaviour: Any  # [T_max]  b(a|s) when the action was taken
    weight: Any  # [L]  C
    acted: Any  # [1]  b(a|s) of the row chosen last
    states: Any  # [L]  the state of each row


@part
def choose_and_keep(memory, state):
    """Choose, and keep the probability of that."""
    table = memory.table
    epsilon = epsilon_of(table, state)
    row = choose(table, table.q, state)
    memory.acted[0] = soft_probability(table.q, table.pointer, state, epsilon, row)
    return row


@compiled
def begin_off_policy(memory, state):
    """Choose."""
    new_episode(memory.episode)
    return choose_and_keep(memory, state)


@part
def is_greedy(table, states, row):
    """Whether the row is the first maximal one of its state: the target policy is deterministic."""
    state = states[row]
    for other in range(table.pointer[state], table.pointer[state + 1]):
        if table.q[other] > table.q[row] or (other < row and table.q[other] == table.q[row]):
            return False
    return True


@compiled
def observe_off_policy(memory, state, row, reward, next_state, terminated, truncated):
    """Note the step; learn when the episode has terminated; choose."""
    table, episode = memory.table, memory.episode
    if episode.length[0] < len(episode.rows):
        memory.behaviour[episode.length[0]] = memory.acted[0]
    record_step(episode, row, reward)
    table.clock[0] += 1
    if terminated and episode.length[0] <= len(episode.rows):
        total, importance = table.terminal_value[next_state], 1.0
        for time in range(episode.length[0] - 1, -1, -1):
            total = episode.rewards[time] + table.discount * total
            pair = episode.rows[time]
            memory.weight[pair] += importance
            table.error[0] = total - table.q[pair]
            table.q[pair] += importance / memory.weight[pair] * table.error[0]
            if not is_greedy(table, memory.states, pair):
                break
            importance /= memory.behaviour[time]
    return np.int64(-1) if terminated or truncated else choose_and_keep(memory, next_state)


def _episode(table: Table, settings: Settings) -> Episode:
    pairs, kept = len(table.q), settings.longest
    return Episode(
        rows=np.zeros(kept, dtype=np.int64),
        rewards=np.zeros(kept),
        length=np.zeros(1, dtype=np.int64),
        number=np.zeros(1, dtype=np.int64),
        stamp=np.zeros(pairs, dtype=np.int64),
        first=np.zeros(pairs, dtype=np.int64),
    )


def _monte_carlo(table: Table, settings: Settings) -> MonteCarlo:
    every, exploring = settings.visits == "every", settings.exploring_starts
    return MonteCarlo(table, _episode(table, settings), int(every), int(exploring))


def _off_policy(table: Table, settings: Settings) -> OffPolicyMonteCarlo:
    episode = _episode(table, settings)
    return OffPolicyMonteCarlo(
        table, episode, np.zeros(settings.longest), np.zeros(len(table.q)), np.zeros(1), state_of_rows(table)
    )


RULES[MonteCarlo] = Rules(begin_monte_carlo, observe_monte_carlo, best_value)
RULES[OffPolicyMonteCarlo] = Rules(begin_off_policy, observe_off_policy, best_value)
MEMORIES.update(
    {
        "monte-carlo": _monte_carlo,
        "off-policy-monte-carlo": _off_policy,
    }
)


class WholeReturns(Stepping, total=False):
    """Of whole episodes."""

    visits: Visits
    exploring_starts: bool


@keywords(step_size=Harmonic())
def monte_carlo(mdp: MDP, **given: Unpack[WholeReturns]) -> Learning:
    """On-policy Monte Carlo control: averages of returns (or steps towards them), ε-greedy on them.

    With `exploring_starts` the first state of an episode is drawn uniformly too, unless `start` is given; use it with
    epsilon = 0. Episodes are cut, and then teach nothing, after 10,000 steps unless `max_steps` is set.

    Errors as `q_learning`. Source: Sutton and Barto (2018), sections 5.3 and 5.4.
    """
    if given.get("exploring_starts") and "start" not in given:
        given["start"] = decides(mdp) / decides(mdp).sum()
    return run("monte-carlo", mdp, whole_episodes(mdp, given))


@keywords()
def off_policy_monte_carlo(mdp: MDP, **given: Unpack[Exploring]) -> Learning:
    """Off-policy Monte Carlo control by weighted importance sampling: acts ε-greedily, learns the greedy policy.

    Errors as `q_learning`; episodes are cut as in `monte_carlo`. Source: Sutton and Barto (2018), section 5.7.
    """
    return run("off-policy-monte-carlo", mdp, {**whole_episodes(mdp, given), "step_size": Harmonic()})
