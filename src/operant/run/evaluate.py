"""Measure a policy: whole episodes, counted without favouring the short ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from operant.config.schema import CopiesConfig, EpisodesConfig, RunConfig
from operant.data.streams import Streams
from operant.env import EnvLike, Supervisor, VectorEnv, make, make_one
from operant.run.actor import Actor
from operant.run.progress import advance

EVAL_COPIES = 16
"""Environments stepped together in an evaluation."""


class Evaluation(NamedTuple):
    """Undiscounted returns and lengths of whole episodes, in the order of their rows."""

    returns: np.ndarray  # [E]
    lengths: np.ndarray  # [E]


def evaluate(env: VectorEnv, act: Callable[[np.ndarray], np.ndarray], *, episodes: int, seed: int) -> Evaluation:
    """Run `episodes` whole episodes of a policy.

    Each of the N copies owes a fixed share of the episodes. (Taking the first E to finish would favour short ones.)

    Args:
        env: reset here with `seed`.
        act: observations [N, D] to actions [N, ...], as an agent's `decide`.
        episodes: E, how many.
        seed: the first seed; copy i begins with seed + i.
    """
    quota = np.full(env.num, episodes // env.num) + (np.arange(env.num) < episodes % env.num)
    running, length = np.zeros(env.num), np.zeros(env.num, np.int64)
    returns: list[list[float]] = [[] for _ in range(env.num)]
    lengths: list[list[int]] = [[] for _ in range(env.num)]
    obs = env.reset(seed)
    while any(len(done) < want for done, want in zip(returns, quota, strict=True)):
        step = env.step(act(obs))
        running += step.reward
        length += step.acted
        for n in np.flatnonzero(step.terminated | step.truncated):
            if len(returns[n]) < quota[n] and step.acted[n]:  # one that broke off (see `Step`) is played again
                returns[n].append(float(running[n]))
                lengths[n].append(int(length[n]))
                advance(sum(map(len, returns)), episodes, "episodes")
            running[n], length[n] = 0.0, 0
        obs = step.obs
    return Evaluation(np.concatenate(returns), np.concatenate(lengths).astype(np.int64))


@dataclass
class Evaluator:
    """Measures an agent on environments of its own, made when first needed."""

    cfg: RunConfig
    env: EnvLike
    agent: Actor
    supervisor: Supervisor | None = None
    copies: VectorEnv | None = None

    def __call__(self, episodes: int, *, seed: int | None = None, deterministic: bool | None = None) -> Evaluation:
        """Run whole episodes under the protocol of the config, or the one given."""
        seed = self.cfg.eval.seed if seed is None else seed
        deterministic = self.cfg.eval.deterministic if deterministic is None else deterministic
        num = min(episodes, EVAL_COPIES)
        if self.copies is None or self.copies.num != num:
            self.close()
            self.copies = copies(self.cfg, self.env, num, limits=self.supervisor)
        noise = None if deterministic else Streams(self.cfg.seed).numpy("evaluation", seed)
        return evaluate(self.copies, lambda obs: self.agent.decide(obs, generator=noise), episodes=episodes, seed=seed)

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Nothing is kept besides the returns."""
        return {}

    def close(self) -> None:
        """Free the environments."""
        if self.copies is not None:
            self.copies.close()
            self.copies = None


def copies(
    cfg: RunConfig, env: EnvLike, num: int, *, render_mode: str | None = None, limits: Supervisor | None = None
) -> VectorEnv:
    """Copies of a run's environment to measure or film a policy on.

    A policy is measured on the physics it was trained on; each copy has a generator of its own where possible. What is
    filmed needs pictures, which no pool draws.
    """
    its = cfg.env
    if isinstance(its, CopiesConfig):
        apart = ("process",) if render_mode else ("envpool", "process")
        backend = its.backend if its.backend in apart else "inprocess"
        return make(
            env, num, backend=backend, kwargs=its.kwargs, render_mode=render_mode, supervisor=limits or supervisor(its)
        )
    longest = its.max_steps if isinstance(its, EpisodesConfig) else None
    return make(one(env, its.kwargs, longest), num, backend="inprocess", render_mode=render_mode)


def one(env: EnvLike, kwargs: Mapping[str, Any], longest: int | None) -> Callable[..., Any]:
    """A way of making one copy, with episodes of at most `longest` steps, that is called what the environment is."""

    def made(render_mode: str | None = None) -> Any:
        found = make_one(env, kwargs, render_mode)
        return found if longest is None else gymnasium.wrappers.TimeLimit(found, longest)

    made.__qualname__ = env if isinstance(env, str) else getattr(env, "__qualname__", type(env).__name__)
    return made


def supervisor(env: CopiesConfig) -> Supervisor:
    """The limits of the run's worker processes, where it has any."""
    return Supervisor(workers=env.workers, timeout=env.timeout, restarts=env.restarts, window=env.restart_window)
