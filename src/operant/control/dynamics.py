"""A learnt model of an environment: networks that say, each for itself, how it goes on, and how sure that is.

    (s, a) → N(s' − s, r | μ(s, a), σ²(s, a)), and the probability that the episode ends

B probabilistic networks (Chua et al. 2018, arXiv:1805.12114): σ² is what chance does, the disagreement of the networks
what is not known yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from operant.control.normalizer import RunningMoments

BOUNDS_WEIGHT = 0.01
"""Of the bounds on log σ² in the loss (the paper's appendix A.1)."""


class Layer(nn.Module):
    """B linear layers side by side, [B, M, I] → [B, M, O]; weights truncated normal of deviation 1 / (2 √I)."""

    def __init__(self, models: int, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        weight, deviation = torch.empty(models, inputs, outputs), 0.5 / sqrt(inputs)
        nn.init.trunc_normal_(weight, 0.0, deviation, -2.0 * deviation, 2.0 * deviation, generator=generator)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.zeros(models, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class Dynamics(nn.Module):
    """B networks of what follows a state and an action.

    Args:
        observed: D, numbers of a state.
        acted: A, numbers of an action in [-1, 1].
        hidden: widths of the hidden layers, of x · sigmoid(x).
        models: B.
        generator: where the weights come from.

    Attributes:
        models: B.
    """

    def __init__(
        self, observed: int, acted: int, hidden: Sequence[int], models: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = (observed + acted, *hidden, 2 * (observed + 1) + 1)
        self.models, self._observed = models, observed
        self.layers = nn.ModuleList(Layer(models, i, o, generator) for i, o in pairwise(sizes))
        self.low = nn.Parameter(torch.full((observed + 1,), -10.0))  # bounds on log σ², which are learnt
        self.high = nn.Parameter(torch.full((observed + 1,), 0.5))
        self.inputs, self.outputs = RunningMoments(observed + acted), RunningMoments(observed + 1)

    def observe(self, obs: Tensor, action: Tensor, next_obs: Tensor, reward: Tensor) -> None:
        """Take M decisions into the statistics that inputs and outputs are normalised by."""
        self.inputs.update(torch.cat((obs, action), -1))
        self.outputs.update(torch.cat((next_obs - obs, reward.unsqueeze(-1)), -1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of normalised inputs [B, M, D + A]: μ and log σ² [B, M, D + 1] in deviations of the outputs, the end's logit.

        log σ² lies between bounds that are learnt, smoothly.
        """
        for k, layer in enumerate(self.layers):
            x = layer(x) if k == 0 else layer(functional.silu(x))
        mean, log_var, end = x.split((self._observed + 1, self._observed + 1, 1), -1)
        log_var = self.high - functional.softplus(self.high - log_var)
        return mean, self.low + functional.softplus(log_var - self.low), end.squeeze(-1)

    def loss(
        self, obs: Tensor, action: Tensor, next_obs: Tensor, reward: Tensor, ended: Tensor, weight: Tensor
    ) -> Tensor:
        """½ ((y − μ)² / σ² + log σ²) summed over numbers, plus the end's cross-entropy, and what the bounds cost.

        Args:
            obs, action, next_obs, reward, ended: [M, …], decisions.
            weight: [B, M], how often each stands in a network's own bootstrap of the data.

        Returns:
            [], the sum over networks of the weighted means.
        """
        mean, log_var, end = self(self._read(obs, action).expand(self.models, -1, -1))
        y = _normalised(self.outputs, torch.cat((next_obs - obs, reward.unsqueeze(-1)), -1))
        told = 0.5 * ((y - mean).square() * (-log_var).exp() + log_var).sum(-1)
        told = told + functional.binary_cross_entropy_with_logits(end, ended.float().expand_as(end), reduction="none")
        mine = (weight * told).sum(1) / weight.sum(1).clamp(min=1.0)
        return mine.sum() + BOUNDS_WEIGHT * (self.high - self.low).sum()

    @torch.no_grad()
    def error(self, obs: Tensor, action: Tensor, next_obs: Tensor, reward: Tensor) -> Tensor:
        """[], the mean squared error of the networks' mean, in variances of the outputs: 1 is no better than a mean."""
        mean = self(self._read(obs, action).expand(self.models, -1, -1))[0].mean(0)
        return (_normalised(self.outputs, torch.cat((next_obs - obs, reward.unsqueeze(-1)), -1)) - mean).square().mean()

    def _read(self, obs: Tensor, action: Tensor) -> Tensor:
        return _normalised(self.inputs, torch.cat((obs, action), -1))

    @torch.no_grad()
    def returns(
        self, obs: Tensor, plans: Tensor, *, particles: int, generator: np.random.Generator, mix: bool = False
    ) -> Tensor:
        """What plans bring, on average over particles that are carried through the networks.

        Each of P particles goes through one network to the end of the plan (TS∞), or through one that is drawn at each
        step (`mix`, TS1). A reward counts as far as the episode has not ended before it.

        Args:
            obs: [N, D], where they begin.
            plans: [N, K, H, A], actions in [-1, 1].
            particles: P, a multiple of B; so many to each network.
            generator: draws.
            mix: whether particles change networks.

        Returns:
            [N, K].
        """
        (n, count, horizon, _), own = plans.shape, particles // self.models
        shape = (self.models, own * n * count)
        state = obs.repeat_interleave(count, 0).repeat(particles, 1).reshape(*shape, -1)
        total, alive = torch.zeros(shape, device=obs.device), torch.ones(shape, device=obs.device)
        (mean_in, scale_in), (mean_out, scale_out) = _scales(self.inputs), _scales(self.outputs)
        seen, did = scale_in.split((self._observed, plans.shape[-1]))
        acts = (plans - mean_in[self._observed :]) / did
        acts = acts.reshape(n * count, horizon, -1).transpose(0, 1).repeat(1, own, 1)  # [H, M, A]
        for t in range(horizon):
            x = torch.cat(((state - mean_in[: self._observed]) / seen, acts[t].expand(self.models, -1, -1)), -1)
            mean, log_var, end = self(x)
            noise = torch.from_numpy(generator.standard_normal(mean.shape, np.float32)).to(obs.device)
            y = (mean + (0.5 * log_var).exp() * noise) * scale_out + mean_out
            state = state + y[..., :-1]
            total, alive = total + alive * y[..., -1], alive * torch.sigmoid(-end)
            if mix:
                order = torch.from_numpy(generator.permutation(particles)).to(obs.device)
                state, total, alive = (_reordered(x, particles, order) for x in (state, total, alive))
        return total.reshape(particles, n, count).mean(0)


def _reordered(x: Tensor, particles: int, order: Tensor) -> Tensor:
    """[B, M, ...] with its particles in another order, and so in other networks."""
    return x.reshape(particles, -1, *x.shape[2:])[order].reshape(x.shape)


def _scales(by: RunningMoments) -> tuple[Tensor, Tensor]:
    """Mean and deviation [D], float32."""
    return by.mean.float(), (by.var + 1e-8).sqrt().float()


def _normalised(by: RunningMoments, x: Tensor) -> Tensor:
    return ((x - by.mean) * torch.rsqrt(by.var + 1e-8)).float()
