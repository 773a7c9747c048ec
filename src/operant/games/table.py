"""A game at a table: as an environment against an opponent, as a picture, and with a person who types moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from operant.config.errors import ConfigError
from operant.env import Observations, Step
from operant.games.board import Board
from operant.games.kernels import DROP, HEX, LAST, OVER, States
from operant.games.match import Player
from operant.games.network import BoardPolicy

CELL = 48
INK = {"board": (236, 226, 202), "line": (150, 138, 112), 1: (28, 28, 32), 2: (250, 250, 250), "last": (214, 72, 48)}


def picture(board: Board, state: NDArray[np.int64]) -> NDArray[np.uint8]:
    """[H, W, 3] of one position: X black, O white, a red ring around the last stone; of Hex each row half a cell on."""
    lean = CELL // 2 if board.kind == HEX else 0
    size = (board.columns * CELL + (board.rows - 1) * lean, board.rows * CELL)
    drawn = Image.new("RGB", size, INK["board"])
    pen, cells, last = ImageDraw.Draw(drawn), board.cells(state), int(state[LAST])
    for r in range(board.rows):
        for c in range(board.columns):
            x, y = c * CELL + r * lean, r * CELL
            pen.rectangle((x, y, x + CELL, y + CELL), outline=INK["line"])
            if board.kind == DROP:
                newest = c == last and (r == 0 or not cells[r - 1, c])
            else:
                newest = r * board.columns + c == last
            if cells[r, c]:
                ring = INK["last"] if newest else INK["line"]
                box = (x + 6, y + 6, x + CELL - 6, y + CELL - 6)
                pen.ellipse(box, fill=INK[int(cells[r, c])], outline=ring, width=4 if newest else 1)
    return np.asarray(drawn, np.uint8)


class Table:
    """One game of a policy against an opponent, as a `VectorEnv` of one copy; observations are positions [1, S].

    Args:
        board: the game.
        opponent: answers.
    """

    num, backend, fps = 1, "compiled", 1

    def __init__(self, board: Board, opponent: Player) -> None:
        self.board, self.opponent = board, opponent
        self.obs_dim = board.start().shape[1]
        self.observation_space = spaces.Box(0, 2**62, (self.obs_dim,), np.int64)
        self.action_space = spaces.Discrete(board.actions)
        self.observations = Observations(self.observation_space)

    def reset(self, seed: int) -> States:
        """Begin a game; where the seed is odd the opponent moves first."""
        self._generator, self._state = np.random.default_rng(seed), self.board.start()
        self._seat = 1 - 2 * (seed % 2)
        if self._seat < 0:
            self._answer()
        return self._state.copy()

    def step(self, action: NDArray[np.int64]) -> Step:
        """Move, and let the opponent answer; the reward is 1, 0 or −1 when the game ends."""
        self._state = self.board.play(self._state, action)
        if not self.board.over(self._state)[0]:
            self._answer()
        over = self.board.over(self._state)
        reward = (self.board.outcome(self._state) * self._seat).astype(np.float32)
        seen, no = self._state.copy(), np.zeros(1, np.bool_)
        return Step(obs=seen, reward=reward, terminated=over, truncated=no, acted=~no, final_obs=seen)

    def render(self) -> NDArray[np.uint8]:
        """The picture of the board."""
        return picture(self.board, self._state[0])

    def close(self) -> None:
        """There is nothing to free."""

    def _answer(self) -> None:
        self._state = self.board.play(self._state, self.opponent(self._state, self._generator))


def against_person(
    policy: BoardPolicy, ask: Callable[[str], str], tell: Callable[[str], None], *, games: int = 1
) -> list[float]:
    """Play games with a person who types moves, X in the first, O in the second, and so on; outcomes to the person.

    A move that is none is told, and asked for again. `quit` or the end of the input leaves; that game does not count.
    """
    board, outcomes = policy.board, list[float]()
    for number in range(games):
        mine = 1 - 2 * (number % 2)
        state = board.start()
        tell(f"{board.name}: you are {'X' if mine > 0 else 'O'}. Type a move such as {board.name_of(0)}, or quit.")
        while not board.over(state)[0]:
            if board.mover(state)[0] == mine:
                tell(board.text(state[0]))
                action = _typed(board, state[0], ask, tell)
                if action is None:
                    tell("Left.")
                    return outcomes
            else:
                action = int(policy.decide(state)[0])
                tell(f"The policy plays {board.name_of(action)}.")
            state = board.play(state, [action])
        outcomes.append(float(board.outcome(state)[0]) * mine)
        tell(board.text(state[0]))
        result = {1.0: "you have won", -1.0: "the policy has won", 0.0: "nobody has won"}[outcomes[-1]]
        tell(f"{board.told(state[0])}: {result}.")
    return outcomes


def _typed(
    board: Board, state: NDArray[np.int64], ask: Callable[[str], str], tell: Callable[[str], None]
) -> int | None:
    """A legal move that the person types; None where they leave."""
    assert not state[OVER]
    while True:
        try:
            text = ask("Your move: ")
        except EOFError:
            return None
        if text.strip().lower() in ("quit", "q", "exit"):
            return None
        try:
            return board.read(text, state)
        except ConfigError as error:
            tell(str(error))
