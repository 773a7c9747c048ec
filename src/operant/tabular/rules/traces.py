# pyright: basic
"""Eligibility traces: SARSA(λ), Watkins's Q(λ), true online SARSA(λ), and what control and prediction share of them.

Only pairs visited in this episode have a trace; they stand in a list, so a step costs as many updates as there are
different pairs behind it. Source: Sutton and Barto (2018), chapter 12; van Seijen et al. (2016) for dutch traces.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from operant.mdp.analyse.sampler import compiled, part
from operant.tabular.rules import (
    RULES,
    Rules,
    Table,
    best_value,
    choose,
    choose_unless,
    largest,
    next_step_size,
)

ACCUMULATING, REPLACING, DUTCH = 0, 1, 2
KINDS = {"accumulating": ACCUMULATING, "replacing": REPLACING, "dutch": DUTCH}


class Trace(NamedTuple):
    """Eligibility e of the entries of a table, and the list of those that are not zero."""

    e: Any  # [K]
    active: Any  # [K]  the first count[0] entries are indices with a trace
    count: Any  # [1]
    decay: float  # γλ
    kind: int  # how a visit marks: e + 1, 1, or (1 - α) e + 1


@part
def forget(trace):
    """All traces are zero."""
    for k in range(trace.count[0]):
        trace.e[trace.active[k]] = 0.0
    trace.count[0] = 0


@part
def enlist(trace, index):
    """The index stands in the list."""
    if trace.e[index] == 0.0:
        trace.active[trace.count[0]] = index
        trace.count[0] += 1


@part
def mark(trace, index, alpha):
    """A visit."""
    enlist(trace, index)
    if trace.kind == ACCUMULATING:
        trace.e[index] += 1.0
    elif trace.kind == REPLACING:
        trace.e[index] = 1.0
    else:
        trace.e[index] = (1.0 - alpha) * trace.e[index] + 1.0


@part
def spread(trace, values, amount):
    """values += amount · e, then e *= γλ."""
    kept = 0
    for k in range(trace.count[0]):
        index = trace.active[k]
        values[index] += amount * trace.e[index]
        trace.e[index] *= trace.decay
        if trace.e[index] != 0.0:
            trace.active[kept] = index
            kept += 1
    trace.count[0] = kept


@part
def true_online(trace, values, index, alpha, target, before):
    """One step of true online TD(λ), with e for γλe + (1 - α γλ e(i)) 1_i: values += α (δ + v - v_before) e - α (v -
    v_before) 1_i, where v = values(i) and δ = target - v."""
    enlist(trace, index)
    trace.e[index] += 1.0 - alpha * trace.e[index]  # e was multiplied by γλ when it was spread
    value = values[index]
    spread(trace, values, alpha * (target - before))
    values[index] -= alpha * (value - before)


class SarsaLambda(NamedTuple):
    """SARSA(λ): δ = r + γ q(s', a') - q(s, a); q += α δ e."""

    table: Table
    trace: Trace


@compiled
def begin_traces(memory, state):
    """No trace is left of the last episode; choose."""
    forget(memory.trace)
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
def observe_sarsa_lambda(memory, state, row, reward, following, terminated, truncated):
    """Choose, then learn."""
    table = memory.table
    chosen = choose_unless(table, table.q, following, terminated)
    value = table.worth[following] if terminated else table.q[chosen]
    learn_by_trace(memory, row, reward + table.discount * value)
    return -1 if truncated else chosen


class WatkinsQ(NamedTuple):
    """Q(λ): δ = r + γ max q(s', ·) - q(s, a); the traces are cut when the action chosen next is not greedy."""

    table: Table
    trace: Trace


@compiled
def observe_watkins_q(memory, state, row, reward, following, terminated, truncated):
    """Choose, then learn."""
    table = memory.table
    chosen = choose_unless(table, table.q, following, terminated)
    value = table.worth[following] if terminated else largest(table.q, table.pointer, following)
    explores = not terminated and table.q[chosen] < value
    learn_by_trace(memory, row, reward + table.discount * value)
    if explores:
        forget(memory.trace)
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
def observe_true_online_sarsa(memory, state, row, reward, following, terminated, truncated):
    """Choose, then learn."""
    table = memory.table
    chosen = choose_unless(table, table.q, following, terminated)
    value = table.worth[following] if terminated else table.q[chosen]
    before = table.q[row] if np.isnan(memory.before[0]) else memory.before[0]
    target = reward + table.discount * value
    table.error[0] = target - table.q[row]
    true_online(memory.trace, table.q, row, next_step_size(table, row), target, before)
    table.clock[0] += 1
    memory.before[0] = value
    return -1 if truncated else chosen


RULES[SarsaLambda] = Rules(begin_traces, observe_sarsa_lambda, best_value)
RULES[WatkinsQ] = Rules(begin_traces, observe_watkins_q, best_value)
RULES[TrueOnlineSarsa] = Rules(begin_true_online_sarsa, observe_true_online_sarsa, best_value)
