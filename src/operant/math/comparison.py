"""Losses of reward models, on judgements of whole answers: comparisons, rankings, a judge's probabilities, steps.

To minimise, as in `objective`; `reduce` says what counts as one.
"""

from __future__ import annotations

from math import log, log1p

import torch
from torch import Tensor
from torch.nn import functional

from operant.math import _check
from operant.math.objective import Metrics
from operant.math.reduce import Reduction, token_mean


def bradley_terry(
    chosen: Tensor, rejected: Tensor, *, margin: float | Tensor = 0.0, reduce: Reduction = token_mean
) -> tuple[Tensor, Metrics]:
    """−log σ(r(chosen) − r(rejected) − m): maximum likelihood of the Bradley–Terry model.

    Args:
        chosen, rejected: [N] scores of the two answers.
        margin: [] or [N], m: by how much the chosen answer is known to be better, in units of the score.
        reduce: what counts as one; the mask it receives is True for every pair.

    Returns:
        loss []; metrics, means over pairs: `margin` (r(chosen) − r(rejected)), `accuracy` (the margin is above 0).

    Raises:
        TypeError: scores are not floating-point.
        ValueError: shapes differ.

    Source: Stiennon et al. (2020), Learning to summarize from human feedback; Touvron et al. (2023),
    Llama 2, equation 2, for the margin.
    """
    difference = _difference(chosen, rejected)
    return reduce(-functional.logsigmoid(difference - margin), _everyone(difference)), margin_metrics(difference)


def soft_label(
    first: Tensor, second: Tensor, probability: Tensor, *, error: float = 0.0, reduce: Reduction = token_mean
) -> tuple[Tensor, Metrics]:
    """−p log P(Δ) − (1 − p) log P(−Δ), with Δ = r(first) − r(second): cross-entropy against a judge's p.

    P(Δ) = (1 − ε) σ(Δ) + ε/2: with a chance of ε the judge chose blindly, so that no label is ever wholly unlikely.

    Args:
        first, second: [N] scores of two answers, or β log(π/π_ref) of each.
        probability: [N] in [0, 1]: the judge's probability that the first is better.
        error: ε in [0, 1).
        reduce: what counts as one.

    Returns:
        loss []; metrics, means over pairs: `margin` (the difference in favour of the answer that the judge prefers),
        `accuracy` (that margin is above 0).

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ, or ε lies outside of [0, 1).

    Source: Bai et al. (2022), Constitutional AI, section 4.1; Christiano et al. (2017), Deep reinforcement learning
    from human preferences, section 2.2.3, for ε.
    """
    difference = _difference(first, second)
    _check.floating(probability=probability)
    _check.same_shape(difference.shape, probability=probability)
    if not 0.0 <= error < 1.0:
        raise ValueError(f"error must lie in [0, 1), got {error}")
    p = probability.detach()
    loss = -p * _log_preferred(difference, error) - (1.0 - p) * _log_preferred(-difference, error)
    return reduce(loss, _everyone(loss)), margin_metrics(torch.where(p >= 0.5, difference, -difference))


def ranking(score: Tensor, rank: Tensor, present: Tensor, *, reduce: Reduction = token_mean) -> tuple[Tensor, Metrics]:
    """−(1/C) Σ_{i better than j} log σ(r_i − r_j): all C pairs of one prompt's K answers are one element.

    With distinct ranks C is K(K−1)/2. Spread over elements of their own, the pairs of a prompt would let each answer
    be seen K − 1 times in an epoch, and the reward model overfits.

    Args:
        score: [N, K] scores.
        rank: [N, K] int64, smaller is better; answers of equal rank are not compared.
        present: [N, K] bool, False where a prompt has fewer than K answers (the score there is not read).
        reduce: what counts as one; its mask [N] is True where a prompt has a pair.

    Returns:
        loss []; metrics, means over prompts with a pair: `margin` and `accuracy`, means over the prompt's pairs.

    Raises:
        TypeError: a dtype is not the one named above.
        ValueError: shapes differ.

    Source: Ouyang et al. (2022), Training language models to follow instructions with human feedback, equation 1.
    """
    _check.floating(score=score)
    _check.integer(rank=rank)
    _check.boolean(present=present)
    _check.same_shape(score.shape, rank=rank, present=present)
    score = torch.where(present, score, 0.0)
    better = (rank[:, :, None] < rank[:, None, :]) & present[:, :, None] & present[:, None, :]  # [N, K, K]
    difference = score[:, :, None] - score[:, None, :]
    count = better.sum((1, 2))

    def mean(x: Tensor) -> Tensor:
        return torch.where(better, x, 0.0).sum((1, 2)) / count.clamp(min=1)  # [N]

    loss, seen = mean(-functional.logsigmoid(difference)), difference.detach()
    return reduce(loss, count > 0), {
        "margin": token_mean(mean(seen), count > 0),
        "accuracy": token_mean(mean((seen > 0).to(seen.dtype)), count > 0),
    }


