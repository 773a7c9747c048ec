"""A film of an episode of many turns: what was seen, what was thought and done, and what the world said."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from operant.agents.watch import Step
from operant.view.caption import Said, Script
from operant.view.video import record

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDE = 640
"""Points of a picture's width, at least; smaller ones are enlarged by a whole factor."""
MARGIN = 16
"""Rows below the last that has something."""
FPS, HELD = 2, 4
"""Pictures of a second, and how many of them a turn lasts."""


def film_turns(turns: Sequence[tuple[Step, bytes]], path: Path, *, name: str, asked: str = "") -> Path:
    """Steps with what was seen after each, as PNG of one size: below a picture stands what is done next.

    Rows at the bottom in which no picture has anything are left out.

    Args:
        turns: the first is the beginning.
        path: the mp4.
        name: of the world.
        asked: the task, where what is seen does not say it.

    Raises:
        OperantError: without turns, or for pictures of two sizes.
        DiskError: when it cannot be written.
    """
    shown = _cut([_enlarged(decoded(picture)) for _, picture in turns])
    texts = [_said(turns, k, asked) for k in range(len(turns))]
    paid = np.cumsum([step.seen.reward for step, _ in turns])

    def frames() -> Iterator[NDArray[np.uint8]]:
        for picture in shown:
            yield from [picture] * HELD

    if turns:  # the first picture has room for the longest text
        lines = [Script(shown[0].shape[1], said).lines for said in texts]
        texts[0] += [Said(["·"])] * (max(lines) - lines[0])
    return record(
        frames(), path, fps=FPS, reads=lambda k: texts[k // HELD], poster=True,
        overlay=lambda k: f"{name} · turn {turns[k // HELD][0].number} · return {paid[k // HELD]:g}",
    )  # fmt: skip


def _said(turns: Sequence[tuple[Step, bytes]], k: int, asked: str) -> list[Said]:
    """What stands below picture k: an error of the last action, then the thought and the action that follow."""
    lines = [asked] if asked and k == 0 else []
    lines += [f"error: {turns[k][0].seen.error}"] if turns[k][0].seen.error else []
    if k + 1 < len(turns):
        after = turns[k + 1][0]
        lines += [f"thought: {after.thought}"] if after.thought else []
        lines += [f"action: {after.action or '(none)'}"]
    else:
        lines += ["end"]
    return [Said([f"{word} " for word in line.split()]) for line in lines]


def _cut(pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Without the rows at the bottom in which no picture has anything."""
    used = [np.flatnonzero((x != x[-1]).any((1, 2))) for x in pictures]
    last = max([WIDE // 2, *(int(rows[-1]) + MARGIN for rows in used if len(rows))])
    return [x[:last] for x in pictures]


def decoded(picture: bytes) -> NDArray[np.uint8]:
    """A PNG as [H, W, 3]."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = -(-WIDE // image.shape[1])
    return image.repeat(factor, 0).repeat(factor, 1)
