"""The distribution of several actions at once, independent given the state."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from operant.control.distributions import Categorical, Distribution, Normal, Parameters
from operant.math.logprob import composite_logp


class Composite:
    """Independent parts, for `Dict` and `Tuple` of the other spaces; actions are float32 [..., W], part after part."""

    def __init__(self, parts: Sequence[Distribution]) -> None:
        flat = (part.parts if isinstance(part, Composite) else (part,) for part in parts)
        self.parts = parts = tuple(chain.from_iterable(flat))
        self.outputs = sum(part.outputs for part in parts)
        self.deviations = sum(part.deviations for part in parts)
        self.choices = sum(part.choices for part in parts)
        self.columns = sum(part.columns for part in parts)

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """Part after part, each with numbers of its own."""
        return self.joined([part.sample(q, generator) for part, q in self._shares(p)])

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        return composite_logp(
            [part.logp(q, a) for (part, q), a in zip(self._shares(p), self.split(action), strict=True)]
        )

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        pairs = zip(self._shares(p), self.split(action), strict=True)
        return composite_logp([part.entropy(q, a) for (part, q), a in pairs])

    def mode(self, p: Parameters) -> Tensor:
        return self.joined([part.mode(q) for part, q in self._shares(p)])

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        pairs = zip(self._shares(p), self._shares(q), strict=True)
        return composite_logp([part.kl(one, other) for (part, one), (_, other) in pairs])

    def finish(self, action: Tensor) -> Tensor:
        return self.joined([part.finish(a) for part, a in zip(self.parts, self.split(action), strict=True)])

    def _shares(self, p: Parameters) -> list[tuple[Distribution, Parameters]]:
        """Every part with its share of the parameters."""
        outputs = p.output.split([part.outputs for part in self.parts], -1)
        log_std = None if p.log_std is None else p.log_std.split([part.deviations for part in self.parts])
        allowed = None if p.allowed is None else p.allowed.split([part.choices for part in self.parts], -1)
        shares = (
            Parameters(
                outputs[k],
                log_std[k] if log_std is not None and part.deviations else None,
                allowed[k] if allowed is not None and part.choices else None,
            )
            for k, part in enumerate(self.parts)
        )
        return list(zip(self.parts, shares, strict=True))

    def split(self, action: Tensor) -> list[Tensor]:
        """Every part's own action, in its type."""
        shares = action.split([part.columns for part in self.parts], -1)
        typed = [a if isinstance(part, Normal) else a.long() for part, a in zip(self.parts, shares, strict=True)]
        return [
            a.squeeze(-1) if isinstance(part, Categorical) else a for part, a in zip(self.parts, typed, strict=True)
        ]

    def joined(self, actions: Sequence[Tensor]) -> Tensor:
        """The actions of the parts as one, [..., W]."""
        pairs = zip(self.parts, actions, strict=True)
        return torch.cat([(a.unsqueeze(-1) if isinstance(part, Categorical) else a).float() for part, a in pairs], -1)
