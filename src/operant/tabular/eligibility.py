# pyright: basic
"""Eligibility traces, which control and prediction share.

Only entries visited in this episode have a trace; they stand in a list, so a step costs as many updates as there are
different ones behind it. Source: Sutton and Barto (2018), chapter 12; van Seijen et al. (2016) for dutch traces.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from operant.mdp.analyse.sampler import part
from operant.tabular.settings import Settings

ACCUMULATING, REPLACING, DUTCH = 0, 1, 2
KINDS = {"accumulating": ACCUMULATING, "replacing": REPLACING, "dutch": DUTCH}


class Trace(NamedTuple):
    """Eligibility e of the entries of a table, and the list of those that are not zero."""

    e: Any  # [K]
    active: Any  # [K]  the first count[0] entries are indices with a trace
    count: Any  # [1]
    decay: float  # γλ
    kind: int  # how a visit marks: e + 1, 1, or (1 - α) e + 1


def trace_of(entries: int, settings: Settings) -> Trace:
    """Traces that are all zero."""
    decay, kind = settings.discount * settings.lam, KINDS[settings.traces]
    return Trace(np.zeros(entries), np.zeros(entries, dtype=np.int64), np.zeros(1, dtype=np.int64), decay, kind)


@part
def clear(trace):
    """All traces are zero."""
    for k in range(trace.count[0]):
        trace.e[trace.active[k]] = 0.0
    trace.count[0] = 0


@part
def activate(trace, index):
    """The index stands in the list."""
    if trace.e[index] == 0.0:
        trace.active[trace.count[0]] = index
        trace.count[0] += 1


@part
def mark(trace, index, alpha):
    """A visit."""
    activate(trace, index)
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
    activate(trace, index)
    trace.e[index] += 1.0 - alpha * trace.e[index]  # e was multiplied by γλ when it was spread
    value = values[index]
    spread(trace, values, alpha * (target - before))
    values[index] -= alpha * (value - before)
