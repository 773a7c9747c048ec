"""`text/grid`: a walk on a grid in words, small enough that its exact model, optimum and policy gradient are known.

`Grid.model(scenario)` is the episode as an exact finite-horizon MDP; a session steps through the same outcomes, so what
a runner and a learner make of the world can be held against `operant.mdp`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from operator import eq
from typing import TYPE_CHECKING
from zlib import crc32

from operant.agents.options import number
from operant.agents.text.session import Game, LineWorld, seed_of, split_of
from operant.language.episodes.world import Observation, Scenario

if TYPE_CHECKING:
    from operant.mdp import MDP

MOVES = {"north": (0, -1), "east": (1, 0), "south": (0, 1), "west": (-1, 0)}
SIDEWAYS = {
    "north": ("east", "west"),
    "south": ("east", "west"),
    "east": ("north", "south"),
    "west": ("north", "south"),
}
FAR = 6
"""Steps from the start to the exit, at least: a random walk seldom arrives in time."""
SLACK = 1
"""Moves beyond those of the shortest way."""

Cell = tuple[int, int]
State = tuple[int, int, bool]
"""Column, row, whether the coin is still there."""
EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Map:
    """A grid, its walls, where one starts, and what is to be reached."""

    size: int
    walls: frozenset[Cell]
    start: Cell
    exit: Cell
    coin: Cell | None
    limit: int  # of the moves

    def begin(self) -> State:
        """The first state."""
        return (*self.start, self.coin is not None)

    def moved(self, state: State, direction: str) -> tuple[State | str, float]:
        """The state behind a step, and its reward: coin and exit are worth 1 together. Walls stop a step."""
        x, y, left = state
        dx, dy = MOVES[direction]
        cell = (x + dx, y + dy)
        if not self.inside(cell):
            return state, 0.0
        found = left and cell == self.coin
        reward = 0.2 * found
        if cell == self.exit:
            return EXIT, reward + (0.8 if self.coin else 1.0)
        return (*cell, left and not found), reward

    def inside(self, cell: Cell) -> bool:
        """Whether one can stand there."""
        return 0 <= cell[0] < self.size and 0 <= cell[1] < self.size and cell not in self.walls

    def distance(self, start: Cell, goal: Cell) -> int | None:
        """Steps of the shortest way that passes no exit; None where there is none."""
        steps, edge = {start: 0}, deque([start])
        while edge:
            cell = edge.popleft()
            if cell == goal:
                return steps[cell]
            for dx, dy in MOVES.values() if cell != self.exit else ():
                step = (cell[0] + dx, cell[1] + dy)
                if self.inside(step) and step not in steps:
                    steps[step] = steps[cell] + 1
                    edge.append(step)
        return None


@dataclass(kw_only=True)
class Grid(LineWorld):
    """The world: reward 1 for the exit in time; with a coin, 0.2 for it and 0.8 for the exit.

    Args:
        train, test: scenarios of each split; no pair of start and exit is in both.
        size: cells of a side.
        slip: probability that a step goes to one of the two sides instead.
    """

    size: int = 6
    slip: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number("size", self.size, 5, 12, whole=True)
        number("slip", self.slip, 0.0, 1.0)

    name = "text/grid"
    system = "You walk on a grid. Say one line: go north, go east, go south or go west."
    turns = 16
    templates = ("open", "walls", "coin")

    def scenario(self, split: str, number: int) -> Scenario:
        """The scenario of a number in a split."""
        seed, template = seed_of(split, number), self.templates[number % 3]
        what = "Take the coin, then reach the exit" if template == "coin" else "Reach the exit"
        limit = self.map(seed, template).limit
        return Scenario(id=number, template=template, seed=seed, instruction=f"{what} in {limit} moves.")

    def map(self, seed: int, template: str) -> Map:
        """The map of a seed."""
        return _map(self.size, template, seed, split_of(seed) == "test")

    def game(self, scenario: Scenario) -> Game:
        """The game of a scenario, at its beginning."""
        return _Game(self.map(scenario.seed, scenario.template), self.slip, scenario)

    def limit(self, scenario: Scenario) -> int:
        """The most moves."""
        return self.map(scenario.seed, scenario.template).limit

    def model(self, scenario: Scenario) -> MDP:
        """The episode as an exact model: its states are (column, row, coin left), its horizon the limit on moves.

        With `slip`, it is the mean over scenarios that differ in their draws alone.
        """
        from operant.mdp import enumerate_mdp

        drawn = self.map(scenario.seed, scenario.template)
        return enumerate_mdp(
            partial(_outcomes, drawn, self.slip), drawn.begin(), discount=1.0, actions=tuple(MOVES),
            terminal=partial(eq, EXIT), horizon=drawn.limit, quiet=True,
        )  # fmt: skip

    def oracle(self, scenario: Scenario) -> Sequence[str]:
        """The moves of the best policy of the exact model, as this scenario's draws turn out."""
        from operant.mdp import finite_horizon

        model = self.model(scenario)
        policy = finite_horizon(model, threads=1).policy  # [H, S]
        names, game = {state: i for i, state in enumerate(model.states or ())}, _Game.of(self, scenario)
        moves: list[str] = []
        while game.state != EXIT and len(moves) < len(policy):
            moves.append(f"go {list(MOVES)[policy[len(moves), names[game.state]]]}")
            game.do(moves[-1])
        return moves


