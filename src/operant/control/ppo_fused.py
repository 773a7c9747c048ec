"""PPO's update written by hand, for small networks on a CPU: the numbers of `operant.control.ppo._update`, sooner.

It works on the memory of the torch modules and of the optimiser, so either path can go on where the other stopped.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.control.acting import compiles
from operant.control.agent import Agent
from operant.control.distributions import Normal
from operant.control.mlp import MLP
from operant.control.policies import Critic, Policy
from operant.control.settings.ppo import PPOConfig
from operant.data.trajectory import Batch, Metrics, shuffled

NAMES = ("loss/policy", "policy/entropy", "policy/kl", "policy/clip_fraction", "loss/value", "grad/norm")
LARGEST = 2**15
"""Larger layers spend their time in products, where there is nothing to gain."""


def fused_update(agent: Agent, optimizer: torch.optim.Optimizer, cfg: PPOConfig) -> Fused | str:
    """The update of these modules, or in words why it does not apply.

    It applies to float32 perceptrons on a CPU with at most 32768 weights in a layer, a categorical or normal policy and
    plain Adam. The parameters move into one flat tensor; they stay the same objects with the same numbers.

    Args:
        agent: its policy categorical or normal; policy and critic share the normaliser and the kind of layers.
        optimizer: `torch.optim.Adam` over the parameters of the policy, then those of the critic.
        cfg: batch size, coefficients and bounds of the loss.
    """
    reason = _obstacle(agent.policy, agent.critic, optimizer)
    return reason or Fused(agent.policy, agent.critic, optimizer, cfg)


class Fused:
    """Calling it makes one pass over a segment; `fused_update` says where it applies.

    Attributes:
        parameters: those of policy and critic, in the optimiser's order.
    """

    def __init__(self, policy: Policy, critic: Critic, optimizer: torch.optim.Optimizer, cfg: PPOConfig) -> None:
        self.policy, self.critic, self.optimizer, self.cfg = policy, critic, optimizer, cfg
        self.parameters = [*policy.parameters(), *critic.parameters()]
        self._sizes = _sizes(policy), _sizes(critic)
        self._grad = np.empty(sum(p.numel() for p in self.parameters), np.float32)
        self._segment: Batch | None = None
        self._arrays: tuple[np.ndarray, ...] = ()

    def __call__(
        self, steps: Batch, generator: np.random.Generator, *, lr: float, clip: float, clip_high: float
    ) -> list[Metrics]:
        """One epoch: every step of the segment once, in minibatches, in an order drawn from `generator`.

        Args:
            steps: S decisions, all `acted`; their observations are as the environment gave them.
            generator: the order of the minibatches.
            lr: Adam's learning rate.
            clip, clip_high: the ratio is bounded to [1 − clip, 1 + clip_high].

        Returns:
            The metrics of every minibatch, under the names of the readable update.
        """
        from operant.control.kernels import ppo_epoch

        cfg, group = self.cfg, self.optimizer.param_groups[0]
        if steps is not self._segment:
            self._segment, self._arrays = steps, self._read(steps)
        obs, action, past, allowed = self._arrays
        theta, first, second, count = self._memory()
        value_clip = -1.0 if cfg.value_clip is None else cfg.value_clip
        bounds = 1.0 - clip, 1.0 + clip_high
        loss = np.array([*bounds, cfg.entropy_coef, cfg.value_coef, value_clip, cfg.max_grad_norm], np.float32)
        metrics = np.empty((-(-len(steps) // cfg.batch), len(NAMES)))
        ppo_epoch(
            theta, self._grad, first, second, int(count[0]), *self._sizes,
            cast(MLP, self.policy.net).activation == "relu", isinstance(self.policy.distribution, Normal), obs, action,
            past, allowed, shuffled(len(steps), generator).numpy(),
            cfg.batch, cfg.whiten, loss, np.array([lr, *group["betas"], group["eps"]]), metrics,
        )  # fmt: skip
        count += len(metrics)
        return [dict(zip(NAMES, row.unbind(), strict=True)) for row in torch.from_numpy(metrics).float()]

    def _read(self, steps: Batch) -> tuple[np.ndarray, ...]:
        """obs [S, D] normalised, action [S, A] as float32, past [4, S], allowed [S, K] or without rows."""
        assert isinstance(steps.obs, Tensor)
        obs, layout = self.policy.layout.vector(steps.obs), self.policy.layout
        allowed = steps.obs[:, layout.vector_size :] if layout.choices else steps.obs.new_empty((0, 0))
        obs = obs if self.policy.normalizer is None else self.policy.normalizer(obs)
        action = steps.action.reshape(len(steps), -1).float()
        past = torch.stack([steps.logp, steps.adv, steps.target, steps.value]).detach()
        inputs, outputs = int(self._sizes[0][0]), int(self._sizes[0][-1])
        normal = isinstance(self.policy.distribution, Normal)
        if obs.shape != (len(steps), inputs) or action.shape != (len(steps), outputs if normal else 1):
            raise ConfigError(
                f"a segment has observations {list(obs.shape)} and actions {list(action.shape)}: this policy takes "
                f"{inputs} numbers and gives {outputs if normal else 1}."
            )
        if not normal and len(action) and not bool(((action >= 0) & (action < outputs)).all()):
            raise ConfigError(f"a segment has an action that is none of 0 to {outputs - 1}.")
        return tuple(x.contiguous().numpy() for x in (obs, action, past, allowed))

    def _memory(self) -> tuple[np.ndarray, ...]:
        """Parameters, Adam's two moments [P] and its step counts [parameters], each one flat array they all live in.

        Checked before every pass: loading a state puts tensors of its own in the optimiser.
        """
        from operant.control.kernels import side_by_side

        state: list[dict[str, Any]] = [self.optimizer.state[p] for p in self.parameters]
        for p, s in zip(self.parameters, state, strict=True):
            if not s:
                s |= {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        moments = (side_by_side([s[name] for s in state]) for name in ("exp_avg", "exp_avg_sq", "step"))
        return tuple(x.numpy() for x in (side_by_side(self.parameters), *moments))


def _obstacle(policy: Policy, critic: Critic, optimizer: torch.optim.Optimizer) -> str | None:
    """Why the hand-written update does not apply; None where it does."""
    parameters = [*policy.parameters(), *critic.parameters()]
    groups = optimizer.param_groups
    nets = policy.net, critic.net
    if any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters):
        return "a parameter is not float32 on the CPU"
    if (
        not isinstance(nets[0], MLP)
        or not isinstance(nets[1], MLP)
        or not all(isinstance(layer, nn.Linear) for net in (nets[0], nets[1]) for layer in net.layers)
        or nets[0].activation != nets[1].activation
        or nets[0].activation not in ("tanh", "relu")
    ):
        return "policy and critic are not plain perceptrons, both tanh or both relu"
    if not compiles(policy):
        return f"the policy is a {type(policy.distribution).__name__} one, neither categorical nor normal"
    if max(p.numel() for p in parameters) > LARGEST:
        return f"a layer has more than {LARGEST} weights"
    if policy.normalizer is not critic.normalizer:
        return "policy and critic normalise observations differently"
    if type(optimizer) is not torch.optim.Adam or len(groups) != 1:
        return "the optimiser is not torch.optim.Adam with one group"
    if len(groups[0]["params"]) != len(parameters) or any(
        a is not b for a, b in zip(groups[0]["params"], parameters, strict=True)
    ):
        return "the optimiser does not hold the parameters of the policy, then those of the critic"
    if groups[0]["weight_decay"] or groups[0]["amsgrad"] or groups[0]["maximize"]:
        return "Adam is set to weight decay, AMSGrad or maximisation"
    try:
        import_module("operant.control.kernels")
    except ImportError as error:
        return f"Numba cannot be imported ({error})"
    return None


def _sizes(module: Policy | Critic) -> np.ndarray:
    """[L+1] widths from input to output."""
    layers: list[Any] = [*cast(MLP, module.net).layers]
    return np.array([layers[0].in_features, *(layer.out_features for layer in layers)], np.int64)
