"""Log-probabilities and values of completions: of some rows with their graph, of all rows in parts without."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.language.episodes.episodes import Episodes, by_length
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.model.shared_prefix import evaluate_groups


def token_logp(model: LanguageModel, batch: Episodes, rows: Tensor, temperature: float) -> Tensor:
    """log π(a_t|s_t) [R, T] of some rows [R], with its graph; 0 where not acted."""
    traj = batch.traj
    assert isinstance(traj.obs, Tensor)
    return evaluate_groups(
        model, traj.obs[rows], traj.acted[rows], batch.prompt[rows], traj.group[rows], temperature=temperature
    )


@torch.no_grad()
def all_token_logp(model: LanguageModel, batch: Episodes, temperature: float, tokens: int) -> Tensor:
    """log π(a_t|s_t) [N, T] of all rows, without a graph, at most `tokens` tokens at a time; 0 where not acted."""
    logp = torch.zeros_like(batch.traj.logp)
    for part in by_length(batch.length, tokens):
        logp[part] = token_logp(model, batch, part, temperature)
    return logp


def reference_logp(
    policy: LanguageModel, reference: LanguageModel | None, batch: Episodes, temperature: float, tokens: int
) -> Tensor:
    """log π_ref(a_t|s_t) [N, T]; without a model of its own, the policy's with its adapters left out."""
    with policy.reference() if reference is None else nullcontext():
        return all_token_logp(reference or policy, batch, temperature, tokens)


def state_value(critic: Scalar, batch: Episodes, rows: Tensor) -> Tensor:
    """V(s_t) [R, T+1] of some rows [R], with its graph; 0 behind the state that follows the last decision of all."""
    assert isinstance(batch.traj.obs, Tensor)
    width, end = batch.traj.obs.shape[1], int(batch.length[rows].max())
    return F.pad(critic(batch.traj.obs[rows, :end]), (0, width - end))


@torch.no_grad()
def all_values(critic: Scalar, batch: Episodes, tokens: int) -> Tensor:
    """V(s_t) [N, T+1] of all rows, without a graph, at most `tokens` tokens at a time."""
    value = batch.traj.logp.new_zeros(batch.rows, batch.traj.logp.shape[1] + 1)
    for part in by_length(batch.length, tokens):
        value[part] = state_value(critic, batch, part)
    return value
