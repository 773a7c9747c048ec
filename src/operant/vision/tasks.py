"""Tasks of pictures, by name: `operant train grpo vision/count`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.reward.detection import Criteria, Detection, MeanPrecision
from operant.language.reward.published import (
    criteria_summed,
    mean_confidence,
    plain_mean_precision,
    steps_pay_the_wrong,
    type_pays_alone,
)  # fmt: skip
from operant.language.reward.spatial import Acted, BoxAndPoints, BoxOverlap, Calls, SpanOverlap, Tolerance
from operant.language.reward.steps import KeySteps, StepOrder
from operant.language.reward.trace import Reward
from operant.language.reward.verifiable import ByKind, Every, Exact, Format, Numeric, RelativeAccuracy
from operant.language.task.task import Demonstration, Example, Lazy, Task
from operant.vision.asked import ALL, SHOWN, Asked, Source, draw_asked
from operant.vision.scene import Part, Style

OTHER = 10**9
"""So many scenes further on is one that is asked about where nothing can be asked about a scene."""
LOOK = " check "
"""Between the two lists of a trace that looks again."""
TAG = ("tag:answer",)


@dataclass(frozen=True, slots=True)
class Mode:
    """How an answer is written.

    Attributes:
        short, worded: what a question ends with: to a small base, which learns what that means, and to one of the hub.
        write: from what is asked, the way to its answer and the answer, what is to be written.
        places: where the answer stands.
        form: the reward of the form; None where the answer is all there is.
    """

    short: str
    worded: str
    write: Callable[[Asked, str, str], str]
    places: tuple[str, ...] = TAG
    form: Reward | None = None


STAGES = ("summary", "caption", "reasoning", "conclusion")
"""LLaVA-CoT's (Xu et al. 2024, arXiv:2411.10440)."""


def _steps(asked: Asked, _: str, answer: str) -> str:
    lines = [f"Step {i}: {step}" for i, step in enumerate(asked.keys, 1)]
    return "\n".join(["Rationale:", *lines, f"Answer: <answer>{answer}</answer>"])


def _staged(asked: Asked, way: str, answer: str) -> str:
    said = (asked.head, way.partition(" / ")[0], way, answer)
    return "\n".join(f"<{tag}>{text}</{tag}>" for tag, text in zip(STAGES, said, strict=True))


MODES: Mapping[str, Mode] = {
    "direct": Mode("Say.", "Answer with the answer alone.", lambda _, __, answer: answer, ("whole",)),
    "think": Mode(
        "Think.", "Write how you find it as <think>…</think>, then the answer as <answer>…</answer>.",
        lambda _, way, answer: f"<think>{way}</think><answer>{answer}</answer>", TAG, Format(),
    ),
    "after": Mode(
        "Explain.", "Write the answer as <answer>…</answer>, then how you found it as <think>…</think>.",
        lambda _, way, answer: f"<answer>{answer}</answer><think>{way}</think>", TAG, Format(tags=("answer", "think")),
    ),
    "steps": Mode(
        "Step by step.", "Write a line `Rationale:`, lines `Step 1: …`, and `Answer: <answer>…</answer>`.", _steps, TAG,
        StepOrder(sections=("Rationale:", "Answer:"), step="Step {}:"),
    ),
    "staged": Mode(
        "In stages.",
        "Write <summary>…</summary><caption>…</caption><reasoning>…</reasoning>, <conclusion>…</conclusion>.",
        _staged, ("tag:conclusion",), Format(tags=STAGES),
    ),
}  # fmt: skip
MIXED = "direct think after think"
REWARDS: Mapping[str, Callable[[tuple[str, ...]], Reward]] = {
    "exact": lambda places: Exact(answer=places), "overlap": lambda places: BoxOverlap(answer=places),
    "precision": lambda places: MeanPrecision(answer=places), "precision-published": lambda _: plain_mean_precision,
    "confidence": lambda places: Detection(answer=places), "covered": lambda p: Detection(answer=p, confidence=False),
    "confidence-published": lambda _: mean_confidence, "segment": lambda places: BoxAndPoints(answer=places, side=32),
    "criteria-50": lambda places: Criteria(answer=places, threshold=0.5),
    "criteria-75": lambda places: Criteria(answer=places, threshold=0.75),
    "criteria-published": lambda _: criteria_summed,
    "hard": lambda places: Every(rewards=(Format(), Exact(answer=places))),
    "near": lambda places: Numeric(answer=places, absolute=0.5), "relative": lambda p: RelativeAccuracy(answer=p),
    "tolerance": lambda places: Tolerance(answer=places), "calls": lambda places: Calls(answer=places),
    "calls-whole": lambda places: Calls(answer=places, graded=False), "span": lambda p: SpanOverlap(answer=p),
    "span-hit": lambda places: SpanOverlap(answer=places, threshold=0.9),
    "act": lambda places: Acted(answer=places), "act-published": lambda _: type_pays_alone,
    "steps": lambda places: KeySteps(verdict=Exact(answer=places)), "steps-published": lambda _: steps_pay_the_wrong,
}  # fmt: skip
"""By name, from where an answer stands; those of one place are in pixels of a picture of 32."""


