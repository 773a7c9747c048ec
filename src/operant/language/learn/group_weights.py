"""The weights of groups of people in group-robust preference optimisation (Ramesh et al. 2024, arXiv:2405.20304)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics
from operant.language.text.pairs import Pair
from operant.math import preference as losses
from operant.math.reduce import Reduction


class GroupWeights(nn.Module):
    """α of the groups, which a checkpoint keeps.

    Args:
        pairs: the data, which says what groups there are and how many pairs each has.

    Raises:
        ConfigError: if there is one group only.
    """

    weight: Tensor  # [G] α
    count: Tensor  # [G] N_g

    def __init__(self, pairs: Sequence[Pair]) -> None:
        super().__init__()
        self.names = sorted({p.group for p in pairs})
        if len(self.names) < 2:
            raise ConfigError("group-robust losses need pairs of at least two groups; give each line its `group`")
        count = torch.zeros(len(self.names)).index_add(0, self.index(pairs), torch.ones(len(pairs)))
        self.register_buffer("count", count)
        self.register_buffer("weight", torch.full_like(count, 1.0 / len(count)))

    def index(self, pairs: Sequence[Pair]) -> Tensor:
        """[N]: the number of each pair's group."""
        return torch.tensor([self.names.index(p.group) for p in pairs])

    def means(self, pairs: Sequence[Pair], batch: int) -> Reduction:
        """The reduction to [G] whose expectation is each group's mean loss, for a batch drawn from all pairs alike."""
        expected = batch * self.count / self.count.sum()
        index = self.index(pairs).to(expected.device)
        return partial(losses.group_means, group=index, groups=len(self.names), denominator=expected)

    def metrics(self, loss: Tensor) -> Metrics:
        """Each group's weight and the loss [G] that it grew by."""
        named = zip(self.names, self.weight, loss, strict=True)
        return {f"group/{what}/{name}": x for name, w, l in named for what, x in (("weight", w), ("loss", l))}
