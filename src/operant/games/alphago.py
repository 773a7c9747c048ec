"""AlphaGo's four networks and its search (Silver et al. 2016, Nature 529, 484), stage by stage.

A policy imitates an expert's moves; a fast one, linear, imitates them too, to play games out. The first goes on by
REINFORCE against a pool of its past selves. A network then learns who will win from one position of each game. Search
asks the imitator for its priors, and of each new leaf the value network and a game played out.

Each stage is a function of a `BoardPolicy`; `operant.recipes.alphago` puts them together and takes parts away. What
differs from the paper: a leaf is expanded at its first visit, planes hold stones alone, and REINFORCE has no baseline,
which there is the value network in a second pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operant.games.board import Board
from operant.games.elo import Pool
from operant.games.kernels import PLY, States
from operant.games.match import Player, games, random_player, sampled_player
from operant.games.network import BoardPolicy, model_of
from operant.games.solver import alpha_beta
from operant.math.objective import nll, policy_gradient, value_loss
from operant.search.tree import Root, Search, tree_search


class Record(NamedTuple):
    """The positions of games, one after another, with what was played in each and how it ended."""

    states: States  # [P, S]
    actions: NDArray[np.int64]  # [P]
    outcome: NDArray[np.float32]  # [P] to the mover: 1, 0, −1
    game: NDArray[np.int64]  # [P] which game

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Record:
        """Some of them."""
        return Record(self.states[rows], self.actions[rows], self.outcome[rows], self.game[rows])


def replayed(board: Board, moves: Sequence[Sequence[int]]) -> Record:
    """Games from their moves, position by position."""
    states, seen = board.start(len(moves)), list[tuple[States, NDArray[np.int64], NDArray[np.int64]]]()
    for ply in range(max(map(len, moves), default=0)):
        at = np.array([n for n, its in enumerate(moves) if len(its) > ply])
        actions = np.array([moves[n][ply] for n in at])
        seen.append((states[at], actions, at))
        states[at] = board.play(states[at], actions)
    before, actions, game = (np.concatenate(x) for x in zip(*seen, strict=True))
    return Record(before, actions, (board.outcome(states)[game] * board.mover(before)).astype(np.float32), game)


Loss = Callable[[Tensor, Tensor, Record], Tensor]
"""Log-probabilities [B, A] and values [B] of a batch of positions to the loss of it."""


def imitates(logp: Tensor, value: Tensor, record: Record) -> Tensor:
    """−log π(a|s) of the expert's moves."""
    return nll(_chosen(logp, record), _all(value))[0]


def foresees(logp: Tensor, value: Tensor, record: Record) -> Tensor:
    """½ (v(s) − z)²."""
    return value_loss(value, torch.from_numpy(record.outcome), _all(value))[0]


def reinforces(logp: Tensor, value: Tensor, record: Record) -> Tensor:
    """−z log π(a|s): what was played in a game that was won becomes likelier."""
    return policy_gradient(_chosen(logp, record), torch.from_numpy(record.outcome), _all(value))[0]


def _chosen(logp: Tensor, record: Record) -> Tensor:
    return logp.gather(1, torch.from_numpy(record.actions)[:, None])[:, 0]


def _all(x: Tensor) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def loss_of(policy: BoardPolicy, record: Record, loss: Loss) -> Tensor:
    """A loss on all positions of a record."""
    board = policy.board
    planes, legal = torch.from_numpy(board.encode(record.states)), torch.from_numpy(board.legal(record.states))
    logp, value = policy(planes, legal)
    return loss(logp, value, record)


def fit(
    policy: BoardPolicy, record: Record, loss: Loss, *, steps: int, batch: int, lr: float,
    generator: np.random.Generator,
) -> None:  # fmt: skip
    """So many steps of Adam on batches drawn evenly, the rate falling to nothing."""
    optimizer = torch.optim.Adam(policy.parameters(), lr=lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1.0 - step / steps)
        optimizer.zero_grad()
        loss_of(policy, record.at(generator.integers(len(record.actions), size=batch)), loss).backward()
        optimizer.step()


