"""Acting without gradients: NumPy in, NumPy out, by the fastest way that applies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from operant.config.errors import ConfigError
from operant.control.agent import AnyPolicy
from operant.control.mlp import MLP
from operant.control.policies import CategoricalPolicy, NormalPolicy

Sampler = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Observations [N, D] and a generator to actions [N, ...] and log-probabilities [N]."""


def sampler(policy: AnyPolicy) -> Sampler:
    """The policy's `sample` on arrays.

    For categorical and normal policies in float32 on a CPU it is a compiled kernel that reads the same parameters and
    draws the same numbers: about a tenth of the time of torch for a small network, equal to it up to rounding. It
    refuses observations of another shape by a ConfigError.
    """
    device = next(policy.parameters()).device
    plain = isinstance(policy.net, MLP) and all(p.dtype == torch.float32 for p in policy.parameters())
    if device.type == "cpu" and plain and isinstance(policy, CategoricalPolicy | NormalPolicy):
        return _Compiled(policy)

    def sample(obs: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        action, logp = policy.sample(torch.from_numpy(obs).to(device), generator)
        return action.cpu().numpy(), logp.cpu().numpy()

    return sample


class _Compiled:
    """Calls the acting kernel on the memory of a policy's parameters and normaliser."""

    def __init__(self, policy: CategoricalPolicy | NormalPolicy) -> None:
        from operant.control import kernels

        net, normalizer = policy.net, policy.normalizer
        assert isinstance(net, MLP)
        layers: list[Any] = list(net.layers)
        self._policy = policy
        self._side_by_side = kernels.side_by_side
        self._normal = isinstance(policy, NormalPolicy)
        self._kernel = kernels.act_normal if self._normal else kernels.act_categorical
        self._sizes = np.array([layers[0].in_features, *(layer.out_features for layer in layers)], np.int64)
        self._inputs = layers[0].in_features
        self._relu = net.activation == "relu"
        none = np.empty(0)
        self._moments = (none, none) if normalizer is None else (normalizer.mean.numpy(), normalizer.var.numpy())
        self._clip = np.float32(np.inf if normalizer is None else normalizer.clip)
        self._first = next(policy.parameters())
        self._at, self._theta = 0, np.empty(0, np.float32)

    def __call__(self, obs: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if obs.ndim != 2 or obs.shape[1] != self._inputs:  # the kernel would read beyond
            raise ConfigError(f"observations have shape {list(obs.shape)}: expected [N, {self._inputs}].")
        if self._first.data_ptr() != self._at:  # the parameters moved, as into the memory of an optimiser
            self._theta = self._side_by_side([*self._policy.parameters()]).numpy()
            self._at = self._first.data_ptr()
        if self._normal:
            noise = generator.standard_normal((len(obs), int(self._sizes[-1])), dtype=np.float32)
        else:
            noise = generator.random(len(obs), dtype=np.float32)
        return self._kernel(self._theta, self._sizes, self._relu, obs, *self._moments, self._clip, noise)
