"""MiniGrid's levels as compiled, batched environments: the package lays the grids, its rules are stepped compiled.

Every episode is the one that the package itself would play: grids come from its own generators and seeds, and a step
gives its observation, reward and end to the last bit. So it does not matter to a run which of the two it is played by.
The mission stands beside the grid where it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from numpy.typing import NDArray

from operant.config.errors import EnvError, user_code
from operant.config.undisturbed import undisturbed
from operant.config.wrappers import parsed
from operant.env.classic import numba_missing
from operant.env.inprocess import Env, close, pictures_per_second
from operant.env.spaces import Observations
from operant.env.vector import Step
from operant.env.wrappers import planes

_RULES = ("step", "reset", "_reward", "gen_obs", "gen_obs_grid", "get_view_exts")
"""What a level must leave as it is to be stepped here; BabyAI's, which follow an instruction, do not."""
_SHOWN = {
    "key image": ([], ["one-hot"]),
    "key image mission": (["words"], ["words", "one-hot"], ["one-hot", "words"]),
}
"""What is looked at, and what may be done to it."""
_THINGS = ("Wall", "Floor", "Door", "Key", "Ball", "Box", "Goal", "Lava")


def is_level(spec: EnvSpec, kwargs: Mapping[str, Any], wrappers: Sequence[str], *beside: object) -> bool:
    """Whether an id is a level of MiniGrid with no rules of its own, and its symbols are all that is looked at.

    `wrappers` are "key image", or "key image mission" and "words mission …", and then perhaps "one-hot …"; nothing
    `beside` may be set.
    """
    if not str(spec.entry_point).startswith("minigrid.envs:") or spec.additional_wrappers or any(beside):
        return False
    names = [text.split()[0] for text in wrappers if text.split()]
    if not names or names[1:] not in _SHOWN.get(" ".join(wrappers[0].split()), ()):
        return False
    if {"max_episode_steps", "render_mode"} & {*kwargs, *spec.kwargs} or spec.max_episode_steps or numba_missing():
        return False
    try:
        base, level = import_module("minigrid.minigrid_env").MiniGridEnv, load_env_creator(str(spec.entry_point))
    except ImportError:
        return False
    return all(getattr(level, rule, None) is getattr(base, rule) for rule in _RULES)


