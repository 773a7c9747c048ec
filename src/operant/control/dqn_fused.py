"""The gradient step of DQN and QR-DQN by hand, for small networks on a CPU: the numbers of the readable step, sooner.

It works on the memory of the torch modules and of the optimiser, so either path can go on where the other stopped.
"""

from __future__ import annotations

from importlib import import_module
from math import inf
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from operant.control.action_values import greedy_of
from operant.control.fused import LARGEST
from operant.control.mlp import MLP
from operant.control.perceptrons import FlatAdam, is_plain, side_by_side
from operant.control.policies import Policy
from operant.control.settings.values import DQNConfig
from operant.control.updates import uncompiled
from operant.data.replay import Transitions
from operant.data.trajectory import Metrics

NAMES = ("loss/value", "value/error", "value/q", "grad/norm")


class FusedValues:
    """Calling it takes one gradient step on a batch; `fused_values` says where it applies."""

    def __init__(self, cfg: DQNConfig, policy: Policy, judge: Policy, optimizer: torch.optim.Optimizer) -> None:
        self._kernel: Any = import_module("operant.control.value_kernels").value_step
        self._policy, self._net, its = policy, cast(MLP, policy.net), greedy_of(policy)
        self._parameters, self._judge = [*policy.parameters()], [*judge.parameters()]
        self._quantiles, self._double, self._squared = its.atoms * (its.head == "qr"), cfg.double, cfg.loss == "squared"
        self._bound = np.float32(inf if cfg.max_grad_norm is None else cfg.max_grad_norm)
        layers: list[Any] = [*self._net.layers]
        self._sizes = np.array([layers[0].in_features, *(layer.out_features for layer in layers)], np.int64)
        self._adam = FlatAdam(optimizer, self._parameters)
        self._grad = np.empty(sum(p.numel() for p in self._parameters), np.float32)
        self._theta, self._of = np.empty(0, np.float32), (0, 0)
        self._rates: tuple[tuple[float, ...], Any] = (), None

    @torch.no_grad()
    def __call__(self, b: Transitions) -> tuple[Tensor, Metrics]:
        """One step of Adam: |δ| of each transition [B], or its loss where a distribution is learnt; and metrics."""
        first, second, count = self._adam.memory()
        at = self._parameters[0].data_ptr(), self._judge[0].data_ptr()
        if at != self._of:
            self._theta, self._beside = (side_by_side(x).numpy() for x in (self._parameters, self._judge))
            self._of = self._parameters[0].data_ptr(), self._judge[0].data_ptr()
        group, error, metrics = self._adam.group, np.empty(len(b.weight), np.float32), np.empty(4)
        rates = (group["lr"], *group["betas"], group["eps"])
        if rates != self._rates[0]:
            self._rates = rates, np.array(rates)
        (obs, _), (next_obs, allowed) = self._read(b.obs), self._read(b.next_obs)
        self._kernel(
            self._theta, self._grad, first.numpy(), second.numpy(), int(count[0]), self._beside, self._sizes,
            self._net.activation == "relu", self._quantiles, self._double, self._squared, obs, b.action.numpy(),
            b.reward.numpy(), b.discount.numpy(), b.terminated.numpy(), next_obs, allowed, b.weight.numpy(),
            self._bound, self._rates[1], error, metrics,
        )  # fmt: skip
        count += 1
        return torch.from_numpy(error), dict(zip(NAMES, torch.from_numpy(metrics).float().unbind(), strict=True))

    def _read(self, rows: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """obs [B, D] normalised, and what is allowed there [B, A], or without rows."""
        layout, normalizer = self._policy.layout, self._policy.normalizer
        if normalizer is None and not layout.choices:
            return rows.numpy(), np.empty((0, 0), np.float32)
        vector = layout.vector(rows)
        vector = vector if normalizer is None else normalizer(vector)
        allowed = rows[:, layout.vector_size :] if layout.choices else rows.new_empty((0, 0))
        return vector.contiguous().numpy(), allowed.contiguous().numpy()


def fused_values(cfg: DQNConfig, policy: Policy, judge: Policy, optimizer: torch.optim.Optimizer) -> FusedValues | str:
    """The gradient step of these networks by hand, or in words why it does not apply.

    It applies to float32 perceptrons on a CPU with at most 65536 weights in a layer, that give values or quantiles, and
    to plain Adam.
    """
    its, parameters = greedy_of(policy), [*policy.parameters()]
    layout, groups = policy.layout, optimizer.param_groups
    if any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters):
        return "a parameter is not float32 on the CPU"
    if not is_plain(policy.net) or layout.bytes or layout.vector_size + layout.choices != layout.dim:
        return "the network is no plain perceptron of a vector, tanh or relu"
    if its.head not in ("q", "qr") or cfg.munchausen:
        return "it knows values and quantiles, neither c51 nor munchausen"
    if max(p.numel() for p in parameters) > LARGEST:
        return f"a layer has more than {LARGEST} weights"
    if type(optimizer) is not torch.optim.Adam or len(groups) != 1:
        return "the optimiser is not torch.optim.Adam with one group"
    if groups[0]["weight_decay"] or groups[0]["amsgrad"] or groups[0]["maximize"]:
        return "Adam is set to weight decay, AMSGrad or maximisation"
    return uncompiled("operant.control.value_kernels") or FusedValues(cfg, policy, judge, optimizer)
