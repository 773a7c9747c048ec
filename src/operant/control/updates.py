"""What the loops of policy-gradient methods do alike around their math: an optimiser, a step, a row of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.settings.gradients import GradientConfig
from operant.data.trajectory import Metrics, Trajectory

RMSPROP_ALPHA = 0.99


def optimizer_of(cfg: GradientConfig, agent: Agent) -> torch.optim.Optimizer:
    """The optimiser of the settings: one group of all parameters, or the policy's and what only the critic has."""
    return optimizer_over(cfg, [*agent.parameters()], len([*agent.policy.parameters()]))


def optimizer_over(cfg: GradientConfig, parameters: Sequence[Tensor], actor: int) -> torch.optim.Optimizer:
    """The optimiser of the settings over parameters of which the first so many are the policy's."""
    parts = [parameters] if cfg.critic_lr is None else [parameters[:actor], parameters[actor:]]
    groups = [{"params": [*part]} for part in parts]
    lr = cfg.lr  # `set_rates` sets that of each group
    match cfg.optimizer:
        case "adam":
            return torch.optim.Adam(groups, lr, eps=cfg.optimizer_eps)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr, alpha=RMSPROP_ALPHA, eps=cfg.optimizer_eps)
        case "sgd":
            return torch.optim.SGD(groups, lr)


def set_rates(optimizer: torch.optim.Optimizer, cfg: GradientConfig, done: float) -> None:
    """Set the learning rates after a share `done` of the steps."""
    left = max(0.0, 1.0 - done) if cfg.lr_schedule == "linear" else 1.0
    rates = (cfg.lr, cfg.lr if cfg.critic_lr is None else cfg.critic_lr)
    for group, rate in zip(optimizer.param_groups, rates, strict=False):
        group["lr"] = rate * left


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor, max_grad_norm: float | None) -> Tensor:
    """One gradient step down `loss`; returns the norm that the gradient had before it was bounded."""
    optimizer.zero_grad()
    loss.backward()
    return stepped(optimizer, max_grad_norm)


def stepped(optimizer: torch.optim.Optimizer, max_grad_norm: float | None) -> Tensor:
    """Step along the gradients that are there, bounded; returns their norm before."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    bound = float("inf") if max_grad_norm is None else max_grad_norm
    norm = torch.nn.utils.clip_grad_norm_(parameters, bound)
    optimizer.step()
    return norm


def scaled_reward(traj: Trajectory, agent: Agent, discount: float) -> Tensor:
    """Rewards [N, T], divided by the running deviation of the discounted return where rewards are normalised."""
    if agent.reward_scale is None:
        return traj.reward
    return agent.reward_scale(traj.reward, traj.terminated | traj.truncated, traj.acted, discount)


def settled(collect: Collector, agent: Agent, traj: Trajectory) -> None:
    """An update is done: noise comes off the weights, and what was seen goes into the running statistics."""
    if collect.explore is not None:
        collect.explore.settle()
    seen = traj.seen
    agent.observe(seen[traj.acted] if isinstance(seen, Tensor) else {k: x[traj.acted] for k, x in seen.items()})


def row_of(seen: Sequence[Metrics], optimizer: torch.optim.Optimizer) -> Metrics:
    """The mean of each metric over the updates of a row, and the learning rate of the last one."""
    row = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]}
    return row | {"schedule/lr": torch.tensor(optimizer.param_groups[0]["lr"])}
