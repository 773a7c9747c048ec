"""The multilayer perceptron and its orthogonal initialisation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn

from operant.math.quick_start import undrawn

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


class MLP(nn.Module):
    """y = W_L a(… a(W_1 x + b_1) …) + b_L.

    Hidden weights are orthogonal with gain √2, the last layer orthogonal with `out_gain`, biases zero ("The 37
    implementation details of PPO", Huang et al. 2022, detail 2; Saxe et al. 2014).

    Args:
        sizes: widths from input to output, at least two.
        activation: "tanh" or "relu".
        out_gain: gain of the last layer: 0.01 for a policy, 1 for a critic.
        generator: where the weights come from.
    """

    def __init__(self, sizes: Sequence[int], activation: str, *, out_gain: float, generator: torch.Generator) -> None:
        super().__init__()
        self.activation = activation
        self.layers = nn.ModuleList(undrawn(nn.Linear, i, o) for i, o in pairwise(sizes))
        for k, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            gain = out_gain if k == len(self.layers) - 1 else sqrt(2.0)
            nn.init.orthogonal_(layer.weight, gain, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., sizes[0]] → [..., sizes[-1]]."""
        act = ACTIVATIONS[self.activation]
        for layer in self.layers[:-1]:
            x = act(layer(x))
        return self.layers[-1](x)
