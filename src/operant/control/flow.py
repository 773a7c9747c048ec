"""A policy that carries noise to actions along a learnt velocity: as many humps as there are, wherever they lie.

    x(0) ~ N(0, I),  dx/dt = v(x, t, s),  a = x(1)

v is learnt by flow matching: on the straight line from noise to an action of the data, x = (1 − t) x(0) + t a, it is
regressed on the line's own velocity, a − x(0); where lines cross it is their mean, and so carries the one density to
the other. Nothing is assumed of the density, neither how many humps it has nor that the numbers of an action are
independent of one another.

Source: Lipman et al. (2023), Flow matching for generative modeling, arXiv:2210.02747, theorem 2 and equation 23; Liu,
Gong and Liu (2023), Flow straight and fast, arXiv:2209.03003; Chi et al. (2023), Diffusion policy, arXiv:2303.04137,
for what it is to cloning.
"""

from __future__ import annotations

from math import pi

import numpy as np
import torch
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.control.distributions import Parameters, standard_normal, uniform
from operant.control.mlp import MLP
from operant.math.logprob import normal_logp

FEATURES, WIDTH = 64, 128
"""Numbers that the velocity knows of a state, and units of its two hidden layers."""
STEPS = 1_000
"""The most steps that an integration may have."""
CANDIDATES, GOLDEN = 32, 1.618033988749895
"""Points of noise among whose ends the mode is looked for; and the golden ratio, by which they are spread."""


class Flow(nn.Module):
    """π(a) by a flow, for `Box`; actions are float32 [..., A].

    The network gives features of the state, and v is a perceptron of two hidden layers above (features, x, t), in units
    of the space: half its range from its middle, or 1 from 0 where it has no bounds. It is integrated by the midpoint
    rule. v's divergence is exact, by forward differentiation, so that the density is that of what is drawn but for the
    error of the steps.

    Args:
        size: A.
        steps: of the integration, from noise to action.
        low, high: [A], finite bounds, or None.
    """

    middle: Tensor
    reach: Tensor
    deviations = 0
    choices = 0
    outputs = FEATURES

    def __init__(self, size: int, steps: int, low: Tensor | None = None, high: Tensor | None = None) -> None:
        super().__init__()
        self.size = self.columns = size
        self.steps = steps
        middle, reach = torch.zeros(size), torch.ones(size)
        if low is not None and high is not None:
            middle, reach = 0.5 * (low + high), 0.5 * (high - low)
        self.register_buffer("middle", middle, persistent=False)
        self.register_buffer("reach", reach, persistent=False)
        self.register_buffer("_points", _spread(size), persistent=False)
        self.begin(torch.Generator().manual_seed(0))

    def begin(self, generator: torch.Generator) -> None:
        """New weights."""
        sizes = (FEATURES + self.size + 3, WIDTH, WIDTH, self.size)
        self.net = MLP(sizes, "tanh", out_gain=1.0, generator=generator)

    def matching(self, p: Parameters, action: Tensor, generator: np.random.Generator) -> Tensor:
        """‖v(x, t) − (a − x(0))‖² [...] at one point of one line to each action [..., A]: what is to be made small."""
        end, shape = self._unit(action), tuple(action.shape)
        start = standard_normal(generator, shape, action.device)
        t = uniform(generator, (*shape[:-1], 1), action.device)
        v = self._velocity(p.output, start + t * (end - start), t)[0]
        return (v - (end - start)).square().sum(-1)

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """Noise by A numbers from N(0, 1), carried to its end."""
        noise = standard_normal(generator, (*p.output.shape[:-1], self.size), p.output.device)
        return self._environments(self._carried(p.output, noise)[0])

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        """Of the noise that comes to be the action, less what the flow spreads on the way."""
        start, spread = self._carried(p.output, self._unit(action), backwards=True)
        return self._of_noise(start) - spread - self.reach.log().sum()

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        """It has no closed form: −log π(action)."""
        return -self.logp(p, action)

    def mode(self, p: Parameters) -> Tensor:
        """Where the density is highest among the ends of points that are spread over the noise."""
        points: Tensor = self._points  # pyright: ignore[reportAssignmentType]
        features = p.output.unsqueeze(-2).expand(*p.output.shape[:-1], len(points), FEATURES)
        start = points.expand(*features.shape[:-1], self.size)
        end, spread = self._carried(features, start)
        best = (self._of_noise(start) - spread).argmax(-1)
        index = best[..., None, None].expand(*best.shape, 1, self.size)
        return self._environments(end.gather(-2, index).squeeze(-2))

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        """Raises ConfigError: it has no closed form."""
        raise ConfigError("the KL divergence of flows has no closed form: use a method that does not ask for it")

    def finish(self, action: Tensor) -> Tensor:
        return action

    def _carried(self, features: Tensor, x: Tensor, *, backwards: bool = False) -> tuple[Tensor, Tensor]:
        """Where points x [..., A] come to, from 0 to 1 or back, and ∫ div v dt [...] from 0 to 1 on their way."""
        h, spread = (-1.0 if backwards else 1.0) / self.steps, torch.zeros_like(x[..., 0])
        for k in range(self.steps):
            t = torch.full_like(x[..., :1], (self.steps - k if backwards else k) / self.steps)
            half = x + 0.5 * h * self._velocity(features, x, t)[0]
            v, divergence = self._velocity(features, half, t + 0.5 * h, spread=True)
            x, spread = x + h * v, spread + abs(h) * divergence
        return x, spread

    def _velocity(self, features: Tensor, x: Tensor, t: Tensor, *, spread: bool = False) -> tuple[Tensor, Tensor]:
        """v [..., A], and div_x v [...] where it is asked for."""
        told = torch.cat([features, x, t, (pi * t).sin(), (pi * t).cos()], -1)
        if not spread:
            return self.net(told), x[..., 0]
        *hidden, last = (layer for layer in self.net.layers if isinstance(layer, nn.Linear))
        slope: Tensor | None = None  # [..., A, H]: row i is d/dx_i of what the layer gives
        for layer in hidden:
            told = layer(told).tanh()
            inner = layer.weight[:, FEATURES : FEATURES + self.size].T if slope is None else slope @ layer.weight.T
            slope = inner * (1.0 - told.square()).unsqueeze(-2)
        assert slope is not None
        return last(told), (slope * last.weight).sum((-1, -2))

    def _of_noise(self, x: Tensor) -> Tensor:
        nothing = torch.zeros_like(x)
        return normal_logp(nothing, nothing, x)

    def _unit(self, action: Tensor) -> Tensor:
        return (action - self.middle) / self.reach

    def _environments(self, x: Tensor) -> Tensor:
        return self.middle + self.reach * x


def _spread(size: int) -> Tensor:
    """[K, A], points spread over N(0, I): a Kronecker sequence of golden ratios through the inverse of its CDF."""
    k = torch.arange(CANDIDATES, dtype=torch.float64)[:, None] + 0.5
    step = GOLDEN ** -torch.arange(1, size + 1, dtype=torch.float64)
    return torch.special.ndtri(k * step % 1.0).float()
