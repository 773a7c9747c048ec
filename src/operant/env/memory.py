"""Small environments in which what is seen does not say what to do: an agent must remember.

On the command line: `operant train ppo operant.env.memory:t_maze`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from operant.config.errors import EnvError
from operant.env.probe import Answer, Env

SUITS, RANKS = 4, 13
CUES = np.array([[0, 1, 1], [1, 1, 0]], np.float32)  # goal north, goal south
CORRIDOR = np.array([1, 0, 1], np.float32)
JUNCTION = np.array([0, 1, 0], np.float32)
NORTH, EAST, SOUTH, WEST = range(4)


class RepeatPrevious(Env):
    """Cards are turned over one by one; say the suit of the k-th last one that was seen, the newest counted as first.

    With C = 52·`decks` cards an episode has C − 1 decisions. From the k-th on each is paid 1/(C − k) where it is right
    and −1/(C − k) where not, so that the return lies in [−1, 1]: 1 is perfect and −½ is what guessing brings. It ends
    with the deck. (There the end is called a truncation; nothing follows it, so here it is a termination.)

    Source: Morad et al. (2023), POPGym: Benchmarking partially observable reinforcement learning, RepeatPrevious.
    """

    def __init__(self, k: int, decks: int) -> None:
        cards = SUITS * RANKS * decks
        if not 1 <= k < cards:
            raise EnvError(f"k is {k}: of {cards} cards one of the last 1 to {cards - 1} can be asked for")
        self.observation_space = spaces.Discrete(SUITS)
        self.action_space = spaces.Discrete(SUITS)
        self.k = k
        self._deck = self._sorted = np.repeat(np.arange(SUITS), RANKS * decks)
        self._shown = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Shuffle, and turn over the first card."""
        super().reset(seed=seed)
        self._deck = self.np_random.permutation(self._sorted)
        self._shown = 1
        return int(self._deck[0]), {}

    def step(self, action: Any) -> Answer:
        """Pay for the suit that was said, and turn over the next card."""
        reward = 0.0
        if self._shown >= self.k:
            right = int(action) == self._deck[self._shown - self.k]
            reward = (1.0 if right else -1.0) / (len(self._deck) - self.k)
        self._shown += 1
        return int(self._deck[self._shown - 1]), reward, self._shown == len(self._deck), False, {}


def repeat_previous(k: int = 4, decks: int = 1) -> Env:
    """Make a `RepeatPrevious` environment: the best return is 1."""
    return RepeatPrevious(k, decks)


class TMaze(Env):
    """A corridor whose start shows where the goal is, and a junction at its end where one has to know it.

    Observed are three bits: at the start 011 (the goal is in the north) or 110 (in the south), in the corridor 101, at
    the junction 010. The actions are to go north, east, south and west. At the junction north and south end the
    episode, with 4 where the goal is and −0.1 where it is not; whoever walks into a wall stays there, at −0.1; every
    other step is free. The best return is 4, and 1.95 that of a policy without memory. `corridor` steps east lead from
    the start to the junction.

    Source: Bakker (2002), Reinforcement learning with long short-term memory, section 4.
    """

    observation_space = spaces.Box(0.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(4)

    def __init__(self, corridor: int, limit: int) -> None:
        if corridor < 1:
            raise EnvError(f"a corridor of {corridor} steps has no place for a junction: give 1 or more")
        self.corridor, self.limit = corridor, limit
        self._south = self._at = self._step = 0

    def _observe(self) -> Any:
        if self._at == 0:
            return CUES[self._south].copy()
        return (JUNCTION if self._at == self.corridor else CORRIDOR).copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw where the goal is, and stand at the start."""
        super().reset(seed=seed)
        self._south = int(self.np_random.integers(2))
        self._at = self._step = 0
        return self._observe(), {}

    def step(self, action: Any) -> Answer:
        """Go one step, or against a wall."""
        self._step += 1
        if self._at == self.corridor and action in (NORTH, SOUTH):
            return self._observe(), 4.0 if (action == SOUTH) == bool(self._south) else -0.1, True, False, {}
        before = self._at
        self._at = min(max(self._at + {EAST: 1, WEST: -1}.get(int(action), 0), 0), self.corridor)
        return self._observe(), -0.1 if self._at == before else 0.0, False, self._step >= self.limit, {}


def t_maze(corridor: int = 20, limit: int = 200) -> Env:
    """Make a `TMaze` environment; it is truncated after `limit` steps."""
    return TMaze(corridor, limit)


class Positions(gymnasium.ObservationWrapper[Any, Any, Any]):
    """CartPole as one sees it on a photograph: where the cart and the pole are, and not how fast they move."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        full: Any = env.observation_space
        self.observation_space = spaces.Box(full.low[::2], full.high[::2], (2,), np.float32)

    def observation(self, observation: Any) -> Any:
        """[x, ẋ, θ, θ̇] → [x, θ]."""
        return observation[::2]


def cartpole_positions(limit: int = 500, render_mode: str | None = None) -> Env:
    """Make CartPole-v1 without its velocities; the best return is `limit`."""
    return Positions(gymnasium.make("CartPole-v1", max_episode_steps=limit, render_mode=render_mode))
