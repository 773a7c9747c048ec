"""The vector collector: N environments and one policy become a trajectory."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch

from operant.config.errors import EnvError, NonFiniteError
from operant.config.undisturbed import undisturbed
from operant.control.acting import Sampler
from operant.control.explore import Exploration
from operant.data.trajectory import Metrics, Trajectory
from operant.env import Processes, VectorEnv


class _End(NamedTuple):
    time: int
    rows: np.ndarray  # [k]
    obs: np.ndarray  # [k, D], the last states of the episodes


class Collector:
    """Steps an environment with a policy; calling it returns the next segment.

    Args:
        env: the environments; reset here, once.
        sample: the policy's sampler.
        generator: the noise of the sampler.
        seed: the environments' first seed.
        device: where the trajectory goes.

    Attributes:
        steps: decisions of the policy so far. The step on which an environment only resets is not one.
        episodes: how many ended so far.
        seconds: wall time spent in collecting so far.
        explore: what is asked before and after each segment, or None.
    """

    explore: Exploration | None = None

    def __init__(
        self, env: VectorEnv, sample: Sampler, generator: np.random.Generator, *, seed: int, device: str = "cpu"
    ) -> None:
        self.steps = 0
        self.episodes = 0
        self.seconds = 0.0
        self._sample = sample
        self._generator = generator
        self._device = device
        self._ended: list[tuple[float, int]] = []
        self._unreported = 0.0
        self.begin(env, seed)

    def begin(self, env: VectorEnv, seed: int) -> None:
        """Go on with these environments, reset from `seed`; open episodes of the former ones are left."""
        self.env = env
        self._floats = env.observations.floats
        self._obs = self._floats(env.reset(seed).copy())
        self._running = np.zeros((2, env.num))  # return and length of the open episodes

    @property
    def elapsed(self) -> torch.Tensor:
        """[N] int64, how many decisions of each copy's open episode lie behind."""
        return torch.from_numpy(self._running[1].astype(np.int64)).to(self._device)

    def close(self) -> None:
        """Free the environments; the next `begin` brings others."""
        self.env.close()

    def __call__(self, horizon: int) -> Trajectory:
        """Step every environment `horizon` times.

        The trajectory has T ≥ horizon columns. An environment that resets inside its step gives two states at one
        time, the last of the old episode and the first of the new; the record keeps both by a column with `acted`
        False between them, exactly as an environment that resets on the step after. Rows with fewer such columns are
        padded on the right with `acted` False.

        Raises:
            NonFiniteError: if an observation, action, log-probability or reward is NaN or infinite; names the copy and
                the step, and holds the segment.
        """
        start = time.perf_counter()
        if self.explore is not None:
            self.explore.perturb()
        with undisturbed() if getattr(self.env, "foreign", True) else nullcontext():
            traj = self._collected(horizon)
        if self.explore is not None:
            traj = self.explore(traj)
        took = time.perf_counter() - start
        self._unreported += took
        self.seconds += took
        return traj

    def _collected(self, horizon: int) -> Trajectory:
        env, n = self.env, self.env.num
        obs = np.empty((horizon + 1, n, env.observations.numbers), np.float32)
        reward, logp = np.empty((2, horizon, n), np.float32)
        terminated, truncated, acted = np.empty((3, horizon, n), np.bool_)
        actions: list[np.ndarray] = []
        ends: list[_End] = []
        costs: list[np.ndarray | None] = []
        for t in range(horizon):
            obs[t] = self._obs
            action, logp[t] = self._sample(self._obs, self._generator)
            actions.append(action)
            try:
                step = env.step(action)
            except EnvError:
                self._check(obs[: t + 1], np.stack(actions), logp[: t + 1], reward[:t], ends)  # was it given a NaN?
                raise
            reward[t], terminated[t], truncated[t], acted[t] = step.reward, step.terminated, step.truncated, step.acted
            costs.append(step.cost)
            if step.final_obs is not None:
                rows = np.flatnonzero(step.terminated | step.truncated)
                ends.append(_End(t, rows, self._floats(step.final_obs[rows])))
            self._obs = self._floats(step.obs)
        self._obs = obs[horizon] = self._obs
        action = np.stack(actions)
        self._check(obs, action, logp, reward, ends)
        self._count(reward, terminated | truncated, acted)
        fields = {"logp": logp, "reward": reward, "terminated": terminated, "truncated": truncated, "acted": acted}
        if any(cost is not None for cost in costs):
            told = np.stack([np.full(n, np.nan, np.float32) if cost is None else cost for cost in costs])
            fields["cost"] = np.where(acted, told, np.float32(0))
        record = _lay_out(obs, {"action": action, **fields}, ends)
        return Trajectory(
            **{k: torch.from_numpy(v).to(self._device) for k, v in record.items()},
            group=torch.arange(n, device=self._device),
        )

    def stats(self) -> Metrics:
        """Returns and lengths of the episodes that ended since this was last asked, and its time; ends an iteration."""
        explored = {} if self.explore is None else self.explore.settle()
        out = {"train/episodes": self.episodes, "phase/collect": self._unreported}
        if isinstance(self.env, Processes):
            out["env/restarts"] = self.env.supervisor.restarted
        if self._ended:
            returns, lengths = zip(*self._ended, strict=True)
            out |= {"train/return": float(np.mean(returns)), "train/length": float(np.mean(lengths))}
        self._ended, self._unreported = [], 0.0
        return explored | {name: torch.tensor(float(value), dtype=torch.float64) for name, value in out.items()}

    def _count(self, reward: np.ndarray, ended: np.ndarray, acted: np.ndarray) -> None:
        """Bring the open episodes' returns and lengths [T, N] up to date, and note those that ended."""
        self.steps += int(acted.sum())
        sums = np.stack([reward, acted]).cumsum(1, dtype=np.float64) + self._running[:, None]
        base, before = np.zeros_like(self._running), len(self._ended)
        for t, n in np.argwhere(ended):
            total, length = sums[:, t, n] - base[:, n]
            if acted[t, n]:  # else it broke off: its return is not known
                self._ended.append((float(total), int(length)))
            base[:, n] = sums[:, t, n]
        self._running = sums[:, -1] - base
        self.episodes += len(self._ended) - before

    def _check(
        self, obs: np.ndarray, action: np.ndarray, logp: np.ndarray, reward: np.ndarray, ends: list[_End]
    ) -> None:
        """Find the first number that is not finite in time-major arrays [T, N, ...]."""
        segment = {"obs": obs, "action": action, "logp": logp, "reward": reward}
        names = ("observation", "action", "log-probability", "reward")
        for name, x in zip(names, segment.values(), strict=True):
            if not np.isfinite(x).all():
                t, n = np.argwhere(~np.isfinite(x))[0][:2]
                raise _not_finite(name, int(n), int(t), x[t, n], segment)
        for end in ends:
            if not np.isfinite(end.obs).all():
                k = int(np.argwhere(~np.isfinite(end.obs))[0][0])
                name = "last observation of an episode"
                raise _not_finite(
                    name, int(end.rows[k]), end.time + 1, end.obs[k], segment | {"last_obs": end.obs[None]}
                )


