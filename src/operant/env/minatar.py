"""The five games of MinAtar, our own: N copies stepped together by compiled kernels.

On the command line: `operant train ppo operant.env.minatar:breakout --policy.network minatar-cnn`. Rules, chances and
pictures are those of the authors' package (Young and Tian 2019, arXiv:1903.03176), whose numbers are drawn otherwise.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.batched import BatchedEnv

GAMES: dict[str, tuple[int, ...]] = {
    "asterix": (0, 1, 2, 3, 4), "breakout": (0, 1, 3), "freeway": (0, 2, 4), "seaquest": (0, 1, 2, 3, 4, 5),
    "space_invaders": (0, 1, 3, 5),
}  # fmt: skip
"""The actions that do something: of 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire."""
PALETTE = np.array(
    [(0, 0, 0), (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
     (204, 121, 167), (148, 148, 148), (255, 255, 255), (120, 80, 40)], np.uint8,
)  # fmt: skip
"""Of an empty cell, and of each channel."""
CELL = 24
"""Points of a cell's side."""


class MinAtar(BatchedEnv):
    """N copies of a game. One sees [10, 10, C] bytes, 0 or 1, a plane for each kind of thing.

    Copy i draws from a stream of its own, that of `seed + i`: an episode depends on that and on its number alone.

    Args:
        num_envs: N.
        game: its name.
        sticky: the chance that the action of the step before is taken in place of the one that is given.
        ramping: whether it gets harder as it goes.
        minimal: whether only the actions that do something are there, or all six.
        limit: steps of an episode; 0 for no end but the game's. The package sets none.
        render_mode: "rgb_array" for pictures of the first copy.

    Raises:
        EnvError: for a game that there is not, or a setting that cannot be.
    """

    def __init__(
        self, num_envs: int, game: str, *, sticky: float = 0.1, ramping: bool = True, minimal: bool = True,
        limit: int = 0, render_mode: str | None = None,
    ) -> None:  # fmt: skip
        if not 0.0 <= sticky <= 1.0 or limit < 0:
            raise EnvError(f"sticky {sticky} and limit {limit}: give a chance from 0 to 1, and a limit of 0 or more")
        self.game = game
        self._kernels: Any = import_module("operant.env.minatar_kernels")
        self._game, actions = [*GAMES].index(game), GAMES[game] if minimal else (0, 1, 2, 3, 4, 5)
        self._rules, self._actions = (float(sticky), bool(ramping), int(limit)), np.array(actions, np.int64)
        seen = spaces.Box(0, 1, (10, 10, self._kernels.CHANNELS[self._game]), np.uint8)
        super().__init__(num_envs, seen, spaces.Discrete(len(actions)), fps=10, render_mode=render_mode)
        self.state = np.zeros((num_envs, self._kernels.SIZES[self._game]), np.int64)
        self.seed, self.episode = np.zeros((2, num_envs), np.uint64)
        self.elapsed = np.zeros(num_envs, np.int64)
        self._shown = self._blank()[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin every copy anew, copy i with `seed + i`."""
        first = int(np.random.SeedSequence().generate_state(1)[0] if seed is None else seed)
        self.seed[:] = self.seeds(first)
        self.episode[:], self.elapsed[:] = 0, 0
        obs = self._blank()
        self._kernels.reset(self._game, self.state, self.seed, obs)
        self._shown = obs[0]
        return obs, {}

    def step(self, actions: Any) -> Any:
        """One step of every copy; of those that ended, the last picture stands in `final_obs`.

        Raises:
            EnvError: for an action that there is not.
        """
        chosen, count = np.asarray(actions, np.int64), len(self._actions)
        if chosen.shape != (self.num_envs,) or chosen.min() < 0 or chosen.max() >= count:
            raise EnvError(f"{self.game}: actions {chosen.tolist()} are none of 0 to {count - 1}, one for each copy")
        obs, final, reward = self._blank(), self._blank(), np.empty(self.num_envs, np.float32)
        terminated, truncated = np.empty((2, self.num_envs), np.bool_)
        self._kernels.step(
            self._game, self.state, self.elapsed, self.seed, self.episode, *self._rules, self._actions[chosen], obs,
            final, reward, terminated, truncated,
        )  # fmt: skip
        infos = self.last_seen(terminated | truncated, final.__getitem__)
        self._shown = final[0] if terminated[0] or truncated[0] else obs[0]
        return obs, reward, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The picture of the first copy, [240, 240, 3], once; of the last state where its episode ended."""
        if self.render_mode is None:
            return None
        shown = np.where(self._shown.any(-1), self._shown.argmax(-1) + 1, 0)  # the first channel lies on top
        return (PALETTE[shown].repeat(CELL, 0).repeat(CELL, 1),)

    def _blank(self) -> NDArray[np.uint8]:
        return np.zeros((self.num_envs, 10, 10, self._kernels.CHANNELS[self._game]), np.uint8)


def _made(game: str, num_envs: int = 1, render_mode: str | None = None, **kwargs: Any) -> MinAtar:
    return MinAtar(num_envs, game, render_mode=render_mode, **kwargs)


asterix, breakout, freeway, seaquest, space_invaders = (partial(_made, game) for game in GAMES)
"""The games by name, as the command line takes them."""
