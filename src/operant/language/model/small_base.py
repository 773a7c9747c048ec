"""A small language model from nothing, trained to imitate a task's worked examples, and kept.

It stands in where a person names no model, so that training by reward can be seen to work on two cores in minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError, DiskError
from operant.language.model.imitation import imitate
from operant.language.model.language_model import LanguageModel
from operant.language.model.seeing_base import imitate_seeing
from operant.language.settings.runs import BaseConfig
from operant.language.task.task import Task
from operant.language.text.pictures import pictures_in
from operant.run.disk import refusal

RECIPE = 3
"""Raised when what is written here, or in `imitation`, makes another model of the same settings."""

KNOWN_BY = 5000
"""Demonstrations by which a base is found again: as many as its tokenizer is made from."""


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
    some = [[d.prompt, d.completion] for d in task.demonstrations[: min(KNOWN_BY, len(task.demonstrations))]]
    shown = hashlib.sha256(json.dumps(some).encode()).hexdigest()
    of_task = [shown, len(task.demonstrations), task.max_tokens, *task.stop]
    what = f"the demonstrations of {task.name}"
    sees = any(not isinstance(prompt, str) and pictures_in(prompt) for prompt, _ in some)
    learn = imitate_seeing if sees else imitate
    return kept([RECIPE, cfg.model_dump(), dict(about), of_task], what, lambda: learn(task, cfg, say), say)


def kept(recipe: Sequence[Any], what: str, make: Callable[[], LanguageModel], say: Callable[[str], None]) -> Path:
    """The folder of a base in the cache, under a hash of its recipe, made where it is not there.

    Args:
        recipe: all that it is made of, as JSON holds it.
        what: it imitates, for the person who waits.
        make: makes it.
        say: given a line for that person.

    Raises:
        DiskError: if the cache cannot be written.
    """
    key = json.dumps(recipe, sort_keys=True)
    folder = cache() / f"base-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if (folder / "config.json").is_file():
        say(f"Small base: {folder}")
        return folder
    say(f"Training a small base to imitate {what} (once; it is kept in {folder}).")
    from transformers.utils import logging

    logging.disable_progress_bar()
    policy = make()
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
