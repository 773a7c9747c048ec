"""The one record of the library, and the minibatches cut from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

Obs = Tensor | Mapping[str, Tensor]
"""What a policy sees: a tensor, or named tensors with equal leading dimensions."""

Metrics = dict[str, Tensor]
"""What an algorithm yields: detached scalars by name; they become floats only at the logger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """T decisions between T+1 states, N rows; a row may hold several episodes, or one.

    Where `acted` is False the step was not the policy's: a reset, a prompt, a tool's output, padding. Such a step has
    reward 0, and it ends nothing unless an environment broke off before it answered: then it is `truncated`.
    `obs[:, t + 1]` after an end is the last state of that episode, so a truncated step can bootstrap from it; the first
    state of the next episode stands behind a step with `acted` False.

    Raises:
        ValueError: if a field has another shape than the one written beside it; the message names the field.
        TypeError: if `terminated`, `truncated` or `acted` is not boolean.
    """

    obs: Obs  # [N, T+1, ...]; obs[:, t] precedes action[:, t]
    action: Tensor  # [N, T, ...]
    logp: Tensor  # [N, T]; log μ(a|s), written by the sampler when it sampled
    reward: Tensor  # [N, T]; credited to the action that caused it; 0 where not acted
    terminated: Tensor  # [N, T] bool; the task ended here, nothing follows
    truncated: Tensor  # [N, T] bool; we stopped looking, V(obs[:, t+1]) follows
    acted: Tensor  # [N, T] bool; True exactly where the policy being trained chose
    group: Tensor  # [N]; rows with equal ids began in the same state
    cost: Tensor | None = (
        None  # [N, T]; info["cost"], NaN where it is no number, 0 where not acted; None if never given
    )

    def __post_init__(self) -> None:
        n, t = self.reward.shape
        for name in ("logp", "terminated", "truncated", "acted", "cost"):
            shape = (n, t) if getattr(self, name) is None else tuple(getattr(self, name).shape)
            if shape != (n, t):
                raise ValueError(f"Trajectory.{name} has shape {shape}; reward says [N, T] = {(n, t)}")
        for name in ("terminated", "truncated", "acted"):
            dtype = getattr(self, name).dtype
            if dtype != torch.bool:
                raise TypeError(f"Trajectory.{name} has dtype {dtype}; a mask is torch.bool")
        if tuple(self.action.shape[:2]) != (n, t):
            raise ValueError(f"Trajectory.action begins with {tuple(self.action.shape[:2])}; expected {(n, t)}")
        parts = {"obs": self.obs} if isinstance(self.obs, Tensor) else {f"obs[{k!r}]": v for k, v in self.obs.items()}
        for name, part in parts.items():
            if tuple(part.shape[:2]) != (n, t + 1):
                raise ValueError(f"Trajectory.{name} begins with {tuple(part.shape[:2])}; expected {(n, t + 1)}")
        if tuple(self.group.shape) != (n,):
            raise ValueError(f"Trajectory.group has shape {tuple(self.group.shape)}; expected {(n,)}")

    @property
    def seen(self) -> Obs:
        """[N, T, ...], what each decision was made on: `obs` without the last state."""
        return self.obs[:, :-1] if isinstance(self.obs, Tensor) else {k: x[:, :-1] for k, x in self.obs.items()}

    @property
    def steps(self) -> int:
        """How many decisions were the policy's."""
        return int(self.acted.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B decisions of the policy, cut loose from their trajectories; or B whole rows of T steps, [B, T] each."""

    obs: Obs  # [B, ...]
    action: Tensor  # [B, ...]
    logp: Tensor  # [B]; log μ(a|s)
    adv: Tensor  # [B]
    target: Tensor  # [B]; what the critic should say
    value: Tensor  # [B]; what the critic said when the steps were collected
    acted: Tensor  # [B] bool; all True when cut by step

    def __len__(self) -> int:
        return len(self.logp)

    def __getitem__(self, index: Tensor) -> Self:
        return replace(self, **{f.name: _index(getattr(self, f.name), index) for f in fields(self)})


AnyBatch = TypeVar("AnyBatch", bound=Batch)


def flatten(traj: Trajectory, *, adv: Tensor, target: Tensor, value: Tensor) -> Batch:
    """Lay all decisions of the policy side by side, row by row; steps with `acted` False are left out.

    Args:
        traj: N rows of T steps.
        adv, target, value: [N, T] each.
    """
    keep = traj.acted

    def cut(x: Tensor) -> Tensor:
        return x[keep]

    seen = traj.seen
    return Batch(
        obs=cut(seen) if isinstance(seen, Tensor) else {k: cut(x) for k, x in seen.items()},
        action=cut(traj.action),
        logp=cut(traj.logp),
        adv=cut(adv),
        target=cut(target),
        value=cut(value),
        acted=cut(keep),
    )


def joined(parts: Sequence[Trajectory]) -> Trajectory:
    """Segments of the same rows, one after the other in time, as one; each begins with the state the last ended in."""
    last = parts[-1]

    def states(of: Callable[[Trajectory], Tensor]) -> Tensor:
        return torch.cat([*(of(part)[:, :-1] for part in parts[:-1]), of(last)], 1)

    def obs(part: Trajectory) -> Tensor:
        assert isinstance(part.obs, Tensor)
        return part.obs

    def named(part: Trajectory, key: str) -> Tensor:
        assert not isinstance(part.obs, Tensor)
        return part.obs[key]

    whole = states(obs) if isinstance(last.obs, Tensor) else {k: states(partial(named, key=k)) for k in last.obs}
    steps = ("action", "logp", "reward", "terminated", "truncated", "acted")
    joined = {k: torch.cat([getattr(part, k) for part in parts], 1) for k in steps}
    if any(part.cost is not None for part in parts):  # where one has none it is not known
        costs = [torch.full_like(part.reward, torch.nan) if part.cost is None else part.cost for part in parts]
        joined["cost"] = torch.cat(costs, 1)
    return replace(last, obs=whole, **joined)


def rows(traj: Trajectory, *, adv: Tensor, target: Tensor, value: Tensor) -> Batch:
    """All rows whole, [N, T] each, for what has to see them in order; `acted` says which steps count.

    Args:
        traj: N rows of T steps.
        adv, target, value: [N, T] each.
    """
    return Batch(
        obs=traj.seen, action=traj.action, logp=traj.logp, adv=adv, target=target, value=value, acted=traj.acted
    )


def minibatches(batch: AnyBatch, size: int | None, generator: np.random.Generator) -> Iterator[AnyBatch]:
    """One epoch: every step exactly once, in an order drawn from `generator`; the last minibatch may be short.

    Without a size, all of them are one minibatch.
    """
    for index in shuffled(len(batch), generator, batch.logp.device).split(size or len(batch)):
        yield batch[index]


def shuffled(n: int, generator: np.random.Generator, device: torch.device | str = "cpu") -> Tensor:
    """A permutation of 0 … n-1 drawn from `generator`, as int64 [n] on `device`."""
    return torch.from_numpy(generator.permutation(n)).to(device)


def _index(x: Any, index: Tensor) -> Any:
    """Some rows of a field; what is no tensor is of all of them."""
    if isinstance(x, Mapping):
        return {k: v[index] for k, v in x.items()}
    return x[index] if isinstance(x, Tensor) else x
