"""The modules of a mind, each beside what stands in its place where it is taken out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.agents.mind.ports import Cell, Option, Percept, ProceduralMemory, Situation, Thing

AHEAD: tuple[Cell, ...] = ((1, 0), (0, 1), (-1, 0), (0, -1))
LEFT, RIGHT, FORWARD = 0, 1, 2
UNSEEN, EMPTY = 0, 1
KINDS = {5: "key", 6: "ball"}


class Grid:
    """Perception of MiniGrid's symbols, [7, 7, 3]: from left to right, from far to near, (what, colour, state).

    Args:
        apart: kinds of things are told apart.
    """

    def __init__(self, apart: bool = True) -> None:
        self.apart, self.here, self.facing = apart, (0, 0), 0

    def begin(self) -> None:
        """One stands where one counts from, and looks to the right."""
        self.here, self.facing = (0, 0), 0

    def see(self, senses: NDArray[Any]) -> Percept:
        """The cells ahead, in the place's own directions."""
        (ax, ay), (rx, ry) = AHEAD[self.facing], AHEAD[(self.facing + 1) % 4]
        (x, y), size = self.here, len(senses)
        free, blocked, things = {self.here}, set[Cell](), list[Thing]()
        for right, row in enumerate(senses[:, :, 0].tolist(), -(size // 2)):
            for ahead, what in enumerate(row[::-1]):
                if what == UNSEEN or (ahead == 0 and right == 0):
                    continue
                cell = (x + ahead * ax + right * rx, y + ahead * ay + right * ry)
                (free if what == EMPTY else blocked).add(cell)
                if what in KINDS:
                    things.append(Thing(KINDS[what] if self.apart else "thing", cell))
        return Percept(
            here=self.here, facing=self.facing, free=frozenset(free), blocked=frozenset(blocked), things=tuple(things)
        )

    def moved(self, action: int, percept: Percept) -> None:
        """A turn; or a step ahead, where nothing stands there."""
        ahead = (self.here[0] + AHEAD[self.facing][0], self.here[1] + AHEAD[self.facing][1])
        if action != FORWARD:
            self.facing = (self.facing + (1 if action == RIGHT else -1)) % 4
        elif ahead in percept.free:
            self.here = ahead


class Newest:
    """Attention to the thing that was seen last, but for those that were looked at already."""

    def focus(self, things: Sequence[Thing], seen: Collection[Cell]) -> Thing | None:
        """The first that is left."""
        return next((thing for thing in things if thing.at not in seen), None)


class AnyThing:
    """No attention: any thing, and again."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def focus(self, things: Sequence[Thing], seen: Collection[Cell]) -> Thing | None:
        """One at random."""
        return things[int(self.rng.integers(len(things)))] if things else None


class Held:
    """Working memory of one goal.

    Args:
        holds: else it is gone at once, and each step decides anew.
    """

    def __init__(self, holds: bool = True) -> None:
        self.holds = holds
        self._goal: Cell | None = None

    def hold(self, goal: Cell | None) -> None:
        """In place of what was held."""
        self._goal = goal

    def goal(self) -> Cell | None:
        """What is held."""
        goal = self._goal
        if not self.holds:
            self._goal = None
        return goal


class Episodes:
    """Episodic memory: what was met where, in order.

    Args:
        keeps: else only what is in view is known of, and nothing is like anything.
    """

    def __init__(self, keeps: bool = True) -> None:
        self.keeps, self.met = keeps, dict[Cell, Thing]()

    def begin(self) -> None:
        """Another episode."""
        self.met = {}

    def store(self, percept: Percept) -> None:
        """What is in view was met last."""
        if not self.keeps:
            self.met = {}
        for thing in percept.things:
            self.met.pop(thing.at, None)
            self.met[thing.at] = thing

    def things(self, percept: Percept) -> Sequence[Thing]:
        """The last met first."""
        return [*self.met.values()][::-1]

    def recall(self, cue: Thing) -> str:
        """Of all that was met."""
        return "met" if any(one.kind == cue.kind and one.at != cue.at for one in self.met.values()) else "not met"


class Map:
    """Semantic memory of a place.

    Args:
        keeps: else it is what is in view.
    """

    def __init__(self, keeps: bool = True) -> None:
        self.keeps, self.free, self.known = keeps, set[Cell](), set[Cell]()

    def begin(self) -> None:
        """Another place."""
        self.free, self.known = set(), set()

    def store(self, percept: Percept) -> int:
        """Add what is seen."""
        new = len((percept.free | percept.blocked) - self.known)
        if not self.keeps:
            self.begin()
        self.free |= percept.free
        self.known |= percept.free | percept.blocked
        return new

    def map(self) -> tuple[Collection[Cell], Collection[Cell]]:
        """All of it."""
        return self.free, self.known


class Table:
    """Procedural memory: action values, which begin at the most that an episode can bring, so that all is tried.

    Args:
        has: else everything is worth the same.
    """

    def __init__(self, has: bool = True) -> None:
        self.has, self.q = has, defaultdict[tuple[Situation, Option], float](lambda: 1.0)

    def values(self, situation: Situation, options: Sequence[Option]) -> list[float]:
        """Of the options."""
        return [self.q[situation, option] if self.has else 1.0 for option in options]

    def store(self, situation: Situation, option: Option, error: float) -> None:
        """Move a value."""
        self.q[situation, option] += error


class Greedy:
    """Action selection: the best, and any at all as often as one doubts; of equal ones any.

    Args:
        explores: else never any but the best, the first of equal ones.
    """

    def __init__(self, rng: np.random.Generator, explores: bool = True) -> None:
        self.rng, self.explores = rng, explores

    def choose(self, values: Sequence[float], doubt: float) -> int:
        """An index."""
        if not self.explores:
            return int(np.argmax(values))
        if self.rng.random() < doubt:
            return int(self.rng.integers(len(values)))
        return int(self.rng.choice(np.flatnonzero(np.asarray(values) == max(values))))


class TemporalDifference:
    """Learning: Q-learning of options, δ = gained + γᵏ max q(behind) − q, where k steps passed.

    Args:
        step_size: α.
    """

    def __init__(self, step_size: float = 0.1) -> None:
        self.step_size = step_size

    def learn(
        self, memory: ProceduralMemory, situation: Situation, option: Option, gained: float, behind: float
    ) -> None:
        """Store α δ."""
        memory.store(situation, option, self.step_size * (gained + behind - memory.values(situation, [option])[0]))


class Monitor:
    """Metacognition: one doubts as much as one failed of late, and gives up what takes too long.

    Args:
        patience: steps of a goal.
        watches: else doubt stays as it was at first, and nothing is given up.
    """

    def __init__(self, patience: int = 40, watches: bool = True) -> None:
        self.patience, self.watches, self.won = patience, watches, 0.0

    def doubt(self) -> float:
        """A probability."""
        return 0.3 * (1.0 - self.won)

    def ended(self, reward: float) -> None:
        """A running mean of what episodes brought."""
        if self.watches:
            self.won += 0.1 * (float(reward > 0.0) - self.won)

    def gives_up(self, steps: int) -> bool:
        """Whether a goal took too long."""
        return self.watches and steps > self.patience


class Curiosity:
    """Motivation: the nearest place from which something new is to be seen is a goal; a new cell is worth something.

    Args:
        weight: of a new cell, beside rewards of at most 1.
    """

    def __init__(self, weight: float = 0.001) -> None:
        self.weight = weight

    def goal(self, reachable: Sequence[Cell], known: Collection[Cell]) -> Cell | None:
        """The nearest cell beside an unknown one; `reachable` is in the order of distance."""
        return next((c for c in reachable if any((c[0] + dx, c[1] + dy) not in known for dx, dy in AHEAD)), None)

    def reward(self, new: int) -> float:
        """For so many new cells."""
        return self.weight * new


class Aimless:
    """No motivation: any place will do, and the new is worth nothing."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def goal(self, reachable: Sequence[Cell], known: Collection[Cell]) -> Cell | None:
        """A cell at random."""
        return reachable[int(self.rng.integers(len(reachable)))]

    def reward(self, new: int) -> float:
        """Nothing."""
        return 0.0
