"""Tasks of pictures, by name: `operant train grpo vision/count`."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.reward.verifiable import Exact
from operant.language.task.task import Demonstration, Example, Lazy, Task
from operant.vision.drawing import labels
from operant.vision.names import name_of, scene_of
from operant.vision.questions import phrase, some_named
from operant.vision.scene import Part, Style

KINDS = (("colour",), ("shape",), ("colour", "shape"))


def count(
    *,
    split: str = "cogent-a",
    test_split: str = "",
    mode: Literal["direct", "think"] = "direct",
    side: int = 32,
    cell: int = 8,
    least: int = 3,
    most: int = 8,
    train: int = 20_000,
    test: int = 500,
    demonstrations: int = 6_000,
    noise: float = 0.15,
    seed: int = 0,
) -> Task:
    """How many red squares are there? (R1-V's question, on scenes.)

    Args:
        split, test_split: of the scenes to learn from and of those held out; the same where the latter is empty.
        mode: "think" names the cells that count before the number, row by letter: "b2 c4 = 2".
        side, cell, least, most: pixels of a picture and of a cell, and how many things stand in one (`Style`).
        train, test, demonstrations: how many examples.
        noise: share of the demonstrations whose answer is another number.
        seed: of all scenes and questions.

    Raises:
        ConfigError: for settings that are none.
    """
    if mode not in ("direct", "think") or not 0 <= noise < 1:
        raise ConfigError(f"vision/count: mode {mode!r}, noise {noise}: take direct or think, and a share below 1")
    style = Style(side=side, cell=cell, least=least, most=most)
    streams = Streams(seed)

    def example(kind: str, part: Part, of: str, index: int) -> tuple[Example, np.random.Generator, str]:
        name = name_of(seed, index, split=of, part=part, style=style)
        random = streams.numpy(f"vision/count/{kind}", index)
        made, way = _asked(name, random, cell, think=mode == "think")
        return made, random, way

    def demonstration(index: int) -> Demonstration:
        made, random, way = example("shown", "train", split, train + index)
        told = made.gold
        if random.random() < noise:
            told = str(int(made.gold) + (1 if made.gold == "0" or random.random() < 0.5 else -1))
        name = made.prompt[0]["content"][0]["image"]  # pyright: ignore[reportArgumentType]
        seen = labels(scene_of(str(name)), side // cell).tolist()
        return Demonstration(prompt=made.prompt, completion=f"{way}{told}", cells=seen)

    return Task(
        name="vision/count",
        train=Lazy(train, lambda i: example("train", "train", split, i)[0]),
        test=[example("test", "test", test_split or split, i)[0] for i in range(test)],
        rewards={"correct": Exact(answer=("after:=",) if mode == "think" else ("whole",))},
        demonstrations=Lazy(demonstrations, demonstration),
        max_tokens=4 if mode == "direct" else 40,
    )


def _asked(name: str, random: np.random.Generator, cell: int, *, think: bool) -> tuple[Example, str]:
    """A question about a scene, and the way to its answer; empty where there is none to be written."""
    scene, keys = scene_of(name), KINDS[int(random.integers(3))]
    named = some_named(random, scene, 4)
    while not {*keys} <= {*named}:
        named = some_named(random, scene, 4)
    asked = {k: named[k] for k in keys}
    there = [t for t in scene.things if all(t.attribute(k) == v for k, v in asked.items())]
    cells = sorted("abcdefghijklmnop"[int(t.centre[1]) // cell] + str(int(t.centre[0]) // cell + 1) for t in there)
    parts: list[dict[str, Any]] = [
        {"type": "image", "image": name},
        {"type": "text", "text": f"How many {phrase(asked, many=True)} are there?"},
    ]
    way = " ".join([*cells, "= "]) if think else ""
    gold = str(len(there))
    return Example(prompt=({"role": "user", "content": parts},), gold=gold, solution=f"{way}{gold}"), way
