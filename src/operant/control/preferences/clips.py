"""Clips of a learner's own trajectories, the pairs of them that are judged, and what a person said of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.networks.trunk import plain
from operant.data.jsonl import lines
from operant.data.trajectory import Trajectory

VERDICTS = {"first": 1.0, "second": 0.0, "equal": 0.5, "neither": -1.0}
"""What a person may say of a pair: the probability that the first is better; of one that cannot be judged none."""
WAITING = torch.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """C clips of up to L steps."""

    obs: Tensor  # [C, L, D]
    action: Tensor  # [C, L, *W], as the policy drew them
    present: Tensor  # [C, L] bool; False behind the end of a clip
    returns: Tensor  # [C], the environment's own reward, summed

    def __len__(self) -> int:
        return len(self.present)

    def __getitem__(self, index: Tensor) -> Clips:
        return self.of(lambda x: x[index])

    def of(self, change: Callable[[Tensor], Tensor]) -> Clips:
        """The same with each of its tensors changed."""
        return Clips(**{name: change(x) for name, x in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        return {"obs": self.obs, "action": self.action, "present": self.present, "returns": self.returns}

    def joined(self, other: Clips) -> Clips:
        """These, then the others."""
        theirs = other.tensors()
        return Clips(**{name: torch.cat([x, theirs[name]]) for name, x in self.tensors().items()})


def cut_clips(traj: Trajectory, length: int, count: int, generator: np.random.Generator) -> tuple[Clips, np.ndarray]:
    """Clips of a segment that begin at random, and in which columns [C] they do.

    Each lies within one episode, and is short only where that terminates. What a segment's edge or a time limit cuts
    short is not taken, as a sum over fewer steps would be told for a worse one. Where nothing else is there, clips are
    as long as the longest piece of an episode.

    Args:
        traj: N rows.
        length: L, steps of a clip.
        count: C.
        generator: where they begin.
    """
    acted, terminated = traj.acted.cpu().numpy(), traj.terminated.cpu().numpy()
    left, to_the_end = _remaining(acted, terminated, (terminated | traj.truncated.cpu().numpy()))
    whole = acted & ((left >= length) | to_the_end)
    if not whole.any():
        length_now = int(left.max())
        whole = acted & (left == length_now)
    row, start = np.nonzero(whole)
    drawn = generator.integers(0, len(row), count)
    row, start = row[drawn], start[drawn]
    steps = start[:, None] + np.arange(length)
    present = torch.from_numpy(np.arange(length) < left[row, start][:, None])
    where = torch.from_numpy(row)[:, None], torch.from_numpy(np.minimum(steps, acted.shape[1] - 1))

    def taken(x: Tensor) -> Tensor:
        x = x.cpu()[where]
        return torch.where(present.reshape(*present.shape, *(1,) * (x.ndim - 2)), x, torch.zeros_like(x))

    returns = taken(traj.reward).double().sum(1)
    return Clips(obs=taken(plain(traj.seen)), action=taken(traj.action), present=present, returns=returns), start


def _remaining(acted: np.ndarray, terminated: np.ndarray, ended: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many steps of its episode a segment has from each step on [N, T]; and whether the last of them terminates."""
    left, over = np.zeros(acted.shape, np.int64), np.zeros(acted.shape, np.bool_)
    last = acted.shape[1] - 1
    for t in range(last, -1, -1):
        goes_on = ~ended[:, t] & (t < last)
        following = min(t + 1, last)
        left[:, t] = acted[:, t] * (1 + goes_on * left[:, following])
        over[:, t] = acted[:, t] & (terminated[:, t] | (goes_on & over[:, following]))
    return left, over


@dataclass(slots=True, kw_only=True)
class Pairs:
    """P pairs of clips, and what was said of them.

    Attributes:
        clips: [2P], the first of each pair, then the second.
        label: [P], the probability that the first is better; NaN while nobody has said, -1 where nobody can.
        weight: [P, K], how often each of K networks is taught a pair: 1 on average, and 0 of a share 1/e.
    """

    clips: Clips
    label: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.label)

    @property
    def first(self) -> Clips:
        """[P]."""
        return self.clips.of(lambda x: x[0::2])

    @property
    def second(self) -> Clips:
        """[P]."""
        return self.clips.of(lambda x: x[1::2])

    @property
    def judged(self) -> Tensor:
        """[P] bool; that of which something can be learnt."""
        return self.label >= 0

    @property
    def waiting(self) -> Tensor:
        """[P] bool; nobody has said anything yet."""
        return self.label.isnan()

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], members: int, file: Path) -> Self:
        """Pairs as they were saved.

        Raises:
            ConfigError: if they are none.
        """
        names = ("obs", "action", "present", "returns")
        if {*tensors} != {*names, "label", "weight"}:
            raise ConfigError(f"{file}: these are no pairs of clips. Use another checkpoint.")
        count, clips = len(tensors["label"]), Clips(**{name: tensors[name] for name in names})
        fits = all(len(tensors[name]) == 2 * count for name in names)
        if not fits or tensors["weight"].shape != (count, members) or clips.present.dtype != torch.bool:
            raise ConfigError(f"{file}: its pairs of clips are not of these networks. Use another checkpoint.")
        return cls(clips=clips, label=tensors["label"], weight=tensors["weight"])

    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        return {**self.clips.tensors(), "label": self.label, "weight": self.weight}

    def joined(self, other: Pairs) -> Pairs:
        """These, then the others."""
        label, weight = torch.cat([self.label, other.label]), torch.cat([self.weight, other.weight])
        return Pairs(clips=self.clips.joined(other.clips), label=label, weight=weight)


def by_return(first: Tensor, second: Tensor, *, noise: float, generator: np.random.Generator) -> Tensor:
    """[P], judgements of clips by their true returns: 1 where the first is better, ½ where they are equal.

    Args:
        first, second: [P] returns.
        noise: share of the judgements that a coin makes instead.
        generator: which these are, and the coin.
    """
    right = (0.5 * (1.0 + torch.sign(first - second))).float()
    blind, coin = generator.random(len(right)) < noise, generator.integers(0, 2, len(right))
    return torch.where(torch.from_numpy(blind), torch.from_numpy(coin).float(), right)


def read_labels(path: Path, asked: int) -> dict[int, float]:
    """What a person said, by the number of the pair; nothing while there is no file. The last word on a pair counts.

    A line is `{"pair": 3, "better": "first"}`, or `"second"`, `"equal"` or, of one that cannot be judged, `"neither"`.

    Raises:
        ConfigError: if a line is none of these, or is about a pair that was not asked for; names the file and the line.
    """
    found: dict[int, float] = {}
    if not path.exists():
        return found
    for where, line in lines(path):
        pair, better = line.get("pair"), line.get("better")
        if type(pair) is not int or not isinstance(better, str) or better not in VERDICTS:
            raise ConfigError(
                f'{where}: a line is {{"pair": 3, "better": "first"}} (or "second", "equal", "neither"), this is {line}'
            )
        if not 0 <= pair < asked:
            raise ConfigError(f"{where}: pair {pair} was not asked for; there are pairs 0 to {asked - 1}")
        found[pair] = VERDICTS[better]
    return found


def with_labels(pairs: Pairs, said: Mapping[int, float]) -> Pairs:
    """The pairs with what was said of them."""
    label = pairs.label.clone()
    for pair, verdict in said.items():
        label[pair] = verdict
    return replace(pairs, label=label)
