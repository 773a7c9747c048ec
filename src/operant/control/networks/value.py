"""The last layers of a network of action values: one stream or two, with noisy weights or without, normed or not."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from operant.control.mlp import ACTIVATIONS
from operant.math.quick_start import undrawn


class NoisyLinear(nn.Module):
    """y = (W + Σ_W ∘ f(ε_out) f(ε_in)ᵀ) x + b + σ_b ∘ f(ε_out) with f(x) = sign(x) √|x|: a layer that learns its noise.

    Without noise, as outside of `noised`, it is W x + b. W and b begin uniform within ±1/√F, all deviations at σ₀/√F,
    F being the number of inputs.

    Args:
        inputs: F.
        outputs: K.
        sigma: σ₀; 0.5 is the paper's.
        generator: where the weights come from.

    Source: Fortunato et al. (2018), Noisy networks for exploration, section 3 (b), factorised Gaussian noise.
    """

    noise: tuple[Tensor, Tensor] | None = None
    """f(ε_in) [F] and f(ε_out) [K] as they are now."""

    def __init__(self, inputs: int, outputs: int, sigma: float, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1.0 / sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))
        self.weight_deviation = nn.Parameter(torch.full((outputs, inputs), sigma * bound))
        self.bias_deviation = nn.Parameter(torch.full((outputs,), sigma * bound))

    def forward(self, x: Tensor) -> Tensor:
        """[..., F] → [..., K]."""
        if self.noise is None:
            return linear(x, self.weight, self.bias)
        of_inputs, of_outputs = self.noise
        weight = self.weight + self.weight_deviation * torch.outer(of_outputs, of_inputs)
        return linear(x, weight, self.bias + self.bias_deviation * of_outputs)

    def draw(self, generator: np.random.Generator) -> None:
        """New noise."""
        x = generator.standard_normal(sum(self.weight.shape), np.float32)
        noise = torch.from_numpy(np.copysign(np.sqrt(np.abs(x)), x)).to(self.weight.device)
        self.noise = noise[: self.weight.shape[1]], noise[self.weight.shape[1] :]


def noisy_layers(*modules: nn.Module) -> list[NoisyLinear]:
    """Those of these modules, one after the other."""
    return [layer for module in modules for layer in module.modules() if isinstance(layer, NoisyLinear)]


@contextmanager
def noised(layers: Sequence[NoisyLinear], generator: np.random.Generator) -> Generator[None]:
    """New noise in every one of these layers; none afterwards."""
    for layer in layers:
        layer.draw(generator)
    try:
        yield
    finally:
        for layer in layers:
            layer.noise = None


class ValueHead(nn.Module):
    """Action values, or their distributions, from features: hidden layers and one stream of outputs, or two.

    Two streams, of the value and of the advantages, split before the last hidden layer, and
    Q(s, a) = V(s) + A(s, a) − mean_b A(s, b), atom by atom where there are several (Wang et al. 2016, equation 9).
    Layer norms stand before each non-linearity (as in PQN, Gallici et al. 2024), without parameters of their own;
    features of convolutions or of a memory can be `normed`, too. Weights are orthogonal as in the perceptron's, or
    those of `NoisyLinear`.

    Args:
        sizes: widths from features to the last hidden layer, at least one.
        actions: A.
        atoms: K numbers for each action.
        activation: "tanh" or "relu".
        dueling: whether there are two streams.
        noisy: σ₀ of noisy layers; 0 for plain ones.
        norm: whether hidden layers are normed.
        normed: whether features are, too.
        generator: where the weights come from.
    """

    def __init__(
        self, sizes: Sequence[int], actions: int, atoms: int, activation: str, *, dueling: bool, noisy: float,
        norm: bool, normed: bool, generator: torch.Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        self.actions, self.atoms, self.activation = actions, atoms, activation
        self.norm, self.normed = norm, normed
        self._noisy, self._generator = noisy, generator
        common = sizes[:-1] if dueling and len(sizes) > 1 else sizes
        self.layers = self._chain(common)
        own = sizes[len(common) - 1 :]
        ends = (1, actions) if dueling else (actions,)
        self.streams = nn.ModuleList(self._chain((*own, n * atoms), last=True) for n in ends)
        del self._generator

    def forward(self, x: Tensor) -> Tensor:
        """[..., F] → [..., A · K]."""
        x = self._through(self.layers, layer_norm(x, x.shape[-1:]) if self.normed else x)
        outs = [stream[-1](self._through(stream[:-1], x)) for stream in self.streams]  # pyright: ignore[reportIndexIssue]
        if len(outs) == 1:
            return outs[0]
        value, advantage = (out.unflatten(-1, (-1, self.atoms)) for out in outs)
        return (value + advantage - advantage.mean(-2, keepdim=True)).flatten(-2)

    def _through(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        act = ACTIVATIONS[self.activation]
        for layer in layers:
            x = layer(x)
            x = act(layer_norm(x, x.shape[-1:]) if self.norm else x)
        return x

    def _chain(self, sizes: Sequence[int], *, last: bool = False) -> nn.ModuleList:
        """Layers of these widths; the last of them gives outputs and not features, where it is the last."""
        pairs = [*pairwise(sizes)]
        return nn.ModuleList(
            self._layer(i, o, 1.0 if last and k == len(pairs) - 1 else sqrt(2.0)) for k, (i, o) in enumerate(pairs)
        )

    def _layer(self, inputs: int, outputs: int, gain: float) -> nn.Module:
        if self._noisy:
            return NoisyLinear(inputs, outputs, self._noisy, self._generator)
        layer = undrawn(nn.Linear, inputs, outputs)
        nn.init.orthogonal_(layer.weight, gain, generator=self._generator)
        nn.init.zeros_(layer.bias)
        return layer
