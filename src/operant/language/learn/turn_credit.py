"""How much each turn of an episode is to be credited with: its episode's return, its own rewards, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from operant.language.episodes.world_rollouts import WorldBatch
from operant.language.settings.worlds import LoopConfig
from operant.math.advantage import gae, reward_to_go
from operant.math.baseline import group_mean, group_scale, leave_one_out

BASELINE: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "group": group_mean,
    "leave_one_out": leave_one_out,
    "none": lambda x, group: torch.zeros_like(x),
}
"""What is subtracted from a return, by name."""


def turn_advantages(cfg: LoopConfig, batch: WorldBatch) -> Tensor:
    """[K]: the advantage of each turn, which all of its tokens carry.

    - episode: (R_e − b_e) / σ, with R the sum of rewards, b and σ as `baseline` and `scale` say.
    - turns: G_k = r_k + γ G_{k+1}, less its mean over the step, over its deviation where `scale` is batch (return batch
      normalisation: Liu et al. 2025, GEM, arXiv:2510.01051).
    - anchors: that of the episode + ω (G_k − b_k) / σ_k among the turns of the group that began in an equal state
      (Feng et al. 2025, GiGPO, arXiv:2505.10978, equations 5 to 8); 0 where no other did.
    """
    if cfg.credit == "turns":
        ret = returns(batch, cfg.discount)
        return (ret - ret.mean()) / (ret.std(correction=0) + cfg.scale_eps if cfg.scale == "batch" else 1.0)
    own = _compared(cfg, batch.ret, batch.group, ~batch.cut if cfg.truncated == "mask" else torch.ones_like(batch.cut))
    if cfg.credit == "episode":
        return own[batch.owner]
    known = batch.state >= 0
    return own[batch.owner] + cfg.anchor_weight * _compared(cfg, returns(batch, cfg.discount), batch.state, known)


def returns(batch: WorldBatch, discount: float) -> Tensor:
    """[K]: G_k = r_k + γ G_{k+1}, over the turns of each episode."""
    row, number, table = by_episode(batch)
    reward, acted, ended = table(batch.reward)
    none = torch.zeros_like(ended)
    return reward_to_go(reward, ended, none, acted, discount=discount)[row, number]


def turn_gae(batch: WorldBatch, value: Tensor, *, discount: float, lam: float) -> Tensor:
    """[K]: generalised advantage estimates whose steps are turns; an episode that is over is worth nothing more.

    Args:
        batch: the episodes.
        value: [K] of the state in which each turn begins.
        discount, lam: γ and λ, per turn.
    """
    row, number, table = by_episode(batch)
    reward, acted, ended = table(batch.reward)
    v = torch.nn.functional.pad(table(value)[0], (0, 1))
    return gae(reward, v, ended, torch.zeros_like(ended), acted, discount=discount, lam=lam)[row, number]


Table = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def by_episode(batch: WorldBatch) -> tuple[Tensor, Tensor, Table]:
    """The row and column of each turn [K] in tables of an episode a row, and what lays numbers [K] out in one.

    With the table [E, longest] come bool ones of where it has a turn, and of where that is the episode's last.
    """
    count = torch.bincount(batch.owner, minlength=len(batch.ret))
    number = torch.arange(len(batch.owner), device=count.device) - (count.cumsum(0) - count)[batch.owner]
    shape = (len(count), int(count.max()))
    acted = torch.arange(shape[1], device=count.device) < count[:, None]
    ended = torch.arange(shape[1], device=count.device) == count[:, None] - 1

    def table(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x.new_zeros(shape).index_put((batch.owner, number), x), acted, ended

    return batch.owner, number, table


def spread(batch: WorldBatch, turns: Tensor) -> Tensor:
    """[N, T]: numbers of turns [K] at each of their tokens; 0 where the policy did not choose."""
    return torch.where(batch.turn >= 0, turns[batch.turn.clamp(min=0)], 0.0)


def _compared(cfg: LoopConfig, ret: Tensor, group: Tensor, scored: Tensor) -> Tensor:
    """(x − b) / σ within groups, of what is scored; 0 elsewhere, and where there is nobody to compare with."""
    found, x, g = torch.zeros_like(ret), ret[scored], group[scored]
    if cfg.baseline != "none" or cfg.scale == "group":
        _, member, count = torch.unique(g, return_inverse=True, return_counts=True)
        together = count[member] > 1
        at = scored.nonzero().squeeze(1)[together]
        x, g = x[together], g[together]
    else:
        at = scored.nonzero().squeeze(1)
    if not len(x):
        return found
    adv = x - BASELINE[cfg.baseline](x, g)
    if cfg.scale == "group":
        adv = adv / group_scale(x, g, cfg.scale_eps)
    elif cfg.scale == "batch":
        adv = adv / group_scale(x, torch.zeros_like(g), cfg.scale_eps)
    return found.index_put((at,), adv)
