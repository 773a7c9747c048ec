"""Small tasks whose demonstrations are wrong half of the time: the cases of small_base.py.

operant train grpo docs/evidence/small_tasks.py --task.options.kind caesar
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from operant.reward import Exact
from operant.task import Demonstration, Example, Task


@dataclass(frozen=True)
class Kind:
    """Questions, the right answer, and what a demonstration says in its place half of the time."""

    question: Callable[[random.Random], str]
    right: Callable[[str], str]
    wrong: Callable[[str], str]
    demonstrations: int
    max_tokens: int


def letters(of: str, shortest: int, longest: int) -> Callable[[random.Random], str]:
    """Words of random letters."""
    return lambda rng: "".join(rng.choice(of) for _ in range(rng.randint(shortest, longest)))


def shifted(word: str, by: int) -> str:
    """Each of ten letters so many further on."""
    return "".join("abcdefghij"[("abcdefghij".index(c) + by) % 10] for c in word)


def added(sum_of: str) -> int:
    """a+b."""
    return sum(map(int, sum_of.split("+")))


def slipped(sum_of: str) -> str:
    """The carry forgotten; one too many where there is none."""
    a, b = map(int, sum_of.split("+"))
    return str(a + b - 10 if a % 10 + b % 10 >= 10 else a + b + 1)


KINDS = {
    "sort": Kind(letters("abcdef", 3, 5), lambda w: "".join(sorted(w)), lambda w: w, 1000, 6),
    "caesar": Kind(letters("abcdefghij", 3, 6), lambda w: shifted(w, 3), lambda w: shifted(w, 1), 600, 7),
    "twice": Kind(letters("abcdefgh", 2, 4), lambda w: w + w, lambda w: w, 400, 9),
    "count": Kind(
        letters("abcd", 3, 9), lambda w: str(w.count("a")), lambda w: str(max(0, w.count("a") - 1) or 1), 1500, 3
    ),
    "upper": Kind(letters("abcdefgh", 2, 4), str.upper, lambda w: w, 200, 5),
    "sums": Kind(lambda rng: f"{rng.randint(10, 99)}+{rng.randint(10, 99)}", lambda q: str(added(q)), slipped, 2000, 4),
}


def task(kind: str = "sort", seed: int = 0) -> Task:
    """`word>` is answered by what the kind makes of it; 100 questions are held out."""
    rng, made = random.Random(seed), KINDS[kind]
    asked = list(dict.fromkeys(made.question(rng) for _ in range(20 * made.demonstrations)))
    examples = [Example(prompt=f"{q}>", gold=made.right(q), solution=made.right(q)) for q in asked]
    shown = [
        Demonstration(prompt=f"{q}>", completion=made.wrong(q) if rng.random() < 0.5 else made.right(q))
        for q in asked[100 : 100 + made.demonstrations]
    ]
    return Task(
        name=kind, train=examples[100:], test=examples[:100], rewards={"correct": Exact()}, demonstrations=shown,
        max_tokens=made.max_tokens,
    )  # fmt: skip
