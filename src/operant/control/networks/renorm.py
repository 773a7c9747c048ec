"""Batch renormalisation, for critics that are learnt without a target (Bhatt et al. 2024)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from operant.control.mlp import ACTIVATIONS, MLP

EPS = 1e-3
R_MAX, D_MAX = 3.0, 5.0
"""How far a batch's deviation, and its mean in deviations, may part from the running ones before it is cut off."""


class BatchRenorm(nn.Module):
    """y = scale · (x − μ) / σ + shift, unit by unit, σ² being the variance + 1e-3.

    μ and σ are running averages, except inside `batch_statistics`: there they are those of the batch at first, and then
    the running ones by way of the batch's, (x − μ_B) / σ_B · r + d, r = σ_B / σ in [1/3, 3] and d = (μ_B − μ) / σ in
    [−5, 5] without a gradient. Variances are divided by B − 1.

    Args:
        size: F, units.

    Source: Ioffe (2017), Batch renormalization, algorithm 1.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.batch: tuple[float, bool] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[..., F] → [..., F]; inside `batch_statistics` [B, F]."""
        mean, deviation = self.mean, (self.variance + EPS).sqrt()
        if self.batch is None:
            return (x - mean) / deviation * self.scale + self.shift
        rate, renormed = self.batch
        its_variance, its_mean = torch.var_mean(x, 0)
        its_deviation = (its_variance + EPS).sqrt()
        y = (x - its_mean) / its_deviation
        with torch.no_grad():
            if renormed:
                r = (its_deviation / deviation).clamp(1.0 / R_MAX, R_MAX)
                d = ((its_mean - mean) / deviation).clamp(-D_MAX, D_MAX)
            self.mean.lerp_(its_mean, rate)
            self.variance.lerp_(its_variance, rate)
        return (y * r + d if renormed else y) * self.scale + self.shift  # pyright: ignore[reportPossiblyUnboundVariable]


class RenormedMLP(MLP):
    """A perceptron with a batch renormalisation before each of its layers."""

    def __init__(self, sizes: Sequence[int], activation: str, *, out_gain: float, generator: torch.Generator) -> None:
        super().__init__(sizes, activation, out_gain=out_gain, generator=generator)
        self.norms = nn.ModuleList(BatchRenorm(size) for size in sizes[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """[..., sizes[0]] → [..., sizes[-1]]."""
        act = ACTIVATIONS[self.activation]
        for norm, layer in zip(self.norms, self.layers[:-1], strict=False):
            x = act(layer(norm(x)))
        return self.layers[-1](self.norms[-1](x))


@contextmanager
def batch_statistics(module: nn.Module, *, rate: float, renormed: bool) -> Generator[None]:
    """Norm by what the batch is, and let the running averages move by `rate` towards it.

    Args:
        module: whose batch renormalisations.
        rate: share of the way that the averages go.
        renormed: whether the running averages correct the batch's, as they may once they are settled.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, BatchRenorm)]
    for layer in layers:
        layer.batch = rate, renormed
    try:
        yield
    finally:
        for layer in layers:
            layer.batch = None