def centring(chosen: Tensor, rejected: Tensor, *, reduce: Reduction = token_mean) -> tuple[Tensor, Metrics]:
    """(r(chosen) + r(rejected))²: comparisons leave the level of scores free; this, times a small number, sets it to 0.

    Args:
        chosen, rejected: [N] scores.
        reduce: what counts as one.

    Returns:
        loss []; metrics `level`, the mean of (r(chosen) + r(rejected)) / 2.

    Raises:
        TypeError: scores are not floating-point.
        ValueError: shapes differ.

    Source: Eisenstein et al. (2023), Helping or herding?, on the underdetermined level.
    """
    _check.floating(chosen=chosen, rejected=rejected)
    _check.same_shape(chosen.shape, rejected=rejected)
    total, everyone = chosen + rejected, _everyone(chosen)
    return reduce(total * total, everyone), {"level": token_mean(0.5 * total.detach(), everyone)}


def step_correctness(
    logit: Tensor, correct: Tensor, judged: Tensor, *, reduce: Reduction = token_mean
) -> tuple[Tensor, Metrics]:
    """−y log σ(z) − (1 − y) log σ(−z) at the last token of each step: a process reward model.

    Args:
        logit: [N, T] z; σ(z) is the probability that the step which ends here is right.
        correct: [N, T] y in [0, 1]: a verdict, or the share of continuations from here that succeed.
        judged: [N, T] bool, True where a step ends that has a verdict.
        reduce: what counts as one.

    Returns:
        loss []; metrics, means over judged: `accuracy` (z > 0 exactly where y ≥ ½), `correct` (y).

    Raises:
        TypeError: `judged` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ.

    Source: Lightman et al. (2023), Let's verify step by step; Wang et al. (2024), Math-Shepherd, for shares of
    continuations.
    """
    _check.boolean(judged=judged)
    _check.floating(logit=logit, correct=correct)
    _check.same_shape(judged.shape, logit=logit, correct=correct)
    z, y = torch.where(judged, logit, 0.0), torch.where(judged, correct.detach(), 0.0)
    loss = -y * functional.logsigmoid(z) - (1.0 - y) * functional.logsigmoid(-z)
    right = (z.detach() > 0) == (y >= 0.5)
    return reduce(loss, judged), {
        "accuracy": token_mean(right.to(z.dtype), judged),
        "correct": token_mean(y, judged),
    }


def margin_metrics(margin: Tensor) -> Metrics:
    """Means over pairs of `margin` [N], by how much the chosen answer is ahead, and of `accuracy` (it is above 0)."""
    margin = margin.detach()
    everyone = _everyone(margin)
    return {
        "margin": token_mean(margin, everyone),
        "accuracy": token_mean((margin > 0).to(margin.dtype), everyone),
    }


def _log_preferred(difference: Tensor, error: float) -> Tensor:
    """log((1 − ε) σ(Δ) + ε/2)."""
    sure = functional.logsigmoid(difference)
    return sure if error == 0.0 else torch.logaddexp(sure + log1p(-error), torch.full_like(sure, log(error / 2.0)))


def _everyone(x: Tensor) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def _difference(chosen: Tensor, rejected: Tensor) -> Tensor:
    _check.floating(chosen=chosen, rejected=rejected)
    _check.same_shape(chosen.shape, rejected=rejected)
    return chosen - rejected
