"""Data sets in Minari's format (HDF5 and a JSON file), read within bounds and written whole.

A folder holds `data/main_data.hdf5`, a group `episode_K` for each episode, and `data/metadata.json` with the spaces.
Minari itself is not needed, only h5py. Whoever wrote a file may have written it to do harm: nothing in it is unpickled
or run, no environment is made of what it names, links to other files are not followed, and sizes are looked at before
anything is read.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.bounded import load_json, loads, require_regular
from operant.config.errors import ConfigError, said
from operant.config.text import clean, home_path
from operant.data.memory import allow
from operant.env.dataset import DataSet, Episode
from operant.env.encoded import decode_space
from operant.env.masks import KEY

Array = NDArray[Any]
FILE, ABOUT = "main_data.hdf5", "metadata.json"
ROOT = "MINARI_DATASETS_PATH"
"""The variable that says where Minari keeps what it downloads."""
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, MemoryError, ArithmeticError)
"""What h5py raises for a file that is none, is cut short or holds what it should not."""


def find_data(name: str | Path) -> Path:
    """The folder of a data set: as named, or of that name where Minari keeps its own.

    Raises:
        ConfigError: if there is none.
    """
    given = home_path(name)
    kept = Path(os.environ.get(ROOT) or Path.home() / ".minari" / "datasets") / name
    for path in (given, given / "data", kept / "data"):
        if (path / ABOUT).is_file():
            return path
    raise ConfigError(
        f"{name}: there is no data set (no {ABOUT} in it, nor in {kept}). Record one: operant record ENV --out {name}"
    )


def read_data(name: str | Path) -> DataSet:
    """The episodes of a data set as they stand there; `check_data` says what is wrong with them.

    Raises:
        ConfigError: if it is none, is damaged, of a kind that is not read, or larger than memory; says where.
    """
    path = find_data(name)
    try:
        about: Any = load_json(path / ABOUT)
        if not isinstance(about, dict):
            raise ValueError("it holds no table")
        kind = about.get("data_format", "hdf5")
        if kind != "hdf5":
            raise ValueError(f"its data are {kind!r}, and only hdf5 is read: write it as hdf5 with Minari")
        seen, acted = (_space(about, key) for key in ("observation_space", "action_space"))
        count = about.get("total_episodes")
        if type(count) is not int or count < 1:
            raise ValueError("it says of no episode (total_episodes)")
        name_of_env = _env_id(about)
    except _BROKEN as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else said(error)
        raise ConfigError(f"{path / ABOUT} cannot be read: {why}. Record or fetch it anew.") from error
    return DataSet(
        episodes=_episodes(path / FILE, count, seen, acted), observation_space=seen, action_space=acted,
        env_id=name_of_env, source=str(name),
    )  # fmt: skip


def write_data(data: DataSet, out: Path | str, *, by: str = "") -> Path:
    """Write a data set into a new folder, which then is whole; returns the folder.

    Args:
        data: what is written.
        out: where; it must not be there yet.
        by: who acted, for people.

    Raises:
        ConfigError: if the folder is there, there is no episode, or a space cannot be written so.
    """
    h5py, out = _h5py(), Path(out)
    if out.exists():
        raise ConfigError(f"{out} is there already: name another folder, --out NAME")
    if not len(data):
        raise ConfigError(f"there is no episode to write to {out}")
    about: dict[str, Any] = {
        "total_episodes": len(data), "total_steps": data.steps, "data_format": "hdf5",
        "observation_space": json.dumps(_described(data.observation_space)),
        "action_space": json.dumps(_described(data.action_space)),
        "dataset_id": f"{re.sub(r'[^A-Za-z0-9_-]', '-', out.name)}-v0", "minari_version": "0.5.0",
        "algorithm_name": by, "env_id": data.env_id,
    }  # fmt: skip
    if (spec := gymnasium.registry.get(data.env_id)) is not None:
        about["env_spec"] = spec.to_json()
    aside = out.with_name(f".{out.name}.{os.getpid()}.partial")
    folder = aside / "data"
    try:
        folder.mkdir(parents=True)
        with h5py.File(folder / FILE, "w", track_order=True) as file:
            for k, episode in enumerate(data.episodes):
                _write_episode(file.create_group(f"episode_{k}"), k, episode, data)
        about["dataset_size"] = round((folder / FILE).stat().st_size / 1e6, 1)
        (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return out


# ---------------------------------------------------------------------------------------------------- reading
def _episodes(file: Path, count: int, seen: gymnasium.Space[Any], acted: gymnasium.Space[Any]) -> list[Episode]:
    h5py, found, k = _h5py(), list[Episode](), -1
    try:
        require_regular(file)
        with h5py.File(file, "r") as root:
            if (there := sum(name.startswith("episode_") for name in root)) != count:
                raise ValueError(f"{ABOUT} says {count} episodes and here are {there}: it was not written to its end")
            for k in range(count):
                found.append(_episode(h5py, _group(h5py, root, f"episode_{k}"), seen, acted))
    except _BROKEN as error:
        where = f", episode {k}" if 0 <= k < count else ""
        raise ConfigError(f"{file}{where}: {clean(said(error), lines=False)}. Record or fetch it anew.") from error
    return found


def _episode(h5py: Any, group: Any, seen: gymnasium.Space[Any], acted: gymnasium.Space[Any]) -> Episode:
    flags = [_array(h5py, group, name) for name in ("terminations", "truncations")]
    rewards = _array(h5py, group, "rewards")
    for name, x in zip(("rewards", "terminations", "truncations"), (rewards, *flags), strict=True):
        if x.ndim != 1:
            raise ValueError(f"{name} have shape {x.shape} where one number for each step belongs")
    infos = group.get("infos", getlink=True) is not None and isinstance(group.get("infos"), h5py.Group)
    masked = infos and KEY in group["infos"] and isinstance(group["infos"].get(KEY), h5py.Dataset)
    seed = group.attrs.get("seed")
    return Episode(
        observations=_tree(h5py, group, "observations", seen),
        actions=_tree(h5py, group, "actions", acted),
        rewards=rewards,
        terminations=flags[0] != 0,
        truncations=flags[1] != 0,
        action_mask=_array(h5py, _group(h5py, group, "infos"), KEY) if masked else None,
        seed=int(seed) if isinstance(seed, int | np.integer) and seed >= 0 else None,
    )


def _tree(h5py: Any, group: Any, name: str, space: gymnasium.Space[Any]) -> Any:
    """What a group holds under a name, in the dict or tuple of the space."""
    if isinstance(space, spaces.Dict):
        inner = _group(h5py, group, name)
        return {key: _tree(h5py, inner, str(key), part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        inner = _group(h5py, group, name)
        return tuple(_tree(h5py, inner, f"_index_{k}", part) for k, part in enumerate(space.spaces))
    return _array(h5py, group, name)


def _group(h5py: Any, group: Any, name: str) -> Any:
    found = _inside(h5py, group, name)
    if not isinstance(found, h5py.Group):
        raise ValueError(f"{name} is no group")
    return found


def _array(h5py: Any, group: Any, name: str) -> Array:
    """The numbers of a data set inside the file, seen to be some before they are read."""
    found = _inside(h5py, group, name)
    if not isinstance(found, h5py.Dataset) or not found.shape:
        raise ValueError(f"{name} is no array")
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name} is of type {found.dtype}, and no numbers")
    if found.is_virtual or found.external:
        raise ValueError(f"{name} lies in another file")
    allow(found.nbytes, f"{name} takes")
    return cast("Array", found[()])


def _inside(h5py: Any, group: Any, name: str) -> Any:
    """What a name stands for, where that is no link to elsewhere."""
    link = group.get(name, getlink=True)
    if link is None:
        raise ValueError(f"there is no {name}")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} is a link to elsewhere")
    return group[name]


def _space(about: Mapping[str, Any], key: str) -> gymnasium.Space[Any]:
    text = about.get(key)
    if not isinstance(text, str):
        raise ValueError(f"it holds no {key}: write it anew with a newer Minari (0.4 or later)")
    return decode_space(_code(loads(text)))


def _code(told: Any) -> dict[str, Any]:
    """A space as Minari writes it down in the form of `operant.env.encoded`."""
    dtype = str(told.get("dtype", "int64"))
    match told["type"]:
        case "Box":
            low, high = (np.asarray(told[k], np.float64).ravel().tolist() for k in ("low", "high"))
            if np.dtype(dtype).kind in "iu":
                low, high = ([int(x) for x in bound] for bound in (low, high))
            return {"is": "box", "low": low, "high": high, "shape": told["shape"], "dtype": dtype}
        case "Discrete":
            return {"is": "discrete", "n": int(told["n"]), "start": int(told["start"]), "dtype": dtype}
        case "MultiDiscrete":
            start = told.get("start", np.zeros_like(told["nvec"]).tolist())
            return {"is": "multidiscrete", "n": told["nvec"], "start": start, "dtype": dtype}
        case "MultiBinary":
            return {"is": "multibinary", "n": told["n"]}
        case "Dict":
            return {"is": "dict", "parts": [[key, _code(inner)] for key, inner in told["subspaces"].items()]}
        case "Tuple":
            return {"is": "tuple", "parts": [_code(inner) for inner in told["subspaces"]]}
        case other:
            raise ValueError(f"a space of type {other!r:.80} is not read")


def _env_id(about: Mapping[str, Any]) -> str:
    """The name of its environment, for people."""
    spec: Any = about.get("env_spec")
    named: Any = about.get("env_id")
    if not named and isinstance(spec, str):
        told = loads(spec)
        named = told.get("id") if isinstance(told, dict) else None  # pyright: ignore[reportUnknownMemberType]
    return clean(named, lines=False) if isinstance(named, str) else ""


# ---------------------------------------------------------------------------------------------------- writing
def _write_episode(group: Any, number: int, episode: Episode, data: DataSet) -> None:
    group.attrs["id"], group.attrs["total_steps"] = number, len(episode)
    if episode.seed is not None:
        group.attrs["seed"] = episode.seed
    _write(group, "observations", data.observation_space, episode.observations)
    _write(group, "actions", data.action_space, episode.actions)
    group["rewards"] = np.asarray(episode.rewards, np.float64)
    group["terminations"] = np.asarray(episode.terminations, np.bool_)
    group["truncations"] = np.asarray(episode.truncations, np.bool_)
    infos = group.create_group("infos")
    if episode.action_mask is not None:
        infos[KEY] = episode.action_mask


def _write(group: Any, name: str, space: gymnasium.Space[Any], values: Any) -> None:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = group.create_group(name, track_order=True)
        if isinstance(space, spaces.Dict):
            for key, part in space.spaces.items():
                _write(inner, key, part, values[key])
        else:
            for k, part in enumerate(space.spaces):
                _write(inner, f"_index_{k}", part, values[k])
    else:
        x = np.asarray(values)
        packed = {"compression": "gzip", "chunks": (min(64, len(x)), *x.shape[1:])} if x.nbytes > 2**20 else {}
        group.create_dataset(name, data=x, **packed)


def _described(space: gymnasium.Space[Any]) -> dict[str, Any]:
    """A space as Minari writes it down.

    Raises:
        ConfigError: if it cannot be.
    """
    match space:
        case spaces.Box():
            bounds = {"low": space.low.tolist(), "high": space.high.tolist()}
            return {"type": "Box", "dtype": str(space.dtype), "shape": list(space.shape), **bounds}
        case spaces.Discrete():
            return {"type": "Discrete", "dtype": str(space.dtype), "start": int(space.start), "n": int(space.n)}
        case spaces.MultiDiscrete():
            start = np.asarray(space.start).tolist()
            return {"type": "MultiDiscrete", "dtype": str(space.dtype), "nvec": space.nvec.tolist(), "start": start}
        case spaces.MultiBinary():
            return {"type": "MultiBinary", "n": np.asarray(space.n).tolist()}
        case spaces.Dict() if all("/" not in str(key) == key for key in space.spaces):
            return {"type": "Dict", "subspaces": {key: _described(inner) for key, inner in space.spaces.items()}}
        case spaces.Tuple():
            return {"type": "Tuple", "subspaces": [_described(inner) for inner in space.spaces]}
        case _:
            raise ConfigError(f"a space cannot be written into a data set: {space}. Wrap the environment.")


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise ConfigError('data sets need h5py, which is not installed: pip install "operant[imitation]"') from error
