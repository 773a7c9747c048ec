"""DQN's gradient step for a network with memory (Hausknecht and Stone 2015, DRQN; Kapturowski et al. 2019, R2D2).

Pieces of lanes are drawn, and both networks run over them from the memory that was stored before their first step. What
they say there is then learnt from as `dqn.py` learns from single transitions. The first `burn_in` steps bring a memory
that was written by older weights up to date, and have no loss; gradients pass through them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
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
from operant.data.lanes import ACTED, TERMINATED, flags_of
from operant.data.replay import Transitions, summed
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
    flags, reward, device = flags_of(traj), traj.reward.cpu().numpy(), traj.reward.device
    row, column = np.nonzero((flags[:, skip:] & ACTED) > 0)
    column += skip
    flags, reward = (sliding_window_view(np.pad(x, ((0, 0), (0, n - 1))), n, 1)[row, column] for x in (flags, reward))
    total, made, ahead, over = summed(reward, flags, (flags & TERMINATED) > 0, discount)
    first = row * (traj.reward.shape[1] + 1) + column
    number, following = (torch.from_numpy(x).to(device) for x in (first, first + made))
    reward, power = (torch.from_numpy(x.astype(np.float32)).to(device) for x in (total, ahead))
    return Transitions(
        obs=number, action=traj.action[torch.from_numpy(row), torch.from_numpy(column)], reward=reward, discount=power,
        terminated=torch.from_numpy(over).to(device), next_obs=following, index=number, weight=torch.ones_like(reward),
    )  # fmt: skip


def _said(p: Parameters) -> Callable[[Tensor], Parameters]:
    """What a network said of every state [N, T+1], by the state's number."""
    output = p.output.flatten(0, 1)
    allowed = None if p.allowed is None else p.allowed.flatten(0, 1)
    return lambda number: Parameters(output[number], None, None if allowed is None else allowed[number])
