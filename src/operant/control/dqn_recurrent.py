"""DQN's gradient step for a network with memory (Hausknecht and Stone 2015, DRQN; Kapturowski et al. 2019, R2D2).

Pieces of lanes are drawn, and both networks run over them from the memory that was stored before their first step. What
they say there is then learnt from as `dqn.py` learns from single transitions. The first `burn_in` steps bring a memory
that was written by older weights up to date, and have no loss; gradients pass through them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from operant.control.action_values import greedy_of
from operant.control.distributions import Parameters
from operant.control.dqn import Learner, losses, targets
from operant.control.networks.value import noised, noisy_layers
from operant.control.policies import Policy
from operant.control.replay_actor_critic import scaled
from operant.control.settings.values import DQNConfig
from operant.control.setup_off_policy import OffPolicy
from operant.control.target import Target
from operant.control.updates import take_step
from operant.data.replay import Transitions
from operant.data.trajectory import Metrics, Trajectory


def recurrent_learner(
    cfg: DQNConfig, parts: OffPolicy, target: Target[Policy] | None, optimizer: torch.optim.Optimizer
) -> Learner:
    """What takes a gradient step on pieces of lanes."""
    policy = parts.agent.policy
    judge = policy if target is None else target.module
    noisy = noisy_layers(policy) if target is None else noisy_layers(policy, judge)

    def learn() -> Metrics:
        traj = parts.buffer.sequences(max(1, cfg.batch // cfg.length), cfg.length, parts.generator)
        traj = replace(traj, reward=scaled(parts.agent, traj.reward))
        with noised(noisy, parts.generator):
            loss, metrics = sequence_loss(cfg, policy, judge, traj)
        norm = take_step(optimizer, loss, cfg.max_grad_norm)
        if target is not None and cfg.target == "soft":
            target.follow(cfg.tau)
        return metrics | {"grad/norm": norm}

    return learn


def sequence_loss(cfg: DQNConfig, policy: Policy, judge: Policy, traj: Trajectory) -> tuple[Tensor, Metrics]:
    """The mean loss over the decisions behind the burn-in, and its metrics."""
    its, online = greedy_of(policy), _said(policy.parameters_of(traj.obs))
    b = transitions(traj, n=cfg.n, discount=cfg.discount, skip=cfg.burn_in)
    with torch.no_grad():
        y = targets(cfg, its, online, _said(judge.parameters_of(traj.obs)))(b)
    loss, error, q = losses(cfg, its, online)(b, y)
    count = max(1, len(b))
    mean = loss.sum() / count
    return mean, {"loss/value": mean.detach(), "value/error": error.sum() / count, "value/q": q.sum() / count}


def transitions(traj: Trajectory, *, n: int, discount: float, skip: int = 0) -> Transitions:
    """The decisions of a trajectory from column `skip` on, each with where it led m ≤ n decisions later.

    `obs` and `next_obs` are the numbers of the states, as [N, T+1] laid flat.
    """
    (rows, steps), device = traj.reward.shape, traj.reward.device
    number = torch.arange(rows * (steps + 1), device=device).reshape(rows, steps + 1)
    goes, over = traj.acted.clone(), torch.zeros_like(traj.acted)
    reward, power, made = torch.zeros_like(traj.reward), torch.ones_like(traj.reward), number[:, :-1]
    for k in range(n):  # `goes`: the decision k later is there, and of the same episode
        reward = reward + torch.where(goes, power * _later(traj.reward, k), 0.0)
        power, made = torch.where(goes, power * discount, power), made + goes
        over = over | (goes & _later(traj.terminated, k))
        ended = _later(traj.terminated | traj.truncated, k)
        goes = goes & ~ended & _later(traj.acted, k + 1)
    counts = traj.acted.clone()
    counts[:, :skip] = False
    seen, weight = number[:, :-1][counts], torch.ones_like(reward[counts])
    return Transitions(
        obs=seen, action=traj.action[counts], reward=reward[counts], discount=power[counts], terminated=over[counts],
        next_obs=made[counts], index=seen, weight=weight,
    )  # fmt: skip


def _later(x: Tensor, k: int) -> Tensor:
    """[N, T] k columns later, and nothing behind the last."""
    return torch.cat([x[:, k:], torch.zeros_like(x[:, :k])], 1)


def _said(p: Parameters) -> Callable[[Tensor], Parameters]:
    """What a network said of every state [N, T+1], by the state's number."""
    output = p.output.flatten(0, 1)
    allowed = None if p.allowed is None else p.allowed.flatten(0, 1)
    return lambda number: Parameters(output[number], None, None if allowed is None else allowed[number])
