# pyright: basic
"""Learning with a model of what was seen: Dyna-Q, Dyna-Q+, prioritised sweeping.

Dyna's model remembers the last outcome of each pair, as the book's does: exact where transitions are deterministic, one
sample where they are not. Prioritised sweeping counts outcomes, as Moore and Atkeson do, and updates towards the mean
over what was seen.

Source: Sutton (1990); Moore and Atkeson (1993); Sutton and Barto (2018), sections 8.2 to 8.4.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np

from operant.mdp.analyse.sampler import below, compiled, part
from operant.mdp.model import MDP
from operant.tabular.action_values import (
    MEMORIES,
    Table,
    begin_greedily,
    best_value,
    choose_unless,
    max_value,
    run,
    state_of_rows,
    update,
    update_now,
)
from operant.tabular.keywords import Stepping, keywords
from operant.tabular.learning import Learning
from operant.tabular.rules import RULES, Rules
from operant.tabular.settings import Settings


class LastOutcomes(NamedTuple):
    """The last outcome of each pair."""

    known: Any  # [L]  the pairs that can be planned with, in the order in which they came; the first count[0] are valid
    count: Any  # [1]
    place: Any  # [L]  where the pair stands in `known`, -1 if not
    reward: Any  # [L]
    following: Any  # [L]
    ended: Any  # [L]  bool
    tried: Any  # [L]  the step at which it was taken last
    state_of: Any  # [L]  the state of each row


@part
def add_pair(seen, row):
    """The pair can be planned with."""
    if seen.place[row] < 0:
        seen.place[row] = seen.count[0]
        seen.known[seen.count[0]] = row
        seen.count[0] += 1


@part
def remember(seen, row, reward, next_state, ended, now):
    """The outcome of a pair."""
    add_pair(seen, row)
    seen.reward[row], seen.following[row], seen.ended[row], seen.tried[row] = reward, next_state, ended, now


@part
def imagined_target(table, seen, row):
    """r + γ max q(s', ·) of the remembered outcome."""
    next_state = seen.following[row]
    value = table.terminal_value[next_state] if seen.ended[row] else max_value(table.q, table.pointer, next_state)
    return seen.reward[row] + table.discount * value


class DynaQ(NamedTuple):
    """Q-learning, and after each step `planning` more updates of pairs drawn from memory."""

    table: Table
    seen: LastOutcomes
    planning: int


@compiled
def observe_dyna_q(memory, state, row, reward, next_state, terminated, truncated):
    """Learn, remember, plan, choose."""
    table, seen = memory.table, memory.seen
    value = table.terminal_value[next_state] if terminated else max_value(table.q, table.pointer, next_state)
    update_now(table, table.q, row, reward + table.discount * value)
    remember(seen, row, reward, next_state, terminated, table.clock[0])
    for _ in range(memory.planning):
        old = seen.known[below(table.random, seen.count[0])]
        update(table, table.q, old, imagined_target(table, seen, old))
    return choose_unless(table, table.q, next_state, terminated or truncated)


class DynaQPlus(NamedTuple):
    """Dyna-Q with the bonus κ √τ in planning, where τ counts the steps since the pair was tried for the last time.

    Actions not yet tried in a state that was visited are planned with too: the model says that they lead back to it
    with reward 0.
    """

    table: Table
    seen: LastOutcomes
    planning: int
    kappa: float


@compiled
def observe_dyna_q_plus(memory, state, row, reward, next_state, terminated, truncated):
    """Learn, remember, plan, choose."""
    table, seen = memory.table, memory.seen
    value = table.terminal_value[next_state] if terminated else max_value(table.q, table.pointer, next_state)
    update_now(table, table.q, row, reward + table.discount * value)
    for other in range(table.pointer[state], table.pointer[state + 1]):
        if seen.place[other] < 0:
            remember(seen, other, 0.0, state, False, 0)
    remember(seen, row, reward, next_state, terminated, table.clock[0])
    for _ in range(memory.planning):
        old = seen.known[below(table.random, seen.count[0])]
        bonus = memory.kappa * np.sqrt(np.float64(table.clock[0] - seen.tried[old]))
        update(table, table.q, old, imagined_target(table, seen, old) + bonus)
    return choose_unless(table, table.q, next_state, terminated or truncated)


class Counts(NamedTuple):
    """How often each outcome of each pair was seen. K outcomes have room; those of a pair are a linked list, and so are
    those that lead to the same state."""

    size: Any  # [1]  outcomes so far
    tried: Any  # [L]  how often the pair was taken
    reward: Any  # [L]  the mean of its rewards
    first: Any  # [L]  its first outcome, -1 if none
    following: Any  # [K]
    ended: Any  # [K]  bool
    count: Any  # [K]
    row: Any  # [K]  the pair
    after: Any  # [K]  the next outcome of the pair, -1 if none
    first_into: Any  # [S+1]  the first outcome that leads to the state, the newest one; -1 if none
    next_into: Any  # [K]
    previous_into: Any  # [K]
    state_of: Any  # [L]  the state of each row


class PrioritisedSweeping(NamedTuple):
    """Each step updates up to `planning` pairs in the order of |error|, and queues those that lead to a changed state.

    The queue is a heap that knows where each pair stands.
    """

    table: Table
    seen: Counts
    planning: int
    threshold: float  # errors up to this are not worth an update
    heap: Any  # [L]
    size: Any  # [1]
    at: Any  # [L]  where the pair stands in the heap, -1 if not
    priority: Any  # [L]

    @property
    def room(self) -> int:
        """K."""
        return len(self.seen.count)

    @property
    def full(self) -> bool:
        """Whether there is no room for one more outcome."""
        return self.seen.size[0] >= len(self.seen.count)

    def with_room(self, outcomes: int) -> PrioritisedSweeping:
        """The same with room for so many outcomes, if it has not as much."""
        more = outcomes - self.room
        if more <= 0:
            return self
        longer = {name: np.pad(getattr(self.seen, name), (0, more)) for name in OF_OUTCOMES}
        return self._replace(seen=self.seen._replace(**longer))


@part
def unlink(seen, outcome):
    """The outcome leads nowhere."""
    after, before = seen.next_into[outcome], seen.previous_into[outcome]
    if after >= 0:
        seen.previous_into[after] = before
    if before >= 0:
        seen.next_into[before] = after
    else:
        seen.first_into[seen.following[outcome]] = after


@part
def link(seen, outcome):
    """The outcome leads to its state, and is the newest that does."""
    next_state = seen.following[outcome]
    after = seen.first_into[next_state]
    seen.next_into[outcome], seen.previous_into[outcome] = after, -1
    if after >= 0:
        seen.previous_into[after] = outcome
    seen.first_into[next_state] = outcome


@part
def counted(seen, row, reward, next_state, ended):
    """One more outcome of a pair."""
    outcome = seen.first[row]
    while outcome >= 0 and not (seen.following[outcome] == next_state and seen.ended[outcome] == ended):
        outcome = seen.after[outcome]
    if outcome < 0:
        outcome = seen.size[0]
        seen.size[0] += 1
        seen.following[outcome], seen.ended[outcome], seen.row[outcome] = next_state, ended, row
        seen.after[outcome] = seen.first[row]
        seen.first[row] = outcome
    else:
        unlink(seen, outcome)
    link(seen, outcome)
    seen.count[outcome] += 1
    seen.tried[row] += 1
    seen.reward[row] += (reward - seen.reward[row]) / seen.tried[row]


@part
def expected_target(table, seen, row):
    """r + γ max q(s', ·), both means over what was seen."""
    mean, outcome = 0.0, seen.first[row]
    while outcome >= 0:
        next_state = seen.following[outcome]
        value = (
            table.terminal_value[next_state] if seen.ended[outcome] else max_value(table.q, table.pointer, next_state)
        )
        mean += seen.count[outcome] / seen.tried[row] * value
        outcome = seen.after[outcome]
    return seen.reward[row] + table.discount * mean


@part
def sift(memory, place):
    """Move an entry of the heap to where it belongs."""
    heap, at, priority = memory.heap, memory.at, memory.priority
    row = heap[place]
    while place > 0 and priority[heap[(place - 1) // 2]] < priority[row]:
        heap[place] = heap[(place - 1) // 2]
        at[heap[place]] = place
        place = (place - 1) // 2
    while 2 * place + 1 < memory.size[0]:
        child = 2 * place + 1
        if child + 1 < memory.size[0] and priority[heap[child + 1]] > priority[heap[child]]:
            child += 1
        if priority[heap[child]] <= priority[row]:
            break
        heap[place] = heap[child]
        at[heap[place]] = place
        place = child
    heap[place] = row
    at[row] = place


@part
def queue(memory, row):
    """The pair enters the queue, or moves up in it, if its error is worth an update."""
    error = abs(expected_target(memory.table, memory.seen, row) - memory.table.q[row])
    if error <= memory.threshold or (memory.at[row] >= 0 and error <= memory.priority[row]):
        return
    memory.priority[row] = error
    if memory.at[row] < 0:
        memory.at[row] = memory.size[0]
        memory.heap[memory.size[0]] = row
        memory.size[0] += 1
    sift(memory, memory.at[row])


@part
def pop(memory):
    """The pair of largest priority; it leaves the queue."""
    row = memory.heap[0]
    memory.at[row] = -1
    memory.size[0] -= 1
    if memory.size[0] > 0:
        memory.heap[0] = memory.heap[memory.size[0]]
        sift(memory, 0)
    return row


@compiled
def observe_prioritised_sweeping(memory, state, row, reward, next_state, terminated, truncated):
    """Count, update in the order of urgency, choose."""
    table, seen = memory.table, memory.seen
    counted(seen, row, reward, next_state, terminated)
    table.error[0] = expected_target(table, seen, row) - table.q[row]
    table.clock[0] += 1
    queue(memory, row)
    for _ in range(memory.planning):
        if memory.size[0] == 0:
            break
        changed = pop(memory)
        update(table, table.q, changed, expected_target(table, seen, changed))
        into = seen.first_into[seen.state_of[changed]]
        while into >= 0:
            queue(memory, seen.row[into])
            into = seen.next_into[into]
    return choose_unless(table, table.q, next_state, terminated or truncated)


def _no_outcomes(table: Table) -> LastOutcomes:
    pairs = len(table.q)
    return LastOutcomes(
        known=np.zeros(pairs, dtype=np.int64),
        count=np.zeros(1, dtype=np.int64),
        place=np.full(pairs, -1, dtype=np.int64),
        reward=np.zeros(pairs),
        following=np.zeros(pairs, dtype=np.int64),
        ended=np.zeros(pairs, dtype=np.bool_),
        tried=np.zeros(pairs, dtype=np.int64),
        state_of=state_of_rows(table),
    )


OF_OUTCOMES = ("following", "ended", "count", "row", "after", "next_into", "previous_into")
"""The arrays of `Counts` that grow, [K]."""


def _prioritised(table: Table, settings: Settings) -> PrioritisedSweeping:
    pairs = len(table.q)
    none = np.full(pairs, -1, dtype=np.int64)
    empty = {name: np.zeros(0, dtype=np.bool_ if name == "ended" else np.int64) for name in OF_OUTCOMES}
    seen = Counts(
        size=np.zeros(1, dtype=np.int64),
        tried=np.zeros(pairs, dtype=np.int64),
        reward=np.zeros(pairs),
        first=none.copy(),
        first_into=np.full(len(table.pointer), -1, dtype=np.int64),
        state_of=state_of_rows(table),
        **empty,
    )
    return PrioritisedSweeping(
        table,
        seen,
        settings.planning,
        settings.threshold,
        heap=none.copy(),
        size=np.zeros(1, dtype=np.int64),
        at=none.copy(),
        priority=np.zeros(len(table.q)),
    )


RULES[DynaQ] = Rules(begin_greedily, observe_dyna_q, best_value)
RULES[DynaQPlus] = Rules(begin_greedily, observe_dyna_q_plus, best_value)
RULES[PrioritisedSweeping] = Rules(begin_greedily, observe_prioritised_sweeping, best_value)
MEMORIES.update(
    {
        "dyna-q": lambda table, cfg: DynaQ(table, _no_outcomes(table), cfg.planning),
        "dyna-q-plus": lambda table, cfg: DynaQPlus(table, _no_outcomes(table), cfg.planning, cfg.kappa),
        "prioritised-sweeping": _prioritised,
    }
)


class Planning(Stepping, total=False):
    """With updates from memory."""

    planning: int


class PlanningPlus(Planning, total=False):
    """With a bonus."""

    kappa: float


class Sweeping(Planning, total=False):
    """With a queue."""

    threshold: float


@keywords()
def dyna_q(mdp: MDP, **given: Unpack[Planning]) -> Learning:
    """Dyna-Q: Q-learning, and after each step updates from memory; with none of them it is Q-learning.

    Errors as `q_learning`. Source: Sutton (1990); Sutton and Barto (2018), section 8.2.
    """
    return run("dyna-q", mdp, given)


@keywords()
def dyna_q_plus(mdp: MDP, **given: Unpack[PlanningPlus]) -> Learning:
    """Dyna-Q+: Dyna-Q with a bonus κ √τ for what was not tried for τ steps. Errors as `q_learning`.

    Source: Sutton (1990); Sutton and Barto (2018), section 8.3.
    """
    return run("dyna-q-plus", mdp, given)


@keywords(step_size=1.0)
def prioritised_sweeping(mdp: MDP, **given: Unpack[Sweeping]) -> Learning:
    """Prioritised sweeping over what was seen: the updates with the largest errors first, the real one among them.

    An update goes towards r + γ Σ n(s') / n max q(s', ·), with the counts n of what was seen, so that constant steps
    converge on stochastic models too.

    Errors as `q_learning`. Source: Moore and Atkeson (1993); Sutton and Barto (2018), section 8.4.
    """
    return run("prioritised-sweeping", mdp, given)
