"""Watch a policy: one episode as pictures, with its seed and return written below."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from operant.config.errors import EnvError
from operant.env import VectorEnv
from operant.env.dataset import texts
from operant.run.folder import write_json
from operant.run.progress import advance
from operant.view.caption import Said
from operant.view.video import record

MAX_STEPS = 10_000
"""Steps after which an episode that never ends is cut."""
LEAST = 320
"""Points of a picture's longer side; smaller ones are enlarged by a whole factor."""


@dataclass
class Episode:
    """One episode, stepped as its frames are drawn; `total` and `length` grow with it.

    `looked` tells how much of its texts was looked at as it last acted: a number for each of their places, or nothing.
    """

    env: VectorEnv
    act: Callable[[np.ndarray], np.ndarray]
    name: str
    seed: int
    total: float = 0.0
    length: int = 0
    ended: str = field(default="", init=False)
    told: Callable[[np.ndarray], None] | None = None  # what was paid for each action
    looked: Callable[[], np.ndarray | None] = lambda: None
    said: list[Said] = field(default_factory=list[Said], init=False)

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the picture before each action and that of the last state, which stands for a second, [H, W, 3] uint8.

        Raises:
            EnvError: if the environment draws nothing.
        """
        obs = self.env.reset(self.seed)
        while not self.ended and self.length < MAX_STEPS:
            action = self.act(obs)
            self.said = self._read(obs[0])
            yield self._picture()
            step = self.env.step(action)
            obs = step.obs
            if self.told is not None:
                self.told(step.reward)
            self.total += float(step.reward[0])
            self.length += 1
            advance(self.length, MAX_STEPS, "steps at most")
            self.ended = "terminated" if step.terminated[0] else "truncated" if step.truncated[0] else ""
        last = self.env.render()
        if self.ended and last is not None:  # one that cannot be drawn any more shows its next episode already
            yield from [_enlarged(last)] * self.env.fps

    def caption(self, index: int) -> str:
        """What stands below a frame."""
        return f"{self.name} · seed {self.seed} · step {self.length} · return {self.total:.1f}"

    def reads(self, index: int) -> list[Said]:
        """What was read before the action that follows a frame."""
        return self.said

    def _read(self, row: np.ndarray) -> list[Said]:
        """The texts of a row [D], piece by piece, with how much was looked at each."""
        looked, made, first = self.looked(), list[Said](), 0
        for pieces, length in texts(self.env.observations, row):
            made.append(Said(pieces, None if looked is None else looked[first : first + len(pieces)].tolist()))
            first += length
        return made

    def _picture(self) -> np.ndarray:
        picture = self.env.render()
        if picture is None:
            raise EnvError(f"{self.name} draws no pictures (no 'rgb_array' render mode), so it cannot be filmed.")
        return _enlarged(picture)


def _enlarged(picture: np.ndarray) -> np.ndarray:
    factor = max(1, LEAST // max(picture.shape[:2], default=LEAST)) if picture.ndim == 3 else 1
    return picture.repeat(factor, 0).repeat(factor, 1) if factor > 1 else picture


def film(episode: Episode, folder: Path, *, step: int, number: int, fps: int) -> Path:
    """Record an episode as `step-<8 digits>-ep<number>-ret<return>.mp4` with a JSON of the same name beside it."""
    draft = record(episode.frames(), folder / f".draft-{number}.mp4", fps=fps, overlay=episode.caption,
                   reads=episode.reads, poster=True)  # fmt: skip
    final = folder / f"step-{step:08d}-ep{number}-ret{episode.total:.0f}.mp4"
    draft.replace(final)
    draft.with_suffix(".jpg").replace(final.with_suffix(".jpg"))
    about = {"step": step, "seed": episode.seed, "return": episode.total, "length": episode.length, "fps": fps}
    write_json(final.with_suffix(".json"), about)
    return final
