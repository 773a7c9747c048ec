"""An environment whose reward is a candidate's, and the ledger that logs each component while it is trained on.

operant train ppo operant.design.rewarded:make --env.kwargs '{task = "pendulum", reward = "up = 1 * height"}'
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import gymnasium

from operant.design.expression import State, compiled, parse
from operant.design.reward import Compiled, read
from operant.design.sandboxed import CandidateError, Sandboxed
from operant.design.tasks import Task, task_of

Kind = Literal["expression", "python"]


class Rewarding(Protocol):
    """A reward as a function of a state."""

    def __call__(self, state: State) -> Mapping[str, float]:
        """Its components."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class Ledger:
    """Sums over the steps of training, and the episodes that ended, between two rows of metrics."""

    def __init__(self) -> None:
        self._steps, self._sums = 0, dict[str, float]()
        self._human = 0.0
        self._episodes: list[tuple[float, int]] = []

    def step(self, components: Mapping[str, float], human: float) -> None:
        """Note a step."""
        self._steps += 1
        self._human += human
        for name, value in components.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def end(self, score: float, length: int) -> None:
        """Note an episode."""
        self._episodes.append((score, length))

    def row(self) -> dict[str, Any]:
        """Means of a step, and of the episodes that ended (None where none did); then begin anew."""
        n, ended = max(self._steps, 1), self._episodes
        found: dict[str, Any] = {
            "components": {name: total / n for name, total in self._sums.items()},
            "human": self._human / n,
            "episodes": len(ended),
            "score": math.fsum(score for score, _ in ended) / len(ended) if ended else None,
            "length": sum(length for _, length in ended) / len(ended) if ended else None,
        }
        self.__init__()
        return found


_OPEN: list[Ledger] = []


@contextmanager
def logged() -> Generator[Ledger]:
    """A ledger that every environment of ours in this process writes to, meanwhile."""
    ledger = Ledger()
    _OPEN.append(ledger)
    try:
        yield ledger
    finally:
        _OPEN.remove(ledger)


class Rewarded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Pays the sum of a candidate's components in place of the environment's reward.

    Each step's `info` has the components ("components"); that of the last has the episode's score ("score").
    """

    def __init__(self, env: gymnasium.Env[Any, Any], task: Task, reward: Rewarding) -> None:
        super().__init__(env)
        self._task, self._reward = task, reward
        self._score, self._expert = compiled(parse(task.score)), Compiled(read(task.human, task.kinds))
        self._steps, self._reached, self._summed = 0, 0.0, 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self._steps, self._reached, self._summed = 0, 0.0, 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action.

        Raises:
            CandidateError: if a component is no finite number; names it.
        """
        obs, _, terminated, truncated, info = self.env.step(action)
        state = self._task.observe(self.env.unwrapped, obs, action)
        components = {name: float(value) for name, value in self._reward(state).items()}
        paid = math.fsum(components.values()) if all(map(math.isfinite, components.values())) else math.inf
        if not abs(paid) < 1e30:
            bad = next((name for name, value in components.items() if not abs(value) < 1e30), "the total")
            raise CandidateError(f"the component {bad} is {components.get(bad, paid)}: no number to learn from")
        now = float(self._score(state))
        self._steps, self._summed, self._reached = self._steps + 1, self._summed + now, max(self._reached, now)
        ended = bool(terminated or truncated)
        score = self._summed / self._steps if self._task.scored == "share" else self._reached
        info = info | {"components": components} | ({"score": score} if ended else {})
        for ledger in _OPEN:
            ledger.step(components, math.fsum(float(x) for x in self._expert(state).values()))
            if ended:
                ledger.end(score, self._steps)
        return obs, paid, bool(terminated), bool(truncated), info

    def close(self) -> None:
        """End the environment, and the sandbox where there is one."""
        self._reward.close()
        super().close()


def rewarding(reward: str, task: Task, kind: Kind) -> Rewarding:
    """A candidate's text as a function.

    Raises:
        ExpressionError: if it is no reward of the grammar.
        CandidateError: if it is Python that fails as it is defined.
    """
    return Compiled(read(reward, task.kinds)) if kind == "expression" else Sandboxed(reward)


def make(
    task: str, reward: str = "", kind: Kind = "expression", render_mode: str | None = None
) -> gymnasium.Env[Any, Any]:
    """A copy of a task with a reward: that of the expert where none is given."""
    its = task_of(task)
    return Rewarded(its.make(render_mode), its, rewarding(reward or its.human, its, kind))
