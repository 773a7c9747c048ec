"""Collecting without Python between the steps: where policy and environments are compiled, a segment is one call."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from operant.control.acting import Sampler
from operant.control.collector import Collector, Sample, _Ends  # pyright: ignore[reportPrivateUsage]
from operant.data.trajectory import Trajectory
from operant.env import VectorEnv
from operant.env.classic import Classic


def collector(
    env: VectorEnv, sample: Sample, generator: np.random.Generator, *, seed: int, device: str = "cpu"
) -> Collector:
    """A `Collector`; for a compiled policy in compiled environments the one that makes a segment in one call.

    Its trajectories are those of `Collector`, bit for bit.
    """
    compiled = sample.whole() if isinstance(sample, Sampler) else None
    whole = isinstance(env, Classic) and compiled is not None and compiled.fits(env.obs_dim, env.world.choices)
    return (CompiledCollector if whole else Collector)(env, sample, generator, seed=seed, device=device)


class CompiledCollector(Collector):
    """A `Collector` of compiled environments with a compiled policy."""

    def begin(self, env: VectorEnv, seed: int) -> None:
        """As `Collector.begin`; the environments are compiled ones again."""
        assert isinstance(env, Classic)
        self._world = env
        self._kernels: Any = import_module("operant.control.kernels")
        super().begin(env, seed)

    def _collected(self, horizon: int) -> Trajectory:
        env, n = self._world, self._world.num
        sample = self._sample.whole() if isinstance(self._sample, Sampler) else None
        if sample is None:  # not as it acts now
            return super()._collected(horizon)
        obs = np.empty((horizon + 1, n, env.obs_dim), np.float32)
        final_obs = np.empty((horizon, n, env.obs_dim), np.float32)
        action = np.empty((horizon, n), np.float32 if sample.shape else np.int64)
        reward, logp = np.empty((2, horizon, n), np.float32)
        terminated, truncated = np.empty((2, horizon, n), np.bool_)
        obs[0] = self._obs
        noise = sample.noise(self._generator, horizon, n)
        self._kernels.collecting(1 + len(sample.shape), noise.ndim - 1)(
            sample.kernel, *sample.network(), *sample.moments, noise, *env.world, *sample.bounds, obs, action, logp,
            reward, terminated, truncated, final_obs,
        )  # fmt: skip
        ended, acted = terminated | truncated, np.ones((horizon, n), np.bool_)
        env.steps += horizon
        env.stepped(sample.finish(action[-1, :1, None])[0, 0] if sample.shape else action[-1, 0], bool(ended[-1, 0]))
        time, rows = np.nonzero(ended)
        ends = _Ends(time, rows, final_obs[time, rows]) if len(time) else None
        self._obs = obs[horizon]
        fields = {
            "action": action.reshape(horizon, n, *sample.shape), "logp": logp, "reward": reward,
            "terminated": terminated, "truncated": truncated, "acted": acted,
        }  # fmt: skip
        return self._recorded({"obs": obs}, fields, ends)
