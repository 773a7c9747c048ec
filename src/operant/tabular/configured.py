"""From the section of a run's config to what a learner is told."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from operant.tabular.algorithms import Settings, named
from operant.tabular.schedules import (
    Constant,
    Exponential,
    Harmonic,
    Linear,
    Polynomial,
    Schedule,
    exploration_violation,
    step_size_violation,
)
from operant.tabular.settings import TabularRun


def settings_of(cfg: TabularRun) -> Settings:
    """The settings of the algorithm's section that a learner knows, with its schedules."""
    known = {field.name for field in fields(Settings)} & type(cfg.algo).model_fields.keys()
    given: dict[str, Any] = {name: getattr(cfg.algo, name) for name in known}
    given |= {name: schedule_of(cfg, name) for name in ("step_size", "epsilon")}
    return Settings(algorithm=cfg.algorithm, **given)


def schedule_of(cfg: TabularRun, name: Literal["step_size", "epsilon"]) -> Schedule:
    """The schedule that a config describes; one that takes all steps ends with the run."""
    start, end, steps, omega, shape = (
        getattr(cfg.algo, name + suffix) for suffix in ("", "_end", "_steps", "_omega", "_schedule")
    )
    match shape:
        case "linear":
            return Linear(start, end, steps or cfg.total_steps)
        case "exponential":
            return Exponential(start, end, steps or cfg.total_steps)
        case "polynomial":
            return Polynomial(1.0, omega)
        case "harmonic":
            return Harmonic()
        case _:
            return Constant(start)


def violations(cfg: TabularRun, *, noisy: bool) -> list[str]:
    """The conditions for convergence with probability one that the schedules break, a sentence each.

    Args:
        cfg: the run's config.
        noisy: transitions are random; if not, constant step sizes converge too.
    """
    steps, on_policy = schedule_of(cfg, "step_size"), named(cfg.algorithm).on_policy
    found = [
        ("Step sizes", None if not noisy and isinstance(steps, Constant) else step_size_violation(steps)),
        ("Exploration", exploration_violation(schedule_of(cfg, "epsilon"), on_policy=on_policy)),
    ]
    return [f"{what}: {why}." for what, why in found if why]
