"""Finds what a name stands for: a Gymnasium id, "module:callable" or "path/to/file.py:callable"."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from operant.config.errors import ConfigError, EnvError, place_of, user_code
from operant.config.registry import is_code
from operant.config.suggest import nearest_are
from operant.config.text import home_path
from operant.config.undisturbed import undisturbed

_ROOMS = {
    **{".box2d.": "box2d", ".mujoco.": "mujoco", ".phys2d.": "jax", ".tabular.": "jax", "ale_py": "atari"},
    **{"minigrid.": "minigrid", "minatar.": "minatar", ".two_players": "pettingzoo"},
}
_PACKAGES = {
    "ALE/": ("ale_py", "atari"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
    "MinAtar/": ("minatar.gym", "minatar"),
    "PettingZoo/": ("pettingzoo.classic", "pettingzoo"),
}
"""What ids begin with that a package registers only when it is imported, the module, and the extra that brings it."""


def load(env: str | Callable[..., Any]) -> tuple[EnvSpec | Callable[..., Any], str]:
    """Return what a name stands for, a Gymnasium entry or a callable, and how to call it in messages.

    Raises EnvError when there is no such id, module, file or callable.
    """
    if not isinstance(env, str):
        return env, getattr(env, "__name__", type(env).__name__)
    place, colon, target = env.rpartition(":")
    if not colon:
        return find_spec(env), env
    module = _from_file(place, env) if place.endswith(".py") else _from_module(place, target, env)
    if not target.isidentifier():  # "module:Name-v0": importing the module registers the id
        return find_spec(target), target
    found: Any = getattr(module, target, None)
    if not callable(found):
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise EnvError(f"{env}: {place} has no callable {target!r}{nearest_are(target, names)}")
    return found, env


def own_code(name: str, what: str) -> Callable[..., Any]:
    """The callable that a person names as their own algorithm or network (`what`): importing it runs their file.

    Raises:
        ConfigError: if there is no such file, module or callable, or importing it raises; says where.
    """
    try:
        found, _ = load(name)
    except EnvError as error:
        place = place_of(error.__cause__) if error.__cause__ is not None else None
        if not is_code(name):
            raise ConfigError(f"{name!r} does not name the {what}: give file.py:function") from None
        raise ConfigError(f"{place + ': ' if place else ''}the {what} {error}") from error
    if not callable(found):
        raise ConfigError(f"{name} names an environment, not the {what}: give file.py:function")
    return found


def lies_in(name: str, folder: Path) -> Path | None:
    """A file or package in `folder` that `file.py`, `file.py:callable` or `module:callable` would run, or None.

    Nothing is imported to find it out, not even the packages above a module; links are followed.
    """
    place = name if name.endswith(".py") else name.rpartition(":")[0]
    root, parts, found = folder.resolve(), place.split("."), list[Path]()
    if place.endswith(".py"):
        with suppress(RuntimeError):  # ~ of nobody
            found = [Path(place).expanduser()]
    elif all(part.isidentifier() for part in parts):
        tops = [Path(entry or ".", *parts[:n]) for entry in sys.path for n in range(1, len(parts) + 1)]
        found = [file for top in tops for file in (top, *top.parent.glob(f"{top.name}.*"))]
        loaded = [getattr(sys.modules.get(".".join(parts[:n])), "__file__", None) for n in range(1, len(parts) + 1)]
        found += [Path(file) for file in loaded if file]
    return next((file for file in found if file.exists() and file.resolve().is_relative_to(root)), None)


def find_spec(id: str) -> EnvSpec:
    """Return Gymnasium's entry for an id. Raises EnvError, with the nearest ids, for an unknown or a withdrawn one."""
    for prefix, (module, extra) in _PACKAGES.items():
        if id.startswith(prefix) and id not in gymnasium.registry:
            _register(id, module, extra)
    spec = gymnasium.registry.get(id)
    if spec is None:
        raise EnvError(f"there is no environment {id!r}{_other_versions(id) or nearest_are(id, gymnasium.registry)}")
    if withdrawn(spec):
        raise EnvError(f"Gymnasium no longer has {id!r}{_other_versions(id)}")
    return spec


