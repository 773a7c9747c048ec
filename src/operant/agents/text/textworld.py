"""`text/textworld`: games of TextWorld (Côté et al. 2018), made from seeds or read from a folder.

The package is no part of this library: pip install textworld (it needs a C compiler). Making a game takes seconds, so
games are kept in a folder.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from operant.agents.options import number
from operant.agents.spoken import line
from operant.config.errors import ConfigError, EnvError
from operant.config.suggest import nearest_are
from operant.config.text import home_path
from operant.language.episodes.world import Observation, Scenario

REFUSALS = (
    "That's not a verb I recognise",
    "You can't see any such thing",
    "I only understood you as far as",
    "You seem to have said too little",
    "I didn't understand that sentence",
    "You can't go that way",
    "What do you want to",
    "Which do you mean",
)
"""What the games' parser says to what is no command, or names what is not there."""
A = TypeVar("A")


class TextWorld:
    """Games of TextWorld as a world: reward is the share of the score, 1 in all.

    Args:
        games: a folder with compiled games (.z8, .ulx), the last fifth of them for testing; if empty, games are made.
        folder: where games that are made are kept.
        train, test: games to be made for each split.
        rooms, objects, length: of a game that is made: rooms, objects, and commands of the quest.
        turns: the most actions of an episode.

    Raises:
        ConfigError: if the package is missing, a number is out of range, or a folder has no games.
    """

    name = "text/textworld"
    system = (
        "You play a text adventure. Say one command a turn, such as: go north, take key, open chest, look, inventory."
    )
    splits: Sequence[str] = ("train", "test")

    def __init__(
        self, *, games: str = "", folder: str = "~/.cache/operant/textworld", train: int = 64, test: int = 16,
        rooms: int = 3, objects: int = 4, length: int = 3, turns: int = 40,
    ) -> None:  # fmt: skip
        self.package = _package()
        for option, value, most in (("rooms", rooms, 20), ("objects", objects, 50), ("length", length, 15)):
            number(option, value, 1, most, whole=True)
        for option, value in (("train", train), ("test", test)):
            number(option, value, 0, 100_000, whole=True)
        self.turns = number("turns", turns, 1, 1000, whole=True)
        self.rooms, self.objects, self.length, self.folder = rooms, objects, length, home_path(folder)
        self._found = _games(games) if games else []
        tests = max(1, len(self._found) // 5)
        self._sizes = {"train": train, "test": test}
        if games:
            self._sizes = {"train": len(self._found) - tests, "test": tests}
        self._making = threading.Lock()

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """The games of a split; what is to be done, a game tells in its first observation."""
        if split not in self._sizes:
            raise ConfigError(f"{self.name} has no split {split!r}{nearest_are(split, self._sizes)}")
        first = 0 if split == "train" else self._sizes["train"]
        template = "found" if self._found else "house"
        return [Scenario(id=k, template=template, seed=first + k, instruction="") for k in range(self._sizes[split])]

    def open(self, scenario: Scenario) -> _Session:
        """A session with a game of its own."""
        return _Session(self, scenario)

    def oracle(self, scenario: Scenario) -> Sequence[str] | None:
        """The commands that the game's maker knows to win; None where the game tells none."""
        game, state = self.begin(scenario)
        game.close()
        commands: Any = getattr(state, "policy_commands", None)
        return [str(command) for command in commands] if commands else None

    def begin(self, scenario: Scenario) -> tuple[Any, Any]:
        """A game at its beginning, and what it shows."""
        path = self._found[scenario.seed] if self._found else self._made(scenario.seed)
        asked = self.package.EnvInfos(
            max_score=True, won=True, description=True, objective=True, policy_commands=True, score=True
        )
        try:
            game = self.package.start(str(path), asked)
            return game, game.reset()
        except Exception as error:  # the package raises what it likes
            raise EnvError(f"{path}: TextWorld cannot play it ({type(error).__name__}: {error})") from error

    def _made(self, seed: int) -> Path:
        """The file of a seed's game, made where it is not there yet."""
        path = self.folder / f"r{self.rooms}-o{self.objects}-l{self.length}-s{seed}.z8"
        with self._making:
            if path.is_file():
                return path
            options = self.package.GameOptions()
            options.seeds, options.nb_rooms, options.nb_objects = seed, self.rooms, self.objects
            options.quest_length, options.path, options.force_recompile = self.length, str(path), True
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.package.make(options)
            except Exception as error:
                raise EnvError(f"TextWorld made no game of seed {seed} ({type(error).__name__}: {error})") from error
        return path


class _Session:
    def __init__(self, world: TextWorld, scenario: Scenario) -> None:
        self.world, self.scenario, self.left = world, scenario, world.turns
        self._game: Any = None
        self._score = 0.0

    async def reset(self) -> Observation:
        """Begin, in a thread: a game may have to be made."""
        self._game, state = await _aside(lambda: self.world.begin(self.scenario))
        self._most = float(state.max_score or 1)
        parts = (state.objective, state.description)
        return Observation(text="\n\n".join(str(part).strip() for part in parts if part) or str(state.feedback).strip())

    async def step(self, action: str) -> Observation:
        """Say a command to the game."""
        self.left -= 1
        command = line(action)[1]
        if not command:
            return self._cut(Observation(text="PARSE nothing was said", error="PARSE nothing was said"))
        state, score, done = self._game.step(command)
        text = str(state.feedback).strip()
        reward, self._score = (float(score) - self._score) / self._most, float(score)
        error = f"PARSE {text.splitlines()[0]}" if text.startswith(REFUSALS) else None
        shown = text if error is None else f"PARSE {text}"
        won = {"success": bool(state.won)} if done else {}
        return self._cut(Observation(text=shown, reward=reward, terminated=bool(done), error=error, info=won))

    async def close(self) -> None:
        """End the game."""
        game, self._game = self._game, None
        if game is not None:
            game.close()

    def _cut(self, seen: Observation) -> Observation:
        return seen if seen.terminated or self.left > 0 else replace(seen, truncated=True)


async def _aside(work: Callable[[], A]) -> A:
    return await asyncio.to_thread(work)


def _package() -> Any:
    try:
        return import_module("textworld")
    except ImportError as error:
        raise ConfigError(
            f"text/textworld needs a package ({error}): pip install textworld. It needs a C compiler; the worlds "
            "text/quests and text/grid need nothing"
        ) from None


def _games(folder: str) -> list[Path]:
    found = sorted(path for kind in ("*.z8", "*.ulx") for path in home_path(folder).glob(kind))
    if len(found) < 2:
        raise ConfigError(f"{folder} has {len(found)} games (*.z8, *.ulx): make some with tw-make, two at least")
    return found
