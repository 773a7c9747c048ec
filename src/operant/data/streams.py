"""All randomness flows from one run seed through named, counter-based streams."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Streams:
    """Independent generators by name: `Streams(seed).numpy("env", 3)`.

    The key of a stream is SHA-256 of (seed, seam, name, index…), so streams neither overlap nor depend on the order in
    which they are asked for. `seam` counts the checkpoints behind a run: a resumed run derives the generators that the
    uninterrupted run derived at the same seam.
    """

    seed: int
    seam: int = 0

    def key(self, name: str, *index: int) -> int:
        """128 bits that name one stream."""
        text = "/".join(str(part) for part in (self.seed, self.seam, name, *index))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")

    def numpy(self, name: str, *index: int) -> np.random.Generator:
        """A Philox (counter-based; Salmon et al. 2011) generator of this stream."""
        return np.random.Generator(np.random.Philox(key=self.key(name, *index)))

    def rekey(self, generator: np.random.Generator, name: str, *index: int) -> None:
        """Turn a Philox generator, in place, into the one that `numpy` gives for this stream."""
        generator.bit_generator.state = self.numpy(name, *index).bit_generator.state

    def torch(self, name: str, *index: int, device: str = "cpu") -> torch.Generator:
        """A torch generator of this stream, for code that takes no other (weight initialisation)."""
        return torch.Generator(device).manual_seed(self.key(name, *index) % 2**63)

    def integer(self, name: str, *index: int) -> int:
        """A seed in [0, 2³¹ - 2¹⁶), for simulators that seed themselves; consecutive copies may add to it."""
        return self.key(name, *index) % (2**31 - 2**16)
