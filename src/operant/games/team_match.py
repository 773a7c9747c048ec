"""Games between two players of teams, who stay apart, and how strong the selves of a run are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from operant.control.agent import Agent
from operant.games.elo import Ratings, ratings
from operant.games.lanes import Lanes, scripted
from operant.games.team import drawn

Player = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.int64]]
"""What the heroes of a team see in R / K games, [R, D], to an action [R] each; made anew for each match."""


def self_player(agent: Agent) -> Player:
    """An agent that acts by draws, with a memory of this match."""
    memory = torch.zeros(0, agent.remembers)

    def player(seen: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.int64]:
        nonlocal memory
        if len(memory) != len(seen):
            memory = torch.zeros(len(seen), agent.remembers)
        action, memory = drawn(agent, seen, memory, generator)
        return action

    return player


def scripted_player(heroes: int, slip: float) -> Player:
    """The player made by hand, a share `slip` of whose actions is of chance; at 1 all of them are."""
    return lambda seen, generator: scripted(seen, heroes, generator, slip)


def points(one: Player, other: Player, *, games: int, seed: int, heroes: int = 2) -> float:
    """The share of points that one takes from the other in so many games, a draw half; both sides are alike."""
    world, generator = Lanes(games, heroes), np.random.default_rng(seed)
    world.reset(seed)
    outcome, done = np.zeros(games), np.zeros(games, np.bool_)
    while not done.all():
        seen = world.observe().reshape(games, 2, heroes, -1)
        sides = (np.ascontiguousarray(seen[:, m]).reshape(games * heroes, -1) for m in range(2))
        action = [player(x, generator).reshape(games, heroes) for player, x in zip((one, other), sides, strict=True)]
        told = world.step(np.stack(action, 1))
        outcome = np.where(told.over & ~done, told.outcome, outcome)
        done |= told.over
    return float((outcome.mean() + 1.0) / 2.0)


def standing(selves: Sequence[Agent], *, games: int, seed: int) -> Ratings:
    """Elo of selves who all play one another, the first of them at 0."""
    table = np.zeros((len(selves), len(selves)))
    for i, one in enumerate(selves):
        for j in range(i):
            share = points(self_player(one), self_player(selves[j]), games=games, seed=seed + 1000 * i + j)
            table[i, j], table[j, i] = games * share, games * (1.0 - share)
    return ratings(table)


def yardstick(agent: Agent, *, slips: Sequence[float], games: int, seed: int, heroes: int = 2) -> float:
    """The mean share of points that an agent takes from players made by hand who slip that often."""
    made = partial(points, games=games, heroes=heroes)
    return float(
        np.mean([made(self_player(agent), scripted_player(heroes, x), seed=seed + k) for k, x in enumerate(slips)])
    )
