"""The text worlds by name: `text/calculator`, `text/grid`, `text/quests` and `text/textworld`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from operant.agents.options import made
from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are
from operant.language.episodes.world import World

VARIANTS = {
    "calculator": "operant.agents.text.calculator:Calculator",
    "grid": "operant.agents.text.grid:Grid",
    "quests": "operant.agents.text.quests:Quests",
    "textworld": "operant.agents.text.textworld:TextWorld",
}


def make(variant: str, **options: Any) -> World:
    """A text world.

    Args:
        variant: its name behind `text/`.
        options: what it takes.

    Raises:
        ConfigError: if there is none of that name, or an option is none of its own or out of range.
    """
    if variant not in VARIANTS:
        hint = nearest_are(variant, VARIANTS) or f"; there is {', '.join(VARIANTS)}"
        raise ConfigError(f"there is no world text/{variant}{hint}")
    module, _, name = VARIANTS[variant].partition(":")
    return made(getattr(import_module(module), name), f"text/{variant}", options)
