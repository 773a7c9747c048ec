"""A network of one's own: any module from observations to features, below a policy's or a critic's own last layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from operant.config.errors import ConfigError, place_of, raised, user_code
from operant.config.undisturbed import undisturbed
from operant.control.mlp import MLP
from operant.run.sources import short
from operant.workers.resolve import own_code


class OwnFeatures(nn.Module):
    """Features f(x) by a module of a person's own.

    Args:
        factory: `file.py:make` or `module:make`; `make(obs_dim)` returns an `nn.Module` from [N, obs_dim] to [N, F].
        obs_dim: D, numbers in an observation.
        generator: where its initial weights come from.

    Raises:
        ConfigError: if the factory cannot be imported, raises, or what it returns is no such module.
    """

    def __init__(self, factory: str, obs_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        make, self.factory = own_code(factory, "network"), factory
        with torch.random.fork_rng(devices=[]):  # a module's own initialisation draws from torch's global generator
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            self.body, features = _made(factory, make, obs_dim)
        self.features = int(features.shape[1])

    def forward(self, obs: Tensor) -> Tensor:
        """[N, D] → [N, F]."""
        with user_code(f"the network {short(self.factory)}", ConfigError):
            return cast(Tensor, self.body(obs))


class OwnNetwork(nn.Module):
    """y = W f(x) + b: features of a person's own, and the last layer of a policy or a critic.

    Args:
        own: f.
        outputs: K, numbers that the last layer gives.
        out_gain: gain of the last layer's orthogonal initialisation.
        generator: where its initial weights come from.
    """

    def __init__(self, own: OwnFeatures, outputs: int, *, out_gain: float, generator: torch.Generator) -> None:
        super().__init__()
        self.body, self._own = own.body, [own]  # in a list: it is no module of this one, only how it is called
        self.head = MLP((own.features, outputs), "tanh", out_gain=out_gain, generator=generator)

    def forward(self, obs: Tensor) -> Tensor:
        """[..., D] → [..., K]."""
        features = self._own[0](obs.reshape(-1, obs.shape[-1]))
        return self.head(features).reshape(*obs.shape[:-1], -1)


def _made(factory: str, make: Callable[..., Any], obs_dim: int) -> tuple[nn.Module, Tensor]:
    """The module, and its features of two observations."""
    try:
        with undisturbed():
            body: Any = make(obs_dim)
            if not isinstance(body, nn.Module):
                raise ConfigError(f"{factory} returned a {type(body).__name__}, not a torch.nn.Module")
            with torch.no_grad():
                features: Any = body(torch.zeros(2, obs_dim))
    except ConfigError:
        raise
    except BaseException as error:
        raise ConfigError(f"{place_of(error) or factory}: the network {short(factory)} {raised(error)}") from error
    flat = isinstance(features, Tensor) and features.ndim == 2 and len(features) == 2
    if flat and features.dtype == torch.float32:
        return body, features
    got = f"{list(features.shape)} {features.dtype}" if isinstance(features, Tensor) else type(features).__name__
    raise ConfigError(f"{factory}: of observations [2, {obs_dim}] its module made {got}; expected float32 [2, F]")
