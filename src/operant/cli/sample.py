"""`operant sample`: what a language model writes after a prompt."""

from __future__ import annotations

import argparse
import queue
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from operant.cli.say import say
from operant.config.errors import ConfigError, OperantError
from operant.config.streams import is_terminal
from operant.config.text import clean
from operant.config.write import json_text
from operant.language.serve.speaker import compile_ahead, prompt_of, sampling_of, seed_of, speaker

if TYPE_CHECKING:
    from operant.language.model.language_model import LanguageModel
    from operant.language.serve.scheduler import Delta, Token

MOST = 256
"""Tokens of a completion where no flag says how many."""


@dataclass(slots=True)
class Said:
    """One completion."""

    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    finish: str = ""
    drawn: int = 0


def verb(args: argparse.Namespace) -> None:
    """Sample, and print the completions."""
    text = _read() if args.prompt == "-" else args.prompt
    name, policy = speaker(args)
    seed = seed_of(args)
    said, prompt = sample(args, policy, text, seed)
    if args.json:
        found = _json(args, name, policy, text, prompt, seed, said)
        print(json_text(found, ascii_only=is_terminal(sys.stdout)))
        return
    _print(said)
    again = "" if args.seed is not None else f"The same again: --seed {seed}. "
    say(f"{again}Token by token, with log-probabilities: --json")


def sample(args: argparse.Namespace, policy: LanguageModel, text: str, seed: int) -> tuple[list[Said], tuple[int, ...]]:
    """The completions of a text, and the tokens of the prompt.

    Raises:
        ConfigError: if the prompt cannot be gone on from.
        OperantError: if the model fails.
    """
    from operant.language.serve.scheduler import Ask, Scheduler
    from operant.language.text.rendering import rendering_of

    messages = [{"role": "user", "content": text}]
    prompt = prompt_of(policy, messages if args.chat else text)
    if found := rendering_of(policy.tokenizer).control.search(text):
        say(f"{found[0]} in the prompt is text: only a chat template writes control tokens.")
    news: queue.SimpleQueue[Delta] = queue.SimpleQueue()
    stops = tuple(stop.replace("\\n", "\n").replace("\\t", "\t") for stop in args.stop)
    if "" in stops:
        raise ConfigError("--stop is empty: give a text that ends a completion")
    ask = Ask(
        tokens=prompt, sampling=sampling_of(args, policy, len(prompt), MOST, chat=args.chat), seed=seed,
        samples=args.samples, stops=stops, tell=news.put, follows=not args.chat,
    )  # fmt: skip
    said = [Said() for _ in range(args.samples)]
    compile_ahead(policy)
    with Scheduler(policy, slots=64, waiting=args.samples) as scheduler:
        scheduler.submit(ask)
        left = args.samples
        while left:
            delta = news.get()
            if delta.error:
                raise OperantError(delta.error)
            one = said[delta.sample]
            one.text += delta.text
            one.tokens += delta.tokens
            one.drawn = delta.drawn
            if delta.finish:
                one.finish = delta.finish
                left -= 1
    return said, prompt


def _read() -> str:
    """Standard input; the newline that ends its last line is no part of the prompt."""
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"standard input is not UTF-8 text ({error})") from None


def _print(said: list[Said]) -> None:
    from rich.console import Console
    from rich.rule import Rule

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    for i, one in enumerate(said):
        if len(said) > 1:
            logp = sum(token.logp for token in one.tokens)
            about = f"{i + 1} of {len(said)}: {one.drawn} tokens, {_ended(one)}, log-probability {logp:.2f}"
            console.print(Rule(about, align="left", style="dim") if console.is_terminal else f"--- {about}")
        print(clean(one.text) if console.is_terminal else one.text, flush=True)


def _ended(one: Said) -> str:
    return "ended" if one.finish == "stop" else "cut"


def _json(
    args: argparse.Namespace, name: str, policy: LanguageModel, text: str, prompt: tuple[int, ...], seed: int,
    said: list[Said],
) -> dict[str, Any]:  # fmt: skip
    from operant.language.serve.detokenize import Spelling

    spell = Spelling(policy.tokenizer)
    return {
        "model": name,
        "prompt": text,
        "prompt_tokens": list(prompt),
        "seed": seed,
        "temperature": args.temperature,
        "completions": [
            {
                "text": one.text,
                "finish": one.finish,
                "drawn": one.drawn,
                "tokens": [t.id for t in one.tokens],
                "pieces": [spell(t.id) for t in one.tokens],
                "logp": [t.logp for t in one.tokens],
                "kept": [t.kept for t in one.tokens],
            }
            for one in said
        ],
    }
