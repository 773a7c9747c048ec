"""Domain randomisation (Tobin et al. 2017, arXiv:1703.06907; Peng et al. 2018, arXiv:1710.06537): worlds that differ.

At each reset an episode draws its parameters: factors of a MuJoCo model (`simulator.py`), and what stands between the
policy and the world. An action goes through an adversary, a queue and a gear with play; what is observed gets noise.
Everything is drawn from the episode's own seed, which `info["randomised"]` tells beside the values: a reset with it,
and the same ranges, is that episode again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.randomise import Range, ranges
from operant.data.streams import Streams
from operant.env.wrappers import Unfit
from operant.robots.simulator import WRITES, Simulator

PUSHED = 50.0
"""Steps from one push to the next, in the mean."""
WIDTH = 32
"""Hidden units of the network that disturbs."""


class Source(Protocol):
    """Says what each episode's parameters are."""

    def begin(self, generator: np.random.Generator) -> Mapping[str, float]:
        """The values of an episode that begins, by name; `generator` is of its own seed."""
        ...

    def end(self, total: float) -> None:
        """An episode is over, after this return; not told of one that is broken off by a seed."""
        ...


class Uniform:
    """λ_i ~ U[low_i, high_i], each on its own."""

    def __init__(self, parameters: Sequence[Range]) -> None:
        self.parameters = parameters

    def begin(self, generator: np.random.Generator) -> Mapping[str, float]:
        """Draw."""
        return {one.name: float(generator.uniform(one.low, one.high)) for one in self.parameters}

    def end(self, total: float) -> None:
        """Nothing is learnt."""


