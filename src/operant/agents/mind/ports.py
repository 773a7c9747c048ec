"""The ports of a cognitive architecture: what passes between its modules, and what each of them has to answer.

    senses → perception → semantic and episodic memory
    known things → attention → focus;  focus → episodic memory → situation
    situation → procedural memory → values → action selection ← doubt ← metacognition
    option → goal → working memory → the next action;  what came of it → learning → procedural memory
    motivation: goals that nobody set, and a reward for what is new

Source: the modules are those of the common model of cognition (Laird, Lebiere and Rosenbloom 2017, A standard model of
the mind, AI Magazine 38), with metacognition, and motivation as in Colas et al. (2022), Autotelic agents with
intrinsically motivated goal-conditioned reinforcement learning, arXiv:2012.09830.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

Cell = tuple[int, int]
"""Column and row, counted from where the episode began, towards which one looked to the right."""
Option = Literal["explore", "approach", "elsewhere"]
"""Go where nothing is known yet; go to the thing in focus; look at another thing."""
Situation = tuple[str, bool]
"""What memory says of the thing in focus, and whether there is a goal to explore."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that is seen, and where."""

    kind: str
    at: Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Percept:
    """What is seen now, from where, and which way one looks (0 right, 1 down, 2 left, 3 up)."""

    here: Cell
    facing: int
    free: frozenset[Cell]
    blocked: frozenset[Cell]
    things: tuple[Thing, ...]


class Perception(Protocol):
    """Senses to percepts, with the place by dead reckoning."""

    def begin(self) -> None: ...
    def see(self, senses: NDArray[Any]) -> Percept: ...
    def moved(self, action: int, percept: Percept) -> None: ...


class Attention(Protocol):
    """Which of the known things is looked at."""

    def focus(self, things: Sequence[Thing], seen: Collection[Cell]) -> Thing | None: ...


class WorkingMemory(Protocol):
    """What is being done: a goal, held until it is reached or given up."""

    def hold(self, goal: Cell | None) -> None: ...
    def goal(self) -> Cell | None: ...


class EpisodicMemory(Protocol):
    """What happened in this episode, in order."""

    def begin(self) -> None: ...
    def store(self, percept: Percept) -> None: ...
    def things(self, percept: Percept) -> Sequence[Thing]:
        """Those that are known of, the last seen first."""
        ...

    def recall(self, cue: Thing) -> str:
        """Whether one like it was met elsewhere."""
        ...


class SemanticMemory(Protocol):
    """What the place is like, without when it was seen: a map."""

    def begin(self) -> None: ...
    def store(self, percept: Percept) -> int:
        """Returns how many cells are new."""
        ...

    def map(self) -> tuple[Collection[Cell], Collection[Cell]]:
        """Free cells, and all that are known."""
        ...


class ProceduralMemory(Protocol):
    """What to do when: the value of each option in a situation. A policy is this."""

    def values(self, situation: Situation, options: Sequence[Option]) -> list[float]: ...
    def store(self, situation: Situation, option: Option, error: float) -> None: ...


class Selection(Protocol):
    """From values to one of them."""

    def choose(self, values: Sequence[float], doubt: float) -> int: ...


class Learning(Protocol):
    """What an option's outcome teaches."""

    def learn(
        self, memory: ProceduralMemory, situation: Situation, option: Option, gained: float, behind: float
    ) -> None: ...


class Metacognition(Protocol):
    """What is thought of one's own thinking: how far it is to be trusted, and when to give up."""

    def doubt(self) -> float: ...
    def ended(self, reward: float) -> None: ...
    def gives_up(self, steps: int) -> bool: ...


class Motivation(Protocol):
    """Goals of one's own, and what the new is worth."""

    def goal(self, reachable: Sequence[Cell], known: Collection[Cell]) -> Cell | None: ...
    def reward(self, new: int) -> float: ...
