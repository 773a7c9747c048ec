"""From what a person writes after `operant solve` to a model: a world, a file, or an environment with a table."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.bounded import decoded, read_bytes
from operant.config.errors import ConfigError, EnvError
from operant.config.suggest import did_you_mean, missing, nearest

if TYPE_CHECKING:
    from operant.mdp.model import MDP

DISCOUNT = 0.99
"""γ where neither the model nor a person says one."""

VERSIONED = re.compile(r"-v\d+$")
"""How the ids of Gymnasium's environments end."""

HEADER = re.compile(r"^([a-z_]+)(?: .)? *:.*$", re.MULTILINE)
"""A line with an option, before a map."""

MAPS = (".txt", ".map")
REWARDS = {"G": 1.0, "+": 1.0, "H": 0.0, "-": -1.0}
"""Cells of a text map that end an episode, and their reward, where no option says otherwise."""


def open_model(name: str, options: Mapping[str, Any], discount: float | None = None) -> tuple[str, MDP, list[str]]:
    """The model that a person means, a short name for it, and what was assumed, in sentences.

    Args:
        name: `world:NAME` or the name of a world, a file (.npz, .json, .tra, or a map as .txt or .map), or the id of a
            Gymnasium environment that has a table `P`.
        options: keyword arguments of the world, the map (`operant.mdp.grid_world`) or the environment.
        discount: γ, if not the model's own.

    Raises:
        ConfigError: if there is no such model or option, suggesting the nearest; or the environment has no table.
    """
    path = Path(name)
    if path.is_file() or path.suffix in (*MAPS, ".npz", ".json", ".tra"):
        return path.stem, *_file(path, options, discount)
    if VERSIONED.search(name):
        return name, *_environment(name, options, discount)
    found = worlds()
    plain = name.removeprefix("world:").replace("_", "-")
    if plain in found:
        return plain, _world(plain, found[plain], options, discount), []
    guess = did_you_mean(nearest(plain, found))
    if name.startswith("world:") or guess:
        raise ConfigError(f"there is no world {plain!r}.{guess} There is: {', '.join(found)}.")
    return name, *_environment(name, options, discount)


def worlds() -> dict[str, Callable[..., MDP]]:
    """The worlds of `operant.mdp.worlds` that need no argument, by name with dashes."""
    from operant.mdp import worlds as room

    every = {name.replace("_", "-"): getattr(room, name) for name in room.__all__}
    return {
        name: make
        for name, make in every.items()
        if inspect.isfunction(make)
        and make.__annotations__.get("return") == "MDP"
        and all(p.default is not p.empty for p in inspect.signature(make).parameters.values())
    }


def _world(name: str, make: Callable[..., MDP], options: Mapping[str, Any], discount: float | None) -> MDP:
    known = inspect.signature(make).parameters
    given = dict(options)
    if discount is not None and "discount" in known:
        given["discount"] = discount
    for key in given:
        if key not in known:
            has = f"It has {', '.join(known)}." if known else "It has none."
            raise ConfigError(f"{name} has no option {key!r}.{did_you_mean(nearest(key, known))} {has}")
    mdp = _called(name, make, given)
    return mdp if discount is None or "discount" in known else mdp.replace(discount=discount)


def _file(path: Path, options: Mapping[str, Any], discount: float | None) -> tuple[MDP, list[str]]:
    if not path.is_file():
        raise ConfigError(f"{path}: {missing(path)}")
    given, assumed = dict(options), list[str]()
    if path.suffix in MAPS:
        given, assumed = _map(path, options, discount)
    if discount is not None:
        given["discount"] = discount
    from operant.mdp import load

    return _called(str(path), load, {"path": path} | given), assumed


def _map(path: Path, options: Mapping[str, Any], discount: float | None) -> tuple[dict[str, Any], list[str]]:
    """The options of a map: those given, and, for what neither they nor the file say, what is usual."""
    from operant.mdp import grid_world

    known = [name for name in inspect.signature(grid_world).parameters if name not in ("text", "discount")]
    for key in options:
        if key not in known:
            guess = did_you_mean(nearest(key, known))
            raise ConfigError(f"a map has no option {key!r}.{guess} It has {', '.join(known)}.")
    try:
        text = decoded(read_bytes(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as text ({error}).") from None
    said = set(HEADER.findall(text)) | options.keys()
    given, assumed = dict(options), list[str]()
    if discount is None and "discount" not in said:
        given["discount"] = DISCOUNT
        assumed.append(_default_discount())
    there = {sign: reward for sign, reward in REWARDS.items() if sign in HEADER.sub("", text)}
    if there and not said & {"reward", "rewards", "terminal"}:
        given |= {"rewards": there, "terminal": "".join(there)}
        ends = ", ".join(f"{sign} with reward {reward:g}" for sign, reward in there.items())
        assumed.append(f"Episodes end in {ends} (--env.kwargs.terminal and --env.kwargs.rewards change that).")
    return given, assumed


def _environment(name: str, options: Mapping[str, Any], discount: float | None) -> tuple[MDP, list[str]]:
    from operant.env import make_one
    from operant.mdp import from_gymnasium

    try:
        env = make_one(name, options)
    except EnvError as error:
        if unknown := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
            guess = did_you_mean(nearest(unknown[1], options_of(name)))
            raise ConfigError(
                f"{name} has no option {unknown[1]!r}.{guess} It has {', '.join(options_of(name))}."
            ) from None
        raise ConfigError(str(error)) from None
    try:
        if not hasattr(env.unwrapped, "P"):
            raise ConfigError(
                f"{name} has no table of transitions (`env.unwrapped.P`), so it cannot be solved: learn it instead, "
                f"operant train q-learning {name} where states and actions are Discrete."
            )
        mdp = from_gymnasium(env, discount=DISCOUNT if discount is None else discount)
    finally:
        env.close()
    return mdp, [] if discount is not None else [_default_discount()]


def options_of(env: str) -> list[str]:
    """The keyword arguments of a Gymnasium environment, but for how it is drawn."""
    from gymnasium.envs.registration import load_env_creator, spec

    entry = spec(env).entry_point
    made: Any = load_env_creator(entry) if isinstance(entry, str) else entry
    return [key for key in inspect.signature(made).parameters if key not in ("render_mode", "self", "kwargs")]


def _default_discount() -> str:
    return f"γ = {DISCOUNT}, as nothing says otherwise (--discount)."


def _called(name: str, make: Callable[..., MDP], given: Mapping[str, Any]) -> MDP:
    try:
        return make(**given)
    except ConfigError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ConfigError(f"{name}: {error or type(error).__name__}. Look at the options that were given.") from error
