"""A game of two players from PettingZoo (https://pettingzoo.farama.org) as an environment of one, and an opponent."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from operant.config.errors import EnvError, user_code
from operant.workers.resolve import load

Opponent = Callable[[Any, Any, np.random.Generator], int]
"""The action of the other player: from what it observes, its action mask or None, and a generator."""


def random_opponent(obs: Any, mask: Any, generator: np.random.Generator, count: int) -> int:
    """A legal action, each as likely."""
    legal = np.flatnonzero(mask) if mask is not None else np.arange(count)
    return int(generator.choice(legal))


class TwoPlayers(gymnasium.Env[Any, Any]):
    """`PettingZoo/tictactoe-v3` and its kin: one player acts, the other belongs to the environment.

    A step is an action and the opponent's answer; the reward is what the player was paid for both. It observes what
    PettingZoo shows the player who is to move, for most games a dict of "observation" and "action_mask"
    (`env.action_mask action_mask`).

    Args:
        game: the module in PettingZoo, "classic.tictactoe_v3".
        opponent: "random", or `file.py:callable` or `module:callable`, called with what it observes, its action mask
            (None where the game has none) and a generator, for a whole number.
        seat: which player acts, 0 or 1; drawn for each game if None.
        render_mode: as the game has it.
        **options: of the game.

    Raises:
        EnvError: if the game is none of two players who move in turn, or the opponent cannot be found.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 2}  # noqa: RUF012  Gymnasium's form

    def __init__(
        self,
        game: str,
        opponent: str = "random",
        seat: int | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        try:
            made = importlib.import_module(f"pettingzoo.{game}")
        except ImportError as error:
            raise EnvError(f'{game} needs {error.name}: run pip install "pettingzoo[classic]"') from None
        if seat not in (None, 0, 1):
            raise EnvError(f"seat is {seat!r}: expected 0 or 1, or nothing for either in turn")
        with user_code(f"{game}: making it", EnvError):
            self._game: Any = made.env(render_mode=render_mode, **options)
            self._game.reset(seed=0)
        self.players: list[str] = [*self._game.possible_agents]
        if len(self.players) != 2:
            raise EnvError(f"{game} has {len(self.players)} players; this adapter takes games of two")
        self.render_mode, self._seat, self._player = render_mode, seat, self.players[0]
        self.observation_space = self._game.observation_space(self._player)
        self.action_space = self._game.action_space(self._player)
        found = None if opponent == "random" else load(opponent)[0]
        if found is not None and not callable(found):
            raise EnvError(f"env.kwargs.opponent is {opponent!r}, which is no function: give file.py:function")
        self._opponent = cast("Opponent | None", found)
        self._name = opponent

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game; where the opponent sits first, it has moved."""
        super().reset(seed=seed)
        self._game.reset(seed=int(self.np_random.integers(2**31)))
        at = int(self.np_random.integers(2)) if self._seat is None else self._seat
        self._player = self.players[at]
        self._answer()
        return self._game.observe(self._player), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move, and let the opponent move."""
        game = self._game
        game.step(int(action))
        reward = float(game.rewards[self._player]) + self._answer()
        over, out = bool(game.terminations[self._player]), bool(game.truncations[self._player])
        return game.observe(self._player), reward, over, out, {}

    def _answer(self) -> float:
        """Let the opponent move until it is the player's turn or all is over; what the player is paid meanwhile."""
        game, reward = self._game, 0.0
        while game.agent_selection != self._player and not (
            game.terminations[self._player] or game.truncations[self._player]
        ):
            obs = game.observe(game.agent_selection)
            mask = cast("Mapping[str, Any]", obs).get("action_mask") if isinstance(obs, Mapping) else None
            game.step(self._move(obs, mask))
            reward += float(game.rewards[self._player])
        return reward

    def _move(self, obs: Any, mask: Any) -> int:
        count = int(cast("gymnasium.spaces.Discrete", self.action_space).n)
        if self._opponent is None:
            return random_opponent(obs, mask, self.np_random, count)
        with user_code(f"the opponent {self._name}", EnvError):
            move: Any = self._opponent(obs, mask, self.np_random)
        whole = isinstance(move, int | np.integer) and 0 <= int(move) < count
        if not whole or (mask is not None and not mask[int(move)]):
            raise EnvError(
                f"the opponent {self._name} returned {move!r}, which is no legal action: give one of its mask"
            )
        return int(move)

    def render(self) -> NDArray[np.uint8] | None:
        """The picture of the board."""
        return self._game.render()

    def close(self) -> None:
        """Close the game."""
        self._game.close()
