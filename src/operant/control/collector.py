"""The vector collector: N environments and one policy become a trajectory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch

from operant.config.errors import ConfigError, EnvError, NonFiniteError
from operant.config.undisturbed import undisturbed
from operant.control.acting import Acted, Sampler
from operant.control.explore import Exploration
from operant.control.learned_reward import Judge
from operant.data.memory import allow
from operant.data.trajectory import Metrics, Trajectory
from operant.env import Processes, VectorEnv

Sample = Sampler | Callable[[np.ndarray, np.random.Generator], Acted]
"""What draws actions: a policy's sampler, or any function from observations [N, D] and a generator."""


class _Ends(NamedTuple):
    time: np.ndarray  # [k], none before the one in front of it
    rows: np.ndarray  # [k]
    obs: np.ndarray  # [k, D], the last states of the episodes
    memory: np.ndarray | None = None  # [k, S], what was remembered there


class Collector:
    """Steps an environment with a policy; calling it returns the next segment.

    Args:
        env: the environments; reset here, once.
        sample: the policy's sampler, or a function like it.
        generator: the noise of the sampler.
        seed: the environments' first seed.
        device: where the trajectory goes.

    Attributes:
        steps: decisions of the policy so far. The step on which an environment only resets is not one.
        episodes: how many ended so far.
        seconds: wall time spent in collecting so far.
        explore: what is asked before and after each segment, or None.
        judge: what gives each segment its rewards in the place of the environment's, before bonuses are added; or None.
    """

    explore: Exploration | None = None
    judge: Judge | None = None

    def __init__(
        self, env: VectorEnv, sample: Sample, generator: np.random.Generator, *, seed: int, device: str = "cpu"
    ) -> None:
        self.steps = 0
        self.episodes = 0
        self.seconds = 0.0
        self._sample = sample
        self._generator = generator
        self._device = device
        self._ended: list[tuple[float, int]] = []
        self._unreported = 0.0
        self._group = torch.arange(env.num, device=device)
        self.begin(env, seed)

    def begin(self, env: VectorEnv, seed: int) -> None:
        """Go on with these environments, reset from `seed`; open episodes of the former ones are left."""
        self.env = env
        self._dtype = env.observations.dtype
        self._obs = env.reset(seed).copy()
        self._begins = np.ones(env.num, np.bool_)
        if isinstance(self._sample, Sampler):
            self._sample.begin(env.num)
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
            ConfigError: if the segment would not fit in memory.
            NonFiniteError: if an observation, action, log-probability or reward is NaN or infinite; names the copy and
                the step, and holds the segment.
        """
        start, env = time.perf_counter(), self.env
        try:
            allow((horizon + 1) * env.num * env.obs_dim * np.dtype(self._dtype).itemsize, "so many observations take")
        except ValueError as error:
            raise ConfigError(f"a segment of {horizon} steps of {env.num} copies: {error}; take fewer steps") from error
        if self.explore is not None:
            self.explore.perturb()
        with undisturbed() if getattr(env, "foreign", True) else nullcontext():
            traj = self._collected(horizon)
        if self.judge is not None:
            traj = self.judge(traj)
        if self.explore is not None:
            traj = self.explore(traj)
        took = time.perf_counter() - start
        self._unreported += took
        self.seconds += took
        return traj

    def _collected(self, horizon: int) -> Trajectory:
        env, n = self.env, self.env.num
        obs = np.empty((horizon + 1, n, env.obs_dim), self._dtype)
        past = _Past(self._sample, horizon, n)
        finish = self._sample.finish if isinstance(self._sample, Sampler) else _as_it_is
        reward, logp = np.empty((2, horizon, n), np.float32)
        terminated, truncated, acted = np.empty((3, horizon, n), np.bool_)
        actions: list[np.ndarray] = []
        ends: list[_Ends] = []
        costs: list[np.ndarray | None] = []
        for t in range(horizon):
            obs[t] = self._obs
            past.note(t, self._begins)
            action, logp[t] = self._sample(self._obs, self._generator)
            actions.append(action)
            try:
                step = env.step(finish(action))
            except EnvError:
                was = (obs[: t + 1], np.stack(actions), logp[: t + 1], reward[:t])
                self._check(*was, _together(ends))  # was it given a NaN?
                raise
            reward[t], terminated[t], truncated[t], acted[t] = step.reward, step.terminated, step.truncated, step.acted
            costs.append(step.cost)
            if step.final_obs is not None:
                rows = np.flatnonzero(step.terminated | step.truncated)
                ends.append(_Ends(np.full(len(rows), t), rows, step.final_obs[rows].copy(), past.remembered(rows)))
            self._obs = step.obs
            self._begins = past.forget(step.begun)
        self._obs = obs[horizon] = self._obs
        past.note(horizon, self._begins)
        fields = {
            "action": np.stack(actions), "logp": logp, "reward": reward,
            "terminated": terminated, "truncated": truncated, "acted": acted,
        }  # fmt: skip
        if any(cost is not None for cost in costs):
            told = np.stack([np.full(n, np.nan, np.float32) if cost is None else cost for cost in costs])
            fields["cost"] = np.where(acted, told, np.float32(0))
        return self._recorded({"obs": obs, **past.columns()}, fields, _together(ends))

    def _recorded(self, states: dict[str, np.ndarray], fields: dict[str, np.ndarray], ends: _Ends | None) -> Trajectory:
        """A segment of time-major arrays, looked at, counted and laid out in rows."""
        self._check(states["obs"], fields["action"], fields["logp"], fields["reward"], ends)
        self._count(fields["reward"], fields["terminated"] | fields["truncated"], fields["acted"])
        record = _lay_out(states, fields, ends)
        tensors = {k: torch.from_numpy(v) for k, v in record.items()}
        if self._device != "cpu":
            tensors = {k: x.to(self._device) for k, x in tensors.items()}
        seen = {name: tensors.pop(name) for name in states}
        if len(self._group) != self.env.num:
            self._group = torch.arange(self.env.num, device=self._device)
        return Trajectory(obs=seen if len(seen) > 1 else seen["obs"], **tensors, group=self._group)

    def stats(self) -> Metrics:
        """Returns and lengths of the episodes that ended since this was last asked, and its time; ends an iteration."""
        explored = {} if self.explore is None else self.explore.settle()
        judged = {} if self.judge is None else self.judge.settle()
        out = {"train/episodes": self.episodes, "phase/collect": self._unreported}
        if isinstance(self.env, Processes):
            out["env/restarts"] = self.env.supervisor.restarted
        if self._ended:
            returns, lengths = zip(*self._ended, strict=True)
            out |= {"train/return": float(np.mean(returns)), "train/length": float(np.mean(lengths))}
        self._ended, self._unreported = [], 0.0
        return (
            explored | judged | {name: torch.tensor(float(value), dtype=torch.float64) for name, value in out.items()}
        )

    def _count(self, reward: np.ndarray, ended: np.ndarray, acted: np.ndarray) -> None:
        """Bring the open episodes' returns and lengths [T, N] up to date, and note those that ended."""
        self.steps += int(np.count_nonzero(acted))
        if not ended.any():
            for running, x in zip(self._running, (reward, acted), strict=True):
                running += x.cumsum(0, dtype=np.float64)[-1]
            return
        sums = np.stack([reward, acted]).cumsum(1, dtype=np.float64) + self._running[:, None]
        base, (t, n) = np.zeros_like(self._running), np.nonzero(ended)
        if len(t):
            order = np.argsort(n, kind="stable")  # row by row, in each by time
            row, at = n[order], sums[:, t[order], n[order]]
            before = np.zeros_like(at)
            before[:, 1:] = np.where(row[1:] == row[:-1], at[:, :-1], 0.0)
            whole = np.empty_like(at)
            whole[:, order] = at - before
            counted = whole[:, acted[t, n]]  # a row that broke off did not act: its return is not known
            self._ended += [(total, int(length)) for total, length in counted.T.tolist()]
            self.episodes += counted.shape[1]
            last = np.append(row[1:] != row[:-1], True)
            base[:, row[last]] = at[:, last]
        self._running = sums[:, -1] - base

    def _check(
        self, obs: np.ndarray, action: np.ndarray, logp: np.ndarray, reward: np.ndarray, ends: _Ends | None
    ) -> None:
        """Find the first number that is not finite in time-major arrays [T, N, ...]."""
        segment = {"obs": obs, "action": action, "logp": logp, "reward": reward}
        names = ("observation", "action", "log-probability", "reward")
        for name, x in zip(names, segment.values(), strict=True):
            finite = self._finite(x) if name == "observation" else np.isfinite(x)
            if not finite.all():
                t, n = np.argwhere(~finite)[0][:2]
                raise _not_finite(name, int(n), int(t), x[t, n], segment)
        if ends is not None and not (finite := self._finite(ends.obs)).all():
            k = int(np.argwhere(~finite)[0][0])
            now = ends.obs[ends.time == ends.time[k]]
            name, where = "last observation of an episode", (int(ends.rows[k]), int(ends.time[k]) + 1)
            raise _not_finite(name, *where, ends.obs[k], segment | {"last_obs": now[None]})

    def _finite(self, rows: np.ndarray) -> np.ndarray:
        """Where observations [..., D] are finite: number by number, or row by row where they are packed in bytes."""
        if rows.dtype != np.uint8:
            return np.isfinite(rows)
        return self.env.observations.finite(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape[:-1])


