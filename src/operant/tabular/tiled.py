"""A policy whose action values are linear in the tiles that an observation lies in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from math import isfinite, prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from operant.config.bounded import load_json
from operant.config.errors import ConfigError, NonFiniteError
from operant.env.interface import Interface
from operant.run.actor import Acting
from operant.run.disk import fits_memory, save_tensors
from operant.tabular.tiles import Grids, TileCoder


@dataclass(frozen=True, slots=True, kw_only=True)
class TilesSpec:
    """The shape of such a policy; `policy.json` beside its weights."""

    low: tuple[float, ...]  # [D], the box that is tiled
    high: tuple[float, ...]
    tiles: tuple[int, ...]  # [D]
    tilings: int
    actions: int
    epsilon: float = 0.0  # share of uniform actions where actions are sampled
    kind: Literal["tiles"] = "tiles"
    observation_space: dict[str, Any] | None = field(default=None, hash=False)  # as `encode_space` writes it
    action_space: dict[str, Any] | None = field(default=None, hash=False)

    def as_json(self) -> dict[str, Any]:
        """What `policy.json` holds; the spaces where they are known."""
        return {k: [*v] if isinstance(v, tuple) else v for k, v in asdict(self).items() if v is not None}

    def coder(self) -> TileCoder:
        """Its tiles. Raises ConfigError if there can be none of such a box."""
        return TileCoder(self.low, self.high, self.tiles, self.tilings)

    @property
    def features(self) -> int:
        """F: tiles of all grids."""
        return self.tilings * prod(n + 1 for n in self.tiles)

    @property
    def obs_dim(self) -> int:
        """D, numbers of an observation."""
        return len(self.low)

    def check(self) -> None:
        """Raises ValueError where a field is not of its type, or the spaces are of another policy."""
        same = len(self.low) == len(self.high) == len(self.tiles) > 0
        numbers = (*self.low, *self.high, self.epsilon)
        if not same or any(type(x) not in (int, float) or not isfinite(x) for x in numbers):
            raise ValueError("policy.json: low, high and epsilon are finite numbers, low, high and tiles of one length")
        if any(type(n) is not int or n < 1 for n in (*self.tiles, self.tilings, self.actions)):
            raise ValueError("policy.json: tiles, tilings and actions are whole numbers from 1 on")
        if self.kind != "tiles" or not 0.0 <= self.epsilon <= 1.0:
            raise ValueError("policy.json: of another kind, or epsilon is not within 0 and 1")
        found = Interface.decoded(self.observation_space, self.action_space)
        if found is None:
            return
        acts = found.actions.kind == "discrete" and getattr(found.actions.space, "n", None) == self.actions
        if not acts or found.observations.dim != self.obs_dim:
            raise ValueError("policy.json: its spaces are of another policy")


class Tiled(nn.Module):
    """The greedy policy in torch, to be exported."""

    weights: Tensor  # [A, F]

    def __init__(self, weights: NDArray[np.float64], grids: Grids) -> None:
        super().__init__()
        self.size = grids.size
        arrays = {"weights": weights, "low": grids.low, "high": grids.high, "width": grids.width}
        arrays |= {"offset": grids.offset, "stride": grids.stride}
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.array(array)))

    def output(self, obs: Tensor) -> Tensor:
        """The action values, [N, D] → [N, A]."""
        its: Any = self
        inside = torch.minimum(torch.maximum(obs.to(torch.float64), its.low), its.high)
        place = ((inside - its.low) / its.width).unsqueeze(1) + its.offset  # [N, G, D]
        tile = (place.floor().long() * its.stride).sum(-1)
        tile = tile + self.size * torch.arange(len(its.offset), device=tile.device)
        return self.weights[:, tile].sum(-1).T

    def mode(self, obs: Tensor) -> Tensor:
        """The greedy actions, [N, D] → [N]."""
        return self.output(obs).argmax(dim=-1)


class TilesPolicy(Acting):
    """q(s, a) = Σ of the weights of the tiles that s lies in, acted on greedily, or ε-greedily where it is sampled.

    Args:
        weights: [A, F] float64; not copied.
        coder: of F features.
        epsilon: ε of sampled actions.
        interface: of the environment's spaces, where they are known.
    """

    def __init__(
        self, weights: NDArray[np.float64], coder: TileCoder, epsilon: float = 0.0, interface: Interface | None = None
    ) -> None:
        self.weights, self.coder, self.epsilon, self.interface = weights, coder, epsilon, interface

    @property
    def spec(self) -> TilesSpec:
        """Its shape, as it is stored."""
        grids, kept = self.coder.grids, {} if self.interface is None else self.interface.encoded()
        tiles = np.broadcast_to(np.asarray(self.coder.tiles), grids.low.shape)
        return TilesSpec(
            low=tuple(grids.low.tolist()), high=tuple(grids.high.tolist()), tiles=tuple(tiles.tolist()),
            tilings=self.coder.tilings, actions=len(self.weights), epsilon=float(self.epsilon),
            observation_space=kept.get("observation_space"), action_space=kept.get("action_space"),
        )  # fmt: skip

    def decide(self, obs: ArrayLike, *, generator: np.random.Generator | None = None) -> NDArray[np.int64]:
        """The greedy action of [D] or [N, D] numbers, or an ε-greedy one where `generator` is given.

        Raises:
            ValueError: if there are more numbers, or fewer.
            NonFiniteError: if one is NaN.
        """
        q = self.values(obs)
        action = np.asarray(q.argmax(-1), dtype=np.int64)
        if generator is None:
            return action
        other = generator.integers(q.shape[-1], size=action.shape)
        return np.where(generator.random(action.shape) < self.epsilon, other, action).astype(np.int64)

    def estimate(self, obs: ArrayLike) -> NDArray[np.float64]:
        """max over a of q(s, a) for observations as `decide` takes them."""
        return np.asarray(self.values(obs).max(axis=-1))

    def values(self, obs: ArrayLike) -> NDArray[np.float64]:
        """q(s, ·), [D] → [A] or [N, D] → [N, A]; errors as `decide`."""
        x, size = np.asarray(obs, dtype=np.float64), len(self.coder.grids.low)
        if x.shape[-1:] != (size,):
            raise ValueError(f"obs has shape {x.shape}; its last dimension must be {size}")
        if np.isnan(x).any():
            raise NonFiniteError("an observation holds NaN")
        tiles = np.stack([self.coder.active(point) for point in x.reshape(-1, size)])
        return self.weights[:, tiles].sum(-1).T.reshape(*x.shape[:-1], -1)

    @property
    def policy(self) -> Tiled:
        """The greedy policy as a torch module."""
        return Tiled(self.weights, self.coder.grids)

    def stored(self) -> dict[str, Tensor]:
        """The tensors of `model.safetensors` by name."""
        return {"weights": torch.from_numpy(np.ascontiguousarray(self.weights))}

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `policy.json` into `folder`."""
        save_tensors(self.stored(), folder / "model.safetensors")
        (folder / "policy.json").write_text(json.dumps(self.spec.as_json(), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> TilesPolicy:
        """Read what `save` wrote.

        Raises:
            ConfigError: if a file is missing or is not such a policy's.
        """
        try:
            raw: Any = load_json(folder / "policy.json")
            raw |= {key: tuple(raw[key]) for key in ("low", "high", "tiles")}
            spec = TilesSpec(**raw)
            spec.check()
            tensors = load_file(fits_memory(folder / "model.safetensors"))
            shape, its = (spec.actions, spec.features), tensors.get("weights")
            if its is None or len(tensors) > 1 or tuple(its.shape) != shape or its.dtype != torch.float64:
                raise ValueError(f"model.safetensors does not hold weights float64 {list(shape)}")
            coder = spec.coder()  # once it is known to be no larger than the weights that are there
            interface = Interface.decoded(spec.observation_space, spec.action_space)
        except (OSError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise ConfigError(f"{folder}: not a readable policy ({error})") from error
        return cls(its.numpy(), coder, spec.epsilon, interface)
