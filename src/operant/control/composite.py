"""The distribution of several actions at once, independent given the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from operant.control.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    MultiCategorical,
    Normal,
    Parameters,
    uniform,
)
from operant.math.logprob import allowed_or_all, categorical_sample, composite_logp, ruled_out


class Composite:
    """Independent parts, for `Dict` and `Tuple` of the other spaces; actions are float32 [..., W], part after part.

    Attributes:
        numbers: A, columns that are numbers.
        sizes: K_k of every single choice, a bit being one of two; S in all.
    """

    def __init__(self, parts: Sequence[Distribution]) -> None:
        flat = (part.parts if isinstance(part, Composite) else (part,) for part in parts)
        self.parts = parts = tuple(chain.from_iterable(flat))
        self.outputs = sum(part.outputs for part in parts)
        self.deviations = sum(part.deviations for part in parts)
        self.choices = sum(part.choices for part in parts)
        self.columns = sum(part.columns for part in parts)
        self.numbers = sum(part.columns for part in parts if isinstance(part, Normal))
        self.sizes = tuple(chain.from_iterable(map(_sizes, parts)))

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

    def changed(self, action: Tensor, change: Callable[[Normal, Tensor], Tensor]) -> Tensor:
        """The action [..., W] with the numbers of each of its parts changed."""
        pairs = zip(self.parts, self.split(action), strict=True)
        return self.joined([change(part, a) if isinstance(part, Normal) else a for part, a in pairs])

    def squashed(self, action: Tensor) -> Tensor:
        """Its numbers in [-1, 1], by tanh."""
        return self.changed(action, lambda _, u: u.tanh())

    def scaled(self, unit: Tensor) -> Tensor:
        """What the environment takes for an action whose numbers are in [-1, 1]."""
        return self.changed(unit, Normal.scaled)

    def unit(self, action: Tensor) -> Tensor:
        """The inverse of `scaled`."""
        return self.changed(action, Normal.unit)

    def drawn(self, p: Parameters, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """An action as `encoded`, with gradients through its numbers, which are squashed; and log π [...] of these."""
        normal = [(part, q) for part, q in self._shares(p) if isinstance(part, Normal)]
        numbers = [part.sample(q, generator) for part, q in normal]
        logp = [part.logp(q, u) for (part, q), u in zip(normal, numbers, strict=True)]
        chosen = [categorical_sample(x, uniform(generator, (*x.shape[:-1],), x.device)) for x in self.choices_of(p)]
        hot = [one_hot(c, k).float() for c, k in zip(chosen, self.sizes, strict=True)]
        none = torch.zeros_like(p.output[..., 0])
        return torch.cat([*(u.tanh() for u in numbers), *hot], -1), composite_logp(logp) if logp else none

    def choices_of(self, p: Parameters) -> list[Tensor]:
        """Logits [..., K_k] of every single choice: very low where one is ruled out, unless a row allows nothing."""
        return [logits for part, q in self._shares(p) for logits in _choices(part, q)]

    def encoded(self, action: Tensor) -> Tensor:
        """[..., W] → [..., A + S], what a critic reads: numbers as they are, then 1 for what is chosen, else 0."""
        pairs = list(zip(self.parts, self.split(action), strict=True))
        numbers = [a for part, a in pairs if isinstance(part, Normal)]
        each = [a.reshape(*action.shape[:-1], -1) for part, a in pairs if not isinstance(part, Normal)]
        chosen = torch.cat(each, -1).unbind(-1) if each else ()
        return torch.cat([*numbers, *(one_hot(c, k).float() for c, k in zip(chosen, self.sizes, strict=True))], -1)

    def tried(self, encoded: Tensor) -> Tensor:
        """[..., A + S] → [..., S, A + S]: each choice in turn as each of its options, all else as it is.

        Without choices the action itself, [..., 1, A].
        """
        if not self.sizes:
            return encoded.unsqueeze(-2)
        numbers, hot = encoded.unsqueeze(-2).split([self.numbers, sum(self.sizes)], -1)
        its = torch.block_diag(*(torch.ones(k, k) for k in self.sizes)).bool().to(hot.device)
        options = torch.where(its, torch.eye(len(its), device=hot.device), hot)
        return torch.cat([numbers.expand(*options.shape[:-1], -1), options], -1)

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


def composed(its: Distribution) -> Composite:
    """Any distribution as one of parts: itself, or of one part."""
    return its if isinstance(its, Composite) else Composite([its])


def _sizes(part: Distribution) -> tuple[int, ...]:
    """Options of every single choice of a part."""
    match part:
        case Categorical():
            return (part.n,)
        case MultiCategorical():
            return part.sizes
        case Bernoulli():
            return (2,) * part.n
        case _:
            return ()


def _choices(part: Distribution, p: Parameters) -> list[Tensor]:
    """Logits of every single choice of a part."""
    sizes = _sizes(part)
    if isinstance(part, Bernoulli):
        bits = (p.output if p.allowed is None else ruled_out(p.output, p.allowed)).unbind(-1)
        return [torch.stack([torch.zeros_like(bit), bit], -1) for bit in bits]
    each = p.output.split(sizes, -1) if sizes else ()
    if p.allowed is None:
        return [*each]
    return [ruled_out(x, allowed_or_all(a)) for x, a in zip(each, p.allowed.split(sizes, -1), strict=True)]
