"""A learner over tiles in an environment of numbers: act, step, learn, for ever; it goes on exactly after a stop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import ConfigError, EnvError, NonFiniteError
from operant.config.undisturbed import undisturbed
from operant.data.ranges import index
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.env import EnvLike, VectorEnv, make
from operant.env.interface import Interface
from operant.run.evaluate import Evaluator, one
from operant.run.job import Job, Position, Say, silent
from operant.tabular.algorithms.linear import LinearLearner
from operant.tabular.resumable import Resumable
from operant.tabular.settings.runs import LinearConfig, LinearRun
from operant.tabular.tiled import TilesPolicy
from operant.tabular.tiles import TileCoder
from operant.tabular.train_state import Tables

REMADE = ("step_size", "epsilon", "action_values")
"""Arrays of a learner that its settings decide, or that are written before they are read: they are not stored."""
MOST = 2**27
"""Weights that a learner may have: a gibibyte."""
WIDE = 1e30
"""Bounds beyond it are none."""


class Walk:
    """One copy of an environment, one step at a time; counts its steps and episodes.

    Args:
        env: of one copy.
        seed: of the first episode; later ones go on from there.
    """

    def __init__(self, env: VectorEnv, seed: int) -> None:
        self.steps, self.episodes, self.seconds = 0, 0, 0.0
        self.returns: list[float] = []  # of the episodes that ended since `stats`
        self.lengths: list[int] = []
        self.begin(env, seed)

    def begin(self, env: VectorEnv, seed: int) -> None:
        """Go on in another copy of the environment, with a new episode. What was counted stays."""
        self.env, self.total, self.length = env, 0.0, 0
        self.first = self._finite(env.reset(seed)[0])

    def close(self) -> None:
        """Free the environment; the next `begin` brings another."""
        self.env.close()

    def step(self, action: int) -> tuple[NDArray[Any], float, bool, bool]:
        """Take an action: what is seen then, reward, terminated, truncated; behind an end `first` is seen next.

        Raises:
            NonFiniteError: if what is seen or the reward is NaN or infinite; says in which step.
        """
        before = time.perf_counter()
        answer = self.env.step(np.array([action]))
        self.seconds += time.perf_counter() - before
        terminated, truncated, reward = bool(answer.terminated[0]), bool(answer.truncated[0]), float(answer.reward[0])
        seen = answer.obs[0]
        if (terminated or truncated) and answer.final_obs is not None:
            self.first, seen = self._finite(seen), answer.final_obs[0]
        if reward - reward != 0.0:
            raise NonFiniteError(f"step {self.steps}: the reward is {reward}, not finite")
        self.steps, self.length, self.total = self.steps + 1, self.length + 1, self.total + reward
        if terminated or truncated:
            self.episodes += 1
            self.returns.append(self.total)
            self.lengths.append(self.length)
            self.total, self.length = 0.0, 0
        return self._finite(seen), reward, terminated, truncated

    def stats(self) -> dict[str, float]:
        """Mean return and length of the episodes that ended since the last call, if any did, and how many in all."""
        metrics = {"train/episodes": float(self.episodes)}
        if self.returns:
            metrics |= {"train/return": float(np.mean(self.returns)), "train/length": float(np.mean(self.lengths))}
        self.returns, self.lengths = [], []
        return metrics

    def _finite(self, seen: NDArray[Any]) -> NDArray[Any]:
        if not np.isfinite(seen).all():
            raise NonFiniteError(f"step {self.steps}: the observation is {seen}, not finite")
        return seen


class OnlineLinear(Resumable):
    """Acts ε-greedily by a learner over tiles, which learns from every step; otherwise as `Online`.

    Args:
        learner: learns, and chooses actions.
        walk: the environment.
        every: environment steps between two rows of metrics.
    """

    def __init__(self, learner: LinearLearner, walk: Walk, every: int) -> None:
        self.learner, self.walk, self.every = learner, walk, every
        dim = len(learner.coder.grids.low)
        self._seen, self._did = np.zeros((2, dim)), np.zeros(2)  # before and behind the last step; action, reward
        self._due = np.zeros(1, dtype=np.bool_)  # whether it is still to be learned from

    def run(self) -> Iterator[Metrics]:
        """Go on for `every` steps, yield metrics; for ever."""
        initial = self.learner.config.initial / self.learner.coder.tilings
        while True:
            before = self.learner.weights.copy()
            with undisturbed():
                self._interact(self.every)
            weights = self.learner.weights
            metrics: dict[str, float] = {
                "value/change": float(np.abs(weights - before).max()),
                "value/coverage": float((weights != initial).mean()),
                "policy/epsilon": self.learner.epsilon,
            }
            yield {name: torch.tensor(x, dtype=torch.float64) for name, x in (metrics | self.walk.stats()).items()}

    def _interact(self, steps: int) -> None:
        learner, walk = self.learner, self.walk
        for _ in range(steps):
            if self._due[0]:
                self._learn(False, False)
                seen = self._seen[1].copy()
            else:
                seen = walk.first
            action = learner.act(seen)
            following, reward, terminated, truncated = walk.step(action)
            self._seen[0], self._seen[1] = seen, following
            self._did[:] = action, reward
            self._due[0] = not (terminated or truncated)
            if not self._due[0]:
                self._learn(terminated, truncated)

    def _learn(self, terminated: bool, truncated: bool) -> None:
        action, reward = self._did.tolist()
        self.learner.observe(self._seen[0], int(action), reward, self._seen[1], terminated, truncated)

    def check(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.learner.check(state)
        index("walk.did", int(state["walk.did"][0]), self.learner.actions)

    def close(self) -> None:
        """End the episode under way as truncated."""
        if self._due[0]:
            self._learn(False, True)
        self._due[0] = False

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Everything that changes and is not made again, by name."""
        yield from ((name, array) for name, array in self.learner.arrays() if name not in REMADE)
        yield "walk.seen", self._seen
        yield "walk.did", self._did
        yield "walk.due", self._due


