"""Grade-school math word problems (Cobbe et al. 2021, arXiv:2110.14168) from their JSONL files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError
from operant.data.jsonl import lines
from operant.language.reward.verifiable import Numeric
from operant.language.task.task import Demonstration, Example, Task

MARK = "####"
"""What stands before the answer in the data set's own solutions."""


def verifier(mark: str = MARK) -> Numeric:
    """The number after the last `mark`, to the end of its line, equals the gold; thousands separators aside."""
    return Numeric(answer=(f"after:{mark}",))


def gsm8k(*, folder: str = "", chat: bool = False, instruction: str = "", mark: str = MARK) -> Task:
    """The task: 7,473 problems to learn from, 1,319 held out.

    Args:
        folder: with train.jsonl and test.jsonl; `$OPERANT_DATA/gsm8k` if empty.
        chat: whether the prompt is a user's message for a chat template, or the question and a line break.
        instruction: stands after the question, on a line of its own.
        mark: what stands before the answer; the solutions of the data set are rewritten to it.

    Raises:
        ConfigError: if the files are missing, or a line is not what it should be; names file and line.
    """
    place = Path(folder or Path(os.environ.get("OPERANT_DATA", "")) / "gsm8k")
    if not folder and "OPERANT_DATA" not in os.environ:
        raise ConfigError("gsm8k needs its files: set OPERANT_DATA to the folder that holds gsm8k, or give folder=…")

    def example(where: str, row: dict[str, Any]) -> Example:
        question, answer = _texts(row, where)
        way, found, gold = answer.rpartition(MARK)
        if not found:
            raise ConfigError(f"{where}: the answer has no {MARK}")
        text = f"{question}\n{instruction}" if instruction else question
        return Example(
            prompt=({"role": "user", "content": text},) if chat else f"{text}\n",
            gold=gold.strip(),
            solution=f"{way}{mark} {gold.strip()}",
            metadata={"where": where},
        )

    train, test = ([example(*line) for line in lines(place / f"{part}.jsonl")] for part in ("train", "test"))
    return Task(
        name="gsm8k",
        train=train,
        test=test,
        rewards={"correct": verifier(mark)},
        demonstrations=[Demonstration(prompt=e.prompt, completion=e.solution) for e in train],
        max_tokens=512,
    )


def _texts(row: dict[str, Any], where: str) -> tuple[str, str]:
    for name in ("question", "answer"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ConfigError(f"{where}: there is no text under {name!r}")
    return row["question"], row["answer"]
