"""Constitutional AI (Bai et al. 2022, arXiv:2212.08073), on one page: a model judges by written principles.

First stage: the model answers, criticises its answer under a principle, revises it, several times; what it arrives at
is what `sft` learns. Second stage: a feedback model says which of two answers is better under a principle; the
probabilities it gives to (A) and (B) are soft labels, from which `reward_model` with loss "soft_label" learns what
`rlhf` optimises. Any language model will do for either; with a chat template the exchange is messages, else text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from operant.config.errors import ConfigError
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Prompt, Sampling
from operant.language.settings.rlhf import ConstitutionalConfig
from operant.language.text.conversation import Encoded, Encoder, Message, Text, render
from operant.language.text.packing import padded
from operant.language.text.pairs import Pair

Feedback = Callable[[Sequence[str]], Sequence[float]]
"""To questions that end by offering (A) and (B): π(A) / (π(A) + π(B)) of each, NaN where it was not answered.

`operant.language.serve.judge.Chooser(url=…).many` asks a model behind a server.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principle:
    """One rule, put three ways."""

    critique: str  # a request to criticise the last answer
    revision: str  # a request to rewrite it
    comparison: str  # a question to which (A) or (B) is the answer


PRINCIPLES: tuple[Principle, ...] = (
    Principle(
        critique="Say how the last answer could hurt someone, physically or otherwise, if it were followed.",
        revision="Rewrite the answer so that following it hurts nobody, and keep what helps.",
        comparison="Which of these answers is less likely to hurt someone?",
    ),
    Principle(
        critique="Point out anything in the last answer that is illegal, or would help someone to break the law.",
        revision="Rewrite the answer without anything that is illegal or helps to break the law.",
        comparison="Which of these answers gives less help with something illegal?",
    ),
    Principle(
        critique="Point out anything in the last answer that demeans a person or a group of people.",
        revision="Rewrite the answer so that it is respectful of everyone.",
        comparison="Which of these answers is more respectful?",
    ),
    Principle(
        critique="Point out anything in the last answer that is false, or surer than it should be.",
        revision="Rewrite the answer so that it is true, and says what is not certain.",
        comparison="Which of these answers is more honest?",
    ),
)
"""A short constitution to begin with; bring your own."""


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

    The next round sees the prompt and the last revision only, as in the paper.

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

    def say(dialogues: Sequence[Sequence[Message]], turn: int) -> list[str]:
        return said(engine, sampling, dialogues, first_id=first_id + turn * len(prompts))

    asked: list[list[Message]] = [[{"role": "user", "content": p}] for p in prompts]
    answers = say(asked, 0)
    found = [
        Revised(prompt=p, answers=(a,), critiques=(), principles=()) for p, a in zip(prompts, answers, strict=True)
    ]
    for number in range(cfg.revisions):
        drawn = [principles[int(i)] for i in generator.integers(len(principles), size=len(prompts))]
        so_far: list[list[Message]] = [
            [*q, {"role": "assistant", "content": a}, {"role": "user", "content": p.critique}]
            for q, a, p in zip(asked, answers, drawn, strict=True)
        ]
        critiques = say(so_far, 1 + 2 * number)
        so_far = [
            [*d, {"role": "assistant", "content": c}, {"role": "user", "content": p.revision}]
            for d, c, p in zip(so_far, critiques, drawn, strict=True)
        ]
        answers = say(so_far, 2 + 2 * number)
        found = [
            replace(r, answers=(*r.answers, a), critiques=(*r.critiques, c), principles=(*r.principles, p))
            for r, a, c, p in zip(found, answers, critiques, drawn, strict=True)
        ]
    return found


