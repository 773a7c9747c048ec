"""Learnt judges read back from runs: reward models, and process reward models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from operant.algo.process_reward import Verifier
from operant.config.errors import ConfigError
from operant.policy.language import LanguageModel, Scalar
from operant.training.language import BESIDE


def read_reward(path: str, device: str) -> Scalar:
    """A reward model: a checkpoint of `operant train reward-model`, or the run folder.

    Raises:
        ConfigError: if there is none.
    """
    model, counters = _scalar(path, "reward-model")
    if "separator" in counters:
        raise ConfigError(f"{path} judges steps: it is a process reward model, not a reward model")
    return model.to(device)


def read_verifier(path: str, device: str) -> Verifier:
    """A process reward model: a checkpoint of `operant train process-reward`, or the run folder.

    Raises:
        ConfigError: if there is none.
    """
    model, counters = _scalar(path, "process-reward")
    if "separator" not in counters:
        raise ConfigError(f"{path} judges whole answers: name a run of `operant train process-reward`")
    return Verifier(model.to(device), separator=str(counters["separator"]))


def _scalar(path: str, kind: str) -> tuple[Scalar, dict[str, Any]]:
    """The model with its head, and what its checkpoint counts."""
    folder = Path(path)
    folder = folder / "checkpoints" / "latest" if (folder / "checkpoints").is_dir() else folder
    model = Scalar(LanguageModel.load(folder.resolve()))
    try:
        model.head.load_state_dict({"weight": load_file(folder / BESIDE)["head.weight"]})
        counters: dict[str, Any] = json.loads((folder / "policy.json").read_bytes())["counters"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"{path} holds no judge ({error}): name a run of `operant train {kind}`") from error
    return model.requires_grad_(False), counters
