"""The updates of DDPG, TD3, TD3+BC and SAC by hand: the numbers of `ddpg_update`, `td3_update` and so on, sooner.

They work on the memory of the torch modules and of the optimiser (`operant.control.perceptrons`), so either path can go
on where the other stopped. With g = dLoss/d(output) known, all that is left is products.
"""

from __future__ import annotations

from importlib import import_module
from math import log, pi
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from operant.control.agent import Agent
from operant.control.distributions import LOG_STD, Normal, standard_normal
from operant.control.mlp import MLP
from operant.control.perceptrons import FlatAdam, Perceptrons, bounded, is_plain
from operant.control.policies import ActionValues, Policy
from operant.control.replay_actor_critic import Drawn, Temperature
from operant.control.settings.continuous import DDPGConfig, ReplayActorCriticConfig, SACConfig, TD3Config
from operant.control.settings.offline import TD3BCConfig
from operant.control.target import Target
from operant.control.updates import uncompiled
from operant.data.trajectory import Metrics
from operant.math.offline import value_scale


class _ByHand:
    """What the three do alike: the critics' step, and the way of a policy's loss through the critics."""

    def __init__(
        self, cfg: ReplayActorCriticConfig, agent: Agent, q_target: Target[ActionValues],
        optimizer: torch.optim.Optimizer, generator: np.random.Generator,
    ) -> None:  # fmt: skip
        self.agent, self.generator, self.tau = agent, generator, cfg.tau
        self.policy, self.q, self.q_target = (_of(x) for x in (agent.policy, agent.q, q_target.module))
        self.policy_adam, self.q_adam = (FlatAdam(optimizer, x.parameters) for x in (self.policy, self.q))
        self.max_grad_norm = cfg.max_grad_norm
        self.kernels: Any = import_module("operant.control.replay_kernels")
        self.none = np.empty(0, self.q.theta.numpy().dtype)

    def values(self, q: Perceptrons, features: Tensor, action: Tensor) -> Tensor:
        """Q_k(s, a) [N, B]."""
        return q.forward(torch.cat([features, action], -1)).squeeze(-1)

    def step_critics(
        self, b: Drawn, features: Tensor, next_q: Tensor, next_cost: np.ndarray | None = None
    ) -> tuple[Tensor, Metrics]:
        """One step down Σ_k mean w ½ (Q_k − y)²: |δ| of each decision, and metrics. Of y see `kernels.judged`."""
        q = self.values(self.q, features, b.action)
        delta, error = torch.empty_like(q), torch.empty_like(b.reward)
        cost = self.none if next_cost is None else next_cost
        arrays = (x.numpy() for x in (b.reward, b.discount, b.terminated, b.weight, delta, error))
        loss, mean = self.kernels.judged(q.numpy(), next_q.numpy(), cost, *arrays)
        norm = self.q.backward(delta.unsqueeze(-1))
        self.descend(self.q, self.q_adam, norm)
        return error, {"loss/value": q.new_tensor(loss), "value/q": q.new_tensor(mean), "grad/norm": norm}

    def step_policy(self, delta: Tensor, first: int = 0) -> None:
        """One step from dLoss/d(output) [B, K], of the rows from `first` on that it looked at."""
        self.descend(self.policy, self.policy_adam, self.policy.backward(delta.unsqueeze(0), first))

    def descend(self, nets: Perceptrons, optimizer: FlatAdam, norm: Tensor) -> None:
        """One step along the gradient that is there, bounded."""
        bounded(nets.grad, norm, self.max_grad_norm)
        optimizer.step(nets.theta, nets.grad)


class _Deterministic(_ByHand):
    """DDPG, TD3 and TD3+BC."""

    def __init__(
        self, cfg: DDPGConfig, agent: Agent, policy_target: Target[Policy], q_target: Target[ActionValues],
        optimizer: torch.optim.Optimizer, generator: np.random.Generator,
    ) -> None:  # fmt: skip
        super().__init__(cfg, agent, q_target, optimizer, generator)
        self.policy_target, self.first = _of(policy_target.module), self.q.only(0)
        its = cfg if isinstance(cfg, TD3Config) else None
        self.delay = 1 if its is None else its.delay
        self.smoothing, self.bound = (0.0, 0.0) if its is None else (its.smoothing, its.smoothing_clip)
        self.near = cfg if isinstance(cfg, TD3BCConfig) else None

    @torch.no_grad()
    def __call__(self, b: Drawn) -> tuple[Tensor, Metrics]:
        """One update from a batch."""
        features, after = (self.agent.q.features(x) for x in (b.obs, b.next_obs))
        next_action = self.policy_target.forward(after)[0].tanh()
        if self.smoothing:
            noise = self.smoothing * standard_normal(self.generator, tuple(next_action.shape), next_action.device)
            next_action = (next_action + noise.clamp_(-self.bound, self.bound)).clamp_(-1.0, 1.0)
        error, metrics = self.step_critics(b, features, self.values(self.q_target, after, next_action))
        if self.q_adam.steps % self.delay:
            return error, metrics

        action = self.policy.forward(features)[0].tanh()
        q = self.values(self.first, features, action)
        loss, scale, near = -q.mean(), 1.0, self.near
        off = action if near is None else action - b.action
        policy: Metrics = {} if near is None else {"loss/clone": off.square().mean()}
        if near is not None:
            scale = value_scale(q[0], b.acted, alpha=near.alpha)
            loss = near.clone * policy["loss/clone"] + scale * loss
        delta = (torch.zeros_like(q) - scale / len(action)).unsqueeze(-1)
        slope = self.first.to_input(delta)[0, :, features.shape[-1] :]
        if near is not None:
            slope = slope + (2.0 * near.clone / off.numel()) * off
        self.step_policy(slope * (1.0 - action.square()))
        self.policy_target.theta.lerp_(self.policy.theta, self.tau)
        self.q_target.theta.lerp_(self.q.theta, self.tau)
        return error, metrics | {"loss/policy": loss} | policy


