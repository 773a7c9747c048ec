"""Houses of walls and things as exact models, each with a sentence and a shortest way to what it means."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operant.env.text import Codes
from operant.grounded.instructions import Language
from operant.grounded.language_reward import Task
from operant.mdp import grid_world, solve

MARKS = "0123456789"


class House(NamedTuple):
    """A task of `language_reward`, and what who copies needs.

    `picture` is [P + 2, S, S]: things, walls, and an empty plane for who walks. `right` is the state that is meant,
    `walk` a shortest way there, states and actions.
    """

    task: Task
    picture: NDArray[np.float32]
    right: int
    walk: list[tuple[int, int]]

    def seen(self, state: int) -> NDArray[np.float32]:
        """[P + 2, S, S], with who walks in a state."""
        seen, where = self.picture.copy(), self.task.mdp.states
        assert where is not None
        seen[-1][where[state]] = 1.0
        return seen

    def after(self, state: int, action: int) -> int:
        """The state that follows."""
        rows = self.task.mdp.rows
        return int(rows.indices[rows.indptr[self.task.mdp.row(state, action)]])  # nobody slips


def house(
    language: Language, split: str, rng: np.random.Generator, *, side: int = 8, walls: int = 14, things: int = 5,
    discount: float = 0.95,
) -> House:  # fmt: skip
    """Draw walls, things, a start and an instruction, until the way to what is meant is open; one thing fits it."""
    said, properties, codes = language.splits[split], language.properties, Codes(language.words)
    while True:
        order = said[int(rng.integers(len(said)))]
        right = int(rng.choice(order.targets))
        others = [k for k in range(len(language.things)) if k not in order.targets]
        stand = [right, *rng.choice(others, things - 1, replace=False).tolist()]
        places = rng.permutation(side**2)[: walls + things + 1]
        text = np.full(side**2, ".")
        text[places[:walls]], text[places[walls:-1]], text[places[-1]] = "#", [*MARKS[:things]], "S"
        lines = "\n".join("".join(line) for line in text.reshape(side, side))
        mdp = grid_world(lines, discount=discount, rewards={MARKS[0]: 1.0}, terminal=MARKS[:things])
        best, free = solve(mdp), np.flatnonzero(text != "#")
        start, goal = (int(np.searchsorted(free, places[k])) for k in (-1, walls))
        if best.values[start] <= 1e-6:
            continue
        planes = np.zeros((side**2, properties.shape[1] + 2), np.float32)
        planes[places[walls:-1], :-2] = properties[stand]
        planes[places[:walls], -2] = 1.0
        task = Task(mdp=mdp, cells=planes[free, :-2], codes=codes.of(order.text), entered=np.zeros(len(free)))
        made = House(task, planes.T.reshape(-1, side, side), goal, [])
        while start != goal:
            made.walk.append((start, int(best.policy[start])))
            start = made.after(*made.walk[-1])
            task.entered[start] += discount ** (len(made.walk) - 1)
        return made