class _Past:
    """What a policy with memory remembers before each decision of a segment, and where whatever acts begins anew."""

    def __init__(self, sample: Sample, horizon: int, n: int) -> None:
        self._told = sample if isinstance(sample, Sampler) else None
        self._sample = self._told if self._told is not None and self._told.memory is not None else None
        if self._sample is not None and self._sample.memory is not None:
            self._memory = np.empty((horizon + 1, n, self._sample.memory.shape[1]), np.float32)
            self._began = np.empty((horizon + 1, n), np.bool_)

    def note(self, t: int, begins: np.ndarray) -> None:
        """Before the decision at time t."""
        if self._sample is not None:
            self._memory[t], self._began[t] = self._sample.memory, begins

    def remembered(self, rows: np.ndarray) -> np.ndarray | None:
        """[k, S], behind the last decision of these rows."""
        return None if self._sample is None or self._sample.memory is None else self._sample.memory[rows]

    def forget(self, begins: np.ndarray) -> np.ndarray:
        """Episodes begin in these rows [N] bool; returns them."""
        if self._told is not None and begins.any():
            self._told.forget(begins)
        return begins

    def columns(self) -> dict[str, np.ndarray]:
        """By name [T+1, N, ...]; none without memory."""
        return {} if self._sample is None else {"memory": self._memory, "begins": self._began}


