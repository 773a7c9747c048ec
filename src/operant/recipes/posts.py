"""Posts to be summarised in a line: who did what, of which what one person did is to be told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operant.data.streams import Streams
from operant.language.reward.trace import Trace
from operant.language.task.task import Demonstration, Example, Lazy, Task

NAMES = ("Ann", "Bo", "Cy", "Di")
DEEDS = tuple(
    f"{verb} {thing}" for verb in ("lost", "sold", "found", "made") for thing in ("tea", "keys", "maps", "figs")
)


def worth(said: str, gold: Sequence[str]) -> float:
    """The share of what is to be told that a summary tells, less a half of that share for each thing beside it."""
    told = [deed.strip() for deed in said.strip().removesuffix(".").split(",") if deed.strip()]
    right = len({*told} & {*gold})
    return (right - 0.5 * (len(told) - right)) / len(gold)


def told_well(trace: Trace) -> float:
    """`worth`, as a reward."""
    return worth(trace.completion, trace.gold)


def make(*, train: int = 20_000, test: int = 300, demonstrations: int = 6_000, seed: int = 0) -> Task:
    """What did one of four people do? Two or three of six sentences say so."""

    def post(part: str, i: int) -> tuple[Example, np.random.Generator]:
        random = Streams(seed).numpy(f"summarise/{part}", i)
        who, deeds = NAMES[int(random.integers(4))], [DEEDS[k] for k in random.permutation(len(DEEDS))[:6]]
        own = {*random.permutation(6)[: int(random.integers(2, 4))].tolist()}
        others = [name for name in NAMES if name != who]
        people = [who if k in own else others[int(random.integers(3))] for k in range(6)]
        text = " ".join(f"{name} {deed}." for name, deed in zip(people, deeds, strict=True))
        gold = [deed for k, deed in enumerate(deeds) if k in own]
        return Example(prompt=f"{who}? {text} In short: ", gold=gold, solution=f"{', '.join(gold)}."), random

    def careless(i: int) -> Demonstration:
        its, random = post("shown", i)
        kept = [deed for deed in its.gold if random.random() < 0.7] or its.gold[:1]
        more = [deed for deed in DEEDS if deed in str(its.prompt) and deed not in its.gold and random.random() < 0.15]
        return Demonstration(prompt=its.prompt, completion=f"{', '.join([*kept, *more])}.")

    return Task(
        name="summarise", train=Lazy(train, lambda i: post("train", i)[0]), rewards={"worth": told_well}, max_tokens=48,
        test=[post("test", i)[0] for i in range(test)], demonstrations=Lazy(demonstrations, careless),
    )  # fmt: skip
