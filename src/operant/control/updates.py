"""What the loops of policy-gradient methods do alike around their math: an optimiser, a step, a row of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.settings.gradients import GradientConfig
from operant.data.trajectory import Metrics, Trajectory
from operant.math.baseline import whiten
from operant.math.objective import policy_gradient, value_loss
from operant.math.reduce import token_mean
from operant.math.weighting import discount_weight

T = TypeVar("T")
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


def falling(rows: Iterator[Metrics], optimizer: torch.optim.Optimizer, left: Callable[[], float]) -> Iterator[Metrics]:
    """Rows of an algorithm whose learning rates fall from row to row: those it begins with, times `left()` in [0, 1].

    For methods that take many gradient steps for a row and set no rates of their own. The rates to begin with are those
    of the moment of the call, so that a run that goes on from a checkpoint, whose rates have fallen, falls alike.
    """
    rates = [group["lr"] for group in optimizer.param_groups]

    def fallen() -> Iterator[Metrics]:
        while True:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * max(0.0, left())
            row = next(rows, None)
            if row is None:
                return
            yield {"schedule/lr": torch.tensor(optimizer.param_groups[0]["lr"])} | row

    return fallen()


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


def by_hand(setting: str, made: Callable[[], T | str]) -> T | None:
    """The hand-written update where the setting `fused` is not "off" and it applies; else None.

    Args:
        setting: "auto", "on" or "off".
        made: gives it, or in words why it does not apply.

    Raises:
        ConfigError: if it is "on" and it does not apply; says why.
    """
    found = "off" if setting == "off" else made()
    if not isinstance(found, str):
        return found
    if setting == "on":
        raise ConfigError(f"algo.fused is on, but the hand-written update does not apply: {found}")
    return None


def uncompiled(kernels: str) -> str | None:
    """Why this module of kernels cannot be had; None where it can."""
    try:
        import_module(kernels)
    except ImportError as error:
        return f"Numba cannot be imported ({error})"
    return None


class LossConfig(Protocol):
    """How the parts of a loss are weighed."""

    @property
    def discount(self) -> float: ...
    @property
    def discount_weight(self) -> bool: ...
    @property
    def entropy_coef(self) -> float: ...
    @property
    def value_coef(self) -> float: ...
    @property
    def whiten(self) -> bool: ...


def actor_critic_loss(
    cfg: LossConfig, traj: Trajectory, logp: Tensor, entropy: Tensor, value: Tensor, adv: Tensor, target: Tensor,
    elapsed: Tensor | None,
) -> tuple[Tensor, Metrics]:  # fmt: skip
    """−mean Â log π + c₁ mean ½ (V − target)² − c₂ mean H over acted, and its metrics.

    Args:
        cfg: the weights, and whether advantages are whitened and weighed by γ^t.
        traj: N rows of T steps.
        logp, entropy: [N, T] of the policy, with gradients.
        value: [N, T+1] of the critic, with gradients.
        adv, target: [N, T] without.
        elapsed: [N] int64, decisions of the open episodes that lie before the rows.
    """
    acted = traj.acted
    adv = weighed(cfg, traj, adv, elapsed)
    policy_loss, _ = policy_gradient(logp, adv, acted)
    critic_loss, _ = value_loss(value[:, :-1], target, acted)
    entropy = token_mean(entropy, acted)
    loss = policy_loss + cfg.value_coef * critic_loss - cfg.entropy_coef * entropy
    losses = {"loss/policy": policy_loss.detach(), "loss/value": critic_loss.detach()}
    return loss, losses | {"policy/entropy": entropy.detach()}


def weighed(cfg: LossConfig, traj: Trajectory, adv: Tensor, elapsed: Tensor | None) -> Tensor:
    """Advantages [N, T], whitened and weighed by γ^t where the settings say so; arguments as above."""
    if cfg.whiten:
        adv = whiten(adv, traj.acted)
    if cfg.discount_weight:
        adv = adv * discount_weight(traj.terminated, traj.truncated, traj.acted, elapsed, discount=cfg.discount)
    return adv


def scaled_reward(traj: Trajectory, agent: Agent, discount: float) -> Tensor:
    """Rewards [N, T], divided by the running deviation of the discounted return where rewards are normalised."""
    if agent.reward_scale is None:
        return traj.reward
    return agent.reward_scale(traj.reward, traj.terminated | traj.truncated, traj.acted, discount)


def settled(collect: Collector, agent: Agent, traj: Trajectory) -> None:
    """An update is done: noise comes off the weights, and what was seen goes into the running statistics."""
    if collect.explore is not None:
        collect.explore.settle()
    if agent.normalizer is not None:
        agent.observe(traj.seen, traj.acted)


def row_of(seen: Sequence[Metrics], optimizer: torch.optim.Optimizer) -> Metrics:
    """The mean of each metric over the updates of a row that have it, and the learning rate of the last one."""
    names = dict.fromkeys(name for m in seen for name in m)
    row = {name: torch.stack([m[name] for m in seen if name in m]).mean() for name in names}
    return row | {"schedule/lr": torch.tensor(optimizer.param_groups[0]["lr"])}
