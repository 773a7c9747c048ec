"""The settings of a run of each algorithm."""

from __future__ import annotations

from operant.config.schema import RunConfig
from operant.control.settings.ppo import PPORun

RUNS: dict[str, type[RunConfig]] = {
    "ppo": PPORun,
}
"""The settings of a run of each algorithm."""
