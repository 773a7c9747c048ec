"""What can be done with stored networks: read, measured, filmed, exported (`operant.run.world`)."""

from __future__ import annotations

from pathlib import Path

from operant.config.schema import RunConfig
from operant.config.text import command
from operant.control.agent import Agent
from operant.control.offline.conditioned import Conditioned
from operant.control.planner import Planner
from operant.env import EnvLike
from operant.run.actor import Actor
from operant.run.evaluate import Evaluator
from operant.run.world import kind_of

NO_FILM = NO_EXPORT = ""
NEXT = "play {path}"
KINDS: dict[str, type[Agent]] = {kind.kind: kind for kind in (Agent, Conditioned, Planner)}


def read(folder: Path, *, trust: bool = False) -> Agent:
    """The agent in a folder. Raises ConfigError if it cannot be read, or names code and is not trusted."""
    return KINDS.get(kind_of(folder), Agent).load(folder, trust=trust)


def measure(cfg: RunConfig, policy: Actor, env: EnvLike) -> Evaluator:
    """Whole episodes of the environment, on copies of its own."""
    return Evaluator(cfg, env, policy)


def advice(cfg: RunConfig, path: Path) -> list[str]:
    """What to do after training."""
    again = command("train", cfg.algorithm, cfg.env.id, "--seed", cfg.seed + 1)
    return [f"Next: {command('play', path, '--show')}, or {again}"]
