"""What can be done with a stored table or weights of tiles: read, measured, filmed, exported (`operant.run.world`)."""

from __future__ import annotations

from pathlib import Path

from operant.config.schema import RunConfig
from operant.config.text import command
from operant.env import EnvLike
from operant.run.actor import Actor
from operant.run.evaluate import Evaluator
from operant.run.world import kind_of
from operant.tabular.table import TablePolicy
from operant.tabular.tiled import TilesPolicy

NO_FILM = NO_EXPORT = ""
NEXT = "play {path}"


def read(folder: Path, *, trust: bool = False) -> TablePolicy | TilesPolicy:
    """The policy in a folder; it names no code. Raises ConfigError if it cannot be read."""
    return (TilesPolicy if kind_of(folder) == "tiles" else TablePolicy).load(folder)


def measure(cfg: RunConfig, policy: Actor, env: EnvLike) -> Evaluator:
    """Whole episodes of the environment, on copies of its own."""
    return Evaluator(cfg, env, policy)


def advice(cfg: RunConfig, path: Path) -> list[str]:
    """What to do after training."""
    again = command("train", cfg.algorithm, cfg.env.id, "--seed", cfg.seed + 1)
    return [f"Next: {command('play', path, '--show')}, or {again}"]
