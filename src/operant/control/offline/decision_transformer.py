"""The decision transformer (Chen et al. 2021, arXiv:2106.01345), on one page: cloning that is told what followed.

    R̂_t = Σ_{k ≥ t} r_k                                               the return to go, undiscounted
    θ: one step up  mean log π_θ(a_t | R̂_{t−K+1}, s_{t−K+1}, a_{t−K+1}, …, R̂_t, s_t)

A transformer reads the last K steps, three tokens each, and says what was done there. It learns no values and asks for
no maximum: in data of many policies those who did well did other things than those who did badly, and what was earned
tells them apart. To act, it is given a return that is asked for, and that less what was paid on each step after. It is
as good a policy as the data hold, at most; where returns say nothing of what was done, as where luck decides them, it
is a clone.

As published, but for three things: returns are divided by the largest of the data, not by a number for each task; there
is no dropout; of numbers the loss is ½ ‖tanh − a‖² in units of their bounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.distributions import Normal
from operant.control.offline.conditioned import Conditioned, ConditionedSpec, Piece
from operant.control.settings.offline import DecisionTransformerConfig, DecisionTransformerRun
from operant.control.setup_data import FromData, from_data
from operant.control.spec import AgentSpec
from operant.control.updates import row_of, take_step
from operant.data.memory import allow
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.env.dataset import DataSet
from operant.math.objective import nll
from operant.run.device import device_of
from operant.run.job import Job, Say, silent


def decision_transformer(
    cfg: DecisionTransformerConfig, parts: FromData, agent: Conditioned, optimizer: torch.optim.Optimizer,
    draw: Callable[[], Piece], *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Take gradient steps on what was done, given what followed; yield metrics after `cfg.updates`, for ever.

    Args:
        cfg: the settings.
        parts: what counts gradient steps.
        agent: trained in place.
        optimizer: holds the policy's parameters.
        draw: gives the pieces of episodes of a step.
        total_steps: where the run ends.
    """
    counter = parts.counter
    while True:
        seen: list[Metrics] = []
        for _ in range(max(1, min(cfg.updates, total_steps - counter.steps))):
            for group in optimizer.param_groups:
                group["lr"] = cfg.lr * min(1.0, (counter.steps + 1) / max(1, cfg.warmup))
            b = draw()
            loss, _ = nll(log_likelihood(agent, b), b.acted)
            norm = take_step(optimizer, loss, cfg.max_grad_norm)
            counter.steps += 1
            seen.append({"loss/policy": loss.detach(), "grad/norm": norm})
        yield row_of(seen, optimizer)


def log_likelihood(agent: Conditioned, b: Piece) -> Tensor:
    """log π of each action [B, T]; of numbers −½ ‖μ − a‖², both in [-1, 1]."""
    p, its = agent.parameters_of(b), agent.policy.distribution
    if isinstance(its, Normal):
        return -0.5 * (p.output.tanh() - b.action).square().sum(-1)
    return its.logp(p, b.action)


class Episodes:
    """Whole episodes, of which pieces are drawn: each step is as likely to be the first of one.

    Args:
        parts: the data.
        agent: what sees them.

    Raises:
        ConfigError: if they do not fit in memory, or lie outside of the spaces.
    """

    def __init__(self, parts: FromData, agent: Conditioned) -> None:
        steps, its = parts.train.steps, agent.policy.distribution
        try:
            allow(steps * 4 * (agent.spec.obs_dim + agent.features.size + 8), "episodes for a transformer take")
        except ValueError as error:
            raise ConfigError(f"the data set does not fit in memory ({error}): set data.episodes lower") from error
        columns: dict[str, list[Tensor]] = {"obs": [], "action": [], "done": [], "to_go": [], "time": [], "left": []}
        for traj in parts.segments(parts.train):
            there = traj.acted[0]
            action, to_go = traj.action[0, there], traj.reward[0, there].double().flip(0).cumsum(0).flip(0)
            seen, time = traj.seen, torch.arange(int(there.sum()), device=to_go.device)
            assert isinstance(seen, Tensor)
            done = agent.features.taken(its.scaled(action) if isinstance(its, Normal) else action)
            each = seen[0, there], action, done, (to_go / agent.shape.scale).float(), time, len(time) - time
            for name, x in zip(columns, each, strict=True):
                columns[name].append(x)
        self.rows = {name: torch.cat(x) for name, x in columns.items()}
        self._context = agent.shape.context

    def draw(self, size: int, generator: np.random.Generator) -> Piece:
        """So many pieces, of K steps each, or fewer where the episode ends sooner."""
        rows, steps = self.rows, torch.arange(self._context, device=self.rows["left"].device)
        first = torch.from_numpy(generator.integers(0, len(rows["left"]), size)).to(steps.device)
        left = rows["left"][first].unsqueeze(1)
        index = first.unsqueeze(1) + torch.minimum(steps, left - 1)
        obs, action, done, to_go, time = (x[index] for name, x in rows.items() if name != "left")
        return Piece(obs=obs, action=action, done=done, to_go=to_go, time=time, acted=steps < left)


def made_for(cfg: DecisionTransformerRun, made: AgentSpec, streams: Streams, data: DataSet) -> Conditioned:
    """The agent, for data of such returns and lengths.

    Raises:
        ConfigError: if the heads do not divide the width, or the actions are of another kind.
    """
    its, kind, scale = cfg.algo, made.action_kind, float(np.abs(data.returns).max())
    if its.width % its.heads:
        raise ConfigError(f"algo.width {its.width} is no multiple of algo.heads {its.heads}: give one that is")
    if kind == "composite" or made.observation_space is None:
        raise ConfigError(f"{cfg.algorithm} learns one kind of actions, and those of {cfg.env.id} are {kind}: use bc")
    fields = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    fields |= {"std": "none", "squash": True} if kind == "box" else {}
    fields |= {"memory": "", "memory_size": 0, "shared": False, "hidden": (1,)}  # of a critic that nobody asks
    shape = ConditionedSpec(
        **fields, context=its.context, layers=its.layers, heads=its.heads, width=its.width,
        longest=int(data.lengths.max()), target=float(data.returns.max()) if its.target is None else its.target,
        scale=scale or 1.0,
    )  # fmt: skip
    return Conditioned(shape, streams.torch("init")).to(device_of(cfg.device))


def build(cfg: DecisionTransformerRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything the decision transformer needs, made from a config and one seed."""
    algo = cfg.algo
    parts = from_data(cfg, env, make=partial(made_for, cfg))
    agent, returns = parts.agent, parts.train.returns
    assert isinstance(agent, Conditioned)
    optimizer = torch.optim.AdamW(agent.policy.parameters(), algo.lr, weight_decay=algo.weight_decay)
    episodes = Episodes(parts, agent)
    say(f"Learns from {len(parts.train)} episodes, returns {returns.min():.1f} to {returns.max():.1f}; "
        f"asks for {agent.target:.1f}.")  # fmt: skip
    loop = decision_transformer(
        algo, parts, agent, optimizer, lambda: episodes.draw(algo.batch, parts.generator), total_steps=cfg.total_steps
    )
    return parts.job(loop, optimizer)
