"""What the recipes of models that see and act share: a small clone of a world's oracle, settings, and one measure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch

from operant.language.episodes.played import Played
from operant.language.episodes.world import load_world
from operant.language.episodes.world_success import WorldSuccess
from operant.language.learn.oracle import world_base
from operant.language.learn.setup import model_of
from operant.language.settings.worlds import LoopRun
from operant.recipes.recipe import Trial

SHARED: dict[str, Any] = {
    "base": {"width": 96, "layers": 3, "batch": 64, "positions": 320, "lr": 1e-3},
    "episode": {"history": "last", "last": 1}, "sampling": {"slots": 128, "max_tokens": 80}, "threads": 2,
    "algo": {"scenarios": 16, "samples": 6, "epochs": 1, "lr": 5e-5},
    "eval": {"before": False, "samples": 0, "episodes": 1}, "save": {"rollouts": 0, "every": None, "report": False},
}  # fmt: skip
"""A base of half a million parameters; a prompt tells the last turn, with its picture, and the present one."""
TINY: dict[str, Any] = {
    "base": {"width": 16, "layers": 1, "heads": 2, "examples": 16, "traces": 8, "batch": 8},
    "algo": {"scenarios": 2, "samples": 2}, "sampling": {"max_tokens": 4}, "total_steps": 1,
}  # fmt: skip


def settings(t: Trial, world: str, *parts: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run, section by section, later parts over earlier ones."""
    found: dict[str, Any] = {"task": {"id": world}, "seed": t.seed}
    for part in (SHARED, {"base": {"seed": t.seed}}, *parts, *((TINY,) if t.miniature else ())):
        for name, its in part.items():
            found[name] = {**found.get(name, {}), **its} if isinstance(its, dict) else its
    return found


def flat(its: dict[str, Any], model: str) -> dict[str, Any]:
    """Settings by their whole names, as `operant.train` takes them beside the world, to go on from a model."""
    rest = {f"{a}.{b}": x for a, part in its.items() if isinstance(part, dict) for b, x in part.items() if a != "task"}
    more = {"task.options": its["task"].get("options", {}), "model.path": model}
    return rest | more | {name: x for name, x in its.items() if not isinstance(x, dict)}


def cloned(t: Trial, its: dict[str, Any]) -> str:
    """The folder of a clone of the world's oracle, made where it is not there."""
    cfg = LoopRun.model_validate(its)
    torch.set_num_threads(cfg.threads)
    return world_base(load_world(cfg.task.id, cfg.task.options), cfg, t.say)


def greedy(t: Trial, its: dict[str, Any], model: str, episodes: int) -> Sequence[Played]:
    """A model's greedy episodes in so many held-out scenarios; two in a miniature."""
    cfg = LoopRun.model_validate({**its, "model": {"path": model}})
    world, count = load_world(cfg.task.id, cfg.task.options), 2 if t.miniature else episodes
    measure = WorldSuccess(cfg, model_of(cfg), world)
    try:
        measure(count)
    finally:
        measure.close()
    return measure.played["greedy"]


def readable(played: Sequence[Played]) -> float:
    """The share of turns that said something the world could read."""
    return fmean([float(turn.error is None) for p in played for turn in p.turns])
