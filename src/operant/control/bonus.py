"""Bonuses for what is new: counts of visits, the error of predicting a random network, and a critic for either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, sqrt
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.control.mlp import MLP
from operant.control.normalizer import ObsNormalizer, RewardScale
from operant.control.settings.explore import ExploreConfig
from operant.data.trajectory import Metrics, Obs, Trajectory, shuffled
from operant.math.advantage import gae
from operant.math.objective import value_loss
from operant.run.optimizer_state import put_moments, tensors_of

CLIP = 5.0
"""Bound on the normalised observations that the networks here see (Burda et al. 2018, table 4)."""


def numbers(obs: Obs) -> Tensor:
    """[N, T, D]: what is observed, one vector a state, as `Exploration` gives it."""
    assert isinstance(obs, Tensor)
    return obs.float()


class CountBonus:
    """b = 1/√n, where n counts the visits to the state that a step led to, this one included.

    A state is its observation: exactly where it is discrete, else the cell in which it lies, whose edges are `cell`, a
    number or one for each that is observed. Steps count in the order of time, copies of the environment in their order.
    States are kept by 64 bits of a hash: of a billion different ones about three share theirs with another in 100 runs.

    Source: Strehl and Littman (2008), An analysis of model-based interval estimation, for β/√n; Tang et al. (2017),
    #Exploration, for counts of hashed states.
    """

    def __init__(self, cell: float | np.ndarray | None) -> None:
        self.cell = cell
        self.states = np.empty(0, np.uint64)  # sorted
        self.visits = np.empty(0, np.int64)

    def __call__(self, traj: Trajectory) -> tuple[Tensor, Metrics]:
        """The bonus [N, T] of each step, 0 where not acted; counts them."""
        acted = traj.acted.cpu().numpy()
        keys = hashed(numbers(traj.obs).cpu().numpy()[:, 1:], self.cell)
        time, row = np.nonzero(acted.T)
        bonus = np.zeros(acted.shape, np.float32)
        bonus[row, time] = 1 / np.sqrt(self._counted(keys[row, time]))
        states = torch.tensor(float(len(self.states)), dtype=torch.float64)
        return torch.from_numpy(bonus).to(traj.reward.device), {"explore/states": states}

    def _counted(self, keys: np.ndarray) -> np.ndarray:
        """How often each was seen up to and with this time, in their order."""
        new, index, count = np.unique(keys, return_inverse=True, return_counts=True)
        order = np.argsort(index, kind="stable")
        first = np.repeat(np.cumsum(count) - count, count)
        rank = np.empty(len(keys), np.int64)
        rank[order] = np.arange(1, len(keys) + 1) - first
        before = self._before(new)
        states = np.concatenate([self.states, new[before == 0]])
        visits = np.concatenate([self.visits, np.zeros(len(states) - len(self.states), np.int64)])
        order = np.argsort(states)
        self.states, self.visits = states[order], visits[order]
        self.visits[np.searchsorted(self.states, new)] += count
        return before[index] + rank

    def _before(self, keys: np.ndarray) -> np.ndarray:
        """Visits so far; 0 of what is new."""
        if not len(self.states):
            return np.zeros(len(keys), np.int64)
        at = np.minimum(np.searchsorted(self.states, keys), len(self.states) - 1)
        return np.where(self.states[at] == keys, self.visits[at], 0)

    def tensors(self) -> dict[str, Tensor]:
        """States, as the bits of their hashes, and visits."""
        return {"states": torch.from_numpy(self.states.view(np.int64)), "visits": torch.from_numpy(self.visits)}

    def prepared(self, tensors: Mapping[str, Tensor], file: Path) -> Callable[[], None]:
        """What takes over the counts that were saved, when it is called.

        Raises:
            ConfigError: if there are none.
        """
        states, visits = (_named(tensors, name, file) for name in ("states", "visits"))
        if states.dtype != torch.int64 or visits.dtype != torch.int64 or states.shape != visits.shape:
            raise ConfigError(f"{file}: these are no counts of states. Use another checkpoint.")

        def fill() -> None:
            self.states, self.visits = states.numpy().view(np.uint64).copy(), visits.numpy().copy()

        return fill


def hashed(x: np.ndarray, cell: float | np.ndarray | None) -> np.ndarray:
    """64 bits for each vector [..., D], equal where all its cells are; without a cell where all its numbers are."""
    bits = (x + 0.0).astype(np.float32).view(np.uint32) if cell is None else np.floor(x / cell).astype(np.int64)
    words = bits.astype(np.uint64)
    key = np.full(x.shape[:-1], x.shape[-1], np.uint64)
    for k in range(x.shape[-1]):  # Steele et al. (2014), the finaliser of SplitMix64, over one word after the other
        key = key ^ words[..., k]
        key = key + np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key = key ^ (key >> np.uint64(31))
    return key


class Trained:
    """A module and the Adam that trains it on segments, in minibatches of one pass."""

    def __init__(self, module: nn.Module, order: np.random.Generator, *, lr: float, batch: int) -> None:
        self.module, self._batch, self._order = module, batch, order
        self.optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=lr)

    def fit(self, loss: Callable[[Tensor], Tensor], count: int, device: torch.device) -> Metrics:
        """Step through all of `count` decisions; `loss` is told which."""
        seen: list[tuple[Tensor, Tensor]] = []
        for index in shuffled(count, self._order, device).split(self._batch):
            self.optimizer.zero_grad()
            value = loss(index)
            value.backward()
            norm = nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], inf)
            self.optimizer.step()
            seen.append((value.detach(), norm))
        losses, norms = (torch.stack(x).mean() for x in zip(*seen, strict=True))
        return {"loss": losses, "grad_norm": norms}

    def tensors(self) -> dict[str, Tensor]:
        """Parameters, running statistics and moments."""
        state = {f"module.{name}": x.detach() for name, x in self.module.state_dict().items()}
        return state | {f"optim.{name}": x for name, x in tensors_of(self.optimizer).items()}

    def prepared(self, tensors: Mapping[str, Tensor], file: Path) -> Callable[[], None]:
        """What takes over all that was saved, when it is called.

        Raises:
            ConfigError: if it is not of these networks.
        """
        state = {name: _named(tensors, f"module.{name}", file) for name in self.module.state_dict()}
        for name, x in self.module.state_dict().items():
            if state[name].shape != x.shape or state[name].dtype != x.dtype:
                raise ConfigError(f"{file}: {name} is {list(state[name].shape)}, expected {list(x.shape)}.")
        moments = {k.removeprefix("optim."): x for k, x in tensors.items() if k.startswith("optim.")}
        put = put_moments(moments, self.optimizer, file)

        def fill() -> None:
            self.module.load_state_dict(state)
            put()

        return fill


class _RandomFeatures(nn.Module):
    """The networks of RND, and the statistics of what they see and give."""

    def __init__(self, dim: int, cfg: ExploreConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.target = MLP((dim, *cfg.bonus_hidden, cfg.features), "relu", out_gain=sqrt(2), generator=generator)
        widths = (dim, *cfg.bonus_hidden, *cfg.bonus_hidden[-1:], cfg.features)
        self.predictor = MLP(widths, "relu", out_gain=sqrt(2), generator=generator)
        self.target.requires_grad_(requires_grad=False)
        self.normalizer, self.scale = ObsNormalizer(dim, CLIP), RewardScale(inf)

    def error(self, x: Tensor) -> Tensor:
        """[B, D] → [B], the mean squared error of the predicted features."""
        return (self.predictor(x) - self.target(x)).square().mean(-1)


class RandomDistillation(Trained):
    """b = ‖f̂(s') − f(s')‖² of the state that a step led to: f is random and fixed, f̂ learns to predict it.

    What is seen is normalised by running statistics and clipped at ±5; the bonus is divided by the running deviation of
    its own discounted return, which does not end with episodes. Both are brought up to date with a segment before it is
    judged, and f̂ is trained on it after.

    Source: Burda et al. (2018), Exploration by random network distillation, arXiv:1810.12894, section 2.
    """

    def __init__(
        self, dim: int, cfg: ExploreConfig, generator: torch.Generator, order: np.random.Generator, device: torch.device
    ) -> None:
        self.networks = _RandomFeatures(dim, cfg, generator).to(device)
        super().__init__(self.networks, order, lr=cfg.bonus_lr, batch=cfg.bonus_batch)
        self._discount = cfg.bonus_discount

    def __call__(self, traj: Trajectory) -> tuple[Tensor, Metrics]:
        """The bonus [N, T] of each step, 0 where not acted; learns from them."""
        networks, acted = self.networks, traj.acted
        led_to = numbers(traj.obs)[:, 1:]
        networks.normalizer.update(led_to[acted])
        states = networks.normalizer(led_to[acted])
        raw = torch.zeros_like(traj.reward)
        with torch.no_grad():
            raw[acted] = networks.error(states)
        bonus = networks.scale(raw, torch.zeros_like(acted), acted, self._discount)
        metrics = self.fit(lambda index: networks.error(states[index]).mean(), len(states), raw.device)
        return bonus, {f"explore/rnd_{name}": x for name, x in metrics.items()}


class _Values(nn.Module):
    def __init__(self, dim: int, cfg: ExploreConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.net = MLP((dim, *cfg.bonus_hidden, 1), "tanh", out_gain=1.0, generator=generator)
        self.normalizer = ObsNormalizer(dim, CLIP)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] → [...]."""
        return self.net(self.normalizer(x)).squeeze(-1)