class _Soft(_ByHand):
    """SAC."""

    def __init__(
        self, cfg: SACConfig, agent: Agent, q_target: Target[ActionValues], temperature: Temperature,
        optimizer: torch.optim.Optimizer, generator: np.random.Generator,
    ) -> None:  # fmt: skip
        super().__init__(cfg, agent, q_target, optimizer, generator)
        self.temperature, its = temperature, cast(Normal, agent.policy.distribution)
        self.known = np.array([its.log_std_init, *LOG_STD, log(2.0), 0.5 * log(2.0 * pi)], self.none.dtype)
        self.target_entropy = -float(its.columns) if cfg.target_entropy is None else cfg.target_entropy
        self.by_log, log_alpha = cfg.alpha_step == "log", temperature.log
        self.price, self.price_adam = log_alpha.detach().view(1), FlatAdam(temperature.optimizer, [log_alpha])

    @torch.no_grad()
    def __call__(self, b: Drawn) -> tuple[Tensor, Metrics]:
        """One update from a batch."""
        features, after, alpha = self.agent.q.features(b.obs), self.agent.q.features(b.next_obs), self.temperature.value
        size, out = len(features), self.policy.forward(torch.cat([after, features]))[0]  # the policy stays between
        noise = self.generator.standard_normal((2 * size, out.shape[1] // 2), np.float32)
        action, logp, spread, free = self.kernels.drawn(
            out.numpy(), noise.astype(self.known.dtype, copy=False), self.known
        )
        both, price = torch.from_numpy(action), logp.dtype.type(alpha.item())
        next_q = self.values(self.q_target, after, both[:size])
        error, metrics = self.step_critics(b, features, next_q, price * logp[:size])

        least, slope = self._slope(self.values(self.q, features, both[size:]))
        delta, slope = torch.empty_like(out[size:]), slope[:, features.shape[-1] :]
        own = (x[size:] for x in (action, spread, free))
        self.kernels.climbed(slope.numpy(), *own, logp.dtype.type(price / size), delta.numpy())
        self.step_policy(delta, size)
        entropy = torch.from_numpy(-logp[size:].mean(keepdims=True))[0]
        if self.temperature.moves:
            by = (entropy - self.target_entropy).to(self.price.dtype)
            self.price_adam.step(self.price, (by if self.by_log else by * alpha).view(1))
        self.q_target.theta.lerp_(self.q.theta, self.tau)
        policy = {"loss/policy": -least - alpha * entropy, "policy/entropy": entropy}
        return error, metrics | policy | {"schedule/temperature": alpha}

    def _slope(self, q: Tensor) -> tuple[float, Tensor]:
        """The mean of min_k Q_k, and the slope [B, D] of minus it by what the critics read."""
        size = q.shape[1]
        order, ends, least, tied = self.kernels.lowest(q.numpy())
        if not tied:
            return least, self.q.to_input_of(torch.from_numpy(order), ends.tolist(), -1.0 / size)
        share = (q == q.amin(0)).to(q.dtype)  # where two are equal each has its part
        return least, self.q.to_input((share / (share.sum(0) * -size)).unsqueeze(-1)).sum(0)


def fused_deterministic(
    cfg: DDPGConfig, agent: Agent, policy_target: Target[Policy], q_target: Target[ActionValues],
    optimizer: torch.optim.Optimizer, generator: np.random.Generator,
) -> _Deterministic | str:  # fmt: skip
    """`td3_update` of these modules, `ddpg_update` or `td3_bc_update` by their settings; or why it does not apply."""
    reason = _obstacle(agent, optimizer)
    return reason or _Deterministic(cfg, agent, policy_target, q_target, optimizer, generator)


def fused_soft(
    cfg: SACConfig, agent: Agent, q_target: Target[ActionValues], temperature: Temperature,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator,
) -> _Soft | str:  # fmt: skip
    """`sac_update` of these modules, or in words why it does not apply."""
    if not isinstance(agent.policy.distribution, Normal):
        return "its actions hold choices, or have several parts"
    return _obstacle(agent, optimizer) or _Soft(cfg, agent, q_target, temperature, optimizer, generator)


def _obstacle(agent: Agent, optimizer: torch.optim.Optimizer) -> str | None:
    """Why an update by hand does not apply; None where it does."""
    nets = [agent.policy.net, *_nets(agent.q)]
    if agent.trunks:
        return "the networks have a memory, convolutions or layers of one's own below them"
    if not all(is_plain(net) for net in nets):
        return "policy and critics are not plain perceptrons, tanh or relu"
    if any(p.device.type != "cpu" for p in agent.parameters()):
        return "a parameter is not on the CPU"
    if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 2:
        return "the optimiser is not torch.optim.Adam with one group for the policy and one for the critics"
    if any(g[name] for g in optimizer.param_groups for name in ("weight_decay", "amsgrad", "maximize")):
        return "Adam is set to weight decay, AMSGrad or maximisation"
    return uncompiled("operant.control.replay_kernels")


def _nets(module: Policy | ActionValues) -> list[nn.Module]:
    return [*module.net] if isinstance(module.net, nn.ModuleList) else [module.net]


def _of(module: Policy | ActionValues) -> Perceptrons:
    return Perceptrons(cast("list[MLP]", _nets(module)))
