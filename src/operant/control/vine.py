"""TRPO's second way to sample: from some states of a path the simulator is returned to, and several actions are tried.

Every try of a state is followed with the same random numbers, of the policy and of the environment (common random
numbers), so that what differs between them is what the action made of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError, EnvError
from operant.config.undisturbed import undisturbed
from operant.control.acting import sampler
from operant.control.settings.trust_region import TRPOConfig, TRPORun
from operant.control.setup import OnPolicy
from operant.data.streams import Streams
from operant.data.trajectory import Trajectory
from operant.env import VectorEnv
from operant.env.inprocess import InProcess
from operant.env.snapshot import Snapshot
from operant.run.job import Position


class Tried(NamedTuple):
    """N states, K actions in each, and what they led to."""

    obs: Tensor  # [N, K, D], the state, K times
    action: Tensor  # [N, K, ...]
    q: Tensor  # [N, K], Σ γ^i r_i of `length` steps, and the critic's word on what follows


class Vine:
    """Collects a path and the tries from it; steps of both count.

    Args:
        cfg: how many states, actions and steps.
        parts: of the run; its collector steps one copy of the environment, in this process.

    Raises:
        EnvError: if the environment cannot be copied, or its copies do not do the same.

    Source: Schulman et al. (2015), Trust region policy optimization, section 5.2.
    """

    def __init__(self, cfg: TRPOConfig, parts: OnPolicy) -> None:
        self.cfg, self.parts = cfg, parts
        self.order = Streams(parts.cfg.seed).numpy("vine")
        if parts.agent.remembers:
            raise ConfigError(
                "algo.sampling vine goes back to states of the environment, not of a memory: policy.memory none"
            )
        self._sample = sampler(parts.agent.policy)
        self._refuse_shared()

    def begin(self, at: Position) -> None:
        """Stand at a seam."""
        self.parts.begin(at)
        Streams(self.parts.cfg.seed, at.seam).rekey(self.order, "vine")

    def __call__(self, horizon: int) -> tuple[Trajectory, Tried]:
        """A path of `horizon` steps, and what was tried in `states` of its states."""
        collect, env = self.parts.collect, self._env
        times = np.sort(self.order.choice(horizon, min(self.cfg.states, horizon), replace=False))
        saving = _Saving(env, {int(t) for t in times})
        collect.env = cast(VectorEnv, saving)
        try:
            traj = collect(horizon)
        finally:
            collect.env = env
        end = env.save()
        columns = traj.acted[0].nonzero()[:, 0][torch.from_numpy(times)]
        assert isinstance(traj.obs, Tensor)
        tried = self.try_actions(saving.saved, traj.obs[0, columns])
        env.restore(end)
        return traj, tried

    def try_actions(self, saved: list[list[Snapshot]], obs: Tensor) -> Tried:
        """Sample K actions in each state [N, D] and follow each from the state that was saved."""
        cfg, agent, device = self.cfg, self.parts.agent, obs.device
        actions, totals, lasts, weights = [], [], [], []
        with undisturbed():
            for snapshot, state in zip(saved, obs.cpu().numpy(), strict=True):
                action, _ = self._sample(np.repeat(state[None], cfg.branches, 0), self.order)
                key = int(self.order.integers(2**63))
                actions.append(action)
                for k in range(cfg.branches):
                    total, weight, last = self._follow(snapshot, action[k : k + 1], key)
                    totals.append(total)
                    weights.append(weight)
                    lasts.append(last)
        scale = 1.0 if agent.reward_scale is None else float(agent.reward_scale.deviation)
        with torch.no_grad():
            ahead = agent.critic(torch.from_numpy(np.stack(lasts)).to(device))
        q = torch.tensor(totals, device=device) / scale + torch.tensor(weights, device=device) * ahead
        many = obs[:, None].expand(-1, cfg.branches, *obs.shape[1:])
        return Tried(many, torch.from_numpy(np.stack(actions)).to(device), q.view(len(obs), cfg.branches).to(obs.dtype))

    def _follow(self, snapshot: list[Snapshot], action: np.ndarray, key: int) -> tuple[float, float, np.ndarray]:
        """Σ γ^i r_i, the weight of what follows, and the state [D] that it follows from."""
        env, collect, discount = self._env, self.parts.collect, self.cfg.discount
        env.restore(snapshot)
        noise = np.random.Generator(np.random.Philox(key=key))
        total, weight, last = 0.0, 1.0, np.empty(0)
        for left in range(self.cfg.length - 1, -1, -1):
            step = env.step(self._sample.finish(action))
            collect.steps += 1
            total += weight * float(step.reward[0])
            weight *= discount
            if step.final_obs is not None:
                last = step.final_obs[0]
                return total, 0.0 if step.terminated[0] else weight, last
            last = step.obs[0]
            if left:
                action, _ = self._sample(step.obs, noise)
        return total, weight, last

    @property
    def _env(self) -> InProcess:
        env = self.parts.collect.env
        assert isinstance(env, InProcess)
        return env

    def _refuse_shared(self) -> None:
        """Two copies of one state must do the same: else they share a simulator, or leave something out."""
        env = self._env
        snapshot, action = env.save(), self._sample(env.reset(0), self.order)[0]
        start, answers = env.save(), list[Any]()
        for _ in range(2):
            env.restore(start)
            answers.append([env.step(self._sample.finish(action)) for _ in range(3)])
        env.restore(snapshot)
        for one, other in zip(*answers, strict=True):
            if not (np.array_equal(one.obs, other.obs) and np.array_equal(one.reward, other.reward)):
                raise EnvError(
                    f"{env.name}: two copies of one state answer the same actions differently, so vine cannot go back "
                    "to it: draw every random number from self.np_random, let state() and restore(state) hold all of "
                    "the simulator, or use algo.sampling single-path"
                )


class _Saving:
    """An environment that keeps where it stands before certain of its steps."""

    def __init__(self, env: InProcess, times: set[int]) -> None:
        self._env, self._times, self._step = env, times, 0
        self.saved: list[list[Snapshot]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def step(self, action: np.ndarray) -> Any:
        if self._step in self._times:
            self.saved.append(self._env.save())
        self._step += 1
        return self._env.step(action)


def one_copy(cfg: TRPORun) -> TRPORun:
    """The same run with one copy of its environment, in this process.

    Raises:
        ConfigError: if another backend is forced.
    """
    if cfg.env.backend not in ("auto", "inprocess"):
        raise ConfigError(
            f"algo.sampling vine returns to states of an environment in this process, and env.backend is "
            f"{cfg.env.backend}: leave it auto"
        )
    return cfg.model_copy(update={"env": cfg.env.model_copy(update={"num": 1, "backend": "inprocess"})})
