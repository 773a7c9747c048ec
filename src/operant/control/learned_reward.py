"""What gives a segment rewards that are learnt, in place of the environment's: networks of steps, and the hook.

Once a run has one (`Collector.judge`), the environment's own rewards are no more than reported: the learner sees what
the judge gives. Exploration comes after it, so that bonuses are added to the rewards that are learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from operant.control.distributions import Distribution
from operant.control.mlp import MLP
from operant.control.networks.convolutional import CONVOLUTIONAL
from operant.control.networks.layout import Layout
from operant.control.networks.trunk import Trunk
from operant.control.normalizer import ObsNormalizer
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env.spaces import Actions, Observations

CLIP = 10.0
"""Bound on normalised observations."""


class Judge(Protocol):
    """Gives each segment that is collected its rewards."""

    def __call__(self, traj: Trajectory) -> Trajectory:
        """The same segment with rewards that are learnt; may learn from it first."""
        ...

    def settle(self) -> Metrics:
        """The iteration is over: the segment's metrics."""
        ...

    def begin(self, streams: Streams) -> None:
        """Stand at a seam: generators are derived again."""
        ...


class ActionFeatures:
    """Actions as a network sees them: choices one-hot, bits as they are, numbers in [-1, 1] of their bounds.

    Numbers are clipped to the bounds, as the environment clips them: what it never saw must tell nobody apart.

    Args:
        actions: of the environment.
        distribution: of the policy, which says what the environment takes for an action that was drawn.

    Attributes:
        size: A, numbers of an action's features.
    """

    def __init__(self, actions: Actions, distribution: Distribution) -> None:
        self._actions, self._distribution = actions, distribution
        self.size = sum(_width(part.space, part.columns) for part in actions.parts)

    def __call__(self, action: Tensor) -> Tensor:
        """Of actions as the collector records them [..., *W]: [..., A]."""
        return self.taken(self._distribution.finish(action))

    def taken(self, action: Tensor) -> Tensor:
        """Of actions as the environment takes them, in the policy's columns [..., *W]: [..., A]."""
        columns = action if self._actions.width else action.unsqueeze(-1)
        return torch.cat([_features(part.space, columns[..., part.columns]) for part in self._actions.parts], -1)


def _width(space: object, columns: slice) -> int:
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return columns.stop - columns.start


def _features(space: object, columns: Tensor) -> Tensor:
    """Of the columns of one plain space."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        sizes: Sequence[int] = [int(space.n)] if isinstance(space, spaces.Discrete) else space.nvec.ravel().tolist()
        chosen = columns.long().unbind(-1)
        return torch.cat([functional.one_hot(x, n) for x, n in zip(chosen, sizes, strict=True)], -1).float()
    if not isinstance(space, spaces.Box):
        return columns.float()
    low, high = (torch.from_numpy(x.astype(np.float32).ravel()).to(columns.device) for x in (space.low, space.high))
    clipped, bounded = columns.float().clamp(low, high), torch.isfinite(high - low) & (high > low)
    unit = 2.0 * (clipped - low) / torch.where(bounded, high - low, 1.0) - 1.0
    return torch.where(bounded, unit, clipped)


class Steps(nn.Module):
    """A number for each step (s, a), or for each state s where no actions are seen.

    Pictures pass through convolutions where the policy's network is one of these; the rest is a vector.

    Args:
        observations: of the environment.
        actions: numbers of an action's features; 0 for a function of states alone.
        network: the policy's.
        hidden: widths of the hidden layers.
        generator: where the weights come from.
        ends: whether there is a state behind all ends, which is told by a number of its own and shows nothing else.
        normalizer: of the vector; None leaves it as it is.
    """

    def __init__(
        self, observations: Observations, actions: int, network: str, hidden: Sequence[int],
        generator: torch.Generator, *, ends: bool = False, normalizer: ObsNormalizer | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        layout = layout_of(observations, network)
        self.trunk = Trunk(layout, network if layout.pictures else "mlp", None, normalizer, "", 0, generator)
        self.ends = ends
        inputs = self.trunk.features + actions + ends
        self.net = MLP((inputs, *hidden, 1), "tanh", out_gain=1.0, generator=generator)

    def forward(self, obs: Tensor, action: Tensor | None = None, ended: Tensor | None = None) -> Tensor:
        """Rows [B, D], features of actions [B, A], and which states lie behind an end [B] bool: [B]."""
        return self.of(self.inputs(obs, action, ended))

    def inputs(self, obs: Tensor, action: Tensor | None = None, ended: Tensor | None = None) -> Tensor:
        """What its last layers see [B, F + A + 1]."""
        parts = [self.trunk(obs)] if action is None else [self.trunk(obs), action]
        if self.ends:
            over = torch.zeros(len(obs), 1, device=obs.device) if ended is None else ended.unsqueeze(-1).float()
            parts = [*(part * (1.0 - over) for part in parts), over]
        return torch.cat(parts, -1)

    def of(self, inputs: Tensor) -> Tensor:
        """[B, F + A + 1] → [B]."""
        return self.net(inputs).squeeze(-1)


def layout_of(observations: Observations, network: str) -> Layout:
    """What the numbers of a row are to a network of steps."""
    return Layout(observations, observations.dim, sees=network in CONVOLUTIONAL)


def normalizer_of(observations: Observations, network: str) -> ObsNormalizer | None:
    """What normalises the vector of its observations; None where there are pictures alone."""
    size = layout_of(observations, network).vector_size
    return ObsNormalizer(size, CLIP) if size else None
