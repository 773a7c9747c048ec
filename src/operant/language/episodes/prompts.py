"""Which prompts a model can answer, looked at before the first step, and the order in which they are drawn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.sample.sampling import Prompt
from operant.language.task.task import Lazy, Task, example_at
from operant.language.text.conversation import Text

LOOKED = 1_000
"""Examples that are looked at, at even distances, of those that are made when they are asked for."""


class Prompts:
    """An endless draw from a list of prompts: every one once before any a second time, in an order of the seed.

    Each draw has an id of its own, which keys its randomness. `drawn` is the whole state.
    """

    def __init__(self, tokens: Sequence[Sequence[int]], *, seed: int) -> None:
        self._tokens, self._seed, self._told = tokens, seed, False
        self.drawn = 0

    def example(self, drawn: int) -> int:
        """Which of the prompts the draw of this id is."""
        epoch, index = divmod(drawn, len(self._tokens))
        return int(Streams(self._seed).numpy("prompts", epoch).permutation(len(self._tokens))[index])

    def __call__(self, n: int, positions: int | None = None, limit: int = 0) -> list[Prompt]:
        """The next n that leave room for a completion of `limit` tokens in so many positions; others are passed over.

        Raises:
            ConfigError: if none does.
        """
        found: list[Prompt] = []
        lengths: dict[int, int] = {}
        while len(found) < n:
            at = self.example(self.drawn)
            tokens = tuple(self._tokens[at])
            self.drawn += 1
            if positions is None or 0 < len(tokens) <= positions - limit:
                found.append(Prompt(id=self.drawn - 1, tokens=tokens))
                continue
            lengths[at] = len(tokens)
            if len(lengths) == len(self._tokens):
                raise ConfigError(f"no prompt can be answered: {no_room(lengths, limit, positions)}")
        if lengths and positions is not None and not self._told:
            self._told = True
            warnings.warn(
                f"prompts are passed over, the first {next(iter(lengths))}: {no_room(lengths, limit, positions)}",
                stacklevel=2,
            )
        return found


def no_room(lengths: dict[int, int], limit: int, positions: int) -> str:
    """Why prompts of so many tokens, by number, cannot be answered, and the one thing to do."""
    longest = max(lengths.values())
    if min(lengths.values()) == 0:
        empty = next(i for i, length in lengths.items() if length == 0)
        return f"prompt {empty} is empty, and there is nothing to go on from. Give it a text"
    shortest = min(lengths.values())
    why = (
        f"{longest:,} tokens and a completion of up to {limit:,} are more than the {positions:,} positions of the model"
    )
    if longest < positions:
        return f"{why}. Set sampling.max_tokens to {positions - longest} at most, or shorten the prompt"
    if shortest < positions:
        return f"{why}. Shorten them, or set sampling.max_tokens to {positions - shortest} for the shortest"
    return f"{why}. Shorten the prompts, or take a model with more positions"


def answerable(
    task: Task, kind: Literal["train", "test"], encode: Callable[[Text], Sequence[int]], *, positions: int, limit: int
) -> Task:
    """A task without the examples of `kind` whose prompt leaves no room for a completion; a warning counts them.

    Every example is looked at, but for those of train that are made when they are asked for: some of these, and the
    rest when they are drawn.

    Args:
        task: whose examples.
        kind: which of them.
        encode: a prompt's tokens.
        positions: of the model.
        limit: tokens of a completion.

    Raises:
        ConfigError: if an example cannot be made or read, naming it, or none can be answered.
    """
    examples, name = getattr(task, kind), f"{task.name}, {kind}"
    lazy = kind == "train" and isinstance(examples, Lazy)
    step = max(1, len(examples) // LOOKED) if lazy else 1
    lengths: dict[int, int] = {}
    looked, overhead = range(0, len(examples), step), 0
    for i in looked:
        prompt = example_at(examples, i, name).prompt
        said = len(prompt) if isinstance(prompt, str) else sum(len(m["content"]) for m in prompt)
        if overhead and 0 < 16 * said <= positions - limit - overhead:
            continue  # no text has so many tokens
        try:
            length = len(encode(prompt))
        except (ConfigError, ValueError, TypeError) as error:  # half of a character is no text
            raise ConfigError(f"{name}[{i}]: its prompt cannot be read: {error}") from error
        overhead = overhead or 4 * length
        if not 0 < length <= positions - limit:
            lengths[i] = length
    if not lengths:
        return task
    if len(lengths) == len(looked):
        why = no_room(lengths, limit, positions)
        raise ConfigError(f"none of the {len(looked):,} prompts of {name} can be answered: {why}")
    first = next(iter(lengths))
    why = no_room({first: lengths[first]}, limit, positions)
    warnings.warn(
        f"{len(lengths):,} of {len(looked):,} prompts of {name} are left out, the first {name}[{first}]: {why}",
        stacklevel=2,
    )
    if lazy:
        return task
    kept = [examples[i] for i in looked if i not in lengths]
    return replace(task, train=kept) if kind == "train" else replace(task, test=kept)
