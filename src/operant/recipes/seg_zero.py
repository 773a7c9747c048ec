"""Seg-Zero: a policy points, and a segmenter that is not trained makes the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label  # pyright: ignore[reportUnknownVariableType]

from operant.config.bounded import loads
from operant.language.episodes.rollout_files import RolloutRow
from operant.language.reward.spatial import read_box_and_points
from operant.language.task.task import Task
from operant.recipes.answers import answer
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, THINK, Arm, Stage, Study
from operant.vision.drawing import GROUND, masks, render
from operant.vision.names import scene_of

FAR = 24.0
"""How much, in levels of 255, what is not the ground differs from it."""


def segment(picture: NDArray[np.uint8], said: Any) -> NDArray[np.bool_]:
    """[side, side]: what is connected within a box, unlike the ground, and holds one of two points."""
    place, points = said
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    within = (place[0] <= x) & (x < place[2]) & (place[1] <= y) & (y < place[3])
    unlike = np.abs(picture.astype(float) - GROUND).max(-1) > FAR
    parts: Any = label(within & unlike)[0]  # pyright: ignore[reportUnknownVariableType, reportIndexIssue]
    side = len(picture) - 1
    seeds = {int(parts[min(max(int(v), 0), side), min(max(int(u), 0), side)]) for u, v in points} - {0}
    return np.isin(parts, [*seeds])


def overlap(task: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """gIoU: the mean, over greedy answers, of the overlap between the segmenter's mask and the thing's."""
    found: list[float] = []
    for row in (r for r in rows if r.mode == "greedy"):
        example = task.test[row.prompt_id]
        said = read(answer(task, row))
        scene = scene_of(example.prompt[0]["content"][0]["image"])  # type: ignore[index]
        (true,) = [m for m, t in zip(masks(scene), scene.things, strict=True) if [*t.box] == example.gold["box"]]
        mine = np.zeros_like(true) if said is None else segment(render(scene), said)
        found.append(float((mine & true).sum() / max((mine | true).sum(), 1)))
    return {"giou": float(np.mean(found))}


def read(text: str | None) -> Any:
    """The box and the points of an answer; None where it is none."""
    try:
        return read_box_and_points(loads(text or ""))
    except ValueError:
        return None


STUDY = Study(
    asked={"heads": "segment", "rewarded": "segment"},
    arms={
        "base": Arm("the small base, asked to think", asked=THINK),
        "sft": Arm("imitates right boxes and points", [Stage("sft")]),
        "rl-think": Arm("GRPO, thinks first", [Stage()], THINK),
        "rl-direct": Arm("GRPO, the answer alone", [Stage()]),
        "rl-shuffled": Arm("paid for other questions' answers", [Stage(asked=SHUFFLED)], THINK),
    },
    shown={"heads": "refer detect segment", "split": "cogent-a cogent-b"},
    also=overlap,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """What an arm's boxes and points are worth, and the overlap of the masks that they lead to."""
    return STUDY(t)


RECIPE = Recipe(
    name="seg-zero",
    title="Seg-Zero: a policy that points, and a segmenter that is not trained",
    source="Liu et al. (2025), Seg-Zero: reasoning-chain guided segmentation via cognitive reinforcement, "
    "arXiv:2503.06520",
    paper="Qwen2.5-VL-3B learnt by GRPO alone, without worked traces, to say a box and two points, from which SAM2 "
    "made the mask: gIoU 57.5 on ReasonSeg, without a picture of it, 18 % above LISA-7B.",
    here="The thing that a colour and a shape name, in pictures of 32 pixels, lengths scaled from the paper's 840. "
    "In place of SAM2 a segmenter that fills what is connected in the box, unlike the ground and under a point. "
    "Three of the paper's rewards in one, and the form; what pays wrong answers for their layout is mended. Nothing "
    "is asked by use.",
    mechanism="The mask is paid through hard thresholds on box and points; the segmenter has no gradient. With other "
    "questions' answers (`rl-shuffled`) they say nothing.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "rl-shuffled"),
    claims=(
        Claim(text="answers have their form", metric="in format", arm="rl-think", bar=0.95),
        Claim(text="masks overlap more than the base's", metric="in giou", arm="rl-think", over="base", bar=0.1),
        Claim(text="shuffled rewards teach nothing", metric="in giou", arm="rl-shuffled", over="base", bar=0.05,
              most=True),
        Claim(text="out of its split they overlap more than by imitation", metric="out giou", arm="rl-think",
              over="sft", bar=0.05, must=False),
        Claim(text="thinking is worth it", metric="out giou", arm="rl-think", over="rl-direct", bar=0.0, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
