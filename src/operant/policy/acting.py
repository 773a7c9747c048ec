"""Acting without gradients: NumPy in, NumPy out, by the fastest way that applies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from operant.policy.agent import AnyPolicy


def sampler(policy: AnyPolicy) -> Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """A function from observations [N, D] and a generator to actions [N, ...] and log-probabilities [N]."""
    device = next(policy.parameters()).device

    def sample(obs: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        action, logp = policy.sample(torch.from_numpy(obs).to(device), generator)
        return action.cpu().numpy(), logp.cpu().numpy()

    return sample
