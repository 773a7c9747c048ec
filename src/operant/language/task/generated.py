"""Problems drawn from seeded streams, with a tenth of all problems held out for testing.

Whether a problem is held out is a hash of its prompt and the seed, so that train and test cannot meet however many of
either are drawn, and no list of problems is kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.reward.steps import ExactSteps
from operant.language.reward.trace import Reward
from operant.language.task.task import Demonstration, Example, Lazy, Task

TESTED = 10
"""One in so many problems is held out."""

PATIENCE = 1000
"""Draws for one problem before it is concluded that there are too few."""

MOST = 10**12
"""Examples of a part of a task."""

Problem = TypeVar("Problem")


def held_out(prompt: str, seed: int) -> bool:
    """Whether the problem with this prompt belongs to the test set."""
    return zlib.crc32(f"{seed}/{prompt}".encode()) % TESTED == 0


def draw(
    streams: Streams,
    name: str,
    index: int,
    problem: Callable[[np.random.Generator], Problem],
    prompt: Callable[[Problem], str],
) -> Problem:
    """The problem number `index` of the stream `name` for training: the first draw whose prompt is not held out.

    Raises:
        ConfigError: if there is none in `PATIENCE` draws.
    """
    random = streams.numpy(f"task/{name}", index)
    for _ in range(PATIENCE):
        if not held_out(prompt(sample := problem(random)), streams.seed):
            return sample
    raise ConfigError(f"no problem for training was found in {PATIENCE} draws: make the task larger")


def distinct(
    streams: Streams,
    count: int,
    problem: Callable[[np.random.Generator], Problem],
    prompt: Callable[[Problem], str],
    task: str,
) -> list[Problem]:
    """`count` different problems for testing: draws whose prompts are held out, none twice. `task` is named in errors.

    Raises:
        ConfigError: if there are not so many.
    """
    random = streams.numpy("task/test")
    drawn: dict[str, Problem] = {}
    misses = 0
    while len(drawn) < count:
        sample = problem(random)
        text = prompt(sample)
        if text in drawn or not held_out(text, streams.seed):
            misses += 1
            if misses > PATIENCE:
                raise ConfigError(
                    f"{task}: only {len(drawn)} different test problems were found: ask for fewer (test={len(drawn)}), "
                    "or make the problems larger"
                )
            continue
        drawn[text], misses = sample, 0
    return list(drawn.values())


def make_task(
    name: str,
    streams: Streams,
    problem: Callable[[np.random.Generator], Problem],
    *,
    prompt: Callable[[Problem], str],
    gold: Callable[[Problem], str],
    mistaken: Callable[[Problem], str],
    mistakes: float,
    rewards: Mapping[str, Reward],
    sizes: tuple[int, int, int],
    max_tokens: int,
    solution: Callable[[Problem], str] | None = None,
    step_reward: ExactSteps | None = None,
) -> Task:
    """A task from a way to draw a problem and to write it down.

    Args:
        name: of the task.
        streams: seeded.
        problem: one draw.
        prompt, gold, solution: of a problem; `solution` is `gold` if None.
        mistaken: what a demonstration says in its place when it makes the mistake.
        mistakes: probability of that.
        rewards: by name.
        sizes: examples of train, of test, and demonstrations.
        max_tokens: as in `Task`.
        step_reward: as in `Task`; the steps are those of the solution.

    Raises:
        ConfigError: if `mistakes` is no probability, or a size is out of range.
    """
    if not 0 <= mistakes <= 1:
        raise ConfigError(f"{name}: {mistakes} is no probability of a mistake")
    for part, size in zip(("train", "test", "demonstrations"), sizes, strict=True):
        if not 0 <= size <= MOST:
            raise ConfigError(f"{name}: {part} is {size:,}: give a whole number from 0 to {MOST:,}")
    solved = solution or gold
    train, test, shown = sizes

    def example(sample: Problem) -> Example:
        text = solved(sample)
        steps = {} if step_reward is None else {"steps": text.split(step_reward.separator)}
        return Example(prompt=prompt(sample), gold=gold(sample), solution=text, metadata=steps)

    def demonstration(index: int) -> Demonstration:
        sample = draw(streams, "demonstrations", index, problem, prompt)
        slips = streams.numpy("task/mistakes", index).random() < mistakes
        return Demonstration(prompt=prompt(sample), completion=mistaken(sample) if slips else solved(sample))

    return Task(
        name=name,
        train=Lazy(train, lambda i: example(draw(streams, "train", i, problem, prompt))),
        test=[example(sample) for sample in distinct(streams, test, problem, prompt, name)],
        rewards=rewards,
        demonstrations=Lazy(shown, demonstration),
        max_tokens=max_tokens,
        step_reward=step_reward,
    )
