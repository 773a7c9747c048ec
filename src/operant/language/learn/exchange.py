"""Exchanges with a model: messages where it has a chat template, plain text where it has none."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from operant.config.errors import ConfigError
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Prompt, Sampling
from operant.language.sample.sampling import no_room
from operant.language.text.conversation import Encoded, Message, Text
from operant.language.text.packing import padded
from operant.language.text.rendering import rendering_of


def user_turn(tokenizer: Any, prompt: str) -> Text:
    """A prompt as it is put to the model: messages with a chat template, else text."""
    asked: list[Message] = [{"role": "user", "content": prompt}]
    return asked if tokenizer.chat_template is not None else plain_dialogue(asked)


def reply_prefix(tokenizer: Any) -> str:
    """What stands before an answer: a blank in plain text, nothing with a chat template."""
    return "" if tokenizer.chat_template is not None else " "


def prompt_tokens(model: LanguageModel, messages: Sequence[Message]) -> list[int]:
    """The tokens of an exchange, up to where the model speaks."""
    rendering = rendering_of(model.tokenizer)
    if model.tokenizer.chat_template is not None:
        return rendering.turns(messages, prompt=True)
    return rendering.text(plain_dialogue(messages))


def generate_replies(
    engine: Engine,
    sampling: Sampling,
    dialogues: Sequence[Sequence[Message] | None],
    *,
    first_id: int = 0,
    samples: int = 1,
) -> list[str | None]:
    """What a model says next in each exchange, `samples` answers of it one after the other.

    Args:
        engine: samples from the model.
        sampling: how.
        dialogues: whose last message asks; None where nothing does.
        first_id: the prompt id of the first, which keys its samples.
        samples: answers of each.

    Returns:
        None where nothing asks, or an exchange leaves no room for an answer: a warning counts the latter.

    Raises:
        ConfigError: if none leaves room.
    """
    room, model = engine.policy.max_positions - sampling.max_tokens, engine.policy
    asked = {i: tuple(prompt_tokens(model, d)) for i, d in enumerate(dialogues) if d is not None}
    lengths = {i: len(tokens) for i, tokens in asked.items() if not 0 < len(tokens) <= room}
    if lengths:
        why = no_room({i: lengths[i] for i in [*lengths][:1]}, sampling.max_tokens, model.max_positions)
        of = f"{len(lengths):,} of {len(asked):,} exchanges"
        if len(lengths) == len(asked):
            raise ConfigError(f"{of} cannot be answered, the first that of prompt {next(iter(lengths))}: {why}")
        warnings.warn(f"{of} are left out, the first that of prompt {next(iter(lengths))}: {why}", stacklevel=2)
    prompts = [Prompt(id=first_id + i, tokens=tokens) for i, tokens in asked.items() if i not in lengths]
    done = iter(engine.generate(prompts, sampling, samples=samples))
    return [
        reply_text(model, next(done).tokens, sampling.stop) if i in asked and i not in lengths else None
        for i in range(len(dialogues))
        for _ in range(samples)
    ]


def reply_text(model: LanguageModel, tokens: Sequence[int], stop: Sequence[int]) -> str:
    """A completion as text, without its stop token."""
    text = tokens[:-1] if tokens and tokens[-1] in stop else tokens
    return str(model.tokenizer.decode(list(text), skip_special_tokens=True)).strip()


def comparison(prompt: str, a: str, b: str, question: str) -> str:
    """A question that puts two answers to a prompt side by side, as (A) and (B)."""
    exchange = plain_dialogue([{"role": "user", "content": prompt}])
    return f"Consider this exchange:\n\n{exchange}\n\n{question}\n(A) {a}\n(B) {b}"


@torch.no_grad()
def probability_of_first(model: LanguageModel, asked: str) -> float:
    """π(A) / (π(A) + π(B)) as the word after "The answer is: (", whatever number of tokens each letter takes.

    NaN where the model has not as many positions.
    """
    start = [*prompt_tokens(model, [{"role": "user", "content": asked}])]
    following = rendering_of(model.tokenizer).following
    lead = following("The answer is: (")
    rows: list[Encoded] = []
    for letter in "AB":
        word = following(letter)
        tokens = (*start, *lead, *word)
        rows.append(Encoded(tokens=tokens, acted=(False,) * (len(tokens) - len(word) - 1) + (True,) * len(word)))
    if max(len(r.tokens) for r in rows) > model.max_positions:
        return math.nan
    read = padded(rows, model.tokenizer.pad_token_id).to(model.device)
    logp = model.evaluate(read.tokens, read.acted)[0].sum(-1)  # [2]
    return float(logp.softmax(0)[0])


def plain_dialogue(messages: Sequence[Message]) -> str:
    """An exchange as plain text, open for the next answer where the last message asks for one."""
    who = {"user": "Human", "assistant": "Assistant", "system": "System"}
    text = "\n\n".join(f"{who[m['role']]}: {m['content']}" for m in messages)
    return text + "\n\nAssistant:" if messages[-1]["role"] == "user" else text
