"""Tasks of pictures, by name: `operant train grpo vision/count`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.reward.detection import Detection, MeanPrecision
from operant.language.reward.published import plain_mean_precision
from operant.language.reward.spatial import BoxAndPoints, BoxOverlap
from operant.language.reward.trace import Reward
from operant.language.reward.verifiable import Exact, Format
from operant.language.task.task import Demonstration, Example, Lazy, Task
from operant.vision.drawing import labels
from operant.vision.names import name_of, scene_of
from operant.vision.program import run
from operant.vision.questions import HEADS, VALUES, Question, draw_question
from operant.vision.scene import Part, Scene, Style

SEEN = {"colour", "shape"}
"""What questions here are about: the labels of cells tell nothing else."""
HOW: Mapping[str, tuple[str, str]] = {
    "direct": ("Say.", "Answer with the answer alone."),
    "think": ("Think.", "Write how you find it as <think>…</think>, then the answer as <answer>…</answer>."),
    "after": ("Explain.", "Write the answer as <answer>…</answer>, then how you found it as <think>…</think>."),
}
"""What a question ends with, by mode: to a small base, which learns what that means, and to a model of the hub."""
TAGS: Mapping[str, tuple[str, ...]] = {"think": ("think", "answer"), "after": ("answer", "think")}
OTHER = 10**9
"""So many scenes further on is one that is asked about where nothing can be asked about a scene."""
LOOK = " check "
"""Between the two lists of a trace that looks again."""
REWARDS: Mapping[str, Callable[[tuple[str, ...]], Reward]] = {
    "exact": lambda places: Exact(answer=places), "overlap": lambda places: BoxOverlap(answer=places),
    "precision": lambda places: MeanPrecision(answer=places), "precision-published": lambda _: plain_mean_precision,
    "confidence": lambda places: Detection(answer=places), "covered": lambda p: Detection(answer=p, confidence=False),
    "segment": lambda places: BoxAndPoints(answer=places, side=32),
}  # fmt: skip
"""By name, from where an answer stands; those of one place are in pixels of a picture of 32."""


ALL = {*HEADS, "segment"}
"""Heads: those of questions, and `segment`: a box, and two points in it."""


def ask(
    *,
    heads: str = "count",
    split: str = "cogent-a",
    test_split: str = "",
    mode: Literal["direct", "think", "after", "mixed"] = "direct",
    rewarded: str = "exact",
    shuffled: Literal["", "pictures", "answers"] = "",
    worded: bool = False,
    side: int = 32,
    cell: int = 8,
    least: int = 3,
    most: int = 8,
    train: int = 20_000,
    test: int = 500,
    demonstrations: int = 6_000,
    noise: float = 0.15,
    looks: float = 0.5,
    form: float = 1.0,
    seed: int = 0,
) -> Task:
    """How many red squares are there? (R1-V's question, on scenes; other heads of `operant.vision.questions`, too.)

    Args:
        heads: which questions, of `ALL`, as "count relation"; without hops, about colours and shapes.
        split, test_split: of the scenes to learn from (several, as "cogent-a cogent-b", take turns) and of those held
            out; the same where the latter is empty.
        mode: "think" has <think>…</think><answer>…</answer>, in which the cells that count are named, row by letter;
            "after" has the answer first. Demonstrations of "mixed" are of all three.
        rewarded: what an answer is held against its gold by, one of `REWARDS`; "think" and "after" pay the form, too.
        shuffled: controls: a question stands beside the next one's picture, or is paid for the next one's answer.
        worded: whether a question says in full how it is to be answered.
        side, cell, least, most: pixels of a picture and of a cell (0: things stand anywhere), and how many things
            stand in one (`Style`).
        train, test, demonstrations: how many examples.
        noise: share of the demonstrations whose answer is another one, if they do not look twice.
        looks: share of the traces of "mixed" that look twice.
        form: weight of the form.
        seed: of all scenes and questions.

    Raises:
        ConfigError: for settings that are none.
    """
    if mode not in (*HOW, "mixed") or not 0 <= noise < 1 or rewarded not in REWARDS or not {*heads.split()} <= ALL:
        raise ConfigError(
            f"vision/ask: heads {heads!r}, mode {mode!r}, rewarded {rewarded!r}, noise {noise}: take heads of "
            f"{', '.join(HEADS)}, segment; {', '.join(HOW)} or mixed; one of {', '.join(REWARDS)}; a share below 1"
        )
    style = Style(side=side, cell=cell, least=least, most=most)
    its = _Questions(heads.split(), style, Streams(seed), mode, shuffled, worded)
    places = ("tag:answer",) if mode in TAGS else ("whole",)
    return Task(
        name="vision/ask",
        train=Lazy(train, lambda i: its.example("train", "train", split, i)),
        test=[its.example("test", "test", test_split or split, i) for i in range(test)],
        rewards={"correct": REWARDS[rewarded](places), **({"format": Format(tags=TAGS[mode])} if mode in TAGS else {})},
        weights={"format": form} if mode in TAGS else {},
        demonstrations=Lazy(demonstrations, lambda i: its.demonstration(split, train + i, noise, looks)),
        max_tokens=128 if rewarded != "exact" else 8 if mode == "direct" else 64,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Questions:
    """Questions about scenes, each by its number; the settings are those of `ask`."""

    heads: Sequence[str]
    style: Style
    streams: Streams
    mode: str
    shuffled: str
    worded: bool

    @property
    def grid(self) -> int:
        """Pixels of a cell, as traces name it."""
        return self.style.cell or self.style.side // 4

    def asked(self, kind: str, part: Part, of: str, index: int) -> tuple[str, Scene, Question, np.random.Generator]:
        """The name of a scene, the scene, and a question about it."""
        splits, random = of.split(), self.streams.numpy(f"vision/ask/{kind}", index)
        while True:
            name = name_of(self.streams.seed, index, split=splits[index % len(splits)], part=part, style=self.style)
            scene = scene_of(name)
            if (question := _question(random, scene, self.heads)) is not None:
                return name, scene, question, random
            index += OTHER

    def example(self, kind: str, part: Part, of: str, index: int) -> Example:
        """A question with its answer, or with another picture or answer."""
        name, scene, question, _ = self.asked(kind, part, of, index)
        how = "direct" if self.mode == "mixed" else self.mode
        gold, way = gold_of(question), _way(question, scene, self.grid)
        if self.shuffled:
            other, _, its, _ = self.asked(kind, part, of, index + 1)
            name = other if self.shuffled == "pictures" else name
            gold = gold_of(its) if self.shuffled == "answers" else gold
        prompt = _prompt(name, question, how, self.worded)
        return Example(prompt=prompt, gold=gold, solution=_written(way, _answer(gold), how))

    def demonstration(self, of: str, index: int, noise: float, looks: float) -> Demonstration:
        """An answer to imitate, wrong in a share of the cases."""
        name, scene, question, random = self.asked("shown", "train", of, index)
        how = self.mode if self.mode != "mixed" else (*HOW, "think")[int(random.integers(4))]
        told, way = _answer(gold_of(question)), _way(question, scene, self.grid)
        if self.mode == "mixed" and how != "direct" and random.random() < looks:
            way = f"{way}{LOOK}{way}"
        elif random.random() < noise:
            told = _answer(_another(random, gold_of(question)))
        seen = labels(scene, self.style.side // self.grid).tolist()
        prompt = _prompt(name, question, how, self.worded)
        return Demonstration(prompt=prompt, completion=_written(way, told, how), cells=seen)


def _question(random: np.random.Generator, scene: Scene, heads: Sequence[str]) -> Question | None:
    """A question about colours and shapes; None where none was found."""
    for _ in range(200):
        head = heads[int(random.integers(len(heads)))]
        found = draw_question(random, scene, "refer" if head == "segment" else head, hops=0)
        if found is not None and all(_of_what(step) <= SEEN for step in found.program):
            return replace(found, head=head)
    return None


def _of_what(step: Sequence[Any]) -> set[str]:
    return {*step[1]} if step[0] == "filter" else {step[1]} if step[0] == "query" else set()


def _prompt(name: str, question: Question, how: str, worded: bool) -> Any:
    parts = [{"type": "image", "image": name}, {"type": "text", "text": f"{question.text} {HOW[how][worded]}"}]
    return ({"role": "user", "content": parts},)


def gold_of(question: Question) -> Any:
    """What a reward holds the answer against: boxes as lists, all else as it is written."""
    if question.head == "segment":
        x0, y0, x1, y1 = cast("list[int]", question.answer)
        at = [[x0 + (x1 - x0) * k // 4, (y0 + y1) // 2] for k in (1, 3)]
        return {"box": question.answer, "points": at}
    return question.answer if isinstance(question.answer, list) else question.written


def _answer(gold: Any) -> str:
    return gold if isinstance(gold, str) else json.dumps(gold, separators=(",", ":"))


def _way(question: Question, scene: Scene, cell: int) -> str:
    """The cells of what each step finds: "b2 c4", "a1 / -"."""

    def named(found: Sequence[int]) -> str:
        at = sorted((int(y) // cell, int(x) // cell) for x, y in (scene.things[i].centre for i in found))
        return " ".join(f"{'abcdefghijklmnop'[row]}{column + 1}" for row, column in at) or "-"

    steps = zip(question.program, run(question.program, scene).found, strict=True)
    return " / ".join(named(found) for step, found in steps if step[0] == "filter")


def _another(random: np.random.Generator, gold: Any) -> Any:
    """An answer of the same kind that is not right."""
    if isinstance(gold, dict):
        return gold | {"box": _another(random, gold["box"])}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(gold, list):
        return gold[1:] if gold and isinstance(gold[0], list) else [x + int(random.integers(1, 4)) for x in gold]  # pyright: ignore[reportUnknownVariableType]
    if gold.isdigit():
        return str(int(gold) + (1 if gold == "0" or random.random() < 0.5 else -1))
    kinds = (("yes", "no"), *VALUES.values())
    others = [x for kind in kinds if gold in kind for x in kind if x != gold]
    return others[int(random.integers(len(others)))]


def _written(way: str, answer: str, how: str) -> str:
    tagged = {"direct": answer, "think": f"<think>{way}</think><answer>{answer}</answer>"}
    return tagged.get(how, f"<answer>{answer}</answer><think>{way}</think>")
