"""What the numbers of a row of observations are: a vector, pictures, texts, and what is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from operant.config.errors import ConfigError
from operant.env.spaces import Observations
from operant.env.text import TEXT, Codes


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in a row: where it stands, its axes as the environment gives them, and how they become [C, H, W]."""

    name: str
    columns: slice
    shape: tuple[int, ...]
    scale: float  # what it is multiplied by

    @property
    def channels_first(self) -> bool:
        """Whether the first of three axes is that of the channels.

        Of a square picture that is the axis beside its sides, of another one the shorter one of the first and the last.
        """
        if len(self.shape) != 3:
            return False
        a, b, c = self.shape
        return b == c if (a == b) != (b == c) else a < c

    @property
    def size(self) -> tuple[int, int, int]:
        """C, H, W."""
        match self.shape:
            case (height, width):
                return 1, height, width
            case (frames, height, width, channels):
                return frames * channels, height, width
            case (a, b, c):
                return (a, b, c) if self.channels_first else (c, a, b)
            case _:
                raise ValueError(f"a picture has two to four axes, not {len(self.shape)}")

    def read(self, rows: Tensor) -> Tensor:
        """[B, D] → [B, C, H, W] float32."""
        x = rows[:, self.columns].reshape(-1, *self.shape)
        if x.ndim == 5:  # frames, height, width, channels
            x = x.permute(0, 1, 4, 2, 3)
        elif x.ndim == 4 and not self.channels_first:
            x = x.permute(0, 3, 1, 2)
        return x.reshape(-1, *self.size).float() * self.scale


@dataclass(frozen=True, slots=True)
class Script:
    """A text in a row: where its codes stand, and how many there are to choose from."""

    columns: slice
    packed: bool  # whether four bytes make a code
    length: int
    count: int

    def read(self, rows: Tensor) -> Tensor:
        """[B, D] → [B, L] int64, 0 behind the end."""
        return _numbers(rows[:, self.columns], self.packed).long().clamp(0, self.count - 1)


class Layout:
    """The columns of rows [..., D], as `operant.env.spaces.Observations` writes them.

    Args:
        observations: of the environment; None where nothing is known but that a row is a vector.
        dim: D.
        sees: whether pictures are read as such; else every number belongs to the vector.

    Attributes:
        vector_size: V, numbers of the vector.
        pictures: in the order of the space.
        scripts: texts, likewise.
        bytes: whether rows are uint8.
        packed: whether some of these bytes are of float32 numbers.
        choices: C, the last columns of a row, that say what is allowed; 0 without a mask.
    """

    def __init__(self, observations: Observations | None, dim: int, *, sees: bool) -> None:
        self.pictures: list[Picture] = []
        self.scripts: list[Script] = []
        self.choices = 0 if observations is None else observations.mask
        self.dim, self._features = dim, dim - self.choices
        self.bytes = observations is not None and observations.dtype == np.uint8
        self.packed = False
        self._vector: list[tuple[slice, bool]] = []  # columns, and whether four bytes make a number
        self.vector_size = self._features
        said = observations is not None and any(isinstance(part.space, TEXT) for part in observations.parts)
        if observations is None or not (self.bytes or sees or said):
            return
        self.vector_size = 0
        for part in observations.parts:
            shape, packed = tuple(part.space.shape or ()), self.bytes and not part.picture
            if isinstance(part.space, TEXT):
                codes = Codes(part.space)
                self.scripts.append(Script(part.columns, packed, codes.length, codes.count))
                self.packed |= packed
            elif sees and _is_picture(part.space):
                top = float(np.max(part.space.high)) if isinstance(part.space, spaces.Box) else 1.0
                scale = 1.0 / 255.0 if part.picture or top == 255.0 else 1.0
                self.pictures.append(Picture("".join(f"[{key!r}]" for key in part.keys), part.columns, shape, scale))
            else:
                self._vector.append((part.columns, packed))
                self.packed |= packed
                width = part.columns.stop - part.columns.start
                self.vector_size += width // 4 if packed else width

    def vector(self, rows: Tensor) -> Tensor:
        """[..., D] → [..., V] float32."""
        if not self._vector and not self.pictures and not self.scripts:
            return rows if self.choices == 0 else rows[..., : self._features]
        parts = [_numbers(rows[..., columns], packed) for columns, packed in self._vector]
        return torch.cat(parts, -1) if parts else rows.new_empty((*rows.shape[:-1], 0), dtype=torch.float32)

    def refuse_text(self, what: str) -> None:
        """Raises ConfigError where there is a text, which `what` would not read."""
        if self.scripts:
            raise ConfigError(f"{what} reads no text, and the environment says one: leave it out with the wrapper key")

    def allowed(self, rows: Tensor) -> Tensor | None:
        """[..., D] → [..., C] bool, or None where nothing is ruled out."""
        return rows[..., self._features :] != 0 if self.choices else None


def _numbers(columns: Tensor, packed: bool) -> Tensor:
    return columns.contiguous().view(torch.float32) if packed else columns.float()


def _is_picture(space: Any) -> bool:
    """A plane of numbers: a Box or bits of two to four axes, of which two are at least 3 long."""
    plane = isinstance(space, spaces.Box | spaces.MultiBinary) and 2 <= len(space.shape or ()) <= 4
    return plane and sorted(space.shape or ())[-2] >= 3 and prod(space.shape or ()) > 0
