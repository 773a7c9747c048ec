# pyright: basic
"""What the control algorithms share: the table of action values, how it is acted on and moved, and how one learns.

A pair of state and action is a row, as in a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operant.mdp.analyse.sampler import below, compiled, part, uniform
from operant.mdp.model import MDP
from operant.tabular.keywords import Options
from operant.tabular.learning import Floats, Learning, learn, parted
from operant.tabular.rules import encode, evaluate
from operant.tabular.schedules import warn_of
from operant.tabular.settings import Settings


class Table(NamedTuple):
    """Action values and what every control algorithm keeps beside them. Pairs are rows, as in a model."""

    q: Any  # [L]    action values
    pointer: Any  # [S+1]  rows of state s are pointer[s] … pointer[s+1]-1; int64
    terminal_value: Any  # [S+1]  value of a terminal state
    pair_visits: Any  # [L]    updates of each pair so far
    state_visits: Any  # [S]    choices made in each state so far
    clock: Any  # [1]    steps so far
    error: Any  # [1]    the last temporal-difference error
    random: Any  # [4]    generator of the choices
    step_size: Any  # [4]    schedule
    epsilon: Any  # [4]    schedule
    discount: float


@part
def max_value(values, pointer, state):
    """max over rows of a state."""
    best = values[pointer[state]]
    for row in range(pointer[state] + 1, pointer[state + 1]):
        best = max(best, values[row])
    return best


@part
def greedy(values, pointer, state, g):
    """A maximal row of a state, ties broken at random."""
    first, last = pointer[state], pointer[state + 1]
    best, at, ties = values[first], first, 1
    for row in range(first + 1, last):
        if values[row] > best:
            best, at, ties = values[row], row, 1
        elif values[row] == best:
            ties += 1
    if ties > 1:
        skip = below(g, ties)
        for row in range(at, last):
            if values[row] == best:
                if skip == 0:
                    return row
                skip -= 1
    return at


@part
def soft_value(values, pointer, state, epsilon):
    """Σ π(a|s) q(s, a) of the ε-greedy policy: (1 - ε) max q + ε mean q, however ties are broken."""
    first, last = pointer[state], pointer[state + 1]
    total = 0.0
    for row in range(first, last):
        total += values[row]
    return (1.0 - epsilon) * max_value(values, pointer, state) + epsilon * (total / (last - first))


@compiled
def epsilon_of(table, state):
    """ε in a state now."""
    return evaluate(table.epsilon, table.clock[0], table.state_visits[state])


@part
def choose(table, values, state):
    """An ε-greedy row of a state; counts the visit."""
    epsilon = epsilon_of(table, state)
    table.state_visits[state] += 1
    first, last = table.pointer[state], table.pointer[state + 1]
    if epsilon > 0.0 and uniform(table.random) < epsilon:
        return first + below(table.random, last - first)
    return greedy(values, table.pointer, state, table.random)


@part
def choose_unless(table, values, state, over):
    """The next choice, or -1 where the episode is over."""
    return np.int64(-1) if over else choose(table, values, state)


@part
def next_step_size(table, row):
    """α of a pair now; counts the update."""
    alpha = evaluate(table.step_size, table.clock[0], table.pair_visits[row])
    table.pair_visits[row] += 1
    return alpha


@part
def update(table, values, row, target):
    """values(row) += α (target - values(row))."""
    error = target - values[row]
    values[row] += next_step_size(table, row) * error
    return error


@part
def update_now(table, values, row, target):
    """`shift` for what just happened: one step of the clock; the temporal-difference error is kept."""
    table.error[0] = update(table, values, row, target)
    table.clock[0] += 1


@part
def soft_probability(values, pointer, state, epsilon, row):
    """π(a|s) of the ε-greedy policy, greedy mass shared by the maximal rows."""
    first, last = pointer[state], pointer[state + 1]
    best, ties = max_value(values, pointer, state), 0
    for other in range(first, last):
        ties += values[other] == best
    return epsilon / (last - first) + ((1.0 - epsilon) / ties if values[row] == best else 0.0)


@compiled
def best_value(memory, state):
    """max_a q(s, a): the `estimate` of control algorithms."""
    return max_value(memory.table.q, memory.table.pointer, state)


@compiled
def begin_greedily(memory, state):
    """The `begin` of control algorithms that keep nothing from one episode to the next."""
    return choose(memory.table, memory.table.q, state)


def state_of_rows(table: Table) -> NDArray[np.int64]:
    """The state of each row, [L]."""
    return np.repeat(np.arange(len(table.pointer) - 1), np.diff(table.pointer))


MEMORIES: dict[str, Callable[[Table, Settings], Any]] = {}
"""How each algorithm's memory is made from a table in which nothing is learned yet; `algorithms` fills this."""


def new_table(
    settings: Settings, pointer: NDArray[np.int64], terminal_value: Floats, random: NDArray[np.uint64]
) -> Table:
    """The table with which control begins; arguments as `memory`."""
    states, pairs = len(pointer) - 1, int(pointer[-1])
    return Table(
        q=np.full(pairs, float(settings.initial)),
        pointer=pointer,
        terminal_value=terminal_value,
        pair_visits=np.zeros(pairs, dtype=np.int64),
        state_visits=np.zeros(states, dtype=np.int64),
        clock=np.zeros(1, dtype=np.int64),
        error=np.zeros(1),
        random=random,
        step_size=encode(settings.step_size),
        epsilon=encode(settings.epsilon),
        discount=settings.discount,
    )


def memory(
    settings: Settings,
    pointer: NDArray[np.int64],
    terminal_value: Floats,
    random: NDArray[np.uint64],
    outcomes: int | None = None,
) -> Any:
    """The memory with which an algorithm begins.

    Args:
        settings: what to learn with.
        pointer: rows of state s are pointer[s] … pointer[s+1]-1, [S+1].
        terminal_value: values of terminal states, [S+1].
        random: generator state of the choices, [4]; the memory owns it.
        outcomes: of pairs, that a memory that counts them has room for: no more may come. All that can be, if None.
    """
    made = MEMORIES[settings.algorithm](new_table(settings, pointer, terminal_value, random), settings)
    if not hasattr(made, "with_room"):
        return made
    return made.with_room(2 * len(pointer) * int(pointer[-1]) if outcomes is None else outcomes)


def learn_control(mdp: MDP, settings: Settings, options: Options) -> Learning:
    """Run the algorithm that the settings name on a model, once per seed; errors as `learn`."""
    noisy = mdp.leak or mdp.nnz > mdp.num_rows
    warn_of(settings.algorithm, settings.violations(noisy=noisy))
    pointer = mdp.rows.pointer.astype(np.int64)
    terminal_value = np.append(mdp.rows.terminal_value, 0.0)
    outcomes = mdp.nnz + mdp.leak * mdp.num_rows
    return learn(mdp, lambda random: memory(settings, pointer, terminal_value, random.copy(), outcomes), options)


def run(algorithm: str, mdp: MDP, given: Mapping[str, Any]) -> Learning:
    """`learn_control` with the keywords of a function: settings and options."""
    settings, options = parted(given, mdp)
    return learn_control(mdp, Settings.model_validate(settings | {"algorithm": algorithm}), options)
