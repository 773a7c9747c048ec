"""The updates of DDPG, TD3, TD3+BC and SAC by hand: the numbers of `ddpg_update`, `td3_update` and so on, sooner.

They work on the memory of the torch modules and of the optimiser (`operant.control.perceptrons`), so either path can go
on where the other stopped. With g = dLoss/d(output) known, all that is left is products.
"""

from __future__ import annotations

from typing import cast

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
from operant.data.trajectory import Metrics
from operant.math.bellman import backup
from operant.math.logprob import squashed_normal_logp
from operant.math.offline import value_scale
from operant.math.soft import soft_value


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

    def values(self, q: Perceptrons, features: Tensor, action: Tensor) -> Tensor:
        """Q_k(s, a) [N, B]."""
        return q.forward(torch.cat([features, action], -1)).squeeze(-1)

    def step_critics(self, b: Drawn, features: Tensor, y: Tensor) -> tuple[Tensor, Metrics]:
        """One step down Σ_k mean w ½ (Q_k − y)²: |δ| of each decision, and metrics."""
        q = self.values(self.q, features, b.action)
        off = q - y
        weighed = off * b.weight
        norm = self.q.backward((weighed / off.shape[-1]).unsqueeze(-1))
        loss = 0.5 * (weighed * off).mean(-1).sum()
        self.descend(self.q, self.q_adam, norm)
        return off.abs_().mean(0), {"loss/value": loss, "value/q": q.mean(), "grad/norm": norm}

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
        y = backup(b.reward, self.values(self.q_target, after, next_action).amin(0), b.terminated, b.discount)
        error, metrics = self.step_critics(b, features, y)
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
        self.first = its.log_std_init
        self.target_entropy = -float(its.columns) if cfg.target_entropy is None else cfg.target_entropy
        self.by_log, log = cfg.alpha_step == "log", temperature.log
        self.price, self.price_adam = log.detach().view(1), FlatAdam(temperature.optimizer, [log])

    @torch.no_grad()
    def __call__(self, b: Drawn) -> tuple[Tensor, Metrics]:
        """One update from a batch."""
        features, after, alpha = self.agent.q.features(b.obs), self.agent.q.features(b.next_obs), self.temperature.value
        size, both = len(features), self._drawn(torch.cat([after, features]))  # between which the policy stays
        (next_action, next_logp, *_), (action, logp, free, spread) = zip(*(x.split(size) for x in both), strict=True)
        next_value = soft_value(self.values(self.q_target, after, next_action).amin(0), next_logp, alpha)
        y = backup(b.reward, next_value, b.terminated, b.discount)
        error, metrics = self.step_critics(b, features, y)

        q = self.values(self.q, features, action)
        least, chosen = q.min(0)
        slope = self._slope(q, least, chosen)[:, features.shape[-1] :]
        price = alpha.to(q.dtype) / size
        # log π = log N − Σ log(1 − tanh² u), u = mean + spread: by u it is 2 tanh u, by log deviation −1 besides
        by_u = 2.0 * price * action + slope * (1.0 - action.square())
        self.step_policy(torch.cat([by_u, (by_u * spread - price) * free], -1), size)
        entropy = -logp.mean()
        if self.temperature.moves:
            slope = (entropy - self.target_entropy).to(self.price.dtype)
            self.price_adam.step(self.price, (slope if self.by_log else slope * alpha).view(1))
        self.q_target.theta.lerp_(self.q.theta, self.tau)
        policy = {"loss/policy": -soft_value(least, logp, alpha).mean(), "policy/entropy": entropy}
        return error, metrics | policy | {"schedule/temperature": alpha}

    def _slope(self, q: Tensor, least: Tensor, chosen: Tensor) -> Tensor:
        """The slope [B, D] of the mean of −min_k Q_k by what the critics read."""
        lowest, size = q == least, len(least)
        if int(lowest.sum()) == size:
            return self.q.to_input_of(chosen, torch.full_like(least, -1.0 / size))
        share = lowest.to(q.dtype)  # where two are equal each has its part
        return self.q.to_input((share / (share.sum(0) * -size)).unsqueeze(-1)).sum(0)

    def _drawn(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """a = tanh u [B, A], log π(a|s) [B], where the log deviation is not at a bound, and deviation times noise."""
        mean, raw = self.policy.forward(features)[0].chunk(2, -1)
        raw = raw + self.first
        log_std = raw.clamp(*LOG_STD)
        noise = standard_normal(self.generator, tuple(mean.shape), mean.device)
        spread = log_std.exp() * noise
        u = mean + spread
        return u.tanh(), squashed_normal_logp(mean, log_std, u), (raw == log_std).to(raw.dtype), spread


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
    return None


def _nets(module: Policy | ActionValues) -> list[nn.Module]:
    return [*module.net] if isinstance(module.net, nn.ModuleList) else [module.net]


def _of(module: Policy | ActionValues) -> Perceptrons:
    return Perceptrons(cast("list[MLP]", _nets(module)))