def _lay_out(obs: np.ndarray, fields: dict[str, np.ndarray], ends: list[_End]) -> dict[str, np.ndarray]:
    """Turn time-major arrays [T, N, ...] into rows [N, T', ...], with a column of its own for every reset."""
    horizon, n = fields["reward"].shape
    if not ends:
        return {name: np.ascontiguousarray(x.swapaxes(0, 1)) for name, x in {"obs": obs, **fields}.items()}
    resets = np.zeros((horizon + 1, n), np.int64)
    for end in ends:
        resets[end.time + 1, end.rows] = 1
    column = np.arange(horizon + 1)[:, None] + resets.cumsum(0)  # [T+1, N], where time t of row n stands
    width, row = int(column[-1].max()), np.arange(n)
    out = {name: np.zeros((n, width, *x.shape[2:]), x.dtype) for name, x in fields.items()}
    for name, x in fields.items():
        out[name][row, column[:-1]] = x
    states = np.repeat(obs[-1][:, None], width + 1, 1)
    states[row, column] = obs
    for end in ends:
        states[end.rows, column[end.time, end.rows] + 1] = end.obs
    return {"obs": states, **out}


def _not_finite(name: str, copy: int, step: int, value: np.ndarray, segment: dict[str, np.ndarray]) -> NonFiniteError:
    return NonFiniteError(
        f"the {name} of environment copy {copy} at step {step} of the segment is not finite: {value}. "
        "If the environment produced it, `operant env check ID` finds where; else lower algo.lr.",
        facts={"tensor": name, "copy": copy, "column": step},
        tensors={field: np.ascontiguousarray(x.swapaxes(0, 1)) for field, x in segment.items()},  # [N, T, ...]
    )
