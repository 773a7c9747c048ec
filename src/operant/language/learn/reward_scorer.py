"""A learnt reward in a loop: what scores, what the critic begins from, and what is kept likely beside the reward."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import torch

from operant.language.episodes.distributed import share
from operant.language.learn.reward_model import score
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.sample.sampling import Completion
from operant.language.settings.rlhf import RLHFConfig
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import padded, within
from operant.math.objective import nll
from operant.math.reduce import token_mean


class Learnt:
    """Scores whole completions, as `operant.language.episodes.episodes.Rollouts` asks for.

    Args:
        model: the reward model; not trained here.
        offset: subtracted, for instance the mean score of demonstrations, so that they earn 0.
        tokens: of one forward.

    Source: Stiennon et al. (2020), appendix B.1, for the offset.
    """

    def __init__(self, model: Scalar, *, offset: float = 0.0, tokens: int = 32_768) -> None:
        self.model, self.offset, self.tokens = model, offset, tokens

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        """One number for each."""
        return self.rows([c.prompt.tokens + c.tokens for c in completions])

    @torch.no_grad()
    def rows(self, rows: Sequence[tuple[int, ...]]) -> list[float]:
        """One number for each prompt with its completion."""
        result = [0.0] * len(rows)
        pad = self.model.backbone.tokenizer.pad_token_id
        for part in within([len(r) for r in rows], [1] * len(rows), self.tokens):
            read = padded([Encoded(tokens=rows[i], acted=(False,) * (len(rows[i]) - 1)) for i in part], pad)
            for i, found in zip(part, score(self.model, read.to(self.model.backbone.device)).tolist(), strict=True):
                result[i] = found - self.offset
        return result


def critic_from(model: LanguageModel | Scalar) -> Scalar:
    """A critic with weights of its own: a copy of a reward model with its head, or of a policy with a head of zeros.

    Source: Stiennon et al. (2020), section 3.4: the value function begins at the reward model.
    """
    return copy.deepcopy(model) if isinstance(model, Scalar) else Scalar(copy.deepcopy(model))


def keep_likely(cfg: RLHFConfig, policy: LanguageModel, texts: Shuffled[Encoded]) -> float:
    """Add the gradient of γ times a batch of texts' −log π, its mean over tokens; returns this process's part of it.

    Source: Ouyang et al. (2022), equation 2 (there summed over each text, so γ there is of another size).
    """
    chosen, total = texts(cfg.ptx_batch), 0.0
    reduce = partial(token_mean, denominator=sum(sum(e.acted) for e in chosen))
    for part in share(within([len(e.tokens) for e in chosen], [1] * len(chosen), cfg.tokens)):
        rows = padded([chosen[i] for i in part], policy.tokenizer.pad_token_id).to(policy.device)
        loss, _ = nll(policy.evaluate(rows.tokens, rows.acted)[0], rows.acted, reduce=reduce)
        (cfg.ptx_coef * loss).backward()
        total += float(loss.detach())
    return total
