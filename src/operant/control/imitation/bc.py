"""Behaviour cloning (Pomerleau 1991), on one page: supervised learning of what an expert did from what it saw.

    θ: one step up  mean log π_θ(a|s)      over the decisions of the demonstrations

What π is decides what is learnt where experts differ: a mean (mse, gaussian) stands between them, and may be the one
thing that none of them did; several humps (mixture, discretised) stand where they stood. Of choices it is the
cross-entropy, the loss and the gradient of supervised fine-tuning. The order of the decisions is drawn pass by pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.fused import fused_clone
from operant.control.imitation.departure import Watched
from operant.control.imitation.likelihood import LogLikelihood, distance, learnt, likelihood_of, objective_of, spec_of
from operant.control.settings.imitation import BCConfig, BCRun, CloningConfig
from operant.control.setup_data import FromData, from_data
from operant.control.updates import by_hand, row_of, take_step
from operant.data.replay import Replay
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Obs, Trajectory
from operant.env import EnvLike
from operant.math.objective import nll
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent

CHUNK = 4096
"""Decisions that are tested at a time."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """B decisions of demonstrations; or B whole pieces of T steps, [B, T] each, for what has to see them in order."""

    obs: Obs  # [B, D]
    action: Tensor  # [B, ...]
    acted: Tensor  # [B] bool; what counts


Draw = Callable[[int], Decisions]
"""What the gradient step of that number learns from."""
Ascent = Callable[[Iterable[Decisions]], list[Metrics]]
"""Takes a gradient step up the likelihood of each batch of decisions; gives the metrics of each."""


def bc(
    cfg: BCConfig, parts: FromData, optimizer: torch.optim.Optimizer, draw: Draw, logp_of: LogLikelihood,
    held_out: Callable[[], Metrics], *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Take gradient steps on the likelihood of what was done; yield metrics after `cfg.updates` of them, for ever.

    Args:
        cfg: the settings.
        parts: the agent (trained in place), and what counts the steps.
        optimizer: holds the policy's parameters.
        draw: gives the decisions of a step.
        logp_of: how likely the policy says they are.
        held_out: metrics of the episodes that are not learnt from.
        total_steps: where the run ends.
    """
    counter, steps = parts.counter, ascent(cfg, parts.agent, optimizer, logp_of)
    while True:
        end = counter.steps + max(1, min(cfg.updates, total_steps - counter.steps))
        seen = steps(draw(k) for k in range(counter.steps, end))
        counter.steps = end
        yield row_of(seen, optimizer) | parts.agent.stats() | held_out()


def ascent(cfg: CloningConfig, agent: Agent, optimizer: torch.optim.Optimizer, logp_of: LogLikelihood) -> Ascent:
    """The gradient steps of cloning; for small networks on a CPU by hand (`operant.control.fused`), equal to 1e-5."""
    fused = by_hand(cfg.fused, lambda: fused_clone(agent.policy, optimizer, cfg))

    def steps(drawn: Iterable[Decisions]) -> list[Metrics]:
        if fused is not None:
            obs, action = zip(*((b.obs, b.action) for b in drawn), strict=True)
            return fused(torch.cat(obs), torch.cat(action))
        seen: list[Metrics] = []
        for b in drawn:
            loss, _ = nll(logp_of(b.obs, b.action), b.acted)
            norm = take_step(optimizer, loss, cfg.max_grad_norm)
            seen.append({"loss/policy": loss.detach(), "grad/norm": norm})
        return seen

    return steps


# ---------------------------------------------------------------------------------------------------- what is learnt
class Passes:
    """Pass after pass over n decisions, each once a pass, in an order of its own.

    The order of a pass depends on the seed and the number of the pass alone: where a run stands is told by its steps.
    """

    def __init__(self, n: int, streams: Streams) -> None:
        self.n, self.streams = n, Streams(streams.seed)
        self._pass, self._order = -1, np.empty(0, np.int64)

    def __call__(self, first: int, size: int) -> Tensor:
        """The decisions [size] int64 from the `first` on, counted over all passes."""
        parts: list[np.ndarray] = []
        while size:
            number, place = divmod(first, self.n)
            if number != self._pass:
                self._pass, self._order = number, self.streams.numpy("order", number).permutation(self.n)
            parts.append(self._order[place : place + size])
            first, size = first + len(parts[-1]), size - len(parts[-1])
        return torch.from_numpy(np.concatenate(parts))


