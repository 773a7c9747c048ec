"""What the text worlds share: a game of one line a turn as a session, and scenarios that are drawn from seeds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Protocol

from operant.agents.options import number
from operant.agents.spoken import line
from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are
from operant.language.episodes.world import Observation, Scenario, Session

MOST = 1_000_000
"""Scenarios of a split."""
LONGEST = 300
"""Characters of a command."""


class Game(Protocol):
    """A game that is played in lines of text."""

    def begin(self) -> Observation:
        """What is seen at first."""
        ...

    def do(self, command: str) -> Observation:
        """What comes of a command, whatever its text is."""
        ...

    def commands(self) -> Sequence[str]:
        """Commands that would be understood now, for an agent that draws one at random."""
        ...


class LineSession:
    """One episode of a game: the last line of an action is its command.

    Args:
        game: at its beginning.
        turns: actions after which it is truncated.
    """

    def __init__(self, game: Game, turns: int) -> None:
        self.game, self.left = game, turns

    async def reset(self) -> Observation:
        """The first observation."""
        return self.game.begin()

    async def step(self, action: str) -> Observation:
        """What comes of an action; one that is no command is told so, and counts as a turn."""
        command = line(action)[1]
        self.left -= 1
        if not command or len(command) > LONGEST:
            error = "PARSE nothing was said" if not command else f"PARSE more than {LONGEST} characters in a line"
            seen = Observation(text=error, error=error)
        else:
            seen = self.game.do(command)
        return seen if seen.terminated or self.left > 0 else replace(seen, truncated=True)

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(kw_only=True)
class LineWorld(ABC):
    """A world of such games.

    Args:
        train, test: scenarios of each split.
    """

    train: int = 1024
    test: int = 256

    splits: Sequence[str] = field(init=False)  # which have no scenario in common

    def __post_init__(self) -> None:
        self.splits = tuple(self._sizes)
        for split, size in self._sizes.items():
            number(split, size, 0, MOST, whole=True)

    name = ""
    system = ""
    turns = 0
    templates: ClassVar[tuple[str, ...]] = ()

    @property
    def _sizes(self) -> dict[str, int]:
        return {"train": self.train, "test": self.test}

    @abstractmethod
    def scenario(self, split: str, number: int) -> Scenario:
        """The scenario of a number in a split."""
        ...

    @abstractmethod
    def game(self, scenario: Scenario) -> Game:
        """The game of a scenario, at its beginning."""
        ...

    @abstractmethod
    def oracle(self, scenario: Scenario) -> Sequence[str] | None:
        """Actions that solve it."""
        ...

    def limit(self, scenario: Scenario) -> int:
        """The most actions of a scenario's episode."""
        del scenario
        return self.turns

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """The scenarios of a split.

        Raises:
            ConfigError: if there is no such split.
        """
        if split not in self._sizes:
            raise ConfigError(f"{self.name} has no split {split!r}{nearest_are(split, self._sizes)}")
        if split not in self._made:
            self._made[split] = [self.scenario(split, k) for k in range(self._sizes[split])]
        return self._made[split]

    def open(self, scenario: Scenario) -> Session:
        """A session that begins from a scenario."""
        return LineSession(self.game(scenario), self.limit(scenario))

    @cached_property
    def _made(self) -> dict[str, list[Scenario]]:
        return {}


SPLITS = ("train", "test", "layouts")


def seed_of(split: str, number: int) -> int:
    """The seed of a scenario: no two splits share one."""
    return number * len(SPLITS) + SPLITS.index(split)


def split_of(seed: int) -> str:
    """The split that a scenario's seed belongs to."""
    return SPLITS[seed % len(SPLITS)]
