"""What a run keeps of its past: whole segments of its own policies, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.trajectory import Obs, Trajectory

KINDS = (torch.float32, torch.int64, torch.uint8, torch.bool)
"""The types that fields of a segment have."""


@dataclass(frozen=True, slots=True)
class Past:
    """A segment, and how old its episodes were where it began."""

    traj: Trajectory  # its reward is what was learnt from when it was new
    elapsed: Tensor  # [N] int64, decisions of each row's open episode that lie before it


class Segments:
    """The last `size` segments, oldest first; part of every checkpoint as plain tensors.

    Args:
        size: how many are kept; 0 keeps none.
        device: where they go when they are read.
    """

    def __init__(self, size: int, device: str = "cpu") -> None:
        self.kept: deque[Past] = deque(maxlen=size)
        self._device = device

    def add(self, segment: Past) -> None:
        """Keep a segment, and let the oldest go where there are too many."""
        self.kept.append(segment)

    def draw(self, n: int, generator: np.random.Generator) -> list[Past]:
        """n of them, each equally likely, with repetition; none while there are none."""
        return [self.kept[k] for k in generator.integers(len(self.kept), size=n)] if self.kept else []

    def tensors(self) -> dict[str, Tensor]:
        """Every field of every segment, by `<number>.<field>`; named observations by `<number>.obs.<name>`."""
        return {f"{k}.{name}": x for k, segment in enumerate(self.kept) for name, x in _fields(segment).items()}

    def prepared(self, tensors: Mapping[str, Tensor], file: Path) -> Callable[[], None]:
        """What takes over the segments that were saved, when it is called.

        Raises:
            ConfigError: if they are no segments, or more than are kept.
        """
        numbers = {key.partition(".")[0] for key in tensors}
        if numbers != {str(k) for k in range(len(numbers))} or len(numbers) > (self.kept.maxlen or 0):
            raise ConfigError(f"{file} holds other segments than this run keeps. Use another checkpoint.")
        if odd := [key for key, x in tensors.items() if x.dtype not in KINDS]:
            raise ConfigError(f"{file}: {odd[0]} is {tensors[odd[0]].dtype}. Use another checkpoint.")
        try:
            found = [self._read(tensors, f"{k}.") for k in range(len(numbers))]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{file}: its segments cannot be read ({error}). Use another checkpoint.") from error

        def fill() -> None:
            self.kept.clear()
            self.kept.extend(found)

        return fill

    def _read(self, tensors: Mapping[str, Tensor], begin: str) -> Past:
        of = {k.removeprefix(begin): x.to(self._device) for k, x in tensors.items() if k.startswith(begin)}
        named = {k.removeprefix("obs."): of.pop(k) for k in [*of] if k.startswith("obs.")}
        elapsed = of.pop("elapsed")
        obs: Obs = named or of.pop("obs")
        return Past(Trajectory(obs=obs, **of), elapsed)


def _fields(segment: Past) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {"elapsed": segment.elapsed}
    for field in fields(segment.traj):
        x: Any = getattr(segment.traj, field.name)
        if isinstance(x, Mapping):
            found |= {f"{field.name}.{name}": part for name, part in x.items()}
        elif x is not None:
            found[field.name] = x
    return found
