"""The only registry of the library: from an algorithm's name to its builder, imported when it is first called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from operant.config.tabular import TABULAR

if TYPE_CHECKING:
    from operant.training.run import Job


def _builder(where: str) -> Callable[..., Job]:
    """The function `module:name` of this room."""
    module, name = where.split(":")

    def build(*args: Any, **rest: Any) -> Job:
        return getattr(import_module(f"operant.cli.{module}"), name)(*args, **rest)

    return build


BUILD: dict[str, Callable[..., Job]] = {
    "ppo": _builder("control:build_ppo"),
    **dict.fromkeys(TABULAR, _builder("tabular:build_tabular")),
    "sft": _builder("language:build_sft"),
    "grpo": _builder("language:build_grpo"),
    "reward-model": _builder("preferences:build_reward_model"),
    "process-reward": _builder("preferences:build_process_reward"),
    "dpo": _builder("preferences:build_dpo"),
    "rlhf": _builder("rlhf:build_rlhf"),
    "expert-iteration": _builder("improve:build_expert_iteration"),
    "constitutional": _builder("constitution:build_constitutional"),
}
"""From the name on the command line to the builder; `operant.config.resolve.ALGORITHMS` has the config classes."""
