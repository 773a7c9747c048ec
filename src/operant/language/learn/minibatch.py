"""Completions as gradient steps see them: whole rows, with what is asked of each token, in parts that fit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from operant.data.trajectory import Batch
from operant.language.episodes.episodes import Episodes, by_length
from operant.language.model.language_model import LanguageModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Minibatch(Batch):
    """B completions, a row of T tokens each: [B, T] where no other shape stands beside a field; `obs` is [B, T+1]."""

    row: Tensor  # [B]; its number among the completions of the step
    sampled_logp: Tensor  # the sampler's; `logp` is the trainer's before the step, where that is another
    ref: Tensor | None  # log π_ref
    prompt: Tensor  # [B]; tokens of the prompt
    group: Tensor  # [B]
    length: Tensor  # [B]; tokens up to the last decision, with it
    temperature: float  # of the policy


def with_advantages(
    batch: Episodes,
    *,
    adv: Tensor | None = None,
    target: Tensor | None = None,
    value: Tensor | None = None,
    logp: Tensor | None = None,
    ref: Tensor | None = None,
) -> Minibatch:
    """All completions of a step, with the advantage of each token, [N, T], and what else its loss reads; 0 if None.

    Args:
        batch: the completions.
        adv, target, value: as in `Batch`.
        logp: log π before the step, if not the sampler's.
        ref: log π_ref.
    """
    traj, none = batch.traj, torch.zeros((), device=batch.prompt.device).expand_as(batch.traj.logp)
    return Minibatch(
        obs=traj.obs, action=traj.action, acted=traj.acted, sampled_logp=traj.logp,
        adv=none if adv is None else adv, target=none if target is None else target,
        value=none if value is None else value, logp=traj.logp if logp is None else logp, ref=ref,
        row=torch.arange(batch.rows, device=batch.prompt.device), prompt=batch.prompt, group=traj.group,
        length=batch.length, temperature=batch.temperature,
    )  # fmt: skip


def micro_batches(policy: LanguageModel, b: Minibatch, tokens: int | None) -> list[Minibatch]:
    """Parts of at most `tokens` tokens; if None, what `by_length` takes, or all where the sampler kept these rows."""
    assert isinstance(b.obs, Tensor)
    if tokens is None and policy.tape is not None:
        kept = policy.tape.find(b.obs, b.acted, b.temperature)
        tokens = None if kept is None else b.obs.numel()
    return [b[part] for part in by_length(b.length, tokens)]