def _outcomes(drawn: Map, slip: float, state: State, move: str) -> list[tuple[float, State | str, float]]:
    """(probability, state, reward) of a move: as it was meant, and to each side."""
    left, right = SIDEWAYS[move]
    chances = [(1.0 - slip, move), (slip / 2, left), (slip / 2, right)]
    return [(p, *drawn.moved(state, direction)) for p, direction in chances if p > 0.0]


@lru_cache(maxsize=4096)
def _map(size: int, template: str, seed: int, test: bool) -> Map:
    """A map whose exit is far and can be reached; one in five of all (start, exit) is kept for testing."""
    rng = random.Random(seed)
    cells = [(x, y) for x in range(size) for y in range(size)]
    while True:
        start, end, coin = rng.sample(cells, 3)
        walls = frozenset(rng.sample(cells, size) if template != "open" else ()) - {start, end, coin}
        drawn = Map(size, walls, start, end, coin if template == "coin" else None, 0)
        if (crc32(repr((start, end)).encode()) % 5 == 0) != test:
            continue
        stops = [start, *([coin] if drawn.coin else []), end]
        legs = [drawn.distance(a, b) for a, b in pairwise(stops)]
        least = sum(leg for leg in legs if leg is not None)
        if None not in legs and min(leg for leg in legs if leg) >= FAR // 2 and FAR <= least < Grid.turns - SLACK:
            return Map(size, walls, start, end, drawn.coin, least + SLACK)


class _Game:
    def __init__(self, drawn: Map, slip: float, scenario: Scenario) -> None:
        self.map, self.slip = drawn, slip
        self.state: State | str = drawn.begin()
        self.asked = scenario.instruction
        self._rng, self._left = random.Random(f"{scenario.seed}/{scenario.variant}"), drawn.limit

    @staticmethod
    def of(world: Grid, scenario: Scenario) -> _Game:
        return _Game(world.map(scenario.seed, scenario.template), world.slip, scenario)

    def begin(self) -> Observation:
        return Observation(text=f"{self.asked}\n{self._seen()}", state=str(self.state))

    def do(self, command: str) -> Observation:
        self._left -= 1
        words = command.lower().rstrip(".").split()
        move = words[-1] if words and words[0] in ("go", *MOVES) and len(words) <= 2 else ""
        draw = self._rng.random()  # one for each turn, whatever is said: equal scenarios slip at equal turns
        if move not in MOVES or isinstance(self.state, str):
            error = "PARSE say go north, go east, go south or go west"
            return Observation(text=f"{error}\n{self._seen()}", error=error, state=str(self.state))
        outcomes = _outcomes(self.map, self.slip, self.state, move)
        while len(outcomes) > 1 and draw >= outcomes[0][0]:
            draw -= outcomes.pop(0)[0]
        _, state, reward = outcomes[0]
        before, self.state = self.state, state
        if state == EXIT:
            return Observation(text="You are out.", reward=reward, terminated=True, state=EXIT)
        told = "You have the coin. " if reward else "A wall stops you. " if state == before else ""
        return Observation(text=told + self._seen(), reward=reward, state=str(state))

    def commands(self) -> Sequence[str]:
        return [f"go {move}" for move in MOVES]

    def _seen(self) -> str:
        assert not isinstance(self.state, str)
        x, y, left = self.state
        lines = [f"You are at {_at((x, y))}, the exit is at {_at(self.map.exit)}."]
        if left and self.map.coin:
            lines.append(f"The coin is at {_at(self.map.coin)}.")
        walls = [name for name, (dx, dy) in MOVES.items() if not self.map.inside((x + dx, y + dy))]
        if walls:
            lines.append(f"Walls: {', '.join(walls)}.")
        return " ".join([*lines, f"{self._left} moves are left."])


def _at(cell: Iterable[int]) -> str:
    return " ".join(map(str, cell))
