"""Target networks: slow copies of what is learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.run.optimizer_state import shape_of

M = TypeVar("M", bound=nn.Module)


class Target(Generic[M]):
    """A copy θ' of a module's parameters θ that has no gradient and follows them; part of every checkpoint.

    The running statistics that normalise observations are the module's own, not copied.

    Args:
        source: the module.

    Attributes:
        module: the copy.
    """

    def __init__(self, source: M) -> None:
        shared: list[Any] = [getattr(source, name, None) for name in ("normalizer", "layout")]
        self.module: M = deepcopy(source, {id(x): x for x in shared if x is not None}).requires_grad_(False)
        self._kept, self._source = _own(self.module), [*_own(source).values()]

    def follow(self, rate: float) -> None:
        """θ' ← (1 − τ) θ' + τ θ; with τ = 1 a copy, bit for bit."""
        with torch.no_grad():
            torch._foreach_lerp_([*self._kept.values()], self._source, rate)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]

    def tensors(self) -> dict[str, Tensor]:
        """All of the copy by name."""
        return {name: x.detach() for name, x in self._kept.items()}

    def prepared(self, tensors: Mapping[str, Tensor], file: Path) -> Callable[[], None]:
        """What takes over the copy that was saved, when it is called.

        Raises:
            ConfigError: if it is not of this module.
        """
        for name, x in self._kept.items():
            if name not in tensors or shape_of(tensors[name]) != shape_of(x):
                there = shape_of(tensors[name]) if name in tensors else "missing"
                raise ConfigError(f"{file}: {name} is {there}, expected {shape_of(x)}. Use another checkpoint.")

        def fill() -> None:
            with torch.no_grad():
                for name, x in self._kept.items():
                    x.copy_(tensors[name])

        return fill


def _own(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, but for statistics of observations; whoever moves their memory moves these."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: x for name, x in named.items() if "normalizer." not in name and x.is_floating_point()}
