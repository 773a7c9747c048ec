"""A tabular algorithm on an environment, step by step: the compiled rules of `algorithms`, called from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError, NonFiniteError
from operant.data.ranges import finite, index, whole
from operant.tabular.action_values import epsilon_of
from operant.tabular.algorithms import memory
from operant.tabular.learning import Floats
from operant.tabular.resumable import Resumable, arrays_of, seeded
from operant.tabular.rules import RULES
from operant.tabular.settings import Settings

INDICES = {
    **dict.fromkeys(
        ("seen.known", "seen.place", "seen.row", "heap", "at", "trace.active", "episode.rows", "rows"), "L"
    ),
    **dict.fromkeys(("seen.first", "seen.after", "seen.first_into", "seen.next_into", "seen.previous_into"), "K"),
    **dict.fromkeys(("states", "seen.state_of"), "S"),
    **{"next": "L", "seen.following": "S+1", "size": "L+1", "trace.count": "L+1", "seen.size": "K+1"},
}
"""What the whole numbers of a learner count: states, pairs L, outcomes K, or as many of them; all others only count."""


class Learner(Resumable):
    """Learns from transitions that somebody else collects.

    After `observe`, the next action is already chosen (SARSA must know it to learn): `act` returns it if the episode
    goes on from the state that was observed, and begins a new episode otherwise.

    Args:
        states, actions: S and A; every action is admissible in every state.
        config: the algorithm and its settings.
        generator: gives the seed of the choices; not used after that.

    Raises:
        ConfigError: if there is no state or no action.
    """

    def __init__(self, states: int, actions: int, config: Settings, generator: np.random.Generator) -> None:
        self.states, self.actions, self.config = whole("states", states), whole("actions", actions), config
        pointer = np.arange(0, self.states * self.actions + 1, self.actions, dtype=np.int64)
        room = 2 * self.states * self.actions
        self._memory = memory(config, pointer, np.zeros(self.states + 1), seeded(generator), room)
        self._grows = hasattr(self._memory, "with_room")
        self._rules = RULES[type(self._memory)]
        self._next = np.array([-1, -1], dtype=np.int64)  # the state that was reached, the row chosen there

    @property
    def table(self) -> Floats:
        """The action values, [S, A]; a view. For double learning their mean, see `tables`."""
        return self._memory.table.q.reshape(self.states, self.actions)

    @property
    def tables(self) -> dict[str, Floats]:
        """Every table of values by name, [S, A] each; double learning has `first` and `second` beside `table`."""
        shape = (self.states, self.actions)
        extra = {name: getattr(self._memory, name) for name in ("first", "second") if hasattr(self._memory, name)}
        return {"table": self.table} | {name: array.reshape(shape) for name, array in extra.items()}

    @property
    def visits(self) -> NDArray[np.int64]:
        """How often each pair was learned about, [S, A]; a view."""
        return self._memory.table.pair_visits.reshape(self.states, self.actions)

    @property
    def steps(self) -> int:
        """Transitions observed."""
        return int(self._memory.table.clock[0])

    @property
    def coverage(self) -> float:
        """Part of the pairs that were learned about at least once."""
        return float((self.visits > 0).mean())

    @property
    def epsilon(self) -> float:
        """ε where the learner stands, in the state that was reached last."""
        return float(epsilon_of(self._memory.table, max(int(self._next[0]), 0)))

    def act(self, state: int, step: int | None = None) -> int:
        """The action to take in a state. Schedules count the steps observed; `step`, if given, sets that count.

        Raises:
            ConfigError: if there is no such state.
        """
        state = index("state", state, self.states)
        if step is not None:
            self._memory.table.clock[0] = whole("step", step, 0)
        reached, row = self._next
        if reached != state or row < 0:
            row = self._rules.begin(self._memory, state)
            self._next[:] = state, row
        return int(row) % self.actions

    def observe(
        self, state: int, action: int, reward: float, next_state: int, terminated: bool, truncated: bool
    ) -> dict[str, float]:
        """Learn from one transition.

        Returns:
            `td_error`, the last one (methods that wait for more steps learn later), and `epsilon` in the next state.

        Raises:
            ConfigError: if there is no such state or action; nothing is learned.
            NonFiniteError: if the reward is infinite or NaN; likewise.
        """
        self.learn(state, action, reward, next_state, bool(terminated), bool(truncated))
        return {
            "td_error": float(self._memory.table.error[0]),
            "epsilon": self.epsilon,
        }

    def learn(self, state: int, action: int, reward: float, next_state: int, terminated: bool, truncated: bool) -> int:
        """As `observe`, without its report: the next action, which `act` would give, -1 where the episode is over."""
        if not (
            state.__class__ is action.__class__ is next_state.__class__ is int
            and reward.__class__ is float
            and 0 <= state < self.states
            and 0 <= action < self.actions
            and 0 <= next_state < self.states
            and reward - reward == 0.0
        ):
            state, action = index("state", state, self.states), index("action", action, self.actions)
            next_state = index("next_state", next_state, self.states)
            reward = finite("reward", reward, error=NonFiniteError)
        if self._grows and self._memory.full:
            self._memory = self._memory.with_room(2 * self._memory.room)
        row = state * self.actions + action
        chosen = self._rules.observe(self._memory, state, row, reward, next_state, terminated, truncated)
        self._next[0], self._next[1] = next_state, chosen
        return chosen % self.actions if chosen >= 0 else -1

    def greedy(self, state: int) -> int:
        """The first action of largest value: how to act when not learning.

        Raises:
            ConfigError: if there is no such state.
        """
        return int(np.argmax(self.table[index("state", state, self.states)]))

    def make_room(self, state: Mapping[str, NDArray[Any]]) -> None:
        if self._grows:
            self._memory = self._memory.with_room(len(state.get("seen.count", ())))

    def check(self, state: Mapping[str, NDArray[Any]]) -> None:
        counts = {"S": self.states, "L": self.states * self.actions, "K": len(state.get("seen.count", ()))}
        limits = counts | {f"{name}+1": count + 1 for name, count in counts.items()} | {"many": 2**62}
        own = INDICES | {"seen.count": "L+1" if "seen.known" in state else "many"}
        index("the saved next", max(int(state["next"][0]), 0), self.states)
        for name, array in state.items():
            bound = own.get(name, "many")
            least = 0 if bound in ("L+1", "K+1", "many") else -1  # what counts is none of what may be missing
            if array.dtype.kind == "i" and array.size and not least <= array.min() <= array.max() < limits[bound]:
                raise ConfigError(f"the saved {name} holds {array.min()} to {array.max()}, which this learner has not.")

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        yield "next", self._next
        yield from arrays_of(self._memory)