def needs(spec: EnvSpec) -> str | None:
    """Return the extra an id needs: "box2d", "mujoco", "atari", "jax", or None."""
    entry = spec.entry_point if isinstance(spec.entry_point, str) else ""
    return next((extra for room, extra in _ROOMS.items() if room in entry), None)


def withdrawn(spec: EnvSpec) -> bool:
    """Say whether an id is only kept to say that it has moved: Gymnasium's are functions that raise."""
    return getattr(spec.entry_point, "__module__", "").startswith("gymnasium.envs")


def _other_versions(id: str) -> str:
    """Return "; there is NAME-v5, NAME-v4", newest first, or "" where no other version of the name exists."""
    name = id.rpartition("-v")[0] if id.rpartition("-v")[2].isdigit() else id
    versions = [
        (spec.version or 0, known)
        for known, spec in gymnasium.registry.items()
        if known.lower().rpartition("-v")[0] == name.lower() and not withdrawn(spec)
    ]
    return f"; there is {', '.join(known for _, known in sorted(versions, reverse=True))}" if versions else ""


def _register(id: str, module: str, extra: str) -> None:
    """Let a package register its ids."""
    try:
        with undisturbed():
            package: Any = importlib.import_module(module)
    except ImportError as error:
        raise EnvError(f'{id} needs a package that is not installed: run pip install "operant[{extra}]"') from error
    if any(known.startswith(id.partition("/")[0] + "/") for known in gymnasium.registry):
        return  # it did so before, and does not have this one
    if extra == "minatar":
        package.register_envs()
    elif extra == "pettingzoo":
        for found in pkgutil.iter_modules(package.__path__):
            name, _, version = found.name.rpartition("_v")
            if name and version.isdigit():
                game = {"game": f"classic.{found.name}"}
                gymnasium.register(f"PettingZoo/{name}-v{version}", "operant.env.two_players:TwoPlayers", kwargs=game)
    else:
        gymnasium.register_envs(package)


def _from_module(place: str, target: str, env: str) -> ModuleType:
    if place.partition(".")[0] in sys.stdlib_module_names:  # os:system, say, in a config that someone sent
        raise EnvError(f"{env}: {place} belongs to Python itself, which has no environments")
    try:
        with undisturbed(), user_code(f"{env}: importing {place}", EnvError):
            return importlib.import_module(place)
    except EnvError as told:
        error = told.__cause__
        if not isinstance(error, ModuleNotFoundError):
            raise
        file = Path(*place.split(".")).with_suffix(".py")
        if error.name is None or not (place == error.name or place.startswith(error.name + ".")):
            raise EnvError(f"{env}: importing {place} failed: {error}") from error
        hint = (
            f"write {file.as_posix()}:{target} to load the file"
            if file.is_file()
            else "install it, or give a path to a .py"
        )
        raise EnvError(f"{env}: there is no module {error.name!r}: {hint}") from error


def _from_file(place: str, env: str) -> ModuleType:
    path = home_path(place)
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.py") if p.is_file()] if path.parent.is_dir() else []
        raise EnvError(f"{env}: there is no file {place}{nearest_are(path.name, beside)}")
    path = path.resolve()
    _find_beside(path.parent)
    name = f"operant_user_{path.stem}_{path.stat().st_mtime_ns:x}"
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise EnvError(f"{env}: {place} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with undisturbed(), user_code(f"{env}: importing {place}", EnvError):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _find_beside(folder: Path) -> None:
    """Let a file import what lies beside it, also later, after Python's own modules and before what is installed."""
    if str(folder) not in sys.path:
        installed = (n for n, entry in enumerate(sys.path) if Path(entry).name in ("site-packages", "dist-packages"))
        sys.path.insert(next(installed, len(sys.path)), str(folder))
