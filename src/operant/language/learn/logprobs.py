"""Log-probabilities and values of completions: of some rows with their graph, of all rows in parts without."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.language.episodes.episodes import Episodes, by_length
from operant.language.learn.minibatch import Minibatch, with_advantages
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.model.shared_prefix import evaluate_groups


def token_logp(model: LanguageModel, b: Minibatch) -> Tensor:
    """log π(a_t|s_t) [B, T] at the temperature of the sampler, with its graph; 0 where not acted."""
    assert isinstance(b.obs, Tensor)
    return evaluate_groups(model, b.obs, b.acted, b.prompt, b.group, temperature=b.temperature)


@torch.no_grad()
def all_token_logp(model: LanguageModel, batch: Episodes, tokens: int | None) -> Tensor:
    """log π(a_t|s_t) [N, T] of all rows, without a graph, at most `tokens` tokens at a time; 0 where not acted."""
    rows, logp = with_advantages(batch), torch.zeros_like(batch.traj.logp)
    for part in by_length(batch.length, tokens):
        logp[part] = token_logp(model, rows[part])
    return logp


def reference_logp(
    policy: LanguageModel, reference: LanguageModel | None, batch: Episodes, tokens: int | None
) -> Tensor:
    """log π_ref(a_t|s_t) [N, T]; without a model of its own, the policy's with its adapters left out."""
    with policy.reference() if reference is None else nullcontext():
        return all_token_logp(reference or policy, batch, tokens)


def state_value(critic: Scalar, b: Minibatch) -> Tensor:
    """V(s_t) [B, T+1], with its graph; 0 behind the state that follows the last decision of all."""
    assert isinstance(b.obs, Tensor)
    width, end = b.obs.shape[1], int(b.length.max())
    return F.pad(critic(b.obs[:, :end]), (0, width - end))


@torch.no_grad()
def all_values(critic: Scalar, batch: Episodes, tokens: int | None) -> Tensor:
    """V(s_t) [N, T+1] of all rows, without a graph, at most `tokens` tokens at a time."""
    rows, value = with_advantages(batch), batch.traj.logp.new_zeros(batch.rows, batch.traj.logp.shape[1] + 1)
    for part in by_length(batch.length, tokens):
        value[part] = state_value(critic, rows[part])
    return value