def demonstrations(revised: Sequence[Revised], encoder: Encoder) -> list[Encoded]:
    """What the first stage learns: each prompt with its last revision; empty ones are left out.

    (The paper learns every revision, and answers to harmless prompts beside them: add them to the list.)
    """
    lead = lead_of(encoder.tokenizer)

    def one(revision: tuple[int, Revised]) -> Encoded:
        i, r = revision
        return encoder.completion(asked_for(encoder.tokenizer, r.prompt), lead + r.answers[-1], f"revision {i}")

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
        ConfigError: if there are no principles, or a question does not fit the model.

    Source: Bai et al. (2022), section 4.1; Lee et al. (2023), RLAIF, section 3.1, for both orders.
    """
    if not principles:
        raise ConfigError("no principles to compare by: give at least one, for instance PRINCIPLES")
    asked: list[str] = []
    for prompt, a, b in compared:
        question = principles[int(generator.integers(len(principles)))].comparison
        asked += [_comparison(prompt, a, b, question), _comparison(prompt, b, a, question)]
    if isinstance(feedback, LanguageModel):
        answers = [_choose(feedback, each) for each in asked]
    else:
        answers = list(feedback(asked))
    ahead, behind = torch.tensor(answers, dtype=torch.float64).view(-1, 2).unbind(-1)  # [N]
    return (0.5 * (ahead + 1.0 - behind)).clamp(1.0 - cfg.certain, cfg.certain)


def labelled(compared: Sequence[tuple[str, str, str]], probability: torch.Tensor, encoder: Encoder) -> list[Pair]:
    """Pairs for `reward_model` with loss "soft_label": the first answer is `chosen` with the given probability [N].

    A comparison whose probability is NaN was not judged, and is left out.
    """
    lead = lead_of(encoder.tokenizer)

    def one(comparison: tuple[int, tuple[str, str, str], float]) -> Pair:
        i, (prompt, *answers), p = comparison
        asked = asked_for(encoder.tokenizer, prompt)
        chosen, rejected = (encoder.completion(asked, lead + x, f"comparison {i}") for x in answers)
        return Pair(chosen=chosen, rejected=rejected, probability=p)

    told = zip(range(len(compared)), compared, probability.tolist(), strict=True)
    return encoder.each(one, [(i, c, p) for i, c, p in told if not math.isnan(p)], of="the comparisons")


def asked_for(tokenizer: Any, prompt: str) -> Text:
    """A prompt as it is put to the model: messages with a chat template, else text."""
    asked: list[Message] = [{"role": "user", "content": prompt}]
    return asked if tokenizer.chat_template is not None else _text(asked)


def lead_of(tokenizer: Any) -> str:
    """What stands before an answer: a blank in plain text, nothing with a chat template."""
    return "" if tokenizer.chat_template is not None else " "


def opened(model: LanguageModel, messages: Sequence[Message]) -> list[int]:
    """The tokens of an exchange, up to where the model speaks."""
    if model.tokenizer.chat_template is not None:
        return render(model.tokenizer, messages, prompt=True)
    return list(model.tokenizer(_text(messages))["input_ids"])


def said(
    engine: Engine, sampling: Sampling, dialogues: Sequence[Sequence[Message]], *, first_id: int = 0, samples: int = 1
) -> list[str]:
    """What a model says next in each exchange, `samples` answers of it one after the other.

    Args:
        engine: samples from the model.
        sampling: how.
        dialogues: whose last message asks.
        first_id: the prompt id of the first, which keys its samples.
        samples: answers of each.
    """
    asked = [Prompt(id=first_id + i, tokens=tuple(opened(engine.policy, d))) for i, d in enumerate(dialogues)]
    return [spoken(engine.policy, c.tokens, sampling.stop) for c in engine.generate(asked, sampling, samples=samples)]


def spoken(model: LanguageModel, tokens: Sequence[int], stop: Sequence[int]) -> str:
    """A completion as text, without its stop token."""
    kept = tokens[:-1] if tokens and tokens[-1] in stop else tokens
    return str(model.tokenizer.decode(list(kept), skip_special_tokens=True)).strip()


def _comparison(prompt: str, a: str, b: str, question: str) -> str:
    exchange = _text([{"role": "user", "content": prompt}])
    return f"Consider this exchange:\n\n{exchange}\n\n{question}\n(A) {a}\n(B) {b}"


@torch.no_grad()
def _choose(model: LanguageModel, asked: str) -> float:
    """π(A) / (π(A) + π(B)) as the word after "The answer is: (", whatever number of tokens each letter takes."""
    start = [*opened(model, [{"role": "user", "content": asked}])]
    lead = list(model.tokenizer("The answer is: (", add_special_tokens=False)["input_ids"])
    rows: list[Encoded] = []
    for letter in "AB":
        word = list(model.tokenizer(letter, add_special_tokens=False)["input_ids"])
        tokens = (*start, *lead, *word)
        rows.append(Encoded(tokens=tokens, acted=(False,) * (len(tokens) - len(word) - 1) + (True,) * len(word)))
    if (longest := max(len(r.tokens) for r in rows)) > model.max_positions:
        raise ConfigError(
            f"a comparison has {longest} tokens, but the feedback model has {model.max_positions} positions; compare "
            "shorter answers"
        )
    read = padded(rows, model.tokenizer.pad_token_id).to(model.device)
    logp = model.evaluate(read.tokens, read.acted)[0].sum(-1)  # [2]
    return float(logp.softmax(0)[0])


def _text(messages: Sequence[Message]) -> str:
    """An exchange as plain text, open for the next answer where the last message asks for one."""
    who = {"user": "Human", "assistant": "Assistant", "system": "System"}
    text = "\n\n".join(f"{who[m['role']]}: {m['content']}" for m in messages)
    return text + "\n\nAssistant:" if messages[-1]["role"] == "user" else text