def _as_it_is(action: np.ndarray) -> np.ndarray:
    return action


def _together(ends: list[_Ends]) -> _Ends | None:
    """Those of several steps, one after the other."""
    if len(ends) < 2:
        return ends[0] if ends else None
    time, rows, obs, memory = zip(*ends, strict=True)
    remembered = None if memory[0] is None else np.concatenate(memory)
    return _Ends(np.concatenate(time), np.concatenate(rows), np.concatenate(obs), remembered)


def _lay_out(states: dict[str, np.ndarray], fields: dict[str, np.ndarray], ends: _Ends | None) -> dict[str, np.ndarray]:
    """Turn time-major arrays [T, N, ...] into rows [N, T', ...], with a column of its own for every reset.

    `states` [T+1, N, ...] stand between the steps; at an end those of the last state stand in the column of the reset.
    """
    horizon, n = fields["reward"].shape
    if ends is None:
        return {name: np.ascontiguousarray(x.swapaxes(0, 1)) for name, x in {**states, **fields}.items()}
    resets = np.zeros((horizon + 1, n), np.int64)
    resets[ends.time + 1, ends.rows] = 1
    column = np.arange(horizon + 1)[:, None] + resets.cumsum(0)  # [T+1, N], where time t of row n stands
    width, row = int(column[-1].max()), np.arange(n)
    out = {name: np.zeros((n, width, *x.shape[2:]), x.dtype) for name, x in fields.items()}
    for name, x in fields.items():
        out[name][row, column[:-1]] = x
    for name, x in states.items():
        laid = np.repeat((x[-1] if name != "begins" else np.zeros_like(x[-1]))[:, None], width + 1, 1)
        laid[row, column] = x
        last = {"obs": ends.obs, "memory": ends.memory}.get(name)
        if last is not None:
            laid[ends.rows, column[ends.time, ends.rows] + 1] = last
        out[name] = laid
    return out


def _not_finite(name: str, copy: int, step: int, value: np.ndarray, segment: dict[str, np.ndarray]) -> NonFiniteError:
    return NonFiniteError(
        f"the {name} of environment copy {copy} at step {step} of the segment is not finite: {value}. "
        "If the environment produced it, `operant env check ID` finds where; else lower algo.lr.",
        facts={"tensor": name, "copy": copy, "column": step},
        tensors={field: np.ascontiguousarray(x.swapaxes(0, 1)) for field, x in segment.items()},  # [N, T, ...]
    )
