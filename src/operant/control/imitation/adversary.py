"""A discriminator between an expert's steps and the learner's, and the judge that pays the learner by it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.bonus import Trained
from operant.control.composite import Composite
from operant.control.distributions import Distribution, Normal
from operant.control.learned_reward import ActionFeatures, Steps, normalizer_of
from operant.control.networks.trunk import plain
from operant.control.settings.adversarial import AdversaryConfig
from operant.control.settings.ppo import PPOConfig
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env import VectorEnv
from operant.env.spaces import Actions
from operant.math.adversarial import Form, absorbed, discriminator_loss, gradient_penalty

NAME = "discriminator"
EDGE = 1.0 - 1e-6
"""The largest number in (0, 1) of which a squashed action is taken to have come."""


class Moves(NamedTuple):
    """B steps as a discriminator sees them."""

    obs: Tensor  # [B, D]
    action: Tensor  # [B, A], features
    next_obs: Tensor  # [B, D]
    terminated: Tensor  # [B] bool
    over: Tensor  # [B] bool; s is the state behind all ends
    logp: Tensor  # [B], log π(a|s) of the learner

    def at(self, index: Tensor) -> Moves:
        """Some of them."""
        return Moves(*(x[index] for x in self))


class Network(nn.Module):
    """z = g(s, a): the discriminator of GAIL.

    Args:
        env: what is observed and done.
        distribution: of the learner's actions.
        cfg: the settings.
        network: the policy's.
        algo: PPO's settings.
        generator: where the weights come from.
    """

    def __init__(
        self, env: VectorEnv, distribution: Distribution, cfg: AdversaryConfig, network: str, algo: PPOConfig,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        self.features = ActionFeatures(Actions(env.action_space), distribution)
        self.normalizer = normalizer_of(env.observations, network) if cfg.normalize_obs else None
        self.sees_actions, self.ends, self.discount = cfg.sees == "state-action", cfg.absorbing, algo.discount
        self.reward = Steps(
            env.observations, self.features.size * self.sees_actions, network, cfg.hidden, generator, ends=self.ends,
            normalizer=self.normalizer,
        )  # fmt: skip

    def forward(self, moves: Moves) -> Tensor:
        """[B]."""
        return self.paid(moves)

    def paid(self, moves: Moves) -> Tensor:
        """g [B]."""
        return self.reward(*self.inputs(moves))

    def inputs(self, moves: Moves) -> tuple[Tensor, Tensor | None, Tensor]:
        """What g sees."""
        return moves.obs, moves.action if self.sees_actions else None, moves.over


class Adversary(Trained):
    """Learns to tell learner and expert apart on each segment, then pays the learner for what looks like the expert.

    Kept in checkpoints beside the agent.

    Args:
        cfg: the settings.
        network: the discriminator.
        form: from a logit to a reward.
        shown: the expert's episodes, a row each, actions in [-1, 1] where the policy squashes them.
        agent: the learner.
        streams: where orders come from.

    Raises:
        ConfigError: if there is a state behind all ends, and no discount.
    """

    def __init__(
        self, cfg: AdversaryConfig, network: Network, form: Form, shown: Trajectory, agent: Agent, streams: Streams
    ) -> None:
        if cfg.absorbing and network.discount >= 1.0:
            raise ConfigError(
                "discriminator.absorbing pays γ/(1 - γ) times the reward behind an end: set algo.discount below 1"
            )
        device = next(agent.parameters()).device
        self.cfg, self.network, self._form, self._agent = cfg, network.to(device), form, agent
        self._generator = streams.numpy(NAME)
        super().__init__(network, self._generator, lr=cfg.lr, batch=cfg.batch)
        self._shown = shown
        taken = its.scaled(shown.action) if isinstance(its := agent.policy.distribution, Normal) else shown.action
        self._drawn = drawn_from(its, taken)
        self.expert = self._with_end(_moves(shown, network.features.taken(taken)))
        self._metrics: Metrics = {}
        self._see(self.expert.obs)

    def begin(self, streams: Streams) -> None:
        """Stand at a seam."""
        streams.rekey(self._generator, NAME)

    def settle(self) -> Metrics:
        """Of the last segment."""
        return self._metrics

    def __call__(self, traj: Trajectory) -> Trajectory:
        """The segment with rewards of the discriminator, which learns from it first."""
        acted, walked = traj.acted, _moves(traj, self.network.features(traj.action))
        self._see(walked.obs)
        self._learn(self._with_end(walked))
        paid = torch.zeros_like(traj.reward)
        paid[acted] = self.rewards(walked)
        self._metrics["discriminator/reward"] = paid[acted].mean()
        return replace(traj, reward=paid)

    @torch.no_grad()
    def rewards(self, moves: Moves) -> Tensor:
        """[B], what the learner is paid for them; behind an end too, where there is a state for it."""
        paid = self._form(self.network(moves))
        if not self.cfg.absorbing:
            return paid
        after = self._form(self.network(_end(moves, 1)))[0]
        return absorbed(paid, moves.terminated, after, self.network.discount)

    def _learn(self, learner: Moves) -> None:
        with torch.no_grad():
            logp = self._logp()
            ends = len(self.expert.logp) - len(logp)
            expert = self.expert._replace(logp=torch.cat([logp, logp.new_zeros(ends)]))
        told: list[Metrics] = []

        def loss(index: Tensor) -> Tensor:
            drawn = self._generator.integers(0, len(expert.logp), len(index))
            theirs, ours = expert.at(torch.from_numpy(drawn).to(index.device)), learner.at(index)
            value, metrics = discriminator_loss(self.network(theirs), self.network(ours))
            told.append(metrics)
            return value + (
                self.cfg.gradient_penalty * self._penalty(theirs, ours) if self.cfg.gradient_penalty else 0.0
            )

        for _ in range(self.cfg.epochs):
            told.append(self.fit(loss, len(learner.logp), learner.logp.device))
        names = {name for metrics in told for name in metrics}
        means = {n: torch.stack([m[n] for m in told if n in m]).mean() for n in sorted(names)}
        self._metrics = {f"discriminator/{name}": x for name, x in means.items()}

    def _penalty(self, expert: Moves, learner: Moves) -> Tensor:
        """Of the gradient between steps of the expert and of the learner."""
        net = self.network.reward
        one, other = (net.inputs(*self.network.inputs(moves)).detach() for moves in (expert, learner))
        share = torch.from_numpy(self._generator.random((len(one), 1), dtype=np.float32)).to(one.device)
        between = (share * one + (1.0 - share) * other).requires_grad_()
        (gradient,) = torch.autograd.grad(net.of(between).sum(), between, create_graph=True)
        return gradient_penalty(gradient)

    def _logp(self) -> Tensor:
        """log π(a|s) of the expert's steps, [M]; a policy with memory sees each episode from its beginning."""
        shown, policy, there = self._shown, self._agent.policy, self._shown.acted
        rows = plain(shown.seen)
        if not self._agent.remembers:
            return policy.evaluate(rows[there], self._drawn[there])[0]
        begins = torch.zeros_like(there)
        begins[:, 0] = True
        memory = torch.zeros(*there.shape, self._agent.remembers, device=rows.device)
        return policy.evaluate({"obs": rows, "memory": memory, "begins": begins}, self._drawn)[0][there]

    def _see(self, rows: Tensor) -> None:
        if self.network.normalizer is not None:
            self.network.normalizer.update(self.network.reward.trunk.layout.vector(rows))

    def _with_end(self, moves: Moves) -> Moves:
        """Behind each end the state that follows it, once, where there is one."""
        ends = int(moves.terminated.sum())
        if not self.cfg.absorbing or not ends:
            return moves
        return Moves(*(torch.cat(pair) for pair in zip(moves, _end(moves, ends), strict=True)))


