"""Small environments that show in seconds whether a learner learns.

`identity` and `four_state` are for whole algorithms; the five probes each put one part of a learner to the test, so
that the first one that fails says where to look (after Andy Jones, "Debugging Reinforcement Learning Systems", 2021).
On the command line: `operant train ppo operant.env.probe:identity`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from operant.config.errors import EnvError
from operant.env.text import Words

Env = gymnasium.Env[Any, Any]
Answer = tuple[Any, float, bool, bool, dict[str, Any]]


class Identity(Env):
    """Reward 1 when the action equals the observed state, else 0 (numbers of a Box: within `tolerance`, each of them).

    The state is drawn anew at every step, whatever the action; the episode is truncated after `length` steps.
    """

    def __init__(self, space: gymnasium.Space[Any], length: int, tolerance: float = 0.0) -> None:
        self.observation_space = self.action_space = space
        self.length = length
        self.tolerance = tolerance
        self._state: Any = None
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw a state; with a seed, seed the draws."""
        super().reset(seed=seed)
        if seed is not None:
            self.action_space.seed(seed)
        self._step = 0
        self._state = self.action_space.sample()
        return self._state, {}

    def step(self, action: Any) -> Answer:
        """Compare the action with the observed state, then draw the next state."""
        pair = action, self._state
        if isinstance(self.action_space, spaces.Tuple):
            pair = tuple(spaces.flatten(self.action_space, x) for x in pair)
        distance = np.abs(np.asarray(pair[0], dtype=np.float64) - np.asarray(pair[1], dtype=np.float64))
        reward = float(np.all(distance <= self.tolerance))
        self._state = self.action_space.sample()
        self._step += 1
        return self._state, reward, False, self._step >= self.length, {}


def identity(kind: str = "discrete", size: int = 4, length: int = 100, tolerance: float = 0.05) -> Env:
    """Make an `Identity` environment: the best return is `length`.

    `kind`: "discrete" (`size` states), "box" (one number in [-1, 1], to be met within `tolerance`), "multidiscrete"
    (two components of `size` values), "multibinary" (`size` bits), or "hybrid", a choice of `size` beside a number in
    [-1, 1]. Raises EnvError for another kind.
    """
    if kind == "discrete":
        return Identity(spaces.Discrete(size), length)
    if kind == "box":
        return Identity(spaces.Box(-1.0, 1.0, (1,), np.float32), length, tolerance)
    if kind == "multidiscrete":
        return Identity(spaces.MultiDiscrete([size, size]), length)
    if kind == "multibinary":
        return Identity(spaces.MultiBinary(size), length)
    if kind == "hybrid":
        both = spaces.Tuple([spaces.Discrete(size), spaces.Box(-1.0, 1.0, (1,), np.float32)])
        return Identity(both, length, tolerance)
    raise EnvError(f"there is no identity of kind {kind!r}: use discrete, box, multidiscrete, multibinary or hybrid")


class FourState(Env):
    """A cycle of four one-hot states with reward 1 at every step, that never terminates and is truncated at `limit`.

    Whatever the two actions do, the value of every state is 1/(1-γ): a learner that takes the time limit for an end, or
    bootstraps from the wrong state there, arrives elsewhere.
    """

    observation_space = spaces.Box(0.0, 1.0, (4,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._step = 0

    def _observe(self) -> Any:
        return np.eye(4, dtype=np.float32)[self._step % 4]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start in the first state."""
        super().reset(seed=seed)
        self._step = 0
        return self._observe(), {}

    def step(self, action: Any) -> Answer:
        """Go to the next state of the cycle."""
        self._step += 1
        return self._observe(), 1.0, False, self._step >= self.limit, {}


def four_state(limit: int = 8) -> Env:
    """Make a `FourState` environment."""
    return FourState(limit)


class Probe(Env):
    """An episode of `length` decisions; the state is -1 or 1 by the toss of a coin where `tossed`, else 0 and then 1.

    The last decision is paid 1, or `sign` (the state) where the state should matter, or +1/-1 for the action where the
    action should matter, or for the action that agrees with the state where both should.
    """

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length: int = 1, tossed: bool = False, by_state: bool = False, by_action: bool = False) -> None:
        self.length = length
        self.tossed, self.by_state, self.by_action = tossed, by_state, by_action
        self._state = 0.0
        self._step = 0

    def _observe(self) -> Any:
        self._state = float(self.np_random.choice((-1.0, 1.0))) if self.tossed else float(min(self._step, 1))
        return np.array([self._state], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw the first state."""
        super().reset(seed=seed)
        self._step = 0
        return self._observe(), {}

    def step(self, action: Any) -> Answer:
        """Pay the last decision, terminate after it."""
        self._step += 1
        last = self._step >= self.length
        reward = 1.0
        if self.by_state:
            reward *= self._state
        if self.by_action:
            reward *= 1.0 if action == 1 else -1.0
        return self._observe(), reward if last else 0.0, last, False, {}


class Told(Env):
    """One decision: things of `colours` stand in places by chance, "take the red one" says which is paid 1, the rest 0.

    Where it is `misled`, the sentence is of a colour drawn anew: whoever follows it is paid by chance.
    """

    COLOURS = ("red", "green", "blue", "grey")

    def __init__(self, misled: bool = False) -> None:
        n, self.misled = len(self.COLOURS), misled
        words = Words(("take", "the", "one", *self.COLOURS), 4)
        self.observation_space = spaces.Dict({"said": words, "seen": spaces.MultiDiscrete([n] * n)})
        self.action_space = spaces.Discrete(n)
        self._seen, self._wanted = np.arange(n), 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw places and a colour."""
        super().reset(seed=seed)
        self._seen = self.np_random.permutation(len(self.COLOURS))
        self._wanted = said = int(self.np_random.integers(len(self._seen)))
        if self.misled:
            said = int(self.np_random.integers(len(self._seen)))
        return {"said": f"Take the {self.COLOURS[said]} one", "seen": self._seen}, {}

    def step(self, action: Any) -> Answer:
        """Pay, and end."""
        paid = float(self._seen[int(action)] == self._wanted)
        return {"said": "", "seen": self._seen}, paid, True, False, {}


def constant() -> Env:
    """Make probe 1: one decision, one state, reward 1. The value must become 1; if not, look at the value loss."""
    return Probe()


def seen() -> Env:
    """Make probe 2: one decision, reward equal to the observed -1 or 1. If the value misses it: the critic's input."""
    return Probe(tossed=True, by_state=True)


def delayed() -> Env:
    """Make probe 3: two decisions, states 0 then 1, reward 1 at the end. The values must become γ and 1: discount."""
    return Probe(length=2)


def chosen() -> Env:
    """Make probe 4: one decision, one state, reward 1 for action 1 and -1 for action 0: the policy's loss."""
    return Probe(by_action=True)


def matched() -> Env:
    """Make probe 5: one decision, reward 1 for action 1 in state 1 and action 0 in state -1, else -1: both at once."""
    return Probe(tossed=True, by_state=True, by_action=True)


def told(misled: bool = False) -> Env:
    """Make a `Told` environment: 1 by reading, 0.25 by chance, and where it is `misled`."""
    return Told(misled)
