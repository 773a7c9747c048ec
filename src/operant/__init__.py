"""operant: reinforcement learning, all the way.

`operant.train("ppo", "CartPole-v1", seed=1)` trains a policy and returns its run; `operant.Run(path)` opens one again;
`operant.loop(...)` hands you the algorithm to drive yourself. Importing this package imports nothing heavy: torch comes
with the first name you use.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from operant.config.errors import ConfigError, DiskError, EnvError, NonFiniteError, OperantError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # what we import reports nothing; it is asked before it loads
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from operant.api import Run as Run
    from operant.api import loop as loop
    from operant.api import resume as resume
    from operant.api import train as train
    from operant.run.stop import StopTraining as StopTraining

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "DiskError",
    "EnvError",
    "NonFiniteError",
    "OperantError",
    "Run",
    "StopTraining",
    "__version__",
    "loop",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "StopTraining":
        from operant.run.stop import StopTraining

        return StopTraining
    if name in ("Run", "loop", "resume", "train"):
        from operant import api

        return getattr(api, name)
    raise AttributeError(f"module 'operant' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