def _moves(traj: Trajectory, action: Tensor) -> Moves:
    """The steps of a trajectory, with features of its actions [N, T, A]."""
    acted, rows = traj.acted, plain(traj.obs)
    return Moves(
        rows[:, :-1][acted], action[acted], rows[:, 1:][acted], traj.terminated[acted],
        torch.zeros_like(acted)[acted], traj.logp[acted],
    )  # fmt: skip


def _end(like: Moves, count: int) -> Moves:
    """The step from the state behind all ends to itself, so many times."""
    over = torch.ones(count, dtype=torch.bool, device=like.over.device)
    blank = [x.new_zeros((count, *x.shape[1:])) for x in like]
    return Moves(*blank)._replace(over=over)


def drawn_from(distribution: Distribution, taken: Tensor) -> Tensor:
    """Actions as a policy draws them, for those that the environment takes: the inverse of `Distribution.finish`.

    At a bound of squashed ones, which no finite number gives, it is what rounds to it.
    """
    if isinstance(distribution, Composite):
        return distribution.joined(
            [drawn_from(part, x) for part, x in zip(distribution.parts, distribution.split(taken), strict=True)]
        )
    if isinstance(distribution, Normal) and distribution.low is not None:
        return distribution.unit(taken).clamp(-EDGE, EDGE).atanh()
    return taken