class Randomised(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose parameters are drawn at each reset; `operant.config.randomise.PARAMETERS` lists them.

    - `latency`: steps after which an action arrives: in an episode ⌊x⌋, or one more, with a probability that makes
      their mean x, so that it grows without a jump; until then the neutral one (0, or the action nearest to
      it; the first that is given where actions are no numbers) is done.
    - `backlash` b, a share of half the range of actions: y ← min(max(y, u − b), u + b), a gear with play.
    - `adversary` α: (1 − α) u + α tanh(W₂ tanh(W₁ obs)), in the range of actions; the weights are drawn, not trained.
    - `noise`: deviation of normal noise on each number that is observed, at each step; `bias`: of one that stays for
      the episode. In the units of the observation, and within its bounds.
    - `push`: m/s, the most that a push changes the root's speed by; one step in `push_every` is pushed, of fifty
      where nothing is said of that.

    Raises:
        Unfit: if the environment has not what a parameter is of.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], parameters: Sequence[Range], source: Source | None = None) -> None:
        super().__init__(env)
        self.parameters, self.source = tuple(parameters), source or Uniform(parameters)
        kinds = {one.kind for one in parameters}
        self.simulator = Simulator(env, parameters) if kinds & {*WRITES, "push"} else None
        actions, observed = env.action_space, env.observation_space
        bounded = isinstance(actions, spaces.Box) and bool(np.isfinite([actions.low, actions.high]).all())
        if kinds & {"backlash", "adversary"} and not bounded:
            raise Unfit("actions that are numbers within bounds")
        numbers = isinstance(observed, spaces.Box) and np.issubdtype(observed.dtype or np.int64, np.floating)
        if kinds & {"noise", "bias", "adversary"} and not numbers:
            raise Unfit("an observation of numbers")
        self._base, self._count, self._total, self._steps = 0, 0, 0.0, 0
        self.values: dict[str, float] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in a world of its own."""
        if seed is None and self._steps:
            self.source.end(self._total)
        if seed is not None or not self.values:
            self._base = int(self.env.unwrapped.np_random.integers(2**31)) if seed is None else seed
            own, self._count = self._base, 0
        else:
            self._count += 1
            own = Streams(self._base).integer("episode", self._count)
        self._total, self._steps = 0.0, 0
        streams = Streams(own)
        self.values = dict(self.source.begin(streams.numpy("randomise")))
        if self.simulator is not None:
            self.simulator.write(self.values)
        obs, info = self.env.reset(seed=own, options=options)
        self._noise = streams.numpy("randomise-noise")
        self._queue: deque[Any] = deque()
        self._out = None
        self._drawn(streams.numpy("randomise-episode"), obs)
        self._seen = obs
        return self._observed(obs), info | {"randomised": {"seed": own, **self.values}}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take an action, as far as it arrives."""
        done = self._played(self._delayed(self._disturbed(action)))
        speed = self.values.get("push", 0.0)
        if self.simulator is not None and speed and self._noise.random() < 1.0 / self.values.get("push_every", PUSHED):
            self.simulator.push(speed, self._noise)
        obs, reward, terminated, truncated, info = self.env.step(done)
        self._seen = obs
        self._total, self._steps = self._total + float(reward), self._steps + 1
        return self._observed(obs), reward, terminated, truncated, info

    def close(self) -> None:
        """Put the model back, and close."""
        if self.simulator is not None:
            self.simulator.restore()
        super().close()

    def _drawn(self, generator: np.random.Generator, obs: Any) -> None:
        """What stays as it is for an episode."""
        latency = self.values.get("latency", 0.0)
        self._waiting = int(latency) + int(generator.random() < latency % 1.0)
        self._bias: NDArray[Any] | float = 0.0
        if spread := self.values.get("bias", 0.0):
            self._bias = spread * generator.standard_normal(np.shape(obs))
        if self.values.get("adversary", 0.0):
            inputs, outputs = int(np.size(obs)), int(np.prod(self.action_space.shape or (1,)))
            self._into = generator.standard_normal((inputs, WIDTH)) / np.sqrt(inputs)
            self._onto = generator.standard_normal((WIDTH, outputs)) / np.sqrt(WIDTH)

    def _observed(self, obs: Any) -> Any:
        spread = self.values.get("noise", 0.0)
        if not spread and isinstance(self._bias, float):
            return obs
        noisy = np.asarray(obs, np.float64) + self._bias
        if spread:
            noisy = noisy + spread * self._noise.standard_normal(np.shape(obs))
        space: Any = self.observation_space
        return np.clip(noisy, space.low, space.high).astype(space.dtype)

    def _disturbed(self, action: Any) -> Any:
        share = self.values.get("adversary", 0.0)
        if not share:
            return action
        middle, half = self._middle()
        hidden = np.tanh((np.asarray(self._seen, np.float64).ravel()[:, None] * self._into).sum(0))
        its = np.tanh((hidden[:, None] * self._onto).sum(0)).reshape(middle.shape)
        inside = np.clip(action, middle - half, middle + half)
        return ((1.0 - share) * inside + share * (middle + half * its)).astype(self.action_space.dtype)

    def _delayed(self, action: Any) -> Any:
        if not self._waiting:
            return action
        if not self._queue:
            self._queue.extend([self._neutral(action)] * self._waiting)
        self._queue.append(np.array(action) if isinstance(action, np.ndarray) else action)
        return self._queue.popleft()

    def _neutral(self, action: Any) -> Any:
        space = self.action_space
        if not isinstance(space, spaces.Box):
            return action
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)

    def _played(self, action: Any) -> Any:
        share = self.values.get("backlash", 0.0)
        if not share:
            return action
        middle, half = self._middle()
        inside = np.clip(action, middle - half, middle + half)
        before = self._neutral(action) if self._out is None else self._out
        self._out = np.clip(before, inside - share * half, inside + share * half)
        return np.asarray(self._out, self.action_space.dtype)

    def _middle(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The middle of the actions' bounds, and half of their range."""
        space: Any = self.action_space
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        return (low + high) / 2, (high - low) / 2


def randomised(env: gymnasium.Env[Any, Any], text: str) -> Randomised:
    """An environment in the wrapper `randomise`, from the ranges that stand behind its name."""
    return Randomised(env, ranges(text))
