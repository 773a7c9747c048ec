"""Any task of reasoning-gym (arXiv:2505.24760): generated problems, each with its own verifier."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are
from operant.data.streams import Streams
from operant.language.reward.answer import answer_of, check_places
from operant.language.reward.trace import GoldError, Trace
from operant.language.task.generated import distinct, draw
from operant.language.task.task import Example, Lazy, Task

SIZE = 2**20
"""Problems that there are of each task and seed."""

INSTRUCTION = "Give your answer as <answer>...</answer>."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningGym:
    """What reasoning-gym's own verifier gives the answer, in [0, 1].

    Many of those verifiers give part of the point for an answer that merely holds the right one, or has its shape: a
    list of all answers would score. So what is not fully right is 0, unless `partial`.

    Args:
        name: of the task.
        config: its settings, as JSON.
        seed: of the data set; the problem is `metadata["index"]` in it.
        answer: where the answer stands; see `operant.language.reward.answer`.
        partial: whether part of a point counts.
    """

    name: str
    config: str
    seed: int
    answer: tuple[str, ...] = ("tag:answer",)
    partial: bool = False

    pure: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_places(self.answer)

    def prepare(self) -> None:
        """Load reasoning-gym."""
        _data(self.name, self.config, self.seed)

    def __call__(self, trace: Trace) -> float:
        data = _data(self.name, self.config, self.seed)
        entry = data[int(trace.metadata["index"])]
        if entry["answer"] is not None and trace.gold != str(entry["answer"]):
            raise GoldError(f"problem {trace.metadata['index']} has another answer here: is reasoning-gym the same?")
        text = answer_of(trace, self.answer)
        if not text:
            return 0.0
        value = float(data.score_answer(text, entry))
        return value if self.partial else float(value >= 1.0)


def reasoning_gym(
    name: str,
    *,
    train: int = 10_000,
    test: int = 200,
    seed: int = 0,
    chat: bool = False,
    instruction: str = INSTRUCTION,
    partial: bool = False,
    **config: Any,
) -> Task:
    """One of reasoning-gym's tasks.

    Args:
        name: as `reasoning_gym.create_dataset` takes it.
        train, test: how many problems. Those of `test` occur in the other in no wording.
        seed: of both.
        chat: whether the prompt is a user's message for a chat template, or a text that ends with a line break.
        instruction: after the question, on a line of its own.
        partial: see `ReasoningGym`.
        config: the settings of that task.

    Raises:
        ConfigError: if reasoning-gym is not installed, or does not know the task or its settings.
    """
    settings = json.dumps(config, sort_keys=True)
    data = _data(name, settings, seed)

    def index(random: np.random.Generator) -> int:
        return int(random.integers(SIZE))

    def question(at: int) -> str:
        return str(data[at]["question"])

    def example(at: int) -> Example:
        entry = data[at]
        text = f"{entry['question']}\n{instruction}" if instruction else str(entry["question"])
        gold = "" if entry["answer"] is None else str(entry["answer"])
        return Example(
            prompt=({"role": "user", "content": text},) if chat else f"{text}\n",
            gold=gold,
            solution=f"<answer>{gold}</answer>" if gold else "",
            metadata={"index": at},
        )

    streams = Streams(seed)
    return Task(
        name=f"reasoning-gym:{name}",
        train=Lazy(train, lambda i: example(draw(streams, "train", i, index, question))),
        test=[example(at) for at in distinct(streams, test, index, question, f"reasoning-gym:{name}")],
        rewards={"correct": ReasoningGym(name=name, config=settings, seed=seed, partial=partial)},
    )


@lru_cache(maxsize=8)
def _data(name: str, config: str, seed: int) -> Any:
    try:
        import reasoning_gym as gym
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise ConfigError(
            "reasoning-gym tasks need a package that is not installed: run pip install reasoning-gym"
        ) from error
    if name not in DATASETS:
        raise ConfigError(f"reasoning-gym has no task {name!r}{nearest_are(name, DATASETS)}")
    try:
        return gym.create_dataset(name, size=SIZE, seed=seed % 2**31, **json.loads(config))
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigError(f"reasoning-gym:{name} does not take {config}: {error}") from error
