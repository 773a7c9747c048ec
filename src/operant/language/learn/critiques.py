"""What constitutional AI asks a model (Bai et al. 2022, arXiv:2212.08073): critiques, revisions, comparisons.

Any language model will do; with a chat template the exchange is messages, else text.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from operant.config.errors import ConfigError
from operant.language.learn.exchange import comparison, generate_replies, probability_of_first, reply_prefix, user_turn
from operant.language.learn.principles import Principle
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.rlhf import ConstitutionalConfig
from operant.language.text.conversation import Encoded, Encoder, Message
from operant.language.text.pairs import Pair, contrasting

Feedback = Callable[[Sequence[str]], Sequence[float]]
"""To questions that end by offering (A) and (B): π(A) / (π(A) + π(B)) of each, NaN where it was not answered.

`operant.language.serve.judge.Chooser(url=…).many` asks a model behind a server.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised:
    """A prompt, the first answer, and what became of it."""

    prompt: str
    answers: tuple[str, ...]  # the first one, then each revision
    critiques: tuple[str, ...]  # one fewer
    principles: tuple[Principle, ...]  # one of each round


def revise(
    cfg: ConstitutionalConfig,
    engine: Engine,
    sampling: Sampling,
    prompts: Sequence[str],
    principles: Sequence[Principle],
    generator: np.random.Generator,
    *,
    first_id: int = 0,
) -> list[Revised]:
    """Answers, criticised and revised `cfg.revisions` times, each time under a principle drawn at random.

    The next round sees the prompt and the last revision only, as in the paper. Exchanges that leave no room for what
    is said next are left out.

    Args:
        cfg: the settings.
        engine: samples from the model that answers, criticises and revises.
        sampling: how.
        prompts: what to answer.
        principles: to draw from.
        generator: of the draws.
        first_id: the first of `len(prompts) · (1 + 2 · cfg.revisions)` prompt ids, which key the samples.

    Raises:
        ConfigError: if there are no principles, or an exchange does not fit the model.
    """
    if not principles:
        raise ConfigError("no principles to criticise by: give at least one, for instance PRINCIPLES")

    def say(dialogues: Sequence[Sequence[Message] | None], turn: int) -> list[str | None]:
        return generate_replies(engine, sampling, dialogues, first_id=first_id + turn * len(prompts))

    asked: list[list[Message]] = [[{"role": "user", "content": p}] for p in prompts]
    answers = say(asked, 0)
    revised = [
        None if a is None else Revised(prompt=p, answers=(a,), critiques=(), principles=())
        for p, a in zip(prompts, answers, strict=True)
    ]
    for number in range(cfg.revisions):
        drawn = [principles[int(i)] for i in generator.integers(len(principles), size=len(prompts))]
        so_far = [_further(q, a, p.critique) for q, a, p in zip(asked, answers, drawn, strict=True)]
        critiques = say(so_far, 1 + 2 * number)
        so_far = [_further(d, c, p.revision) for d, c, p in zip(so_far, critiques, drawn, strict=True)]
        answers = say(so_far, 2 + 2 * number)
        revised = [
            None
            if r is None or c is None or a is None
            else replace(r, answers=(*r.answers, a), critiques=(*r.critiques, c), principles=(*r.principles, p))
            for r, a, c, p in zip(revised, answers, critiques, drawn, strict=True)
        ]
    return [r for r in revised if r is not None]


def _further(dialogue: Sequence[Message] | None, said: str | None, asked: str) -> list[Message] | None:
    """An exchange with what was said last, and what is asked next; None where there was no room to say it."""
    if dialogue is None or said is None:
        return None
    return [*dialogue, {"role": "assistant", "content": said}, {"role": "user", "content": asked}]


def demonstrations(revised: Sequence[Revised], encoder: Encoder) -> list[Encoded]:
    """What the first stage learns: each prompt with its last revision; empty ones are left out.

    (The paper learns every revision, and answers to harmless prompts beside them: add them to the list.)
    """
    lead = reply_prefix(encoder.tokenizer)

    def one(revision: tuple[int, Revised]) -> Encoded:
        i, r = revision
        return encoder.completion(user_turn(encoder.tokenizer, r.prompt), lead + r.answers[-1], f"revision {i}")

    written = [(i, r) for i, r in enumerate(revised) if r.answers[-1].strip()]
    return encoder.each(one, written, of="the revisions")


def preferences(
    cfg: ConstitutionalConfig,
    feedback: LanguageModel | Feedback,
    compared: Sequence[tuple[str, str, str]],
    principles: Sequence[Principle],
    generator: np.random.Generator,
) -> torch.Tensor:
    """Soft labels [N] float64: the probability that the first answer is better, under a principle drawn at random.

    p = π(A) / (π(A) + π(B)), asked in both orders, and the mean of the two taken, so that a liking for (A) is no label.

    Args:
        cfg: `certain` bounds the labels.
        feedback: the model that is asked, or what asks one elsewhere; a label is NaN where it does not answer.
        compared: N of (prompt, first answer, second answer).
        principles: to draw from.
        generator: of the draws.

    Raises:
        ConfigError: if there are no principles, or no question fits the model; those that do not are left out.

    Source: Bai et al. (2022), section 4.1; Lee et al. (2023), RLAIF, section 3.1, for both orders.
    """
    if not principles:
        raise ConfigError("no principles to compare by: give at least one, for instance PRINCIPLES")
    asked: list[str] = []
    for prompt, a, b in compared:
        question = principles[int(generator.integers(len(principles)))].comparison
        asked += [comparison(prompt, a, b, question), comparison(prompt, b, a, question)]
    if isinstance(feedback, LanguageModel):
        answers = [probability_of_first(feedback, each) for each in asked]
        if unread := sum(map(math.isnan, answers)):
            what = (
                f"{unread:,} of {len(answers):,} comparisons are longer than the {feedback.max_positions:,} positions "
                "of the model that judges: compare shorter answers"
            )
            if unread == len(answers):
                raise ConfigError(what)
            warnings.warn(f"{what}. They are left out", stacklevel=2)
    else:
        answers = list(feedback(asked))
    ahead, behind = torch.tensor(answers, dtype=torch.float64).view(-1, 2).unbind(-1)  # [N]
    return (0.5 * (ahead + 1.0 - behind)).clamp(1.0 - cfg.certain, cfg.certain)


def labelled(compared: Sequence[tuple[str, str, str]], probability: torch.Tensor, encoder: Encoder) -> list[Pair]:
    """Pairs for `reward_model` with loss "soft_label": the first answer is `chosen` with the given probability [N].

    A comparison whose probability is NaN was not judged, and is left out.
    """
    lead = reply_prefix(encoder.tokenizer)

    def one(comparison: tuple[int, tuple[str, str, str], float]) -> Pair:
        i, (prompt, *answers), p = comparison
        asked = user_turn(encoder.tokenizer, prompt)
        chosen, rejected = (encoder.completion(asked, lead + x, f"comparison {i}") for x in answers)
        return Pair(chosen=chosen, rejected=rejected, probability=p)

    every = zip(range(len(compared)), compared, probability.tolist(), strict=True)
    pairs = encoder.each(one, [(i, c, p) for i, c, p in every if not math.isnan(p)], of="the comparisons")
    return contrasting(pairs, encoder.length, of="the comparisons")
