# pyright: basic
"""One-step control: SARSA, expected SARSA, Q-learning, double Q-learning.

All move q(s, a) towards r + γ x, where x is what they believe of the next state (its fixed value, 0 unless set, where
the episode terminated): q(s', a') of the action taken next, the mean of q(s', ·) under the policy, the maximum, or the
other table's value of this table's maximum.

Source: Sutton and Barto (2018), sections 6.4 to 6.7.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

from operant.mdp.analyse.sampler import compiled, uniform
from operant.mdp.model import MDP
from operant.tabular.action_values import (
    MEMORIES,
    Table,
    begin_greedily,
    best_value,
    choose,
    choose_unless,
    epsilon_of,
    greedy,
    max_value,
    run,
    soft_value,
    update_now,
)
from operant.tabular.keywords import Stepping, keywords
from operant.tabular.learning import Learning
from operant.tabular.rules import RULES, Rules


class QLearning(NamedTuple):
    """q(s, a) += α [r + γ max_a' q(s', a') - q(s, a)] (Watkins 1989)."""

    table: Table


@compiled
def observe_q_learning(memory, state, row, reward, next_state, terminated, truncated):
    """Learn from one transition, then choose."""
    table = memory.table
    value = table.terminal_value[next_state] if terminated else max_value(table.q, table.pointer, next_state)
    update_now(table, table.q, row, reward + table.discount * value)
    return choose_unless(table, table.q, next_state, terminated or truncated)


class Sarsa(NamedTuple):
    """q(s, a) += α [r + γ q(s', a') - q(s, a)] with a' the action taken next (Rummery and Niranjan 1994)."""

    table: Table


@compiled
def observe_sarsa(memory, state, row, reward, next_state, terminated, truncated):
    """Choose, then learn from the transition and the choice."""
    table = memory.table
    if terminated:
        update_now(table, table.q, row, reward + table.discount * table.terminal_value[next_state])
        return -1
    chosen = choose(table, table.q, next_state)
    update_now(table, table.q, row, reward + table.discount * table.q[chosen])
    return -1 if truncated else chosen


class ExpectedSarsa(NamedTuple):
    """q(s, a) += α [r + γ Σ π(a'|s') q(s', a') - q(s, a)] with π the ε-greedy policy (van Seijen et al. 2009)."""

    table: Table


@compiled
def observe_expected_sarsa(memory, state, row, reward, next_state, terminated, truncated):
    """Learn from one transition, then choose."""
    table = memory.table
    if terminated:
        value = table.terminal_value[next_state]
    else:
        value = soft_value(table.q, table.pointer, next_state, epsilon_of(table, next_state))
    update_now(table, table.q, row, reward + table.discount * value)
    return choose_unless(table, table.q, next_state, terminated or truncated)


class DoubleQLearning(NamedTuple):
    """A coin names the table to move: q₁(s, a) += α [r + γ q₂(s', argmax q₁(s', ·)) - q₁(s, a)], or the converse.

    Acts ε-greedily on q₁ + q₂; `table.q` is their mean (van Hasselt 2010).
    """

    table: Table
    first: Any  # [L]
    second: Any  # [L]


@compiled
def observe_double_q_learning(memory, state, row, reward, next_state, terminated, truncated):
    """Learn from one transition, then choose."""
    table = memory.table
    if uniform(table.random) < 0.5:
        own, other = memory.first, memory.second
    else:
        own, other = memory.second, memory.first
    if terminated:
        value = table.terminal_value[next_state]
    else:
        value = other[greedy(own, table.pointer, next_state, table.random)]
    update_now(table, own, row, reward + table.discount * value)
    table.q[row] = 0.5 * (own[row] + other[row])
    return choose_unless(table, table.q, next_state, terminated or truncated)


RULES[QLearning] = Rules(begin_greedily, observe_q_learning, best_value)
RULES[Sarsa] = Rules(begin_greedily, observe_sarsa, best_value)
RULES[ExpectedSarsa] = Rules(begin_greedily, observe_expected_sarsa, best_value)
RULES[DoubleQLearning] = Rules(begin_greedily, observe_double_q_learning, best_value)
MEMORIES.update(
    {
        "q-learning": lambda table, _: QLearning(table),
        "sarsa": lambda table, _: Sarsa(table),
        "expected-sarsa": lambda table, _: ExpectedSarsa(table),
        "double-q-learning": lambda table, _: DoubleQLearning(table, table.q.copy(), table.q.copy()),
    }
)


@keywords()
def q_learning(mdp: MDP, **given: Unpack[Stepping]) -> Learning:
    """Q-learning: q(s, a) += α [r + γ max q(s', ·) - q(s, a)].

    Acts ε-greedily, ties broken at random, like all of them. γ is the model's if `discount` is None.

    Args:
        mdp: the model to learn on.
        options: seeds, episodes and the like, see `Options`.

    Raises:
        ConfigError: if a setting or an option is out of range, or there is none of that name.
        ModelError: if nothing says where an episode begins.

    Source: Watkins (1989); Sutton and Barto (2018), section 6.5.
    """
    return run("q-learning", mdp, given)


@keywords()
def sarsa(mdp: MDP, **given: Unpack[Stepping]) -> Learning:
    """SARSA: q(s, a) += α [r + γ q(s', a') - q(s, a)] with a' the action taken next. Errors as `q_learning`.

    Source: Rummery and Niranjan (1994); Sutton and Barto (2018), section 6.4.
    """
    return run("sarsa", mdp, given)


@keywords()
def expected_sarsa(mdp: MDP, **given: Unpack[Stepping]) -> Learning:
    """Expected SARSA: q(s, a) += α [r + γ Σ π(a'|s') q(s', a') - q(s, a)]. Errors as `q_learning`.

    Source: van Seijen et al. (2009); Sutton and Barto (2018), section 6.6.
    """
    return run("expected-sarsa", mdp, given)


@keywords()
def double_q_learning(mdp: MDP, **given: Unpack[Stepping]) -> Learning:
    """Double Q-learning: one table's maximum is worth what the other says. `.rows` is the mean of both.

    Errors as `q_learning`. Source: van Hasselt (2010); Sutton and Barto (2018), section 6.7.
    """
    return run("double-q-learning", mdp, given)