class BonusCritic(Trained):
    """The value of bonuses alone, with a γ of its own, over a life that does not end where an episode does.

    Source: Burda et al. (2018), sections 2.3 and 2.4.
    """

    def __init__(
        self, dim: int, cfg: ExploreConfig, generator: torch.Generator, order: np.random.Generator, device: torch.device
    ) -> None:
        self.values = _Values(dim, cfg, generator).to(device)
        super().__init__(self.values, order, lr=cfg.bonus_lr, batch=cfg.bonus_batch)
        self._discount, self._lam = cfg.bonus_discount, cfg.bonus_lam

    def advantage(self, traj: Trajectory, bonus: Tensor) -> tuple[Tensor, Metrics]:
        """The advantage [N, T] of each step's bonuses to come, 0 where not acted; learns from them."""
        x, acted = numbers(traj.obs), traj.acted
        with torch.no_grad():
            value = self.values(x)
        never = torch.zeros_like(acted)
        adv = gae(bonus, value, never, never, acted, discount=self._discount, lam=self._lam)
        self.values.normalizer.update(x[:, :-1][acted])
        states, target = x[:, :-1][acted], (adv + value[:, :-1])[acted]

        def loss(index: Tensor) -> Tensor:
            here = torch.ones_like(target[index], dtype=torch.bool)
            return value_loss(self.values(states[index]), target[index], here)[0]

        metrics = self.fit(loss, len(states), target.device)
        return adv, {f"explore/critic_{name}": x for name, x in metrics.items()}


def _named(tensors: Mapping[str, Tensor], name: str, file: Path) -> Tensor:
    if name not in tensors:
        raise ConfigError(f"{file} lacks {name}. Use another checkpoint.")
    return tensors[name]
