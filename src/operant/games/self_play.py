"""Games against oneself by search: positions, what the search found there, and who won in the end."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operant.games.kernels import PLY, States
from operant.games.network import BoardPolicy
from operant.search.tree import Search


class Positions(NamedTuple):
    """P positions of games that have ended."""

    states: States  # [P, S]
    policy: NDArray[np.float32]  # [P, A] shares of the search's visits
    outcome: NDArray[np.float32]  # [P] to the mover: 1, 0, −1


class SelfPlay:
    """N games of a policy against itself; each that ends begins again. Counts plies and games.

    Args:
        policy: plays both sides.
        num: N.
        search: how it searches.
        temperature: moves are drawn by visits^(1/temperature) in the first `warm` plies, then the best is played.
        warm: these plies.
        generator: draws noise and moves.
    """

    def __init__(
        self, policy: BoardPolicy, num: int, search: Search, temperature: float, warm: int,
        generator: np.random.Generator,
    ) -> None:  # fmt: skip
        self.policy, self.num, self.search, self.temperature, self.warm = policy, num, search, temperature, warm
        self.generator = generator
        self.steps, self.episodes, self.seconds = 0, 0, 0.0
        self._ended: list[tuple[int, float]] = []
        self.begin()

    def begin(self) -> None:
        """Begin all games anew; those under way have no outcome and are thrown away."""
        self.states = self.policy.board.start(self.num)
        self._open: list[list[tuple[States, NDArray[np.float32]]]] = [[] for _ in range(self.num)]

    def __call__(self, plies: int) -> Positions:
        """Play so many plies in each game; the positions of the games that ended meanwhile."""
        began, board = time.perf_counter(), self.policy.board
        done: list[tuple[States, NDArray[np.float32], float]] = []
        for _ in range(plies):
            found = self.policy.search(self.states, self.search, self.generator)
            heat = np.where(self.states[:, PLY] < self.warm, self.temperature, 0.0)
            action = found.sample(heat, self.generator)
            shares = found.policy().astype(np.float32)
            for n, game in enumerate(self._open):
                game.append((self.states[n], shares[n]))
            self.states = board.play(self.states, action)
            outcome = board.outcome(self.states)
            for n in np.flatnonzero(board.over(self.states)).tolist():
                done += [(s, p, float(outcome[n]) * (1 - 2 * (int(s[PLY]) & 1))) for s, p in self._open[n]]
                self._ended.append((len(self._open[n]), float(outcome[n])))
                self._open[n], self.states[n] = [], board.start()[0]
                self.episodes += 1
            self.steps += self.num
        self.seconds += time.perf_counter() - began
        width = self.states.shape[1]
        return Positions(
            np.array([s for s, _, _ in done], np.int64).reshape(-1, width),
            np.array([p for _, p, _ in done], np.float32).reshape(-1, board.actions),
            np.array([z for _, _, z in done], np.float32),
        )

    def stats(self) -> dict[str, float]:
        """Mean length of the games that ended since the last call, and the shares that X and nobody won."""
        metrics = {"train/episodes": float(self.episodes)}
        if self._ended:
            length, outcome = np.array(self._ended).T
            metrics |= {"train/length": float(length.mean()), "train/first_wins": float((outcome == 1).mean())}
            metrics["train/draws"] = float((outcome == 0).mean())
        self._ended = []
        return metrics
