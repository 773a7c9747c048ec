"""Where a run's numbers live."""

from __future__ import annotations

import torch

from operant.config.errors import ConfigError


def device_of(name: str) -> torch.device:
    """The device of that name: cpu, cuda, cuda:1, …

    Raises:
        ConfigError: if torch knows no such device here.
    """
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device '{name}' cannot be used here: {error}. Try --device cpu.") from error
    return chosen
