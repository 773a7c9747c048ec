"""What can be done with a stored language model: read, and measured on its task (`operant.run.world`)."""

from __future__ import annotations

from pathlib import Path

from operant.config.schema import RunConfig
from operant.config.text import command
from operant.env import EnvLike
from operant.language.episodes.evaluate import TaskAccuracy, measure_of
from operant.language.episodes.world import load_world
from operant.language.episodes.world_success import WorldSuccess
from operant.language.model.language_model import LanguageModel
from operant.language.settings.runs import LanguageRun
from operant.language.settings.worlds import CloneRun, WorldRun

NO_FILM = "a language model has no pictures. To read what it writes: operant report {path}"
NO_EXPORT = "a language model needs no export: {path}/checkpoints/latest is a folder that transformers reads"
NEXT = "sample {path} PROMPT"


def read(folder: Path, *, trust: bool = False) -> LanguageModel:
    """The model in a folder; code of a model is never run. Raises ConfigError if it cannot be read."""
    return LanguageModel.load(folder.resolve())


def measure(cfg: RunConfig, policy: LanguageModel, env: EnvLike) -> TaskAccuracy | WorldSuccess:
    """The task's held-out prompts, or the world's held-out scenarios. Raises ConfigError if the run has none."""
    assert isinstance(cfg, LanguageRun)
    if isinstance(cfg, WorldRun):
        return WorldSuccess(cfg, policy, load_world(cfg.task.id, cfg.task.options))
    return measure_of(cfg, policy)


def advice(cfg: RunConfig, path: Path) -> list[str]:
    """What to do after training."""
    assert isinstance(cfg, LanguageRun)
    lines = [f"Next: read completions from before and after in {path / 'report.html'}, or {command('eval', path)}"]
    if isinstance(cfg, CloneRun):
        lines.append(f"To go on by reward: {command('train', 'loop', cfg.task.id, '--model', path)}")
    elif not cfg.model.path and not isinstance(cfg, WorldRun):
        lines.append(
            f"The same with a model of the hub, on a GPU: operant train {cfg.algorithm} gsm8k "
            "--model Qwen/Qwen2.5-0.5B-Instruct --device cuda --model.dtype bfloat16 --sampling.max-tokens 512"
        )
    return lines
