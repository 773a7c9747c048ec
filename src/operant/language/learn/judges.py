"""Learnt judges read back from runs: reward models, and process reward models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from operant.config.errors import ConfigError
from operant.language.learn.process_reward import Verifier
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.model.train_state import BESIDE


def read_reward(path: str, device: str) -> Scalar:
    """A reward model: a checkpoint of `operant train reward-model`, or the run folder.

    Raises:
        ConfigError: if there is none.
    """
    found = read_judge(path, device, "reward-model")
    if isinstance(found, Verifier):
        raise ConfigError(f"{path} judges steps: it is a process reward model, not a reward model")
    return found


def read_verifier(path: str, device: str) -> Verifier:
    """A process reward model: a checkpoint of `operant train process-reward`, or the run folder.

    Raises:
        ConfigError: if there is none.
    """
    found = read_judge(path, device, "process-reward")
    if not isinstance(found, Verifier):
        raise ConfigError(f"{path} judges whole answers: name a run of `operant train process-reward`")
    return found


def read_judge(path: str, device: str, kind: str = "reward-model") -> Scalar | Verifier:
    """A reward model, or a process reward model, whichever it is; `kind` is what to name where it is none.

    Raises:
        ConfigError: if there is none.
    """
    folder = Path(path)
    folder = folder / "checkpoints" / "latest" if (folder / "checkpoints").is_dir() else folder
    model = Scalar(LanguageModel.load(folder.resolve()))
    try:
        model.head.load_state_dict({"weight": load_file(folder / BESIDE)["head.weight"]})
        counters: dict[str, Any] = json.loads((folder / "policy.json").read_bytes())["counters"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"{path} holds no judge ({error}): name a run of `operant train {kind}`") from error
    model = model.requires_grad_(False).to(device)
    return Verifier(model, separator=str(counters["separator"])) if "separator" in counters else model
