"""Which prompts a model can answer, looked at before the first step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from operant.config.errors import ConfigError
from operant.language.sample.sampling import no_room
from operant.language.task.task import Lazy, Task, example_at
from operant.language.text.conversation import Text
from operant.language.text.pictures import pictures_in, spoken

LOOKED = 1_000
"""Examples that are looked at, at even distances, of those that are made when they are asked for."""


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
        said = len(prompt) if isinstance(prompt, str) else sum(len(spoken(m)) for m in prompt)
        seen = not isinstance(prompt, str) and bool(pictures_in(prompt))
        if overhead and not seen and 0 < 16 * said <= positions - limit - overhead:
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