def ask(
    *, heads: str = "count", hops: int = 0, split: str = "cogent-a", test_split: str = "", mode: str = "direct",
    rewarded: str = "exact", shuffled: Literal["", "pictures", "answers", "frames"] = "", shown: str = "photo",
    sure: bool = False, worded: bool = False, side: int = 32, cell: int = 8, least: int = 3, most: int = 8,
    train: int = 20_000, test: int = 500, demonstrations: int = 6_000, noise: float = 0.15, lossy: float = 0.0,
    looks: float = 0.5, form: float = 1.0, seed: int = 0,
) -> Task:  # fmt: skip
    """How many red squares are there? (R1-V's question, on scenes; other heads of `operant.vision.asked`, too.)

    Args:
        heads: which questions, of `ALL`, as "count relation"; those of scenes are about colours and shapes.
        hops: relations and superlatives that a question goes through, where its head has so many; -1: drawn.
        split, test_split: of the scenes to learn from (several, as "cogent-a cogent-b", take turns) and of those held
            out; the same where the latter is empty.
        mode: one of `MODES`: "think" has <think>…</think><answer>…</answer>, in which the cells that count are named,
            row by letter; demonstrations of several, as "direct think", are of all; "mixed" is `MIXED`.
        rewarded: what an answer is held against its gold by, of `REWARDS`, one for all heads or one for each in their
            order; all modes but "direct" pay the form, too.
        shuffled: controls: a question stands beside the picture of the next one of its head, is paid for that one's
            answer, or has its pictures in another order.
        shown: how scenes are: "photo", in "words" alone, or by another apparatus (`SHOWN`); several take turns.
        sure: whether lists of boxes say how sure each is.
        worded: whether a question says in full how it is to be answered.
        side, cell, least, most: pixels of a picture and of a cell (0: things stand anywhere), and how many things
            stand in one (`Style`).
        train, test, demonstrations: how many examples.
        noise: share of the demonstrations whose answer is another one, if they do not look twice.
        lossy: share of a scene's things that whoever demonstrates takes for others.
        looks: share of the traces of several modes that look twice.
        form: weight of the form.
        seed: of all scenes and questions.

    Raises:
        ConfigError: for settings that are none.
    """
    kinds, modes, paid = heads.split(), (MIXED if mode == "mixed" else mode).split(), rewarded.split()
    _check(kinds, modes, paid, shown.split(), noise)
    style, how = Style(side=side, cell=cell, least=least, most=most), MODES[modes[0]]
    its = _Questions(kinds, hops, style, Streams(seed), modes, shuffled, worded, shown.split(), sure)
    long = rewarded != "exact" or modes[0] in ("steps", "staged")
    return Task(
        name="vision/ask",
        train=Lazy(train, lambda i: its.example("train", "train", split, i)),
        test=[its.example("test", "test", test_split or split, i) for i in range(test)],
        rewards={"correct": _verdict(kinds, paid, how.places), **({} if how.form is None else {"format": how.form})},
        weights={} if how.form is None else {"format": form},
        demonstrations=Lazy(demonstrations, lambda i: its.demonstration(split, train + i, noise, lossy, looks)),
        max_tokens=128 if long else 8 if how.form is None else 64,
    )  # fmt: skip


def _check(
    kinds: Sequence[str], modes: Sequence[str], paid: Sequence[str], shown: Sequence[str], noise: float
) -> None:  # fmt: skip
    """Raise ConfigError for settings that are none."""
    for name, given, known in (("heads", kinds, ALL), ("mode", modes, MODES), ("rewarded", paid, REWARDS),
                               ("shown", shown, SHOWN)):  # fmt: skip
        if not given or not {*given} <= {*known}:
            raise ConfigError(f"vision/ask: {name} {' '.join(given)!r}: take of {', '.join(known)}"
                              f"{'; or mixed' * (name == 'mode')}")  # fmt: skip
    if not 0 <= noise < 1 or len(paid) not in (1, len(kinds)):
        raise ConfigError(
            f"vision/ask: noise {noise}, {len(paid)} rewards of {len(kinds)} heads: give a share below 1, and one "
            "reward, or one for each head"
        )


def _verdict(kinds: Sequence[str], paid: Sequence[str], places: tuple[str, ...]) -> Reward:
    """What is paid for an answer: by one reward, or by that of its head."""
    verdicts = [REWARDS[name](places) for name in paid]
    return verdicts[0] if len(paid) == 1 else ByKind(rewards=dict(zip(kinds, verdicts, strict=True)))


