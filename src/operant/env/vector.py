"""What the collector sees of an environment: N copies stepped together, arrays in and arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from operant.env.spaces import Observations

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Step:
    """What N copies answered to N actions. Every array is fresh: nothing later writes into it.

    The three autoreset modes of Gymnasium differ only in `acted` and `final_obs`: after an end, a NEXT_STEP copy spends
    one step on its reset (`acted` False, `final_obs` None, `obs` of the ending step is the last state); a SAME_STEP or
    DISABLED copy is reset inside the step (`obs` is already a first state, the last one is in `final_obs`).

    A copy that broke before it answered gives `acted` False, `truncated` True and the last state that was seen.
    """

    obs: Array  # [N, D] of `observations.dtype`, the state before the next action
    reward: Array  # [N] float32, 0 where not acted
    terminated: Array  # [N] bool
    truncated: Array  # [N] bool, never together with terminated: terminated wins
    acted: Array  # [N] bool, False on a row that only reset: its action was ignored
    final_obs: (
        Array | None
    )  # [N, D] likewise, valid on rows terminated | truncated; None when none ended or on NEXT_STEP
    cost: Array | None = None  # [N] float32, info["cost"], NaN where it is no number; None where no copy gave one

    @property
    def begun(self) -> Array:
        """[N] bool, where `obs` is the first state of an episode."""
        return ~self.acted if self.final_obs is None else self.terminated | self.truncated


def cost_of(value: Any) -> float:
    """What an `info["cost"]` says as a number; NaN where it is none, which whoever reads costs refuses."""
    try:
        return float(value)
    except Exception:  # it is their class
        return np.nan


class VectorEnv(Protocol):
    """N copies of one environment, stepped together."""

    num: int  # N
    observation_space: gymnasium.Space[Any]  # of one copy
    action_space: gymnasium.Space[Any]  # of one copy
    observations: Observations  # what a row of D numbers holds
    obs_dim: int  # D
    backend: str  # "compiled" | "native" | "inprocess" | "envpool" | "process"

    @property
    def fps(self) -> int:
        """Pictures that make a second."""
        ...

    def reset(self, seed: int) -> Array:
        """Start every copy anew and return the first states [N, D].

        Copy i is seeded with `seed + i` where each copy has its own generator; a native environment has one for all.
        """
        ...

    def step(self, action: Array) -> Step:
        """Step every copy with action int64 [N], int64 [N, K], float32 [N, A] or [N, W] (see `Actions`)."""
        ...

    def render(self) -> Array | None:
        """Return the picture of copy 0, [H, W, 3] uint8, or None where there is none.

        After a step that ended an episode of it, that of its last state, though the copy may have been reset since.
        """
        ...

    def close(self) -> None:
        """Free what the environment holds."""
        ...
