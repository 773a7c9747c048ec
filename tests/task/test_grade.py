from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from operant.reward import Exact, Trace, reward
from operant.task import Example, Task
from operant.task.grade import Grader


@dataclass(frozen=True)
class Asked:
    id: int


@dataclass(frozen=True)
class Said:
    prompt: Asked
    tokens: tuple[int, ...]
    finish: Literal["stop", "length"] = field(default="stop")


@reward(pure=True)
def shy(trace: Trace) -> float:
    if "x" in trace.completion:
        raise ValueError("an x")
    return float(len(trace.tokens))


def test_completions_become_totals_without_their_stop_token_and_none_where_not_judged():
    examples = [Example(prompt=f"p{i}", gold="ab"[i], solution="ab"[i]) for i in range(2)]
    task = Task(name="t", train=examples, test=examples, rewards={"correct": Exact(), "shy": shy}, weights={"shy": 0.1})
    grader = Grader(task, lambda id: examples[id % 2], lambda tokens: "".join(map(chr, tokens)))
    a, b, x, end = map(ord, "abx.")
    given = [
        Said(Asked(6), (a, end)),
        Said(Asked(7), (a, end)),
        Said(Asked(7), (b,), "length"),
        Said(Asked(0), (x, end)),
    ]
    assert grader(given) == [1.2, 0.2, 1.1, None]
    assert [trace.completion for trace in grader.traces] == ["a", "a", "b", "x"]
    assert [trace.finish for trace in grader.traces] == ["stop", "stop", "length", "stop"]
    assert grader.failed == 1
    assert grader.scores is not None
    assert grader.scores.message.startswith("reward shy raised ValueError: an x")
