"""The only registry of the library: from an algorithm's name to its builder, imported when it is first called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from operant.tabular.settings import TABULAR

if TYPE_CHECKING:
    from operant.run.drain import Job


def _builder(where: str) -> Callable[..., Job]:
    """The function `module:name` of this room."""
    module, name = where.split(":")

    def build(*args: Any, **rest: Any) -> Job:
        return getattr(import_module(f"operant.{module}"), name)(*args, **rest)

    return build


BUILD: dict[str, Callable[..., Job]] = {
    "ppo": _builder("control.build:build_ppo"),
    **dict.fromkeys(TABULAR, _builder("tabular.online:build")),
    "sft": _builder("language.learn.builders:build_sft"),
    "grpo": _builder("language.learn.builders:build_grpo"),
    "reward-model": _builder("language.learn.build_preferences:build_reward_model"),
    "process-reward": _builder("language.learn.build_preferences:build_process_reward"),
    "dpo": _builder("language.learn.build_preferences:build_dpo"),
    "rlhf": _builder("language.learn.build_rlhf:build_rlhf"),
    "expert-iteration": _builder("language.learn.build_expert_iteration:build_expert_iteration"),
    "constitutional": _builder("language.learn.build_constitutional:build_constitutional"),
}
"""From the name on the command line to the builder; `operant.config.resolve.ALGORITHMS` has the config classes."""
