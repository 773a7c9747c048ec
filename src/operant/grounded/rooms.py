"""Rooms of things, stepped by kernels: an instruction says which thing is meant, and reaching it is what is paid.

On the command line: `operant train ppo operant.grounded:room --policy.network grid-cnn --policy.join gated`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.config.suggest import nearest_are
from operant.env.batched import BatchedEnv
from operant.grounded.instructions import Language, templates, vizdoom
from operant.grounded.pictures import Mark, drawn


class Rooms(BatchedEnv):
    """N rooms of side S: turn left, turn right, go ahead; an episode ends at a thing, or after `limit` steps.

    Reward 1 at the thing that is meant, `wrong` at another one. One sees the `instruction`, a sentence, and the `view`:
    [V, V, P] numbers, a plane for each kind, colour and height, one for the size, from 0 to 1, and one for walls, the
    agent in the middle of the last row and looking along the columns; or the whole room, [S, S, P], with four planes of
    where the agent is and looks. Nothing is hidden by a thing.

    Copy i draws from a stream of its own, that of `seed + i`; an episode depends on these and its number alone.

    Args:
        num_envs: N.
        language: things and instructions.
        split: which of its instructions are said.
        things: how many stand in a room.
        side: S.
        view: V, odd; 0 for the whole room.
        limit: steps of an episode.
        wrong: reward at another thing.
        misled: whether what is said is drawn anew, whatever is meant: who follows it is paid by chance.
        render_mode: "rgb_array" for pictures of the first room.

    Raises:
        EnvError: for a split that there is not, or a room without space.
    """

    def __init__(
        self, num_envs: int, language: Language, split: str = "train", *, things: int = 5, side: int = 6, view: int = 7,
        limit: int = 30, wrong: float = -0.2, misled: bool = False, render_mode: str | None = None,
    ) -> None:  # fmt: skip
        if split not in language.splits:
            raise EnvError(f"there is no split {split}{nearest_are(split, language.splits)}")
        if not (0 < things < side**2) or limit < 1 or (view and view % 2 == 0) or view < 0:
            raise EnvError(f"{things} things, a side of {side}, a view of {view} and {limit} steps: things and one who "
                           "moves need room, and a view is odd, or 0 for all")  # fmt: skip
        said, its = language.splits[split], language.things
        self.language = language
        self.texts = [each.text for each in said]
        properties, planes = language.properties, (view or side, view or side)
        shape = (*planes, properties.shape[1] + (1 if view else 4))
        seen = spaces.Dict({"instruction": language.words, "view": spaces.Box(0.0, 1.0, shape, np.float32)})
        super().__init__(num_envs, seen, spaces.Discrete(3), render_mode=render_mode)
        self._kernels: Any = import_module("operant.grounded.room_kernels")
        self._seed, self._episode = np.zeros((2, num_envs), np.uint64)
        self._cells, self._agent = np.zeros((num_envs, side, side), np.int64), np.zeros((num_envs, 3), np.int64)
        self._meant, self._elapsed = np.zeros((num_envs, 3), np.int64), np.zeros(num_envs, np.int64)
        sets = np.zeros((2, len(said), len(its)), np.bool_)
        for k, each in enumerate(said):
            sets[0, k, [*each.targets]] = sets[1, k, [*each.targets, *each.alike]] = True
        order, size = np.array([each.order for each in said]), np.array([thing.size for thing in its])
        self._drawn = (self._cells, self._agent, self._meant, self._elapsed, self._seed, self._episode,
                       *sets, order, size, things, misled)  # fmt: skip
        self._seen = (properties, view == 0)
        self._paid, self._shape = (limit, float(wrong)), (num_envs, *shape)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every room, that of number 0; without a seed the same rooms as the last time."""
        if seed is not None:
            self._seed[:] = self.seeds(seed)
        self._kernels.begin(*self._drawn)
        view = self._blank()
        self._kernels.observe(self._cells, self._agent, *self._seen, view)
        return {"instruction": self._said(), "view": view}, {}

    def step(self, actions: Any) -> Any:
        """Turn or go ahead in every room."""
        n, view, last, said = self.num_envs, self._blank(), self._blank(), self._said()
        reward, (terminated, truncated) = np.empty(n, np.float32), np.empty((2, n), np.bool_)
        self._kernels.step(*self._drawn, *self._seen, *self._paid, np.asarray(actions, np.int64), view, last, reward,
                           terminated, truncated)  # fmt: skip
        infos = self.last_seen(terminated | truncated, lambda i: {"instruction": said[i], "view": last[i]})
        return {"instruction": self._said(), "view": view}, reward, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of the first room alone, or None."""
        if self.render_mode is None:
            return None
        there = np.argwhere(self._cells[0] != self._kernels.EMPTY).tolist()
        things = [(x, y, self.language.things[self._cells[0, x, y]]) for x, y in there]
        marks = [Mark((y, x), f"{thing.height} {thing.kind}".strip(), "circle", thing.colour) for x, y, thing in things]
        x, y, looks = self._agent[0].tolist()
        return (drawn(self._cells.shape[1], [*marks, Mark((y, x), kind="me", looks=looks)]),)

    def _blank(self) -> NDArray[np.float32]:
        return np.empty(self._shape, np.float32)

    def _said(self) -> tuple[str, ...]:
        return tuple(self.texts[k] for k in self._meant[:, 1].tolist())


def room(
    num_envs: int = 1, words: str = "templates", render_mode: str | None = None, **settings: Any
) -> Rooms:  # fmt: skip
    """Rooms with the instructions of `templates`, or of "vizdoom"; `settings` as `Rooms` takes them.

    Raises:
        EnvError: for other words.
    """
    if words not in (known := {"templates": templates, "vizdoom": vizdoom}):
        raise EnvError(f"there are no words {words}: use {' or '.join(known)}")
    return Rooms(num_envs, known[words](), render_mode=render_mode, **settings)
