"""From rows of observations to features: pictures through convolutions, texts read, numbers as they are, then perhaps
memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import sqrt

import torch
from torch import Tensor, nn

from operant.control.mlp import MLP
from operant.control.network import OwnFeatures
from operant.control.networks.convolutional import CONVOLUTIONAL, refuse_small
from operant.control.networks.layout import Layout
from operant.control.networks.memory import Memory
from operant.control.networks.text import JOINS, Reader, Reading
from operant.control.normalizer import ObsNormalizer
from operant.data.trajectory import Obs

READING = Reading()
TOGETHER = 1024
"""Pictures that pass through convolutions at a time where there is no gradient."""


class Trunk(nn.Module):
    """Features of observations, below the last layers of a policy or a critic, or of both.

    A policy without memory sees rows [..., D]. One with memory sees whole rows of steps, as the collector lays them
    out: `{"obs": [B, T, D], "memory": [B, T, S] before each step, "begins": [B, T] bool}`.

    Args:
        layout: what the numbers of a row are.
        network: "mlp" or one of `CONVOLUTIONAL`.
        own: features of a person's own, in place of the vector; or None.
        normalizer: of the vector.
        memory: "lstm", "gru" or "".
        memory_size: H.
        generator: where the weights come from.
        reading: of texts, where there are some. They meet the maps of pictures, or, where there are none, one layer
            above the vector; or, by "concat", stand beside all features.

    Attributes:
        features: F, numbers that it gives.
        state: numbers that it remembers; 0 without memory.
        offset: where these begin among the S of its agent.

    Raises:
        ConfigError: if a picture is smaller than the network can take.
    """

    def __init__(
        self, layout: Layout, network: str, own: OwnFeatures | None, normalizer: ObsNormalizer | None, memory: str,
        memory_size: int, generator: torch.Generator, reading: Reading = READING,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layout, self.normalizer, self.own = layout, normalizer, own
        self.convolutions = nn.ModuleList()
        self.features = layout.vector_size if own is None else own.features
        for picture in layout.pictures:
            channels, height, width = picture.size
            refuse_small(network, f"the observation{picture.name}", height, width)
            self.convolutions.append(CONVOLUTIONAL[network](channels, height, width, generator))
        self.features += sum(int(module.features) for module in self.convolutions)  # pyright: ignore[reportArgumentType]
        self.reader: Reader | None = None
        if layout.scripts:
            self._reads(reading, generator)
        self.memory, self.state, self.offset = None, 0, 0
        if memory:
            self.memory = Memory("lstm" if memory == "lstm" else "gru", self.features, memory_size, generator)
            self.features, self.state = memory_size, self.memory.state

    def _reads(self, reading: Reading, generator: torch.Generator) -> None:
        """Layers for texts, and for how they meet the rest."""
        self.reader, self.joins, self.lift = Reader(self.layout.scripts, reading, generator), nn.ModuleList(), None
        if reading.join == "concat":
            self.features += self.reader.size
            return
        channels = [int(module.maps[0]) for module in self.convolutions]  # pyright: ignore[reportIndexIssue]
        if not channels:
            self.lift = MLP((self.features, reading.size), "relu", out_gain=sqrt(2.0), generator=generator)
            self.features, channels = reading.size, [reading.size]
        self.joins.extend(JOINS[reading.join](n, self.reader, generator) for n in channels)

    def forward(self, obs: Obs) -> Tensor:
        """[..., D] → [..., F]; with memory whole rows, [B, T, …] → [B, T, F]."""
        if self.memory is None:
            return self._perceive(plain(obs))
        assert isinstance(obs, Mapping)
        return self.memory(
            self._perceive(obs["obs"]), obs["memory"][:, 0, self.offset : self.offset + self.state], obs["begins"]
        )

    def step(self, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step of each of N rows: [N, D], [N, S] → [N, F], what is remembered after it [N, S]."""
        x = self._perceive(rows)
        return (x, state) if self.memory is None else self.memory.step(x, state)

    def _perceive(self, rows: Tensor) -> Tensor:
        flat = rows.reshape(-1, rows.shape[-1])
        whole = torch.is_grad_enabled() or torch.compiler.is_exporting()  # in a graph their number is free
        if self.convolutions and not whole and len(flat) > TOGETHER:
            x = torch.cat([self._features(part) for part in flat.split(TOGETHER)])
        else:
            x = self._features(flat)
        return x.reshape(*rows.shape[:-1], -1)

    def _features(self, rows: Tensor) -> Tensor:
        """[B, D] → [B, F] before memory."""
        vector = self.layout.vector(rows)
        vector = vector if self.normalizer is None else self.normalizer(vector)
        seen = [vector if self.own is None else self.own(vector)] if self.layout.vector_size else []
        pictures = [picture.read(rows) for picture in self.layout.pictures]
        if self.reader is None or not self.joins:
            said = [] if self.reader is None else [self.reader(rows).whole]
            parts = [*seen, *(module(x) for x, module in zip(pictures, self.convolutions, strict=True)), *said]
        else:
            read = self.reader(rows)
            ways = [partial(join, read=read) for join in self.joins]
            if self.lift is not None:
                return ways[0](self.lift(seen[0]).relu().unsqueeze(-1)).squeeze(-1)
            each = zip(pictures, self.convolutions, ways, strict=True)
            parts = [*seen, *(module(x, way) for x, module, way in each)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


class Headed(nn.Module):
    """y = head(trunk(observation)): what a policy or a critic says, above a trunk that may be shared."""

    def __init__(self, trunk: Trunk, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, obs: Obs) -> Tensor:
        """Observations, as the trunk takes them, → [..., K]."""
        return self.head(self.trunk(obs))


def plain(obs: Obs) -> Tensor:
    """The rows of observations [..., D], without what a memory needs."""
    return obs if isinstance(obs, Tensor) else obs["obs"]
