# pyright: basic
"""What the prediction algorithms share: the value of each state under a policy that is followed, how one is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.analyse.sampler import choose_row, compiled, part, running_policy
from operant.mdp.model import MDP
from operant.tabular.learning import Learning, learn, parted
from operant.tabular.rules import encode, evaluate
from operant.tabular.schedules import warn_of
from operant.tabular.settings import Settings


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
def update_value(values, state, target):
    """v(s) += α (target - v(s)); the error is kept."""
    error = target - values.v[state]
    values.v[state] += step_size_of(values, state) * error
    values.error[0] = error


def predict(
    name: str,
    make: Callable[[Values, Settings], Any],
    mdp: MDP,
    policy: ArrayLike,
    given: Mapping[str, Any],
    initial: float | ArrayLike = 0.0,
) -> Learning:
    """A prediction algorithm with the keywords of its function; `make` completes its memory."""
    parts, options = parted(given, mdp)
    settings = Settings.model_validate(parts)
    warn_of(name, [each for each in settings.violations(noisy=True) if each[0] == "step size"])
    rows, states = mdp.rows, mdp.num_states
    first = np.append(np.broadcast_to(np.asarray(initial, dtype=np.float64), states), 0.0)
    first[:-1][rows.terminal] = rows.terminal_value[rows.terminal]
    running, pointer = running_policy(mdp, policy), rows.pointer.astype(np.int64)

    def begin(random: NDArray[np.uint64]) -> Any:
        values = Values(
            v=first.copy(),
            pointer=pointer,
            running=running,
            visits=np.zeros(states, dtype=np.int64),
            clock=np.zeros(1, dtype=np.int64),
            error=np.zeros(1),
            random=random.copy(),
            step_size=encode(settings.step_size),
            discount=mdp.discount,
        )
        return make(values, settings)

    return learn(mdp, begin, options)