class MiniGrid:
    """A `VectorEnv` of N copies of a level, reset inside the step that ends them. Copy i is seeded with `seed + i`.

    Args:
        envs: the N copies as the package makes them, within their wrappers.
        name: the id, for messages.
        wrappers: as `is_level` takes them.

    Raises EnvError where a level holds what these rules do not know.
    """

    backend = "compiled"
    foreign = False

    def __init__(self, envs: Sequence[Env], name: str, wrappers: Sequence[str]) -> None:
        self.name, self.num = name, len(envs)
        self.observation_space, self.action_space = envs[0].observation_space, envs[0].action_space
        self.observations = Observations(self.observation_space)
        self.obs_dim = self.observations.dim
        self._envs = [*envs]
        self._kernels: Any = import_module("operant.env.minigrid_kernels")
        self._counts = [np.array(w.numbers, np.int64) for w in parsed(wrappers) if w.name == "one-hot"]
        things = import_module("minigrid.core.world_object")
        self._known = {getattr(things, thing) for thing in _THINGS}
        grid: Any = envs[0].unwrapped
        self._limit, self._sees_through, self._view = grid.max_steps, grid.see_through_walls, grid.agent_view_size
        self._cells = np.zeros((self.num, grid.width, grid.height), np.int32)
        self._agent, self._carried = np.zeros((self.num, 3), np.int64), np.zeros(self.num, np.int32)
        self._elapsed = np.zeros(self.num, np.int64)
        self._parts = {part.keys: part.columns for part in self.observations.parts}
        self._said = np.zeros((self.num, self.obs_dim), self.observations.dtype)  # the missions, in their columns
        self.steps = 0

    def reset(self, seed: int) -> NDArray[Any]:
        """Start every copy anew, copy i with `seed + i`; returns [N, D]."""
        self.steps = 0
        for i in range(self.num):
            self._lay(i, int(seed) + i)
        return self._look(np.arange(self.num))

    def step(self, action: NDArray[Any]) -> Step:
        """Step every copy; one that ends is reset at once and its last state stands in `final_obs`."""
        if action.shape != (self.num,) or action.dtype.kind not in "iu":
            raise ValueError(f"actions {action.dtype} {list(action.shape)} where int64 [{self.num}] belongs")
        n, image, reward = self.num, self._images(self.num), np.empty(self.num, np.float32)
        terminated, truncated = np.empty((2, n), np.bool_)
        self.steps += 1
        code, i = self._kernels.step(
            self._cells, self._agent, self._carried, self._elapsed, self._limit, self._sees_through,
            action.astype(np.int64, copy=False), image, reward, terminated, truncated,
        )  # fmt: skip
        if code != self._kernels.FINE:
            what = (
                f"the action {action[i]} is none of 0 to 6" if code == self._kernels.NO_ACTION else "it left the grid"
            )
            raise EnvError(f"{self.name}, copy {i}, step {self.steps}: {what}")
        obs, final_obs = self._rows(image), None
        if (ended := np.flatnonzero(terminated | truncated)).size:
            final_obs = np.zeros_like(obs)
            final_obs[ended] = obs[ended]
            for i in ended:
                self._lay(int(i), None)
            obs[ended] = self._look(ended)
        return Step(obs, reward, terminated, truncated, np.ones(n, np.bool_), final_obs)

    def render(self) -> NDArray[np.uint8] | None:
        """None: pictures are the package's own."""
        return None

    @property
    def fps(self) -> int:
        """Pictures that make a second."""
        return pictures_per_second(self._envs[0])

    def close(self) -> None:
        """Close every copy."""
        for env in self._envs:
            close(env, self.name)
        self._envs.clear()

    def _lay(self, i: int, seed: int | None) -> None:
        """Begin an episode of copy i: the package lays a grid, which is read."""
        with undisturbed(), user_code(f"{self.name}, copy {i}, step {self.steps}: reset()", EnvError):
            self._envs[i].reset(seed=seed)
            level: Any = self._envs[i].unwrapped
            self._cells[i] = np.array([*map(self._code, level.grid.grid)]).reshape(level.height, level.width).T
            self._agent[i] = *level.agent_pos, level.agent_dir
            if ("mission",) in self._parts:
                seen: Any = self._envs[i].observation_space
                blank = np.zeros_like(seen["image"].low)
                self.observations.write({"image": blank, "mission": level.mission}, self._said[i])
        self._carried[i], self._elapsed[i] = self._kernels.EMPTY, 0

    def _code(self, thing: Any) -> int:
        its = self._kernels
        if thing is None:
            return its.EMPTY
        if type(thing) not in self._known:
            raise EnvError(f'{self.name} holds a {type(thing).__name__}: use the backend "inprocess"')
        what, colour, state = thing.encode()
        held = self._code(thing.contains)
        if held >> its.HELD > its.EMPTY:
            raise EnvError(f'{self.name} holds a box that holds a box: use the backend "inprocess"')
        return what | colour << 4 | state << 8 | held << its.HELD

    def _images(self, n: int) -> NDArray[np.uint8]:
        return np.empty((n, self._view, self._view, 3), np.uint8)

    def _look(self, copies: NDArray[np.int64]) -> NDArray[Any]:
        image = self._images(self.num)
        self._kernels.observe(self._cells, self._agent, self._carried, self._sees_through, copies, image)
        return self._rows(image[copies], copies)

    def _rows(self, image: NDArray[np.uint8], copies: NDArray[np.int64] | None = None) -> NDArray[Any]:
        for counts in self._counts:
            image = planes(image, counts)
        flat = image.reshape(len(image), -1)
        if ("mission",) not in self._parts:
            return flat.astype(self.observations.dtype)
        rows = self._said.copy() if copies is None else self._said[copies]
        rows[:, self._parts[("image",)]] = flat
        return rows
