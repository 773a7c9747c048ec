"""Beam search over the steps of a language model's answer, guided by a learnt judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from operant.language.learn.reward_scorer import RewardScorer
from operant.language.learn.verifier import Verifier
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.reward.trace import Trace
from operant.language.sample.engine import Engine, Prompt, Sampling
from operant.language.text.conversation import Encoded, Text
from operant.language.text.packing import padded
from operant.search.beam import Beginning, beam

Tokens = tuple[int, ...]

Promising = Callable[[Sequence[Tokens]], Sequence[float]]
"""Beginnings of an answer to how promising each is."""


def guided(
    engine: Engine,
    prompt: Prompt,
    promising: Promising,
    sampling: Sampling,
    *,
    closing: Sequence[int],
    width: int,
    branch: int,
    steps: int,
) -> list[Beginning[Tokens]]:
    """The `width` best answers found, best first, as the tokens behind the prompt; see `operant.search.beam.beam`.

    Args:
        engine: samples from the model.
        prompt: what to answer. Its samples from number `prompt.sample` on are drawn, each once.
        promising: judges beginnings: `by_reward` or `by_steps`, say.
        sampling: how steps are drawn; `stop` ends an answer, and so does the limit on its tokens.
        closing: tokens that close a step.
        width, branch, steps: beginnings kept, samples of each, steps at most.

    Source: Snell et al. (2024), Scaling LLM test-time compute optimally, arXiv:2408.03314, section 5.2.
    """
    ends, drawn = frozenset(sampling.stop), prompt.sample
    until = replace(sampling, stop=tuple({*sampling.stop, *closing}))

    def propose(states: Sequence[Tokens], count: int) -> list[list[tuple[Tokens, bool]]]:
        nonlocal drawn
        found: list[list[tuple[Tokens, bool]]] = []
        asked: list[Prompt] = []
        for state in states:
            asked.append(Prompt(id=prompt.id, tokens=prompt.tokens + state, sample=drawn, drawn=len(state)))
            drawn += count
        done = engine.generate(asked, until, samples=count)
        for i, state in enumerate(states):
            more = [state + c.tokens for c in done[i * count : (i + 1) * count]]
            found.append([(m, m[-1] in ends or len(m) >= sampling.max_tokens) for m in more])
        return found

    return beam((), propose, promising, width=width, branch=branch, steps=steps)


def by_reward(model: Scalar, prompt: Sequence[int]) -> Promising:
    """A reward model's score of the prompt's tokens and the beginning."""
    judge = RewardScorer(model)
    return lambda states: judge.rows([(*prompt, *state) for state in states])


def by_likelihood(policy: LanguageModel, prompt: Sequence[int]) -> Promising:
    """How sure the model is of what it wrote itself: the mean log π of a beginning's tokens."""

    def promising(states: Sequence[Tokens]) -> list[float]:
        first = (False,) * (len(prompt) - 1)
        rows = [Encoded(tokens=(*prompt, *s), acted=first + (True,) * len(s), where="a beginning") for s in states]
        batch = padded(rows, policy.tokenizer.pad_token_id).to(policy.device)
        with torch.no_grad():
            logp, _ = policy.evaluate(batch.tokens, batch.acted)
        return [float(x) for x in logp.sum(-1) / batch.acted.sum(-1).clamp(min=1)]

    return promising


def by_steps(judge: Verifier, prompt: Text, decode: Callable[[Sequence[int]], str]) -> Promising:
    """The probability that every step so far is right: the product of what a process reward model gives each.

    0 where it cannot read a beginning.

    Args:
        judge: the process reward model.
        prompt: as the judge was trained on.
        decode: tokens to text, without those that end an answer.

    Source: Lightman et al. (2023), Let's verify step by step, arXiv:2305.20050, section 2.6.
    """

    def promising(states: Sequence[Tokens]) -> list[float]:
        texts = [decode(state).removesuffix(judge.separator) for state in states]
        asked = prompt if isinstance(prompt, str) else tuple(prompt)
        found = judge([Trace(prompt=asked, completion=text) for text in texts])
        return [0.0 if isinstance(steps, str) else math.prod(p for _, p in steps) for steps in found]

    return promising
