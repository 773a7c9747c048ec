"""A mind: the modules wired through their ports, acting in a grid one step at a time and learning from what comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from operant.agents.mind import modules, ports
from operant.agents.mind.modules import AHEAD, FORWARD, LEFT, RIGHT
from operant.agents.mind.ports import Cell, Option, Percept, Situation, Thing

Part = Literal[
    "perception", "attention", "working", "episodic", "semantic", "procedural", "selection", "learning",
    "metacognition", "motivation",
]  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Mind:
    """Modules, and what they do together.

    Attributes:
        discount: γ of a step.
        done: places whose thing was looked at, or passed over.
    """

    perception: ports.Perception
    attention: ports.Attention
    working: ports.WorkingMemory
    episodic: ports.EpisodicMemory
    semantic: ports.SemanticMemory
    procedural: ports.ProceduralMemory
    selection: ports.Selection
    learning: ports.Learning
    metacognition: ports.Metacognition
    motivation: ports.Motivation
    discount: float = 0.99
    done: set[Cell] = field(default_factory=set[Cell])
    _chosen: tuple[Situation, Option] | None = None
    _gained: float = 0.0
    _steps: int = 0
    _percept: Percept | None = None

    def begin(self) -> None:
        """Another episode: what was learnt stays."""
        self.perception.begin()
        self.episodic.begin()
        self.semantic.begin()
        self.working.hold(None)
        self.done, self._chosen, self._gained, self._steps = set(), None, 0.0, 0

    def act(self, senses: NDArray[Any]) -> int:
        """The next action: see, remember, decide where nothing is to be done yet, and go on with what is."""
        percept = self._percept = self.perception.see(senses)
        self._gained += self.discount**self._steps * self.motivation.reward(self.semantic.store(percept))
        self.episodic.store(percept)
        ways = self._ways(percept)
        goal = self.working.goal()
        if goal is None or goal == percept.here or goal not in ways or self.metacognition.gives_up(self._steps):
            goal = self._decide(percept, ways)
            self.working.hold(goal)
        action = LEFT if goal is None else self._towards(percept, ways, goal)
        self.perception.moved(action, percept)
        self._steps += 1
        return action

    def learn(self, reward: float, over: bool) -> None:
        """What the last action brought."""
        self._gained += self.discount ** max(self._steps - 1, 0) * reward
        if over:
            self._credit(0.0)
            self.metacognition.ended(reward)

    def _decide(self, percept: Percept, ways: Mapping[Cell, Cell]) -> Cell | None:
        """A goal by the best option; None where there is none. Where one is passed over, the next is looked at."""
        known = self.semantic.map()[1]
        self_set = self.motivation.goal([*ways], known)
        while True:
            focus = self.attention.focus(self.episodic.things(percept), self.done)
            beside = None if focus is None else _beside(focus, ways)
            options: list[Option] = [*(["explore"] if self_set is not None else []),
                                     *(["approach", "elsewhere"] if focus is not None else [])]  # fmt: skip
            if not options:
                self.done = set()
                return None
            situation = ("nothing" if focus is None else self.episodic.recall(focus), self_set is not None)
            values = self.procedural.values(situation, options)
            self._credit(max(values))
            option = options[self.selection.choose(values, self.metacognition.doubt())]
            self._chosen = situation, option
            if option == "explore":
                return self_set
            assert focus is not None
            self.done.add(focus.at)
            if option == "approach":
                return beside

    def _credit(self, behind: float) -> None:
        """Learn from the option that has ended."""
        if self._chosen is not None:
            behind *= self.discount**self._steps
            self.learning.learn(self.procedural, *self._chosen, self._gained, behind)
        self._chosen, self._gained, self._steps = None, 0.0, 0

    def _ways(self, percept: Percept) -> dict[Cell, Cell]:
        """Of each cell that can be reached, the nearest first, the one from which it is."""
        free, _ = self.semantic.map()
        came, edge = {percept.here: percept.here}, deque([percept.here])
        while edge:
            x, y = edge.popleft()
            for dx, dy in AHEAD:
                step = (x + dx, y + dy)
                if step in free and step not in came:
                    came[step] = (x, y)
                    edge.append(step)
        return came

    def _towards(self, percept: Percept, ways: Mapping[Cell, Cell], goal: Cell) -> int:
        """The first action of the way to a goal; where one stands there, one looks around."""
        step = goal
        while ways[step] != percept.here:
            step = ways[step]
        if step == percept.here:
            return LEFT
        facing = AHEAD.index((step[0] - percept.here[0], step[1] - percept.here[1]))
        turn = (facing - percept.facing) % 4
        return FORWARD if turn == 0 else LEFT if turn == 3 else RIGHT


def _beside(thing: Thing, ways: Mapping[Cell, Cell]) -> Cell | None:
    """The nearest cell beside a thing that can be reached."""
    x, y = thing.at
    return next((cell for cell in ways if abs(cell[0] - x) + abs(cell[1] - y) == 1), None)


def mind(rng: np.random.Generator, without: Part | None = None) -> Mind:
    """A mind with all of its modules, or with one of them taken out.

    Args:
        rng: of all that it draws.
        without: that one has nothing but what cannot be missing.
    """
    return Mind(
        perception=modules.Grid(apart=without != "perception"),
        attention=modules.AnyThing(rng) if without == "attention" else modules.Newest(),
        working=modules.Held(holds=without != "working"),
        episodic=modules.Episodes(keeps=without != "episodic"),
        semantic=modules.Map(keeps=without != "semantic"),
        procedural=modules.Table(has=without != "procedural"),
        selection=modules.Greedy(rng, explores=without != "selection"),
        learning=modules.TemporalDifference(0.0 if without == "learning" else 0.1),
        metacognition=modules.Monitor(watches=without != "metacognition"),
        motivation=modules.Aimless(rng) if without == "motivation" else modules.Curiosity(),
    )
