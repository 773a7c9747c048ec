"""A tabular learner in an environment: act, step, learn, for ever; and how it goes on exactly after a stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from operant.config.undisturbed import undisturbed
from operant.data.ranges import index
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.env import EnvLike, make_one
from operant.env.interface import Interface
from operant.run.evaluate import Evaluator
from operant.run.job import Job, Position, Say, silent
from operant.tabular.discrete_env import DiscreteEnv
from operant.tabular.learner import Learner
from operant.tabular.resumable import Resumable
from operant.tabular.settings.runs import TabularRun
from operant.tabular.table import TablePolicy
from operant.tabular.train_state import Tables

REMADE = ("table.pointer", "table.terminal_value", "table.step_size", "table.epsilon")
"""Arrays of a learner that its settings and spaces decide: they are made again and not stored."""


class Online(Resumable):
    """Acts ε-greedily by a learner, which learns from every step.

    A step is learned from when the next one is about to be taken: so, wherever it is stopped, its last step is
    still at hand, and `close` may say that the episode was cut there.

    Args:
        learner: learns, and chooses actions.
        env: the environment.
        every: environment steps between two rows of metrics.
    """

    def __init__(self, learner: Learner, env: DiscreteEnv, every: int) -> None:
        self.learner, self.env, self.every = learner, env, every
        self._last = np.zeros(4, dtype=np.float64)  # state, action, reward, next state
        self._due = np.zeros(1, dtype=np.bool_)  # whether it is still to be learned from

    def run(self) -> Iterator[Metrics]:
        """Go on for `every` steps, yield metrics; for ever."""
        while True:
            table = self.learner.table
            before, greedy = table.copy(), table.argmax(axis=1)
            with undisturbed():
                self._interact(self.every)
            metrics: dict[str, float] = {
                "value/change": float(np.abs(table - before).max()),
                "policy/changed": float((table.argmax(axis=1) != greedy).mean()),
                "value/coverage": float((self.learner.visits > 0).mean()),
                "policy/epsilon": self.learner.epsilon,
            }
            yield {name: torch.tensor(x, dtype=torch.float64) for name, x in (metrics | self.env.stats()).items()}

    def _interact(self, steps: int) -> None:
        env, learn, step = self.env, self.learner.learn, self.env.step
        state, action, reward, next_state = self._transition()
        due = bool(self._due[0])
        for _ in range(steps):
            if due:
                action = learn(state, action, reward, next_state, False, False)
                state = next_state
            else:
                state = env.reset()
                action = self.learner.act(state)
            next_state, reward, terminated, truncated = step(action)
            due = not (terminated or truncated)
            if not due:
                learn(state, action, reward, next_state, terminated, truncated)
        self._last[:] = state, action, reward, next_state
        self._due[0] = due

    def make_room(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.learner.make_room(state)

    def check(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.learner.check(state)
        before, action, _, after = state["walk.last"].tolist()
        index("walk.last", int(max(before, after)), self.env.states)
        index("walk.last", int(min(before, after)), self.env.states)
        index("walk.last", int(action), self.env.actions)

    def close(self) -> None:
        """End the episode under way as truncated."""
        if self._due[0]:
            state, action, reward, next_state = self._transition()
            self.learner.learn(state, action, reward, next_state, False, True)
        self._due[0] = False

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Everything that changes and is not made again, by name."""
        yield from ((name, array) for name, array in self.learner.arrays() if name not in REMADE)
        yield "walk.last", self._last
        yield "walk.due", self._due

    def _transition(self) -> tuple[int, int, float, int]:
        state, action, reward, next_state = self._last.tolist()
        return int(state), int(action), reward, int(next_state)


def build(cfg: TabularRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything a tabular algorithm needs, made from a config and one seed."""
    torch.set_num_threads(cfg.threads)
    streams = Streams(cfg.seed)
    one, seed = make_one(env, cfg.env.kwargs), streams.integer("env")
    discrete = DiscreteEnv(one, cfg.env.id, max_steps=cfg.env.max_steps, seed=seed)
    learner = Learner(discrete.states, discrete.actions, cfg.settings(), streams.numpy("learner"))
    online = Online(learner, discrete, cfg.algo.every)
    policy = TablePolicy(learner.table, interface=Interface(one.observation_space, one.action_space))
    learned = Tables(online, learner.tables, lambda: learner.epsilon, policy)
    evaluator = Evaluator(cfg, env, learned.agent)

    def begin(at: Position) -> None:
        online.close()
        discrete.close()
        evaluator.close()
        discrete.begin(make_one(env, cfg.env.kwargs), Streams(cfg.seed, at.seam).integer("env"))
        discrete.steps, discrete.episodes = at.step, at.episodes

    return Job(
        algorithm=online.run(),
        learned=learned,
        counter=discrete,
        begin=begin,
        evaluate=evaluator,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )
