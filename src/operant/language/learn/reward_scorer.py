"""A learnt reward in a loop: what scores, what the critic begins from, and what is kept likely beside the reward."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import torch

from operant.config.errors import ConfigError
from operant.language.learn.optim_step import MicroBatchLoss, PartLoss
from operant.language.learn.reward_model import score
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.sample.sampling import Completion
from operant.language.settings.rlhf import RLHFConfig
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import padded, within
from operant.language.text.rendering import check_alike, rendering_of
from operant.math.objective import nll
from operant.math.reduce import Reduction, token_mean


class RewardScorer:
    """Scores whole completions, as `operant.language.episodes.episodes.Rollouts` asks for.

    Args:
        model: the reward model; not trained here.
        offset: subtracted, for instance the mean score of demonstrations, so that they earn 0.
        tokens: of one forward.
        end: the token at which the model learnt to score a finished answer; it is read in place of whichever token
            ended one. None: as they are.

    Source: Stiennon et al. (2020), appendix B.1, for the offset.
    """

    def __init__(self, model: Scalar, *, offset: float = 0.0, tokens: int = 32_768, end: int | None = None) -> None:
        self.model, self.offset, self.tokens, self.end = model, offset, tokens, end
        self.message, self._told = "", False

    def __call__(self, completions: Sequence[Completion]) -> list[float | None]:
        """One number for each; None where the reward model has too few positions, of which the first is a warning."""
        rows, most = [c.prompt.tokens + self._ended(c) for c in completions], self.model.backbone.max_positions
        read = iter(self.rows([row for row in rows if len(row) <= most]))
        if not self._told and any(len(row) > most for row in rows):
            self._told = True
            longest = max(map(len, rows))
            self.message = f"a prompt and its completion have {longest:,} tokens, the reward model {most:,} positions"
            warnings.warn(
                f"{self.message}: such answers are not judged, and left out of training. Lower sampling.max_tokens",
                stacklevel=2,
            )
        return [next(read) if len(row) <= most else None for row in rows]

    @torch.no_grad()
    def rows(self, rows: Sequence[tuple[int, ...]]) -> list[float]:
        """One number for each prompt with its completion."""
        result = [0.0] * len(rows)
        pad = self.model.backbone.tokenizer.pad_token_id
        for part in within([len(r) for r in rows], [1] * len(rows), self.tokens):
            read = padded([Encoded(tokens=rows[i], acted=(False,) * (len(rows[i]) - 1)) for i in part], pad)
            for i, x in zip(part, score(self.model, read.to(self.model.backbone.device)).tolist(), strict=True):
                result[i] = x - self.offset
        return result

    def _ended(self, c: Completion) -> tuple[int, ...]:
        return c.tokens if self.end is None or c.finish == "length" else (*c.tokens[:-1], self.end)


def scorer_of(model: Scalar, policy: LanguageModel, of: str, *, chat: bool, offset: float = 0.0) -> RewardScorer:
    """What scores the completions of a policy by a reward model, where it learnt to.

    Args:
        model: the reward model.
        policy: what writes the completions.
        of: whose the reward model is, for messages.
        chat: whether the prompts are messages.
        offset: as in `RewardScorer`.

    Raises:
        ConfigError: if the two have other tokens, or other templates.
    """
    read = model.backbone.tokenizer
    check_alike(read, policy.tokenizer, of)
    end = rendering_of(read).turn.end if chat else None
    return RewardScorer(model, offset=offset, end=read.eos_token_id if end is None else end)


def critic_from(model: LanguageModel | Scalar) -> Scalar:
    """A critic with weights of its own: a copy of a reward model with its head, or of a policy with a head of zeros.

    Source: Stiennon et al. (2020), section 3.4: the value function begins at the reward model.
    """
    return copy.deepcopy(model) if isinstance(model, Scalar) else Scalar(copy.deepcopy(model))


Losses = Callable[[], list[MicroBatchLoss]]
"""Draws a batch of texts: the micro-batches that a gradient step adds to its own."""


def ptx_losses(cfg: RLHFConfig, policy: LanguageModel, texts: Shuffled[Encoded] | None) -> Losses:
    """What PPO-ptx adds to a step: γ times a batch of texts' −log π, its mean over tokens; nothing where γ is 0.

    Raises:
        ConfigError: if γ > 0 and there are no texts.

    Source: Ouyang et al. (2022), equation 2 (there summed over each text, so γ there is of another size).
    """
    if cfg.ptx_coef == 0.0:
        return list
    if texts is None:
        raise ConfigError("ptx_coef is above 0, which needs texts to keep likely: give some, or set ptx_coef = 0")

    def draw() -> list[MicroBatchLoss]:
        chosen = texts(cfg.ptx_batch)
        reduce = partial(token_mean, denominator=sum(sum(e.acted) for e in chosen))
        sizes = [len(e.tokens) for e in chosen]
        return [
            partial(loss, reduce, [chosen[i] for i in part]) for part in within(sizes, [1] * len(sizes), cfg.tokens)
        ]

    def loss(reduce: Reduction, texts: list[Encoded]) -> PartLoss:
        rows = padded(texts, policy.tokenizer.pad_token_id).to(policy.device)
        share, _ = nll(policy.evaluate(rows.tokens, rows.acted)[0], rows.acted, reduce=reduce)
        return cfg.ptx_coef * share, {"loss/ptx": share}

    return draw
