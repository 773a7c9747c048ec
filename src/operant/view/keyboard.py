"""A person at the keyboard: keys become actions, and the episodes that they play are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from operant.config.errors import ConfigError, EnvError
from operant.env.record import Draft, Env
from operant.view.video import show

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from operant.env.dataset import Episode

KNOWN: dict[str, tuple[str, int | None]] = {
    "LunarLander": ("left=1 up=2 right=3", 0),
    "CartPole": ("left=0 right=1", None),
    "Acrobot": ("left=0 right=2", 1),
    "MountainCar": ("left=0 right=2", 1),
    "FrozenLake": ("left=0 down=1 right=2 up=3", None),
    "CliffWalking": ("up=0 right=1 down=2 left=3", None),
    "Taxi": ("down=0 up=1 right=2 left=3 p=4 d=5", None),
}
"""Keys of environments that do not say themselves; and what is done while none is pressed, None for the last again."""

PAIRS = (("left", "right"), ("down", "up"), ("a", "d"), ("s", "w"))
"""Keys that push the numbers of a continuous action to their lower and upper bounds."""


class Keys:
    """Which keys are pressed, and the action that they mean.

    Args:
        space: of the actions.
        named: actions by their keys; one key, or several with + between them.
        idle: what is done while none of them is pressed; None repeats the last action.
    """

    def __init__(self, space: Any, named: Mapping[frozenset[str], int], idle: int | None) -> None:
        self.space, self.named = space, named
        self.idle, self._last = idle, int(getattr(space, "start", 0)) if idle is None else idle
        self.pressed: set[str] = set()
        self.again = False  # the episode is to be played again

    def hear(self, name: str, down: bool) -> None:
        """A key goes down or up; Backspace begins the episode anew."""
        if name == "backspace":
            self.again = self.again or down
        elif down:
            self.pressed.add(name)
        else:
            self.pressed.discard(name)

    def action(self) -> Any:
        """What is done now."""
        if isinstance(self.space, spaces.Box):
            return self._pushed(self.space)
        meant = [keys for keys in self.named if keys <= self.pressed]
        if meant:
            self._last = self.named[max(meant, key=len)]
        elif self.idle is not None:
            self._last = self.idle
        return self.space.dtype.type(self._last)

    def _pushed(self, space: spaces.Box) -> NDArray[Any]:
        low, high = space.low.ravel(), space.high.ravel()
        value = np.clip(np.zeros_like(low), low, high)
        for k, (less, more) in enumerate(PAIRS[: len(value)]):
            if (less in self.pressed) != (more in self.pressed):
                value[k] = low[k] if less in self.pressed else high[k]
        return value.reshape(space.shape).astype(space.dtype)


def keys_of(env: Env, name: str, given: str = "") -> Keys:
    """The keys of an environment: as a person says ("left=1 right=3 idle=0"), it says itself, or as they are known.

    Raises:
        ConfigError: if what is given is no such text; says how it is written.
        EnvError: if nobody can play its actions by keys.
    """
    space = env.action_space
    if isinstance(space, spaces.Box):
        if space.shape and np.prod(space.shape) <= len(PAIRS) and np.isfinite([space.low, space.high]).all():
            return Keys(space, {}, None)
        raise EnvError(f"{name} has the actions {space}, too many for keys: record it by --policy or --script")
    if not isinstance(space, spaces.Discrete):
        raise EnvError(f"{name} has the actions {space}, which no key means: record it by --policy or --script")
    if given:
        return Keys(space, *_read(given, space))
    own = getattr(env.unwrapped, "get_keys_to_action", None)
    if own is not None:
        named = {frozenset(_names(keys)): int(action) for keys, action in own().items()}
        return Keys(space, {k: a for k, a in named.items() if k}, named.get(frozenset()))
    for known, (text, idle) in KNOWN.items():
        if name.rpartition("/")[2].partition("-")[0] == known:
            return Keys(space, _read(text, space)[0], idle)
    first = int(space.start)
    return Keys(space, {frozenset([str(k)]): first + k for k in range(min(10, int(space.n)))}, None)


def told(keys: Keys) -> str:
    """Which key does what, for the person."""
    if isinstance(keys.space, spaces.Box):
        pairs = PAIRS[: int(np.prod(keys.space.shape))]
        return "keys: " + ", ".join(f"{less} and {more}" for less, more in pairs)
    named = ", ".join(f"{'+'.join(sorted(k))} {a}" for k, a in keys.named.items())
    return f"keys: {named}; none is " + ("the last again" if keys.idle is None else str(keys.idle))


def played_by_hand(
    env: Env, name: str, keys: Keys, done: list[Episode], *, episodes: int, seed: int, longest: int, fps: int
) -> None:
    """Put the episodes that a person plays in a window into `done`, each at its end; Escape ends it.

    Raises:
        OperantError: if there is no screen, or the environment draws nothing or raises.
    """
    drafts: list[Draft] = []

    def frames() -> Iterator[NDArray[np.uint8]]:
        while len(done) < episodes:
            draft = Draft(env, name, seed + len(done), longest)
            drafts[:], keys.again = [draft], False
            yield _picture(env, name)
            while not (draft.over or keys.again):
                draft.step(keys.action())
                yield _picture(env, name)
            if not keys.again:
                done.append(draft.episode())

    def caption(_: int) -> str:
        now = drafts[0]
        return f"episode {len(done) + 1} of {episodes} · step {len(now)} · return {now.total:.1f}"

    show(frames(), fps, caption, hear=keys.hear)


def _picture(env: Env, name: str) -> NDArray[np.uint8]:
    picture: Any = env.render()
    if not isinstance(picture, np.ndarray):
        raise EnvError(f"{name} draws no pictures (no 'rgb_array' render mode), so nobody can play it by keys")
    return picture


def _read(text: str, space: spaces.Discrete) -> tuple[dict[frozenset[str], int], int | None]:
    named: dict[frozenset[str], int] = {}
    idle: int | None = None
    for word in text.replace(",", " ").split():
        key, equals, number = word.partition("=")
        if not (key and equals and number.lstrip("-").isdigit() and space.contains(int(number))):
            raise ConfigError(f"--keys has {word!r}: write KEY=ACTION with an action of {space}, as in left=0 right=1")
        if key == "idle":
            idle = int(number)
        else:
            named[frozenset(key.split("+"))] = int(number)
    return named, idle


def _names(keys: Any) -> list[str]:
    """The names of keys that an environment gives as letters or numbers of letters."""
    each = keys if isinstance(keys, tuple | list) else [keys]
    letters = [chr(k) if isinstance(k, int) else str(k) for k in each]
    return ["space" if letter == " " else letter for letter in letters]