def against_pool(
    policy: BoardPolicy, *, updates: int, num: int, every: int, lr: float, generator: np.random.Generator,
    loss: Loss = reinforces,
) -> Iterator[float]:  # fmt: skip
    """REINFORCE on games against past selves: a step of stochastic ascent after each `num` games.

    Args:
        policy: trained in place; its copy is the first opponent.
        updates: steps.
        num: games of a step; the policy begins half of them.
        every: steps after which a copy joins the pool.
        lr: of plain gradient steps.
        generator: draws opponents and moves.
        loss: of the policy's own moves.

    Yields:
        The mean outcome of each step's games.
    """
    board, pool = policy.board, Pool[BoardPolicy](latest=0.0, rate=0.0)
    optimizer = torch.optim.SGD(policy.parameters(), lr=lr)
    for update in range(updates):
        if update % every == 0:
            pool.add(copy.deepcopy(policy))
        other = pool.draw(generator)
        assert other is not None
        mine, theirs, half = sampled_player(policy), sampled_player(pool.past[other]), (num + 1) // 2
        own, outcomes = list[Record](), list[float]()
        for seat, (first, second) in enumerate(((mine, theirs), (theirs, mine))):
            outcome, _, moves = games(board, first, second, num // 2 if seat else half, generator)
            record = replayed(board, moves)
            own.append(record.at(record.states[:, PLY] % 2 == seat))
            outcomes += (outcome * (1 - 2 * seat)).tolist()
        optimizer.zero_grad()
        loss_of(policy, Record(*map(np.concatenate, zip(*own, strict=True))), loss).backward()
        optimizer.step()
        yield float(np.mean(outcomes))


def value_positions(
    imitator: BoardPolicy, policy: BoardPolicy, count: int, generator: np.random.Generator, *, every: bool = False
) -> Record:
    """Positions to learn values from, one of each game; with `every`, all that follow it too, which are much alike.

    At a ply u of chance the imitator, which has played until then, is followed by one move drawn evenly among all legal
    ones, and then by `policy` to the end. The position behind that move is the one.
    """
    board = policy.board
    when = generator.integers(1, board.limit, size=count)
    ahead, chance, behind = sampled_player(imitator), random_player(board), sampled_player(policy)
    states = board.start(count)
    for ply in range(int(when.max())):
        at = np.flatnonzero((when > ply) & ~board.over(states))
        if len(at) == 0:
            break
        drawn = np.where(when[at] == ply + 1, chance(states[at], generator), ahead(states[at], generator))
        states[at] = board.play(states[at], drawn)
    states = states[~board.over(states)]
    kept, game, open_, end = [states], [np.arange(len(states))], np.arange(len(states)), states.copy()
    while len(open_):
        end[open_] = board.play(end[open_], behind(end[open_], generator))
        open_ = open_[~board.over(end[open_])]
        if every:
            kept.append(end[open_])
            game.append(open_)
    seen, whose = np.concatenate(kept), np.concatenate(game)
    outcome = (board.outcome(end)[whose] * board.mover(seen)).astype(np.float32)
    return Record(seen, np.full(len(seen), -1), outcome, whose)


def played_out(policy: BoardPolicy, states: States, generator: np.random.Generator) -> NDArray[np.float64]:
    """[N] how a game that `policy` plays on from each position ends, to its mover."""
    board, end, player = policy.board, states.copy(), sampled_player(policy)
    while len(open_ := np.flatnonzero(~board.over(end))):
        end[open_] = board.play(end[open_], player(end[open_], generator))
    return board.outcome(end) * board.mover(states)


@dataclass(frozen=True, slots=True)
class Mixed:
    """A player that searches: priors of one policy, and of a leaf (1 − λ) v + λ z.

    Args:
        prior: the imitator; the paper found its priors to serve search better than those of the stronger policy.
        value: gives v.
        rollout: plays a game out, which gives z.
        share: λ: 0 asks the value network alone, 1 games alone.
        search: how; the paper's c is 5.
        soften: priors are ∝ p^soften; the paper's is 0.67.
    """

    prior: BoardPolicy
    value: BoardPolicy
    rollout: BoardPolicy
    share: float
    search: Search
    soften: float = 0.67

    def __call__(self, states: States, generator: np.random.Generator) -> NDArray[np.int64]:
        """[N] the action that was visited most."""
        asked = partial(self.evaluate, generator=generator)
        prior, seen = asked(states)
        return tree_search(Root(prior, seen, states), model_of(self.prior.board, asked), self.search).best()

    def evaluate(
        self, states: States, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Priors [N, A] and values [N] to the mover."""
        seen = np.zeros(len(states))
        if self.share < 1.0:
            seen += (1.0 - self.share) * self.value.evaluate(states)[1]
        if self.share > 0.0:
            seen += self.share * played_out(self.rollout, states, generator)
        prior = self.prior.evaluate(states)[0] ** self.soften
        return prior / np.maximum(prior.sum(1, keepdims=True), 1e-300), seen


def expert(depth: int, board: Board, slip: float) -> Player:
    """Alpha–beta of so many plies, of equal moves the most central; a share `slip` of moves is drawn evenly.

    Without slips its games would be few and alike.
    """
    chance = random_player(board)
    middle = -np.abs(np.arange(board.actions) % board.columns - (board.columns - 1) / 2)

    def player(states: States, generator: np.random.Generator) -> NDArray[np.int64]:
        best = alpha_beta(board, states, depth) + 1e-6 * middle
        chosen = np.where(np.isnan(best), -np.inf, best).argmax(1)
        return np.where(generator.random(len(states)) < slip, chance(states, generator), chosen)

    return player
