"""Policies that come with the library, as `operant export` wrote them: read, and never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from operant.config.bounded import load_json
from operant.config.errors import ConfigError

POLICIES = Path(__file__).resolve().parents[1] / "policies"
PREFIX = "operant/"
"""Before a name it always means the policy that ships, whatever runs are called."""


def shipped() -> dict[str, Path]:
    """Their folders by name."""
    return {file.parent.name: file.parent for file in sorted(POLICIES.glob("*/run.json"))}


def find_shipped(name: str | Path) -> Path | None:
    """The folder of the policy of a name, with or without `operant/` before it; None if there is none."""
    return shipped().get(name.removeprefix(PREFIX)) if isinstance(name, str) else None


def is_shipped(folder: Path) -> bool:
    """Whether a folder is one of them."""
    return folder.resolve().parent == POLICIES


def refuse_shipped(folder: Path, what: str) -> None:
    """Raises ConfigError where a folder is one of them, into which nothing is written."""
    if is_shipped(folder):
        info = load_json(folder / "run.json")
        raise ConfigError(
            f"{folder.name} ships with operant, so {what}; its card is {folder / 'README.md'}. "
            f"For one of your own: operant train {info['algorithm']} {info['env']}"
        )


def rows() -> list[dict[str, Any]]:
    """What there is: name, algorithm, env, seed, steps, mean return and the episodes it is of, path."""
    found: list[dict[str, Any]] = []
    for name, folder in shipped().items():
        info, measured = load_json(folder / "run.json"), load_json(folder / "evaluation.json")
        row = {"name": name} | {key: info[key] for key in ("algorithm", "env", "seed", "steps")}
        found.append(row | {"return": measured["mean"], "episodes": measured["episodes"], "path": str(folder)})
    return found
