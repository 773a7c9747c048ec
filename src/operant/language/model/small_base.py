"""A small language model from nothing, trained to imitate a task's worked examples, and kept.

It stands in where a person names no model, so that training by reward can be seen to work on two cores in minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from operant.config.errors import ConfigError, DiskError
from operant.data.streams import Streams
from operant.language.learn.sft import sft
from operant.language.model.fresh import fresh
from operant.language.model.language_model import LanguageModel
from operant.language.settings.learning import SFTConfig
from operant.language.settings.runs import BaseConfig
from operant.language.task.task import Task
from operant.language.text.conversation import Encoder
from operant.language.text.epochs import Shuffled
from operant.run.disk import refusal

RECIPE = 1
"""Raised when what is written here makes another model of the same settings."""

REPORTS = 5
"""How often the training of a base says how far it is."""


def small_base(
    task: Task, cfg: BaseConfig, about: Mapping[str, Any], *, say: Callable[[str], None] = lambda line: None
) -> Path:
    """The folder of a base trained on a task's demonstrations, made at the first call and found at later ones.

    It lies in `$OPERANT_CACHE`, or `~/.cache/operant`, under a hash of the settings and the first demonstrations, and
    appears there whole or not at all.

    Args:
        task: its `demonstrations` are imitated.
        cfg: the settings.
        about: the task's name and options.
        say: given a line for the person who waits.

    Raises:
        ConfigError: if the task has no demonstrations.
        DiskError: if the cache cannot be written.
    """
    if not len(task.demonstrations):
        raise ConfigError(
            f"task {task.name} has no demonstrations to train a small base on: name a model, as in --model DIR"
        )
    shown = [[d.prompt, d.completion] for d in task.demonstrations[: min(64, len(task.demonstrations))]]
    key = json.dumps([RECIPE, cfg.model_dump(), dict(about), shown, len(task.demonstrations)], sort_keys=True)
    folder = cache() / f"base-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if (folder / "config.json").is_file():
        say(f"Small base: {folder}")
        return folder
    say(f"Training a small base on {cfg.examples:,} worked examples (once; it is kept in {folder}).")
    policy = imitate(task, cfg, say)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.with_name(f".{folder.name}-{os.getpid()}-{secrets.token_hex(2)}")
        temporary.mkdir()
        policy.save(temporary)
        (temporary / "recipe.json").write_text(json.dumps(json.loads(key), indent=2) + "\n", encoding="utf-8")
        try:
            temporary.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(temporary)
    except Exception as error:
        if (reason := refusal(error)) is None:
            raise
        raise DiskError(
            f"cannot keep the small base in {folder}: {reason}. Set OPERANT_CACHE to another folder."
        ) from error
    return folder


def cache() -> Path:
    """Where bases are kept."""
    named = os.environ.get("OPERANT_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "operant"


def imitate(task: Task, cfg: BaseConfig, say: Callable[[str], None]) -> LanguageModel:
    """A fresh model after `cfg.examples` of a task's demonstrations."""
    demonstrations = list(task.demonstrations)
    policy = fresh(cfg, (f"{d.prompt}{d.completion}" for d in demonstrations[:5000]))
    encoder = Encoder(tokenizer=policy.tokenizer, length=cfg.positions)
    examples = [encoder.completion(d.prompt, d.completion, f"demonstration {i}") for i, d in enumerate(demonstrations)]
    settings = SFTConfig(batch=cfg.batch, length=cfg.positions, packing=False, lr=cfg.lr, warmup=0.05)
    data = Shuffled(examples, Streams(cfg.seed))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr, weight_decay=0.0)
    reported = 0
    for metrics in sft(settings, data, policy, optimizer, total_steps=cfg.examples):
        if REPORTS * data.steps // cfg.examples > reported:
            reported = REPORTS * data.steps // cfg.examples
            say(f"  {min(1.0, data.steps / cfg.examples):.0%}, loss {float(metrics['loss/nll']):.3f}")
        if data.steps >= cfg.examples:
            break
    return policy
