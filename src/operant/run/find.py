"""Find run folders by what a person calls them. Knows plain files only, so that no verb waits for torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError
from operant.config.suggest import did_you_mean, nearest
from operant.run.folder import RunFolder
from operant.run.shipped import PREFIX, find_shipped, shipped


def find(run: str, runs: Path | str = "runs") -> Path:
    """The folder that a person means by `run`: a path, a unique beginning of a name under `runs`, or "last".

    Where no run is called so, the policy of that name that ships with the library; with `operant/` before it always.

    Raises:
        ConfigError: if none or several fit; names what is there.
    """
    if (Path(run) / "run.json").is_file():
        return Path(run)
    ships = find_shipped(run)
    if ships is not None and run.startswith(PREFIX):
        return ships
    there = list_runs(runs)
    if run == "last" and there:
        return Path(there[-1]["path"])
    fits = [Path(r["path"]) for r in there if str(r["id"]).startswith(run)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        also = "" if ships is None else f" The policy that ships is {PREFIX}{ships.name}."
        raise ConfigError(
            f"'{run}' fits {len(fits)} runs: {', '.join(p.name for p in fits[:5])}. Give more of the name.{also}"
        )
    if ships is not None:
        return ships
    hint = did_you_mean(nearest(run, [*(str(r["id"]) for r in there), *shipped()], cutoff=0.3))
    raise ConfigError(f"no run '{run}' under {runs}.{hint} See `operant list runs --runs {runs}`.")


def trained(run: Path | str, runs: Path | str = "runs") -> RunFolder:
    """The folder of a training run or an exported policy; "last" is the newest under `runs`.

    A name that is no path is that of a policy that ships with the library.

    Raises:
        ConfigError: if it is no run folder, or holds a solved model.
    """
    ships = None if Path(run).exists() else find_shipped(run)
    folder = RunFolder(find("last", runs) if run == "last" else ships or run)
    if folder.info().get("kind") == "solution":
        raise ConfigError(
            f"{run} is a solved model, not a training run: it has no checkpoint. To look at it: operant report {run}"
        )
    return folder


def list_runs(runs: Path | str = "runs") -> list[dict[str, Any]]:
    """The runs under a folder, oldest first: id, status, algorithm, env, seed, steps, seconds, mean return, path.

    The return of a solved model is the value of its start.

    Warns:
        UserWarning: of each folder whose `run.json` cannot be read; it is left out.
    """
    rows: list[dict[str, Any]] = []
    for file in Path(runs).glob("*/run.json"):
        try:
            info: Mapping[str, Any] = RunFolder(file.parent).standing()
        except ConfigError as error:
            warnings.warn(f"{file.parent} is left out: {error}", stacklevel=2)
            continue
        row = {
            key: info.get(key) for key in ("id", "status", "algorithm", "env", "seed", "steps", "seconds", "started")
        }
        measured = (info.get("evaluation") or {}).get("mean", info.get("start_value"))
        rows.append(row | {"return": measured, "path": str(file.parent)})
    return sorted(rows, key=lambda row: (row["started"] or "", row["id"]))
