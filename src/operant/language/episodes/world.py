"""A world of many turns: scenarios to begin from, and sessions that answer a text with an observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from operant.config.errors import ConfigError, EnvError
from operant.config.registry import WORLDS
from operant.config.suggest import nearest_are

Split = Literal["train", "test"]  # a world may know more (held-out apps, words): `World.splits` lists them


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What an episode begins from: equal scenarios begin in equal states, so that they can be a group."""

    id: int  # unique within world and split; keys the draws
    template: str  # what kind of task it is: results are reported by template
    seed: int  # of all that the world draws
    instruction: str  # the task in words
    variant: int = 0  # of a scenario that is asked in several forms


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the world answers: text for the policy, and what only learning and reports see.

    An episode is a success where `info["success"]` of its last observation says so, or, where nothing does, where its
    rewards add up to 1 or more.
    """

    text: str
    reward: float = 0.0  # for the action that led here
    terminated: bool = False  # the task ended here, well or not
    truncated: bool = False  # the world stopped looking (its own limit on turns)
    error: str | None = None  # of the action, one line, e.g. "PARSE no code block"; it is also in `text`, and no fault
    state: str | None = None  # equal where the state is equal: anchors of turn-level groups
    info: Mapping[str, float | str | bool] = field(default_factory=dict[str, "float | str | bool"])
    pictures: tuple[str, ...] = ()  # names (`operant.language.text.pictures`), shown before the text
    cells: tuple[int, ...] = ()  # what each cell of them shows, from which a small base that sees is made


class SharedFault(EnvError):
    """What a session raises where something broke that many episodes share: a browser that died, a server that ended.

    Its episode is tried again with equal draws, as after any fault, and keeps its retries: they are there for what the
    episode itself meets.
    """


class Session(Protocol):
    """One episode. Any exception but cancellation is the world's fault: the episode is tried again with equal draws.

    Coroutines that never wait are run in place. Those that do (for a browser, a server, a process) are run on an event
    loop in a thread of its own, so that sampling goes on meanwhile; the first that waits shows which kind a world is.
    """

    async def reset(self) -> Observation: ...
    async def step(self, action: str) -> Observation: ...
    async def close(self) -> None: ...  # called once, whatever happened


@runtime_checkable
class World(Protocol):
    """Scenarios and sessions of one kind."""

    name: str  # e.g. "desk/tiny"
    system: str  # the system message of every episode; may be empty
    turns: int  # the most actions of an episode
    splits: Sequence[str]

    def scenarios(self, split: str) -> Sequence[Scenario]: ...
    def open(self, scenario: Scenario) -> Session: ...
    def oracle(self, scenario: Scenario) -> Sequence[str] | None:
        """Actions that solve it, as texts; None where the world has no oracle."""
        ...


def load_world(spec: str, options: Mapping[str, Any] | None = None) -> World:
    """Make a world.

    Args:
        spec: a name of `operant.config.registry.WORLDS` ("desk/tiny": what stands behind the first slash is the
            variant), or a function of one's own, "mine.py:make" or "module:make", called without a variant.
        options: keyword arguments of its `make`.

    Raises:
        ConfigError: if there is none of that name, an option is not one, or it makes no world; says where.
    """
    from operant.language.task.load import made_by

    family, _, variant = spec.partition("/")
    home = WORLDS.get(spec) or WORLDS.get(family)
    if home is not None:
        made: object = made_by(home, spec, options or {}, variant)
    elif ":" in spec:
        made = made_by(spec, spec, options or {})
    else:
        hint = nearest_are(spec, WORLDS) or f"; there is {', '.join(WORLDS) or 'none yet'}"
        raise ConfigError(f"there is no world {spec!r}{hint}. A world of your own is a function: mine.py:make")
    if not isinstance(made, World):
        raise ConfigError(f"{spec} returned a {type(made).__name__}, not an operant.language.World")
    return made
