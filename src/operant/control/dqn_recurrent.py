"""DQN's gradient step for a network with memory (Hausknecht and Stone 2015, DRQN; Kapturowski et al. 2019, R2D2).

    y_t = r_t + … + γⁿ Q⁻(h_{t+n}, a*),   a* = argmax_a Q⁻(h_{t+n}, a), or of Q where it is double

on sequences, from the memory that was stored before their first step. The first `burn_in` steps bring a memory that
was written by older weights up to date, and have no loss; gradients pass through them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from operant.control.action_values import greedy_of
from operant.control.networks.value import noised, noisy_layers
from operant.control.policies import Policy
from operant.control.settings.values import DQNConfig
from operant.control.setup_off_policy import OffPolicy
from operant.control.target import Target
from operant.control.updates import take_step
from operant.data.trajectory import Metrics, Trajectory
from operant.math.advantage import n_step
from operant.math.objective import huber, squared, td_loss
from operant.math.reduce import token_mean


def recurrent_learner(
    cfg: DQNConfig, parts: OffPolicy, target: Target[Policy] | None, optimizer: torch.optim.Optimizer
) -> Callable[[], Metrics]:
    """What takes a gradient step on sequences."""
    policy = parts.agent.policy
    judge = policy if target is None else target.module
    noisy = noisy_layers(policy) if target is None else noisy_layers(policy, judge)

    def learn() -> Metrics:
        size = max(1, cfg.batch // cfg.sequence)
        traj = parts.buffer.sequences(size, cfg.burn_in + cfg.sequence, parts.generator)
        with noised(noisy, parts.generator):
            loss, metrics = sequence_loss(cfg, policy, judge, traj)
        norm = take_step(optimizer, loss, cfg.max_grad_norm)
        if target is not None and cfg.target == "soft":
            target.follow(cfg.tau)
        return metrics | {"grad/norm": norm}

    return learn


def sequence_loss(cfg: DQNConfig, policy: Policy, judge: Policy, traj: Trajectory) -> tuple[Tensor, Metrics]:
    """The mean loss over the steps behind the burn-in, and its metrics."""
    its = greedy_of(policy)
    q = its.values(policy.parameters_of(traj.obs))  # [B, L+1, A]
    with torch.no_grad():
        judged = its.values(judge.parameters_of(traj.obs))
        best = (q if cfg.double else judged).argmax(-1, keepdim=True)
        value = judged.gather(-1, best).squeeze(-1)  # [B, L+1]
        ends = (traj.terminated, traj.truncated, traj.acted)
        y = n_step(traj.reward, value, *ends, n=cfg.n, discount=cfg.discount)
    chosen = q[:, :-1].gather(-1, traj.action.unsqueeze(-1)).squeeze(-1)
    counts = traj.acted.clone()
    counts[:, : cfg.burn_in] = False
    loss, metrics = td_loss(chosen, y, counts, error={"huber": huber, "squared": squared}[cfg.loss])
    mean = token_mean(chosen.detach(), counts)
    return loss, {"loss/value": loss.detach(), "value/error": metrics["error"], "value/q": mean}
