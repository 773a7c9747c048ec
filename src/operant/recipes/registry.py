"""Every name of the lectures: a recipe, another name of one, or a system that is on paper only, and why."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are

if TYPE_CHECKING:
    from operant.recipes.recipe import Recipe

RECIPES: dict[str, str] = {
    "adr": "domain randomisation whose ranges grow with the policy",
    "eureka": "rewards that are searched for, against those of experts",
    "general-problem-solver": "means–ends analysis, and where it fails",
    "lqr": "optimal control against reinforcement learning",
    "sim-to-sim": "a policy of one simulator in another, after randomisation or identification",
    "walk-1k-trials": "a gait of a dozen numbers, searched without derivatives",
}
"""Those that run, by name; each is `operant/recipes/NAME.py`, with underscores, and holds RECIPE."""

ALIASES: dict[str, tuple[str, str]] = {}
"""Other names, with the recipe and why it is that."""

ON_PAPER: dict[str, tuple[str, str]] = {}
"""Systems that do not run here, with why and the command that would run the nearest thing."""


def recipe(name: str) -> Recipe:
    """The recipe of this name, or of the one that it is another name of.

    Raises:
        ConfigError: if there is none, or the system is on paper only.
    """
    if name in ON_PAPER:
        why, command = ON_PAPER[name]
        raise ConfigError(f"{name} is on paper only: {why}. The nearest thing that runs: {command}")
    name = ALIASES[name][0] if name in ALIASES else name
    if name not in RECIPES:
        known = (*RECIPES, *ALIASES, *ON_PAPER)
        raise ConfigError(f"there is no recipe {name}{nearest_are(name, known)}. All: operant recipe list")
    return import_module(f"operant.recipes.{name.replace('-', '_')}").RECIPE


def standing() -> list[tuple[str, str, str]]:
    """Name, kind (recipe, alias, on paper) and a line about it, of every name."""
    return [
        *((name, "recipe", line) for name, line in RECIPES.items()),
        *((name, "alias", f"{of}: {why}") for name, (of, why) in ALIASES.items()),
        *((name, "on paper", why) for name, (why, _) in ON_PAPER.items()),
    ]
