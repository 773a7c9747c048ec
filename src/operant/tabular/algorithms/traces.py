# pyright: basic
"""Control with eligibility traces: SARSA(λ), Watkins's Q(λ), true online SARSA(λ).

Source: Sutton and Barto (2018), chapter 12.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np

from operant.mdp.analyse.sampler import compiled, part
from operant.mdp.model import MDP
from operant.tabular.action_values import (
    MEMORIES,
    Table,
    best_value,
    choose,
    choose_unless,
    max_value,
    next_step_size,
    run,
)
from operant.tabular.eligibility import Trace, clear, mark, spread, trace_of, true_online
from operant.tabular.keywords import Stepping, keywords
from operant.tabular.learning import Learning
from operant.tabular.rules import RULES, Rules
from operant.tabular.settings import Settings, TraceKind


class SarsaLambda(NamedTuple):
    """SARSA(λ): δ = r + γ q(s', a') - q(s, a); q += α δ e."""

    table: Table
    trace: Trace


@compiled
def begin_traces(memory, state):
    """No trace is left of the last episode; choose."""
    clear(memory.trace)
    return choose(memory.table, memory.table.q, state)


@part
def learn_by_trace(memory, row, target):
    """q += α δ e after the visit of a row."""
    table = memory.table
    error, alpha = target - table.q[row], next_step_size(table, row)
    mark(memory.trace, row, alpha)
    spread(memory.trace, table.q, alpha * error)
    table.error[0] = error
    table.clock[0] += 1


@compiled
def observe_sarsa_lambda(memory, state, row, reward, next_state, terminated, truncated):
    """Choose, then learn."""
    table = memory.table
    chosen = choose_unless(table, table.q, next_state, terminated)
    value = table.terminal_value[next_state] if terminated else table.q[chosen]
    learn_by_trace(memory, row, reward + table.discount * value)
    return -1 if truncated else chosen


class WatkinsQ(NamedTuple):
    """Q(λ): δ = r + γ max q(s', ·) - q(s, a); the traces are cut when the action chosen next is not greedy."""

    table: Table
    trace: Trace


@compiled
def observe_watkins_q(memory, state, row, reward, next_state, terminated, truncated):
    """Choose, then learn."""
    table = memory.table
    chosen = choose_unless(table, table.q, next_state, terminated)
    value = table.terminal_value[next_state] if terminated else max_value(table.q, table.pointer, next_state)
    explores = not terminated and table.q[chosen] < value
    learn_by_trace(memory, row, reward + table.discount * value)
    if explores:
        clear(memory.trace)
    return -1 if truncated else chosen


class TrueOnlineSarsa(NamedTuple):
    """True online SARSA(λ), which equals the online forward view exactly."""

    table: Table
    trace: Trace
    before: Any  # [1]  q(s, a) of the pair that is left, before the last update


@compiled
def begin_true_online_sarsa(memory, state):
    """No trace is left of the last episode; choose."""
    memory.before[0] = np.nan
    return begin_traces(memory, state)


@compiled
def observe_true_online_sarsa(memory, state, row, reward, next_state, terminated, truncated):
    """Choose, then learn."""
    table = memory.table
    chosen = choose_unless(table, table.q, next_state, terminated)
    value = table.terminal_value[next_state] if terminated else table.q[chosen]
    before = table.q[row] if np.isnan(memory.before[0]) else memory.before[0]
    target = reward + table.discount * value
    table.error[0] = target - table.q[row]
    true_online(memory.trace, table.q, row, next_step_size(table, row), target, before)
    table.clock[0] += 1
    memory.before[0] = value
    return -1 if truncated else chosen


def _trace(table: Table, settings: Settings) -> Trace:
    return trace_of(len(table.q), settings)


RULES[SarsaLambda] = Rules(begin_traces, observe_sarsa_lambda, best_value)
RULES[WatkinsQ] = Rules(begin_traces, observe_watkins_q, best_value)
RULES[TrueOnlineSarsa] = Rules(begin_true_online_sarsa, observe_true_online_sarsa, best_value)
MEMORIES.update(
    {
        "sarsa-lambda": lambda table, cfg: SarsaLambda(table, _trace(table, cfg)),
        "true-online-sarsa": lambda table, cfg: TrueOnlineSarsa(table, _trace(table, cfg), np.full(1, np.nan)),
        "watkins-q": lambda table, cfg: WatkinsQ(table, _trace(table, cfg)),
    }
)


class Lambda(Stepping):
    """With λ."""

    lam: float


class Traces(Lambda, total=False):
    """With traces of a kind."""

    traces: TraceKind


@keywords()
def sarsa_lambda(mdp: MDP, **given: Unpack[Traces]) -> Learning:
    """SARSA(λ) with eligibility traces; λ = 0 is SARSA. Errors as `q_learning`.

    Source: Rummery and Niranjan (1994); Sutton and Barto (2018), section 12.7.
    """
    return run("sarsa-lambda", mdp, given)


@keywords()
def true_online_sarsa(mdp: MDP, **given: Unpack[Lambda]) -> Learning:
    """True online SARSA(λ). Errors as `q_learning`.

    Source: van Seijen et al. (2016); Sutton and Barto (2018), section 12.7.
    """
    return run("true-online-sarsa", mdp, given)


@keywords()
def watkins_q(mdp: MDP, **given: Unpack[Traces]) -> Learning:
    """Watkins's Q(λ): traces are cut where an action was not greedy; λ = 0 is Q-learning. Errors as `q_learning`.

    Source: Watkins (1989); Sutton and Barto (2018), section 12.10.
    """
    return run("watkins-q", mdp, given)