def drawing(cfg: CloningConfig, parts: FromData) -> Draw:
    """What gives the decisions of a gradient step: one by one, or whole pieces for an agent with memory.

    Raises:
        ConfigError: if no piece is so long.
    """
    if parts.agent.remembers:
        buffer = parts.replay()
        if cfg.length >= len(parts.train) + parts.train.steps:
            raise ConfigError(f"algo.length is {cfg.length}, and the data have {parts.train.steps} steps: give fewer")
        return lambda step: pieces(cfg, buffer, parts.generator)
    obs, action = _flat(parts.segments(parts.train))
    passes, true = Passes(len(action), Streams(parts.cfg.seed)), action.new_ones(cfg.batch, dtype=torch.bool)

    def draw(step: int) -> Decisions:
        index = passes(step * cfg.batch, cfg.batch).to(action.device)
        return Decisions(obs[index], action[index], true)

    return draw


def pieces(cfg: CloningConfig, buffer: Replay, generator: np.random.Generator) -> Decisions:
    """Whole pieces for a policy with memory, about as many decisions as a batch has."""
    traj = buffer.sequences(max(1, cfg.batch // cfg.length), cfg.length, generator)
    return Decisions(traj.seen, traj.action, traj.acted)


def _flat(episodes: Iterable[Trajectory]) -> tuple[Tensor, Tensor]:
    """Their decisions, one by one: observations and actions."""
    obs, action = zip(*((cast(Tensor, x.seen)[x.acted], x.action[x.acted]) for x in episodes), strict=True)
    return torch.cat(obs), torch.cat(action)


def testing(parts: FromData, logp_of: LogLikelihood) -> Callable[[], Metrics]:
    """What gives the loss on the episodes that are held out, and how far the policy's mode is from their actions."""
    if parts.test is None:
        return dict
    agent = parts.agent
    if agent.remembers:
        each = [_whole(agent, traj) for traj in parts.segments(parts.test)]
    else:
        pairs = zip(*(x.split(CHUNK) for x in _flat(parts.segments(parts.test))), strict=True)
        each = [Decisions(o, a, torch.ones(len(a), dtype=torch.bool, device=a.device)) for o, a in pairs]
    count = sum(d.acted.sum() for d in each)

    @torch.no_grad()
    def held_out() -> Metrics:
        loss = sum(token_mean(-logp_of(d.obs, d.action), d.acted, count) for d in each)
        error = sum(token_mean(distance(agent, d.obs, d.action), d.acted, count) for d in each)
        return {"test/loss": torch.as_tensor(loss), "test/error": torch.as_tensor(error)}

    return held_out


def _whole(agent: Agent, traj: Trajectory) -> Decisions:
    """An episode from its beginning, for a policy with memory."""
    seen = traj.seen
    assert isinstance(seen, Tensor)
    begins = torch.zeros_like(traj.acted)
    begins[:, 0] = True
    memory = seen.new_zeros((*traj.acted.shape, agent.remembers), dtype=torch.float32)
    return Decisions({"obs": seen, "memory": memory, "begins": begins}, traj.action, traj.acted)


def build(cfg: BCRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything that behaviour cloning needs, made from a config and one seed."""
    algo = cfg.algo
    parts = from_data(cfg, env, spec=lambda kind: spec_of(algo, cfg.policy, kind, cfg.env.id))
    logp_of = likelihood_of(algo, parts.agent)
    optimizer = torch.optim.Adam(learnt(algo, parts.agent), lr=algo.lr)
    objective = objective_of(algo, parts.agent, parts.noise)
    loop = bc(algo, parts, optimizer, drawing(algo, parts), objective, testing(parts, logp_of),
              total_steps=cfg.total_steps)  # fmt: skip
    say(f"Learns from {len(parts.train)} episodes of {parts.train.steps:,} steps, mean return "
        f"{parts.train.returns.mean():.1f}" + (f"; tests on {len(parts.test)}." if parts.test else "."))  # fmt: skip
    job, watched = parts.job(loop, optimizer), Watched(parts)
    parts.evaluate.agent, job.keep_evaluation = watched, watched.keep  # pyright: ignore[reportAttributeAccessIssue]
    return job
