# pyright: basic
"""One-step control: SARSA, expected SARSA, Q-learning, double Q-learning.

All move q(s, a) towards r + γ x, where x is what they believe of the next state (its fixed value, 0 unless set, where
the episode terminated): q(s', a') of the action taken next, the mean of q(s', ·) under the policy, the maximum, or the
other table's value of this table's maximum.

Source: Sutton and Barto (2018), sections 6.4 to 6.7.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from operant.mdp.analyse.sampler import compiled, uniform
from operant.tabular.rules import (
    RULES,
    Rules,
    Table,
    begin_greedily,
    best_value,
    choose,
    choose_unless,
    epsilon_of,
    greedy,
    largest,
    move,
    soft_value,
)


class QLearning(NamedTuple):
    """q(s, a) += α [r + γ max_a' q(s', a') - q(s, a)] (Watkins 1989)."""

    table: Table


@compiled
def observe_q_learning(memory, state, row, reward, following, terminated, truncated):
    """Learn from one transition, then choose."""
    table = memory.table
    value = table.worth[following] if terminated else largest(table.q, table.pointer, following)
    move(table, table.q, row, reward + table.discount * value)
    return choose_unless(table, table.q, following, terminated or truncated)


class Sarsa(NamedTuple):
    """q(s, a) += α [r + γ q(s', a') - q(s, a)] with a' the action taken next (Rummery and Niranjan 1994)."""

    table: Table


@compiled
def observe_sarsa(memory, state, row, reward, following, terminated, truncated):
    """Choose, then learn from the transition and the choice."""
    table = memory.table
    if terminated:
        move(table, table.q, row, reward + table.discount * table.worth[following])
        return -1
    chosen = choose(table, table.q, following)
    move(table, table.q, row, reward + table.discount * table.q[chosen])
    return -1 if truncated else chosen


class ExpectedSarsa(NamedTuple):
    """q(s, a) += α [r + γ Σ π(a'|s') q(s', a') - q(s, a)] with π the ε-greedy policy (van Seijen et al. 2009)."""

    table: Table


@compiled
def observe_expected_sarsa(memory, state, row, reward, following, terminated, truncated):
    """Learn from one transition, then choose."""
    table = memory.table
    if terminated:
        value = table.worth[following]
    else:
        value = soft_value(table.q, table.pointer, following, epsilon_of(table, following))
    move(table, table.q, row, reward + table.discount * value)
    return choose_unless(table, table.q, following, terminated or truncated)


class DoubleQLearning(NamedTuple):
    """A coin names the table to move: q₁(s, a) += α [r + γ q₂(s', argmax q₁(s', ·)) - q₁(s, a)], or the converse.

    Acts ε-greedily on q₁ + q₂; `table.q` is their mean (van Hasselt 2010).
    """

    table: Table
    first: Any  # [L]
    second: Any  # [L]


@compiled
def observe_double_q_learning(memory, state, row, reward, following, terminated, truncated):
    """Learn from one transition, then choose."""
    table = memory.table
    if uniform(table.random) < 0.5:
        own, other = memory.first, memory.second
    else:
        own, other = memory.second, memory.first
    if terminated:
        value = table.worth[following]
    else:
        value = other[greedy(own, table.pointer, following, table.random)]
    move(table, own, row, reward + table.discount * value)
    table.q[row] = 0.5 * (own[row] + other[row])
    return choose_unless(table, table.q, following, terminated or truncated)


RULES[QLearning] = Rules(begin_greedily, observe_q_learning, best_value)
RULES[Sarsa] = Rules(begin_greedily, observe_sarsa, best_value)
RULES[ExpectedSarsa] = Rules(begin_greedily, observe_expected_sarsa, best_value)
RULES[DoubleQLearning] = Rules(begin_greedily, observe_double_q_learning, best_value)
