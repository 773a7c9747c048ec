"""V-trace actor–critic (Espeholt et al. 2018, IMPALA, arXiv:1802.01561), on one page.

Actors collect with the policy that the learner had `lag` updates ago; the learner weighs what they bring by V-trace:

    loss = −mean ρ_t (r_t + γ v_{t+1} − V(s_t)) log π(a|s) + c₁ mean ½ (V(s) − v)² − c₂ mean H(π(·|s))

The paper's actors lag by chance, as machines do. Here the lag is a number and everything happens in lockstep, so a run
is the same each time and resumes bit for bit; the older policies are part of its checkpoints. Processes side by side
are `a3c`'s matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.settings.off_policy import ImpalaConfig, ImpalaRun
from operant.control.setup import on_policy
from operant.control.updates import (
    actor_critic_loss,
    optimizer_of,
    row_of,
    scaled_reward,
    set_rates,
    settled,
    take_step,
)
from operant.data.trajectory import Metrics, Trajectory
from operant.env import EnvLike
from operant.math.advantage import vtrace
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def impala(
    cfg: ImpalaConfig, collect: Collector, agent: Agent, optimizer: torch.optim.Optimizer, actors: Actors,
    *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Let the actors fill the queue, step on all of it; yield metrics after `cfg.updates` of these, for ever.

    Args:
        cfg: the settings.
        collect: gives segments of `cfg.horizon` steps.
        agent: policy and critic (trained in place) and their normalisers.
        optimizer: holds the parameters of both.
        actors: the older policies.
        total_steps: where the schedule ends.
    """
    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            set_rates(optimizer, cfg, collect.steps / total_steps)
            with actors.acting():
                queue = [(collect.elapsed, collect(cfg.horizon)) for _ in range(cfg.queue)]
            actors.remember()
            losses, metrics = zip(*(loss_of(cfg, agent, traj, elapsed) for elapsed, traj in queue), strict=True)
            norm = take_step(optimizer, torch.stack(losses).mean(), cfg.max_grad_norm)
            seen += [m | {"grad/norm": norm} for m in metrics]
            for _, traj in queue:
                settled(collect, agent, traj)
        yield row_of(seen, optimizer) | agent.stats() | collect.stats()


def loss_of(cfg: ImpalaConfig, agent: Agent, traj: Trajectory, elapsed: Tensor) -> tuple[Tensor, Metrics]:
    """The loss of an actor's segment, and its metrics."""
    ends, acted = (traj.terminated, traj.truncated, traj.acted), traj.acted
    reward = scaled_reward(traj, agent, cfg.discount)
    logp, entropy, value = agent.evaluate_segment(traj)  # [N, T], [N, T], [N, T+1]
    target, adv = vtrace(
        logp.detach(), traj.logp, reward, value.detach(), *ends,
        discount=cfg.discount, clip_rho=cfg.clip_rho, clip_c=cfg.clip_c, lam=cfg.lam,
    )  # fmt: skip
    loss, metrics = actor_critic_loss(cfg, traj, logp, entropy, value, adv, target, elapsed)
    log_ratio = torch.where(acted, logp.detach() - traj.logp, 0.0)
    return loss, metrics | {
        "policy/kl": token_mean(-log_ratio, acted),  # an estimate of KL(μ || π)
        "policy/clip_fraction": token_mean((log_ratio.exp() > cfg.clip_rho).float(), acted),
    }


class Actors:
    """The policy that acts: the learner's as it was `lag` updates ago.

    Args:
        parameters: the learner's policy, which acts with other values for a while.
        lag: how many updates; 0 acts with the learner's own.
    """

    def __init__(self, parameters: Sequence[Tensor], lag: int) -> None:
        self.older: deque[list[Tensor]] = deque(maxlen=lag)  # oldest first
        self._parameters = [*parameters]

    @contextmanager
    def acting(self) -> Generator[None]:
        """The policy is the actors' inside of the block."""
        own = [p.detach().clone() for p in self._parameters]
        if self.older:
            self._put(self.older[0])
        try:
            yield
        finally:
            if self.older:
                self._put(own)

    def remember(self) -> None:
        """The learner is about to be updated."""
        self.older.append([p.detach().clone() for p in self._parameters])

    def tensors(self) -> dict[str, Tensor]:
        """The older policies by `<number>.<parameter>`."""
        return {f"{k}.{i}": x for k, values in enumerate(self.older) for i, x in enumerate(values)}

    def prepared(self, tensors: Mapping[str, Tensor], file: Path) -> Callable[[], None]:
        """What takes over the policies that were saved, when it is called.

        Raises:
            ConfigError: if they are of other actors.
        """
        count, rest = divmod(len(tensors), len(self._parameters))
        found = [[tensors.get(f"{k}.{i}") for i in range(len(self._parameters))] for k in range(count)]
        shapes = [None if x is None else x.shape for values in found for x in values]
        if rest or count > (self.older.maxlen or 0) or shapes != [p.shape for p in self._parameters] * count:
            raise ConfigError(f"{file} is of other actors. Use another checkpoint.")

        def fill() -> None:
            self.older.clear()
            device = self._parameters[0].device
            self.older.extend([x.to(device) for x in values if x is not None] for values in found)

        return fill

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        for p, x in zip(self._parameters, values, strict=True):
            p.copy_(x)


def build(cfg: ImpalaRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything the V-trace actor–critic needs, made from a config and one seed.

    Raises:
        ConfigError: if noise on the weights is asked for.
    """
    if cfg.explore.param_noise is not None:
        raise ConfigError(
            "explore.param_noise is laid on the weights that are learnt, and here older ones act: leave it unset, or "
            "take off-policy-actor-critic"
        )
    parts = on_policy(cfg, env)
    agent, collect = parts.agent, parts.collect
    optimizer, actors = optimizer_of(cfg.algo, agent), Actors([*agent.policy.parameters()], cfg.algo.lag)
    agent.beside["actors"] = actors
    return parts.job(impala(cfg.algo, collect, agent, optimizer, actors, total_steps=cfg.total_steps), optimizer)
