"""Log-probabilities of whole answers under the policy and, once and for all, under the reference."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.language.learn.optim_step import widths
from operant.language.model.language_model import LanguageModel
from operant.language.text.conversation import Encoded
from operant.language.text.packing import padded, within
from operant.language.text.pairs import Pair, Verdict


def answer_logp(policy: LanguageModel, examples: Sequence[Encoded]) -> Tensor:
    """[N]: Σ log π over the acted tokens of each example, in one forward."""
    rows = padded(examples, policy.tokenizer.pad_token_id).to(policy.device)
    return policy.evaluate(rows.tokens, rows.acted)[0].sum(-1)


@torch.no_grad()
def all_logp(policy: LanguageModel, units: Sequence[Sequence[Encoded]], tokens: int) -> Tensor:
    """[N, K]: `answer_logp` of N units of K examples, at most `tokens` tokens at a time, without a graph."""
    logps = torch.zeros(len(units), len(units[0]), device=policy.device)
    for part in within(widths(units), [len(u) for u in units], tokens):
        logp = answer_logp(policy, [e for i in part for e in units[i]])
        logps[part] = logp.view(len(part), -1)
    return logps


def pairs_with_reference(
    pairs: Sequence[Pair], policy: LanguageModel, *, reference: LanguageModel | None = None, tokens: int = 32_768
) -> list[Pair]:
    """The pairs with log π_ref of both answers: no reference model is needed after this.

    Args:
        pairs: of any number.
        policy: the model to be trained; without its adapters, if it has some, it is the reference.
        reference: π_ref, or None: the policy as it stands now, so before it is trained.
        tokens: of one forward.
    """
    logp = _under_reference([(p.chosen, p.rejected) for p in pairs], policy, reference, tokens)
    return [replace(p, reference=(a, b)) for p, (a, b) in zip(pairs, logp, strict=True)]


def verdicts_with_reference(
    verdicts: Sequence[Verdict], policy: LanguageModel, *, reference: LanguageModel | None = None, tokens: int = 32_768
) -> list[Verdict]:
    """The verdicts that `operant.language.text.pairs.mismatch` gave, with log π_ref of both answers.

    Args:
        verdicts, policy, reference, tokens: as in `pairs_with_reference`.

    Raises:
        ConfigError: if one has no mismatched answer.
    """
    units: list[tuple[Encoded, Encoded]] = []
    for v in verdicts:
        if v.mismatched is None:
            raise ConfigError(f"{v.answer.where}: no mismatched answer beside the verdict; call mismatch first")
        units.append((v.answer, v.mismatched))
    logp = _under_reference(units, policy, reference, tokens)
    return [replace(v, reference=(a, b)) for v, (a, b) in zip(verdicts, logp, strict=True)]


def _under_reference(
    units: Sequence[Sequence[Encoded]], policy: LanguageModel, reference: LanguageModel | None, tokens: int
) -> list[tuple[float, float]]:
    without = policy.reference() if reference is None and policy.adapted else contextlib.nullcontext()
    with without:
        return [(a, b) for a, b in all_logp(reference or policy, units, tokens).tolist()]
