"""Random rows of steps for the property tests: their size is drawn by hypothesis, masks and numbers from its seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

# what a step may be: (acted, terminated, truncated); plain decisions and gaps come up more often than ends
STEPS = [
    *[(True, False, False)] * 6,
    *[(False, False, False)] * 4,
    *[(True, True, False)] * 2,
    *[(True, False, True)] * 2,
    (True, True, True),
    (False, True, False),
    (False, False, True),
    (False, True, True),
]


@dataclass(frozen=True)
class Rows:
    reward: Tensor  # [N, T]
    value: Tensor  # [N, T+1]
    terminated: Tensor  # [N, T] bool
    truncated: Tensor  # [N, T] bool
    acted: Tensor  # [N, T] bool
    q: Tensor  # [N, T]
    logp: Tensor  # [N, T]
    behaviour_logp: Tensor  # [N, T]
    discount: Tensor  # [N, T]

    @property
    def steps(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.reward, self.value, self.terminated, self.truncated, self.acted


def make(codes: np.ndarray, seed: int) -> Rows:
    """Rows whose steps are STEPS[codes], codes [N, T]; numbers are read at every step, also where not acted."""
    rng = np.random.default_rng(seed)
    N, T = codes.shape
    masks = torch.tensor(STEPS)[torch.as_tensor(codes.astype(np.int64))]

    def normal(*shape: int) -> Tensor:
        return torch.as_tensor(rng.normal(size=shape))

    return Rows(
        reward=normal(N, T),
        value=normal(N, T + 1),
        acted=masks[..., 0],
        terminated=masks[..., 1],
        truncated=masks[..., 2],
        q=normal(N, T),
        logp=-normal(N, T).abs(),
        behaviour_logp=-normal(N, T).abs(),
        discount=torch.as_tensor(rng.uniform(0.5, 1.0, (N, T))),
    )


@st.composite
def rows(draw: st.DrawFn, max_rows: int = 3, max_steps: int = 26) -> Rows:
    N, T = draw(st.integers(1, max_rows)), draw(st.integers(1, max_steps))
    seed = draw(st.integers(0, 2**32 - 1))
    return make(np.random.default_rng(seed).integers(len(STEPS), size=(N, T)), seed + 1)


def every(compare: Callable[[Rows], None], examples: int = 120) -> None:
    """Run a comparison over random rows; the known-bug tests run the very same on wrong implementations."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(rows())
    def run(r: Rows) -> None:
        compare(r)

    run()


def close(got: Tensor | np.ndarray, want: Tensor | np.ndarray, tol: float = 1e-9) -> None:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, (got.shape, want.shape)
    np.testing.assert_allclose(got, want, rtol=tol, atol=tol)
