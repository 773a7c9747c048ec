"""Games between two players, and how a policy is measured: by results, and on Connect-4 by the exact values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.data.streams import Streams
from operant.games.board import Board
from operant.games.kernels import PLY, States
from operant.games.network import BoardPolicy
from operant.games.settings import BoardRun
from operant.games.solver import Solver, alpha_beta, best_of
from operant.run.evaluate import Evaluation
from operant.run.folder import write_json
from operant.run.progress import advance

Player = Callable[[States, np.random.Generator], NDArray[np.int64]]
"""Open positions [N, S] to an action [N] each."""


def random_player(board: Board) -> Player:
    """Each legal action as likely as another."""
    return lambda states, generator: best_of(np.where(board.legal(states), 0.0, np.nan), generator)


def alpha_beta_player(board: Board, depth: int) -> Player:
    """The best of a search of so many plies; equal ones are drawn."""
    return lambda states, generator: best_of(alpha_beta(board, states, depth), generator)


def raw_player(policy: BoardPolicy) -> Player:
    """The most likely action of the network, without search."""
    return lambda states, generator: policy.evaluate(states)[0].argmax(1)


def sampled_player(policy: BoardPolicy) -> Player:
    """Actions as likely as the network says, without search."""

    def drawn(states: States, generator: np.random.Generator) -> NDArray[np.int64]:
        log = np.log(np.maximum(policy.evaluate(states)[0], 1e-300))
        return (log + generator.gumbel(size=log.shape)).argmax(1)

    return drawn


def opponent(cfg: BoardRun, board: Board) -> Player:
    """Whom the protocol of a run names."""
    its = cfg.eval
    return random_player(board) if its.opponent == "random" else alpha_beta_player(board, its.depth)


def games(
    board: Board, first: Player, second: Player, count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[list[int]]]:
    """Play so many games side by side.

    Returns:
        Outcomes to the first player [E], lengths [E], and the actions of each game.
    """
    states, moves = board.start(count), [list[int]() for _ in range(count)]
    while True:
        open_ = np.flatnonzero(~board.over(states))
        if len(open_) == 0:
            return board.outcome(states), states[:, PLY].copy(), moves
        player = first if states[open_[0], PLY] % 2 == 0 else second  # all open games stand at the same ply
        action = player(states[open_], generator)
        states[open_] = board.play(states[open_], action)
        for n, a in zip(open_.tolist(), action.tolist(), strict=True):
            moves[n].append(a)
        advance(count - len(open_), count, "games")


def versus(
    board: Board, one: Player, other: Player, count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[list[int]]]:
    """So many games, of which `one` begins the first half, and the odd one; outcomes [E] to `one`."""
    ahead, behind = (count + 1) // 2, count // 2
    a, long_a, moves_a = games(board, one, other, ahead, generator)
    b, long_b, moves_b = games(board, other, one, behind, generator) if behind else (a[:0], long_a[:0], [])
    return np.concatenate([a, 0.0 - b]), np.concatenate([long_a, long_b]), moves_a + moves_b


def losing(solver: Solver, policy: BoardPolicy, count: int, generator: np.random.Generator) -> Any:
    """Connect-4 positions of self-play from ply 12 on at which some moves lose, and some do not, which they might have.

    Returns:
        Positions [P, S], and the exact value of each action there [P, 7].
    """
    board, states, values = policy.board, list[States](), list[NDArray[np.float64]]()
    drawn = sampled_player(policy)
    while len(states) < count:
        _, _, moves = games(board, drawn, drawn, count, generator)
        for game_ in moves:
            if len(game_) <= 12:
                continue
            state = board.start()
            for a in game_[: int(generator.integers(12, len(game_)))]:
                state = board.play(state, [a])
            value = solver.scores(state)[0]
            if np.nanmin(value) < np.nanmax(value) and (value == -1).any():
                states.append(state[0])
                values.append(value)
            advance(len(states), count, "positions")
            if len(states) == count:
                break
    return np.stack(states), np.stack(values)


def optimal(values: NDArray[np.float64], actions: NDArray[np.int64]) -> float:
    """The share of actions [P] that keep the value of their position, by `values` [P, A]."""
    return float((values[np.arange(len(actions)), actions] == np.nanmax(values, 1)).mean())


class Match:
    """Measures a policy by games against the opponent of a run's protocol; a return is 1, 0 or −1.

    Args:
        cfg: the run.
        policy: measured as it stands.
    """

    def __init__(self, cfg: BoardRun, policy: BoardPolicy) -> None:
        self.cfg, self.policy = cfg, policy
        self._last: dict[str, Any] = {}
        self._seed = cfg.eval.seed
        self._solver: Solver | None = None

    def __call__(self, episodes: int, *, seed: int | None = None, deterministic: bool | None = None) -> Evaluation:
        """Play games, X and O in turn; `deterministic` plays the search's best move, else by its visits."""
        its, board = self.cfg.eval, self.policy.board
        self._seed = its.seed if seed is None else seed
        best = its.deterministic if deterministic is None else deterministic
        generator = Streams(self.cfg.seed).numpy("evaluation", self._seed)
        other = opponent(self.cfg, board)
        returns, lengths, moves = versus(
            board, lambda states, g: self.policy.decide(states, generator=None if best else g), other, episodes,
            generator,
        )  # fmt: skip
        self._last = {"game": board.name, "first_half_begins": True, "returns": returns.tolist(), "moves": moves}
        return Evaluation(returns, lengths)

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Write the games of the last measurement; on Connect-4 metrics of the moves beside the exact ones."""
        write_json(run / "evals" / f"games-{step:08d}-s{self._seed}.json", {"step": step, **self._last})
        returns = np.array(self._last["returns"])
        metrics = {"eval/wins": float((returns == 1).mean()), "eval/draws": float((returns == 0).mean())}
        if self.policy.board.name == "connect4" and (count := self.cfg.eval.positions):
            metrics |= self._held_to_the_solver(count)
        return metrics

    def _held_to_the_solver(self, count: int) -> dict[str, float]:
        self._solver = self._solver or Solver()
        generator = Streams(self.cfg.seed).numpy("evaluation", self._seed, 1)
        states, values = losing(self._solver, self.policy, count, generator)
        players = {
            "search": self.policy.decide(states),
            "network": raw_player(self.policy)(states, generator),
            "random": random_player(self.policy.board)(states, generator),
        }
        return {f"eval/optimal_{name}": optimal(values, actions) for name, actions in players.items()}

    def close(self) -> None:
        """There is nothing to free but the solver's table."""
        self._solver = None
