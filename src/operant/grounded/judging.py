"""PPO on rewards of a judge, and how often what it learns ends well by the world's own word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from operant.config.resolve import resolve
from operant.control.agent import Agent
from operant.control.learned_reward import Judge
from operant.control.ppo import adam, ppo
from operant.control.settings.ppo import PPORun
from operant.control.setup import OnPolicy, on_policy
from operant.control.updates import take_step
from operant.data.streams import Streams
from operant.env import EnvLike, make


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training: the agent, and of each segment the episodes that ended in it and their mean return."""

    agent: Agent
    ended: list[int]
    returns: list[float]

    @property
    def share(self) -> float:
        """(Σ returns + 1) / (episodes + 1): of returns 0 and 1, how many episodes of the training ended well."""
        return (float(np.dot(self.ended, self.returns)) + 1.0) / (sum(self.ended) + 1.0)


def judged(
    env: EnvLike, judge: Callable[[OnPolicy], Judge | None], *, seed: int, total_steps: int,
    settings: Mapping[str, Any], agent: Agent | None = None,
) -> Trained:  # fmt: skip
    """PPO in memory: `judge(parts)` pays for each segment, or the world itself where it gives None.

    Args:
        env: as `operant.train` takes it.
        judge: made of the parts of the run.
        seed: of everything that is drawn.
        total_steps: decisions.
        settings: of PPO, dotted.
        agent: whose weights it begins with; new ones if None.

    Raises:
        ConfigError: for settings that cannot be used.
    """
    parts = prepared(env, seed=seed, total_steps=total_steps, settings=settings)
    if agent is not None:
        parts.agent.load_state_dict(agent.state_dict())
    cfg, collect = parts.cfg, parts.collect
    assert isinstance(cfg, PPORun)
    collect.judge = judge(parts)
    made, before = Trained(parts.agent, [], []), 0
    for metrics in ppo(cfg.algo, collect, parts.agent, adam(cfg.algo, parts.agent), parts.generator,
                       total_steps=total_steps):  # fmt: skip
        if collect.episodes > before:
            made.ended.append(collect.episodes - before)
            made.returns.append(float(metrics["train/return"]))
            before = collect.episodes
        if collect.steps >= total_steps:
            collect.close()
            return made
    raise AssertionError("PPO goes on for ever")


def prepared(env: EnvLike, *, seed: int, total_steps: int, settings: Mapping[str, Any]) -> OnPolicy:
    """The parts of such a run, with an agent that knows nothing yet."""
    name = env if isinstance(env, str) else getattr(env, "__qualname__", "a world")
    cfg: Any = resolve("ppo", name, overrides={**settings, "seed": seed, "total_steps": total_steps}).config
    return on_policy(cfg, env, combines=True)


def cloned(
    agent: Agent, rows: NDArray[np.float32], actions: NDArray[np.int64], *, steps: int, batch: int, lr: float,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """So many steps up mean log π(a|s) over decisions of demonstrations, [M, D] and [M]; returns its last tenth."""
    optimizer, told = torch.optim.Adam(agent.policy.parameters(), lr), list[float]()
    for _ in range(steps):
        k = rng.integers(len(actions), size=batch)
        logp, _ = agent.policy.evaluate(torch.from_numpy(rows[k]), torch.from_numpy(actions[k]))
        take_step(optimizer, -logp.mean(), 0.5)
        told.append(float(logp.detach().mean()))
    return float(np.mean(told[-max(1, steps // 10) :]))


def ends_well(policy: Agent, env: EnvLike, episodes: int, seed: int, *, num: int = 64, **kwargs: Any) -> float:
    """The share of so many episodes whose last reward is above 0, actions drawn by the policy."""
    copies = make(env, num, kwargs=kwargs)
    noise, ends, well = Streams(seed).numpy("ends-well"), 0, 0
    try:
        policy.forget()
        obs = copies.reset(900_000 + seed)
        while ends < episodes:
            step = copies.step(policy.decide(obs, generator=noise))
            obs, over = step.obs, step.terminated | step.truncated
            policy.forget(over)
            ends, well = ends + int(over.sum()), well + int((over & (step.reward > 0.0)).sum())
    finally:
        copies.close()
    return well / ends
