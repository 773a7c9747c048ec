"""From the two files of a policy to the policy, whatever its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.language.model.language_model import LanguageModel
from operant.tabular.table import TablePolicy

AnyAgent = Agent | TablePolicy


def read_agent(folder: Path) -> AnyAgent | LanguageModel:
    """Read `policy.json` and `model.safetensors`; `kind` in the first says what they are, networks where it is absent.

    Raises:
        ConfigError: if a file is missing or is no policy's.
    """
    try:
        spec: Any = json.loads((folder / "policy.json").read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{folder}: not a readable policy ({error})") from error
    if isinstance(spec, dict) and spec.get("kind") == "table":
        return TablePolicy.load(folder)
    if isinstance(spec, dict) and spec.get("kind") == "language":
        return LanguageModel.load(folder.resolve())
    return Agent.load(folder)