def coder_of(cfg: LinearConfig, env: VectorEnv, name: str) -> TileCoder:
    """The tiles of what is observed.

    Raises:
        EnvError: if it is no box of numbers, or what is done is no choice; says what to do.
        ConfigError: if the box has no bounds and none are set, or has too many tiles.
    """
    seen, does = env.observation_space, env.action_space
    if not isinstance(seen, spaces.Box) or not isinstance(does, spaces.Discrete):
        raise EnvError(
            f"tiles cover a box of numbers, and their values are of choices; {name} observes {seen} and does {does}: "
            "use dqn, or of Discrete observations q-learning"
        )
    low, high = (np.array(x, np.float64).ravel() for x in (seen.low, seen.high))
    for key, given in (("low", cfg.low), ("high", cfg.high), ("tiles", cfg.tiles)):
        if len(given) not in ((1, len(low)) if key == "tiles" else (0, len(low))):
            raise ConfigError(f"algo.{key} has {len(given)} numbers, and {name} observes {len(low)}")
    low, high = (np.array(given or bound) for given, bound in ((cfg.low, low), (cfg.high, high)))
    endless = (np.abs(low) > WIDE) | (np.abs(high) > WIDE)
    if endless.any():
        where = ", ".join(map(str, *endless.nonzero()))
        raise ConfigError(
            f"{name} observes numbers without bounds, at {where} of 0 to {len(low) - 1}: "
            "give those between which they matter, --algo.low and --algo.high, one for each number"
        )
    if np.prod(np.broadcast_to(cfg.tiles, low.shape) + 1.0) * cfg.tilings * int(does.n) > MOST:
        raise ConfigError(f"algo.tiles are {cfg.tiles}, too many for {len(low)} numbers: give fewer, or use dqn")
    return TileCoder(low, high, tuple(np.broadcast_to(cfg.tiles, low.shape).tolist()), cfg.tilings)


def build(cfg: LinearRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything such an algorithm needs, made from a config and one seed."""
    torch.set_num_threads(cfg.threads)
    streams = Streams(cfg.seed)

    def copy() -> VectorEnv:
        return make(one(env, cfg.env.kwargs, cfg.env.max_steps), 1, backend="inprocess")

    copies = copy()
    try:
        coder = coder_of(cfg.algo, copies, cfg.env.id)
    except BaseException:
        copies.close()
        raise
    walk = Walk(copies, streams.integer("env"))
    actions = int(getattr(copies.action_space, "n", 0))
    learner = LinearLearner(coder, actions, cfg.settings(), streams.numpy("learner"), greedy=cfg.greedy)
    online, policy = OnlineLinear(learner, walk, cfg.algo.every), TilesPolicy(learner.weights, coder)
    policy.interface = Interface.of(copies)
    learned = Tables(online, {"weights": learner.weights}, lambda: learner.epsilon, policy)
    evaluator = Evaluator(cfg, env, policy)

    def begin(at: Position) -> None:
        online.close()
        walk.close()
        evaluator.close()
        walk.begin(copy(), Streams(cfg.seed, at.seam).integer("env"))
        walk.steps, walk.episodes = at.step, at.episodes

    return Job(
        algorithm=online.run(),
        learned=learned,
        counter=walk,
        begin=begin,
        evaluate=evaluator,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )
