"""A field with a cow, a sheep, a tree and a pond: tasks on them, and clips of somebody at work with captions."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.env.text import Words, words_of
from operant.grounded.batched import Batched, Rows, Seen
from operant.grounded.pictures import Mark

THINGS, DEEDS = ("cow", "sheep", "tree", "pond"), ("milk", "shear", "cut", "fish in")
WAYS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
USE, NEEDED, SIDE = 4, 3, 9
_WALKS = ("someone walks to the {}", "going over to the {}", "a player heads for the {}")
_WORKS = ("someone starts to {} the {}", "a player wants to {} the {}")
PROMPT = "going to {} the {}"
"""A sentence that no clip has, of words that some have."""
_IDLE = "someone wanders about"
_SAID = [
    _IDLE,
    *(s.format(t) for s in _WALKS for t in THINGS),
    *(s.format(d, t) for s in _WORKS for d, t in zip(DEEDS, THINGS, strict=True)),
]
WORDS = Words(sorted({w for s in _SAID for w in words_of(s)}), 8)


class Field(Batched):
    """N fields of nine by nine cells: walk north, east, south, west, or use what stands here.

    Whoever uses the thing of the task three times in a row has done it: 1, and the episode ends.

    Args:
        num_envs: N.
        task: which of the four things.
        limit: steps of an episode.
        dense: what each step nearer to the thing pays, and each use of it; 0 for the task alone.
        render_mode: "rgb_array" for pictures of the first field.
    """

    def __init__(
        self, num_envs: int = 1, task: int = 0, limit: int = 50, dense: float = 0.0, *, render_mode: str | None = None
    ) -> None:  # fmt: skip
        view = spaces.Box(0.0, 1.0, (SIDE, SIDE, len(THINGS) + 2), np.float32)
        super().__init__(num_envs, {"view": view}, USE + 1, limit, side=SIDE, render_mode=render_mode)
        self.task, self.dense = task, dense
        self.at, self.here = np.zeros((num_envs, len(THINGS), 2), np.int64), np.zeros((num_envs, 2), np.int64)
        self.uses = np.zeros((num_envs, len(THINGS)), np.int64)

    def begin(self, rows: Rows) -> None:
        """Draw where things are, and who walks."""
        for i in rows:
            cells = self.rng.permutation(SIDE**2)[: len(THINGS) + 1]
            spots = np.column_stack(np.divmod(cells, SIDE))
            self.at[i], self.here[i], self.uses[i] = spots[:-1], spots[-1], 0

    def move(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Walk or use."""
        before = self.far()
        self.here = (self.here + WAYS[actions % USE] * (actions < USE)[:, None]).clip(0, SIDE - 1)
        used = (self.at == self.here[:, None]).all(2) & (actions == USE)[:, None]
        self.uses = np.where(used, self.uses + 1, 0)
        done = self.uses[:, self.task] >= NEEDED
        return done + self.dense * (before - self.far() + used[:, self.task]), done

    def far(self) -> NDArray[np.int64]:
        """[N], steps to the thing of the task."""
        return np.abs(self.at[:, self.task] - self.here).sum(1)

    def toward(self) -> NDArray[np.int64]:
        """[N], what one does who is at the task."""
        x, y = (self.at[:, self.task] - self.here).T
        walks = np.where(abs(x) >= abs(y), np.where(x > 0, 2, 0), np.where(y > 0, 1, 3))
        return np.where((x == 0) & (y == 0), USE, walks)

    def marks(self) -> list[Mark]:
        """Things, and who walks."""
        lie = [Mark((x, y), name, "circle") for (x, y), name in zip(self.at[0].tolist(), THINGS, strict=True)]
        return [*lie, Mark(tuple(self.here[0].tolist()), "", "me")]

    def see(self) -> Seen:
        """Things, who walks, and everywhere how often in a row something was used."""
        view = np.zeros((self.num_envs, SIDE, SIDE, len(THINGS) + 2), np.float32)
        for k in range(len(THINGS)):
            view[self.all, self.at[:, k, 0], self.at[:, k, 1], k] = 1.0
        view[self.all, self.here[:, 0], self.here[:, 1], len(THINGS)] = 1.0
        view[..., len(THINGS) + 1] = (self.uses.max(1) / NEEDED).clip(max=1.0)[:, None, None]
        return {"view": view}


def field_clips(n: int, frames: int, rng: np.random.Generator) -> list[tuple[NDArray[np.float32], str]]:
    """n clips [T, D] of somebody who walks to a thing, uses one, or wanders, with captions."""
    found = list[tuple[NDArray[np.float32], str]]()
    while len(found) < n:
        task, idle = int(rng.integers(len(THINGS))), rng.random() < 0.2
        world, seen, used = Field(1, task), list[NDArray[np.float32]](), list[bool]()
        obs, _ = world.reset(seed=int(rng.integers(2**31)))
        for _ in range(30):
            seen.append(obs["view"].reshape(-1))
            action = rng.integers(0, USE, 1) if idle or rng.random() < 0.1 else world.toward()
            used.append(bool(action[0] == USE))
            if world.uses[0, task] == NEEDED - 1:
                break
            obs, *_ = world.step(action)
        for last in {min(frames - 1 + int(rng.integers(9)), len(seen) - 1), len(seen) - 1}:
            if last >= frames - 1:
                works = not idle and used[last]
                frame = str(rng.choice(_WORKS if works else _WALKS))
                said = frame.format(DEEDS[task], THINGS[task]) if works else frame.format(THINGS[task])
                found.append((np.stack(seen[last - frames + 1 : last + 1]), _IDLE if idle else said))
    return found[:n]
