"""An episode that was asked for, and one that is over: its turns, its tokens, and why it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from operant.language.episodes.message_graph import MessageGraph
from operant.language.episodes.world import Scenario

Cause = Literal["success", "fail", "turns", "context", "timeout", "fault"]
"""Why an episode ended: by its task; by the limit on turns, or on tokens; by a world that was late, or broke."""

CAUSES: tuple[Cause, ...] = ("success", "fail", "turns", "context", "timeout", "fault")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An episode to be played."""

    id: int  # keys its draws
    group: int  # episodes with equal ones begin in the same scenario
    member: int
    scenario: Scenario


@dataclass(slots=True, kw_only=True)
class Turn:
    """One decision: what was shown, what was said, and what came of it."""

    shown: str
    action: str
    result: str
    reward: float
    error: str | None
    state: str | None  # before it
    tokens: int
    cut: bool  # by the limit on a turn


@dataclass(slots=True, kw_only=True)
class Played:
    """An episode that is over.

    Attributes:
        faults: how often its world broke, this attempt not counted unless it is the last.
        note: what broke last.
        left_out: turns that the last prompt did not tell.
        told: what else its last observation said is so or is not.
        pictures: what was seen before each action and at the end, as PNG; none but of episodes that are filmed.
    """

    asked: Asked
    graph: MessageGraph = field(default_factory=MessageGraph)
    turns: list[Turn] = field(default_factory=list[Turn])
    cause: Cause = "turns"
    success: bool = False
    faults: int = 0
    note: str = ""
    left_out: int = 0
    told: Mapping[str, bool] = field(default_factory=dict[str, bool])
    pictures: list[bytes] = field(default_factory=list[bytes])

    @property
    def ret(self) -> float:
        """The sum of its rewards."""
        return sum(turn.reward for turn in self.turns)

    @property
    def scored(self) -> bool:
        """Whether what it earned says anything of the policy: not where its world was late or broke."""
        return self.cause not in ("timeout", "fault") and bool(self.turns)

    @property
    def cut(self) -> bool:
        """Whether a limit ended it."""
        return self.cause in ("turns", "context")
