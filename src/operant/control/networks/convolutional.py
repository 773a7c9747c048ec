"""Convolutional networks of the field, from pictures to features."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod, sqrt
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.math.quick_start import undrawn

LEAST = {"nature-cnn": 36, "impala-resnet": 8, "minatar-cnn": 3, "grid-cnn": 1}
"""The shorter side of a picture that each network can take, in pixels."""


class Convolutional(nn.Module):
    """Layers that see, from a picture to maps, and one above them that gives features.

    Attributes:
        features: F.
        maps: C, H and W of what the last convolution gives.
    """

    features: int
    layers: nn.Sequential
    dense: nn.Linear
    maps: tuple[int, int, int]

    def forward(self, picture: Tensor, between: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """[B, C, H, W] → [B, F]; what stands `between` goes from maps to maps of the same size."""
        maps = self.layers(_laid(picture))
        return self.dense((maps if between is None else between(maps)).flatten(1)).relu()

    def _above(self, channels: int, height: int, width: int, features: int, generator: torch.Generator) -> None:
        with torch.no_grad():
            self.maps = cast(
                "tuple[int, int, int]", tuple(self.layers(torch.zeros(1, channels, height, width)).shape[1:])
            )
        self.features, self.dense = features, _dense(prod(self.maps), features, generator)


class NatureCNN(Convolutional):
    """Three convolutions, 32 of 8×8 by 4, 64 of 4×4 by 2, 64 of 3×3, and 512 units (Mnih et al. 2015)."""

    def __init__(self, channels: int, height: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(channels, 32, 8, generator, stride=4), nn.ReLU(),
            _conv(32, 64, 4, generator, stride=2), nn.ReLU(),
            _conv(64, 64, 3, generator), nn.ReLU(),
        )  # fmt: skip
        self._above(channels, height, width, 512, generator)


class MinAtarCNN(Convolutional):
    """One convolution, 16 of 3×3, and 128 units, for boards of ten by ten (Young and Tian 2019)."""

    def __init__(self, channels: int, height: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(channels, 16, 3, generator), nn.ReLU())
        self._above(channels, height, width, 128, generator)


class GridCNN(Convolutional):
    """One convolution, 32 of 3×3 that keep the size, and 128 units: for rooms of a few cells whose things have several
    properties each.
    """

    def __init__(self, channels: int, height: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(channels, 32, 3, generator, padding=1), nn.ReLU())
        self._above(channels, height, width, 128, generator)


class ImpalaResNet(Convolutional):
    """Three times a convolution, a maximum over 3×3 by 2 and two residual blocks, of 16, 32 and 32 channels, and 256
    units (Espeholt et al. 2018, figure 3, right).
    """

    def __init__(self, channels: int, height: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        widths = (channels, 16, 32, 32)
        stages = [_Stage(a, b, generator) for a, b in pairwise(widths)]
        self.layers = nn.Sequential(*stages, nn.ReLU())
        self._above(channels, height, width, 256, generator)


CONVOLUTIONAL = {
    "nature-cnn": NatureCNN, "impala-resnet": ImpalaResNet, "minatar-cnn": MinAtarCNN, "grid-cnn": GridCNN,
}  # fmt: skip
"""Networks that see, by name: from channels, height, width and a generator to a module [B, C, H, W] → [B, features]."""


def refuse_small(network: str, name: str, height: int, width: int) -> None:
    """Raises ConfigError where a picture is smaller than a network can take."""
    if min(height, width) < LEAST[network]:
        others = [other for other in LEAST if LEAST[other] <= min(height, width)]
        fit = f"--policy.network {' or '.join(others)} takes it" if others else "no network takes it: enlarge it"
        raise ConfigError(
            f"{name} is a picture of {height} by {width}, and {network} needs {LEAST[network]} by {LEAST[network]}: "
            f"{fit}"
        )


class _Residual(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = _conv(channels, channels, 3, generator, padding=1)
        self.second = _conv(channels, channels, 3, generator, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x.relu()).relu())


class _Stage(nn.Module):
    """A convolution, a maximum that halves both sides, and two residual blocks."""

    def __init__(self, channels: int, out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(channels, out, 3, generator, padding=1), nn.MaxPool2d(3, 2, 1),
            _Residual(out, generator), _Residual(out, generator),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _laid(picture: Tensor) -> Tensor:
    """As the convolutions of a CPU take it soonest, with the channels of a point beside one another."""
    return picture.contiguous(memory_format=torch.channels_last) if picture.device.type == "cpu" else picture


def _conv(
    channels: int, out: int, kernel: int, generator: torch.Generator, *, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    return _initialised(undrawn(nn.Conv2d, channels, out, kernel, stride, padding, device=_device()), generator)


def _dense(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    return _initialised(undrawn(nn.Linear, inputs, outputs, device=_device()), generator)


Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def _initialised(layer: Layer, generator: torch.Generator) -> Layer:
    """Orthogonal weights of gain √2, biases zero, as in the perceptron."""
    assert layer.bias is not None
    if not layer.weight.is_meta:  # where only shapes are asked for
        nn.init.orthogonal_(layer.weight, sqrt(2.0), generator=generator)
        nn.init.zeros_(layer.bias)
    return layer


def _device() -> torch.device:
    """Where new tensors go: "meta" where only shapes are asked for."""
    return torch.get_default_device()