@dataclass(frozen=True, slots=True)
class _Questions:
    """Questions about pictures, each by its number; the settings are those of `ask`."""

    heads: Sequence[str]
    hops: int
    style: Style
    streams: Streams
    modes: Sequence[str]
    shuffled: str
    worded: bool
    shown: Sequence[str]
    sure: bool

    def asked(
        self, kind: str, part: Part, of: str, index: int, lossy: float = 0.0
    ) -> tuple[Asked, np.random.Generator]:
        """A question, and what draws the rest of what it needs."""
        splits, random = of.split(), self.streams.numpy(f"vision/ask/{kind}", index)
        while True:
            source = Source(
                seed=self.streams.seed, index=index, split=splits[index % len(splits)], part=part, style=self.style,
                hops=self.hops, shown=self.shown[index // len(splits) % len(self.shown)], lossy=lossy,
            )  # fmt: skip
            if (found := draw_asked(random, source, self.heads)) is not None:
                return found, random
            index += OTHER

    def example(self, kind: str, part: Part, of: str, index: int) -> Example:
        """A question with its answer, or with other pictures or another answer."""
        asked, random = self.asked(kind, part, of, index)
        names, gold = asked.pictures, asked.gold
        if self.shuffled in ("pictures", "answers"):
            later = (self.asked(kind, part, of, index + k)[0] for k in count(1))
            other = next(x for x in later if x.head == asked.head)
            names = other.pictures if self.shuffled == "pictures" else names
            gold = other.gold if self.shuffled == "answers" else gold
        mixed = tuple(names[i] for i in random.permutation(len(names)))
        if self.shuffled == "frames":
            names = mixed
        solution = MODES[self.modes[0]].write(asked, asked.way, _answer(gold, self.sure))
        about: dict[str, Any] = {"kind": asked.head, "key_steps": [*asked.keys]}
        if len(mixed) > 1:
            about["mixed"] = [*_prompt(mixed, asked.text, self.modes[0], self.worded)]
        return Example(
            prompt=_prompt(names, asked.text, self.modes[0], self.worded), gold=gold, solution=solution, metadata=about
        )

    def demonstration(self, of: str, index: int, noise: float, lossy: float, looks: float) -> Demonstration:
        """An answer to imitate, wrong in a share of the cases."""
        asked, random = self.asked("shown", "train", of, index, lossy)
        several = len(self.modes) > 1
        how = self.modes[int(random.integers(len(self.modes)))] if several else self.modes[0]
        gold, way = asked.gold, asked.way
        if how == "steps":  # whoever demonstrates forgets a third of the steps
            asked = replace(asked, keys=tuple(k for k in asked.keys if random.random() < 2 / 3) or asked.keys[-1:])
        if several and how != "direct" and random.random() < looks:
            way = f"{way}{LOOK}{way}"
        elif random.random() < noise:
            gold = _another(random, asked)
        text = MODES[how].write(asked, way, _answer(gold, self.sure, random))
        return Demonstration(prompt=_prompt(asked.pictures, asked.text, how, self.worded), completion=text,
                             cells=asked.cells)  # fmt: skip


def _prompt(names: Sequence[str], text: str, how: str, worded: bool) -> Any:
    end = MODES[how].worded if worded else MODES[how].short
    parts = [*({"type": "image", "image": name} for name in names), {"type": "text", "text": f"{text} {end}"}]
    return ({"role": "user", "content": parts},)


def _answer(gold: Any, sure: bool = False, random: np.random.Generator | None = None) -> str:
    """An answer as it is written; boxes with how sure each is: 1, or what chance says."""
    if isinstance(gold, str):
        return gold
    if isinstance(gold, list) and gold and isinstance(gold[0], str):
        return "; ".join(gold)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(gold, dict) and "action" in gold:
        told: dict[str, Any] = {"action": gold["action"]}
        if "box" in gold:
            x0, y0, x1, y1 = gold["box"]
            told["point"] = [(x0 + x1) // 2, (y0 + y1) // 2]
        gold = told
    elif sure:
        gold = [{"box": b, "confidence": 1 if random is None else int(random.integers(1, 11)) / 10} for b in gold]
    return json.dumps(gold, separators=(",", ":"))


def _another(random: np.random.Generator, asked: Asked) -> Any:
    """An answer of the same kind that is not right."""
    gold = asked.gold
    if isinstance(gold, dict):
        if "action" in gold:
            wrong = {"action": _choice(random, asked.choices, gold["action"])}
            return wrong | {k: v for k, v in gold.items() if k == "box"}
        return gold | {"box": [x + int(random.integers(1, 4)) for x in gold["box"]]}
    if isinstance(gold, list):
        return gold[1:] if gold and not isinstance(gold[0], int) else [x + int(random.integers(1, 4)) for x in gold]
    if asked.choices:
        return _choice(random, asked.choices, gold)
    value = float(gold)
    return f"{value + (1 if value < 1 or random.random() < 0.5 else -1):g}"


def _choice(random: np.random.Generator, of: Sequence[str], but: str) -> str:
    others = [x for x in of if x != but]
    return others[int(random.integers(len(others)))]
