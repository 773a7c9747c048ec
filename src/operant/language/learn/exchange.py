"""Exchanges with a model: messages where it has a chat template, plain text where it has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from operant.config.errors import ConfigError
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Prompt, Sampling
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
    asked = [Prompt(id=first_id + i, tokens=tuple(prompt_tokens(engine.policy, d))) for i, d in enumerate(dialogues)]
    return [
        reply_text(engine.policy, c.tokens, sampling.stop) for c in engine.generate(asked, sampling, samples=samples)
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
    """π(A) / (π(A) + π(B)) as the word after "The answer is: (", whatever number of tokens each letter takes."""
    start = [*prompt_tokens(model, [{"role": "user", "content": asked}])]
    following = rendering_of(model.tokenizer).following
    lead = following("The answer is: (")
    rows: list[Encoded] = []
    for letter in "AB":
        word = following(letter)
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


def plain_dialogue(messages: Sequence[Message]) -> str:
    """An exchange as plain text, open for the next answer where the last message asks for one."""
    who = {"user": "Human", "assistant": "Assistant", "system": "System"}
    text = "\n\n".join(f"{who[m['role']]}: {m['content']}" for m in messages)
    return text + "\n\nAssistant:" if messages[-1]["role"] == "user" else text
