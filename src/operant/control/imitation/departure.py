"""Where a clone leaves its data: how far the states that it comes to lie from those that were shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from operant.control.setup_data import FromData
from operant.env.dataset import DataSet
from operant.run.folder import write_json

Array = NDArray[Any]
FILE = "departure.json"
NUMBERS = 2**23
"""Numbers of all states together that are held on either side; of more, as many are taken evenly."""
SHOWN, SEEN, COPIES = 10_000, 4_000, 4
"""States that were shown and that are seen, at most, and in how many copies of the environment these are."""
SHARE = 0.99
"""Of the states that were shown, the part that counts as near to the others: the rest sets the bound."""
PARTS = 40
"""Parts of an episode that are told apart."""


class Watched:
    """An agent as it is measured, that notes where it comes to (`operant.run.actor.Actor`, as far as measuring goes).

    A state is outside of the data if it is farther from all that was shown than nearly all states of an episode are
    from those of the other episodes, each number in units of its deviation there.

    Args:
        parts: the agent, and what it learns from.
    """

    def __init__(self, parts: FromData) -> None:
        self.agent, self._seen = parts.agent, parts.between.observations
        shown, episode = _states(parts.train, parts)
        self._scale = np.maximum(shown.std(0), 1e-6)
        self._shown = torch.from_numpy(shown / self._scale)
        self.bound = _bound(self._shown, episode)
        self._times: list[Array] = []
        self._rows: list[Array] = []
        self._since = np.zeros(0, np.int64)

    def decide(self, obs: Array, *, generator: np.random.Generator | None = None) -> Array:
        """As the agent; the states are kept until there are enough."""
        if len(self._since) != len(obs):
            self._since = np.zeros(len(obs), np.int64)
        if (held := sum(map(len, self._rows))) < SEEN and held * obs.shape[1] < NUMBERS:
            self._rows.append(obs[:COPIES].copy())
            self._times.append(self._since[:COPIES].copy())
        self._since += 1
        return self.agent.decide(obs, generator=generator)

    def forget(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Episodes begin in these rows, or in all."""
        if rows is None:
            self._since[:] = 0
        else:
            self._since = np.where(rows, 0, self._since)
        self.agent.forget(rows)

    def told(self, reward: NDArray[np.floating]) -> None:
        """As the agent."""
        self.agent.told(reward)

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Write what share of the states was outside, by their time in the episode; nothing of it is a metric."""
        if not self._rows:
            return {}
        x = self._seen.floats(np.concatenate(self._rows)) / self._scale
        time = np.concatenate(self._times)
        self._rows, self._times = [], []
        outside = _nearest(torch.from_numpy(x.astype(np.float32)), self._shown) > self.bound
        edges = np.linspace(0, time.max() + 1, min(PARTS, int(time.max()) + 1) + 1)
        part = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, len(edges) - 2)
        count, out = (np.bincount(part, w, len(edges) - 1) for w in (None, outside.numpy().astype(np.float64)))
        told = {"step": edges[:-1].round(1).tolist(), "outside": (out / np.maximum(count, 1)).round(4).tolist()}
        share = round(float(outside.float().mean()), 4)
        write_json(run / FILE, told | {"at": step, "bound": round(self.bound, 4), "share": share})
        return {}


def _states(data: DataSet, parts: FromData) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """States that were shown [S, F], evenly taken where there are more than can be held; of which episode each is."""
    seen = parts.between.observations
    most = max(1, min(SHOWN, NUMBERS // seen.numbers))
    every = max(1, -(-data.steps // most))
    rows: Iterator[Array] = (seen.floats(r.obs[::every]) for r in data.rows(parts.between))
    each = [x.astype(np.float32) for x in rows]
    return np.concatenate(each), np.repeat(np.arange(len(each)), [len(x) for x in each])


def _bound(shown: torch.Tensor, episode: NDArray[np.int64]) -> float:
    """How far a state of an episode is from those of all others, at most but for a few; of one episode from its own."""
    alone, of = episode.max() == 0, torch.from_numpy(episode)
    each = [
        _nearest(shown[of == k], shown[of != k]) if not alone else _nearest(shown[1::2], shown[::2])
        for k in range(min(20, int(episode.max()) + 1))
    ]
    far = torch.cat(each)
    return float(torch.quantile(far[:: max(1, len(far) // 100_000)], SHARE)) if len(far) else 0.0


def _nearest(x: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
    """[S], the distance to the nearest of some states."""
    return torch.cat([torch.cdist(part, to).amin(1) for part in x.split(512)]) if len(x) else x.new_zeros(0)
