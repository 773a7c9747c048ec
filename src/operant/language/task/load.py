"""From a name or a file to a task."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from operant.config.errors import ConfigError, EnvError, OperantError, is_ctrl_c, place_of, said
from operant.config.suggest import nearest_are
from operant.config.text import home_path
from operant.config.typed import require_types
from operant.language.task.task import Task
from operant.workers.resolve import load as find

BUILT_IN = {
    "arithmetic": "operant.language.task.arithmetic:arithmetic",
    "gsm8k": "operant.language.task.gsm8k:gsm8k",
    "modular": "operant.language.task.modular:modular",
    "reverse": "operant.language.task.text:reverse",
    "sort": "operant.language.task.text:sort",
}
"""Tasks that come with the library, by name; "reasoning-gym:NAME" is any of reasoning-gym's."""
OTHERS = {"vision/ask": "operant.vision.tasks:ask", "vision/count": "operant.vision.tasks:ask"}
"""Those of the rooms above this one."""


def load_task(spec: str, options: Mapping[str, Any] | None = None) -> Task:
    """Make a task.

    Args:
        spec: a built-in name ("arithmetic"), "reasoning-gym:NAME", a file of plain Python ("mytask.py", whose function
            `task` is called, or "mytask.py:function"), or "module:function".
        options: keyword arguments of that function.

    Raises:
        ConfigError: for what does not exist, an option that the function does not take, and whatever goes wrong in the
            function, with its file and line.
    """
    given = dict(options or {})
    room, colon, name = spec.partition(":")
    if room == "reasoning-gym":
        if not name:
            raise ConfigError("reasoning-gym needs the name of a task: reasoning-gym:NAME")
        builder = _find_builder("operant.language.task.reasoning_gym:reasoning_gym", spec)
        given = {"name": name, **given}
    elif spec in BUILT_IN:
        builder = _find_builder(BUILT_IN[spec], spec)
    elif spec in OTHERS:
        builder = _find_builder(OTHERS[spec], spec)
    elif spec.endswith(".py"):
        builder = _find_builder(f"{spec}:task", spec)
    elif colon:
        builder = _find_builder(spec, spec)
    else:
        hint = nearest_are(spec, BUILT_IN) or f"; there is {', '.join(BUILT_IN)}, reasoning-gym:NAME"
        raise ConfigError(f"there is no task {spec!r}{hint}. A task of your own is a file: mytask.py")
    _check_options(builder, given, f"task {spec}")
    made = _made(builder, given, spec, "task")
    if not isinstance(made, Task):
        raise ConfigError(f"{spec} returned a {type(made).__name__}, not an operant.task.Task")
    return made


def made_by(name: str, spec: str, options: Mapping[str, Any], *arguments: object) -> object:
    """What `module:function` or `file.py:function` makes of options, behind some arguments that are no options.

    Raises:
        ConfigError: as `load_task`; names `spec`, a world.
    """
    builder = _find_builder(name, spec)
    _check_options(builder, options, f"world {spec}", len(arguments))
    return _made(partial(builder, *arguments), options, spec, "world")


def _made(builder: Callable[..., Any], options: Mapping[str, Any], spec: str, what: str) -> object:
    try:
        return builder(**options)
    except OperantError:
        raise
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        raise ConfigError(
            f"{place_of(error) or spec}: making the {what} raised {type(error).__name__}: {said(error)}"
        ) from error


def _find_builder(name: str, spec: str) -> Callable[..., Any]:
    place, _, target = name.rpartition(":")
    if name in BUILT_IN.values() or place == "operant.language.task.reasoning_gym":
        return getattr(importlib.import_module(place), target)
    try:
        builder, _ = find(name)
    except EnvError as error:
        cause = error.__cause__
        if cause is None and spec.endswith(".py") and home_path(spec).is_file():
            raise ConfigError(f"{spec} has no function `task`: write def task(...) -> Task in it") from error
        where = place_of(cause) if cause is not None else None
        message = str(error).removeprefix(f"{name}: ")
        raise ConfigError(f"{where or spec}: {message}") from error
    return cast(Callable[..., Any], builder)


def _check_options(builder: Callable[..., Any], options: Mapping[str, Any], what: str, given: int = 0) -> None:
    """Raise ConfigError for an option that a function does not take behind its first `given`, or lacks."""
    parameters = dict([*inspect.signature(builder).parameters.items()][given:])
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in options:
        if name not in parameters:
            hint = nearest_are(name, parameters) or f": it takes {', '.join(parameters)}"
            raise ConfigError(f"{what} has no option {name!r}{hint}")
    missing = [n for n, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if lacking := [name for name in missing if name not in options]:
        raise ConfigError(f"{what} needs the option {lacking[0]}: give it under task.options")
    require_types(builder, what, options)
