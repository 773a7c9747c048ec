"""A reward of how well what was just seen fits a caption: a contrastive model of clips and sentences.

Source: Fan et al. (2022), MineDojo: building open-ended embodied agents with internet-scale knowledge, section 5
(MineCLIP), arXiv:2206.08853; the loss is that of Radford et al. (2021), arXiv:2103.00020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from operant.control.learned_reward import layout_of
from operant.control.mlp import MLP
from operant.control.networks.trunk import Trunk
from operant.control.updates import take_step
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env.spaces import Observations
from operant.env.text import Codes, Words
from operant.grounded.reading import reader

Clip = tuple[NDArray[np.float32], str]
"""Rows [T, D] of what was seen, and a caption."""


class ClipModel(nn.Module):
    """s(clip, caption) = e^τ · cos(f, g): f a layer over T frames' features side by side, g a GRU over the words.

    Args:
        observations: of what is seen, without texts.
        words: the table of the captions.
        frames: T.
        size: of both embeddings.
        generator: where the weights come from.
    """

    def __init__(
        self, observations: Observations, words: Words, frames: int, size: int, generator: torch.Generator
    ) -> None:  # fmt: skip
        super().__init__()
        self.frames, self.codes = frames, Codes(words)
        self.see = Trunk(layout_of(observations, "grid-cnn"), "grid-cnn", None, None, "", 0, generator)
        self.over = MLP((frames * self.see.features, size, size), "relu", out_gain=1.0, generator=generator)
        self.read = reader(words, size, generator)
        self.log_scale = nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32))

    def clips(self, rows: Tensor) -> Tensor:
        """[B, T, D] → unit vectors [B, H]."""
        seen = self.see(rows.flatten(0, 1)).reshape(len(rows), -1)
        return functional.normalize(self.over(seen), dim=-1)

    def captions(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [U, H]."""
        codes = torch.from_numpy(np.stack([self.codes.of(text) for text in texts]))
        return functional.normalize(self.read(codes).whole, dim=-1)

    def forward(self, rows: Tensor, texts: Sequence[str]) -> Tensor:
        """[B, T, D] and U texts → [B, U]."""
        return self.log_scale.exp() * self.clips(rows) @ self.captions(texts).T


def contrastive(scores: Tensor) -> Tensor:
    """½ (cross-entropy of the caption given the clip, and of the clip given the caption), scores [B, B]."""
    right = torch.arange(len(scores))
    return (functional.cross_entropy(scores, right) + functional.cross_entropy(scores.T, right)) / 2


def fit_clips(model: ClipModel, clips: Sequence[Clip], *, steps: int, batch: int, lr: float, streams: Streams) -> float:
    """Teach it on batches whose captions differ; returns the last tenth's loss, in nats."""
    optimizer, rng, told = torch.optim.Adam(model.parameters(), lr), streams.numpy("clips"), list[float]()
    for _ in range(steps):
        some = {clips[int(k)][1]: clips[int(k)][0] for k in rng.integers(len(clips), size=batch)}
        loss = contrastive(model(torch.from_numpy(np.stack([*some.values()])), [*some]))
        take_step(optimizer, loss, 1.0)
        told.append(float(loss.detach()))
    return float(np.mean(told[-max(1, steps // 10) :]))


class CaptionReward:
    """A judge that adds `weight` max(P(goal | the last T frames) − 1/U, 0), P among U captions; one is the goal.

    What is seen in a segment is all that it knows of the past: its first T − 1 steps repeat their first frame.

    Args:
        model: which is not taught any more.
        captions: the goal first, then others.
        weight: of the reward beside the world's own.
    """

    def __init__(self, model: ClipModel, captions: Sequence[str], weight: float) -> None:
        self.model, self.weight, self.n = model, weight, len(captions)
        with torch.no_grad():
            self._captions = model.captions(captions)
        self._metrics: Metrics = {}

    def begin(self, streams: Streams) -> None:
        """Stand at a seam: nothing is drawn."""

    def settle(self) -> Metrics:
        """Of the last segment."""
        return self._metrics

    @torch.no_grad()
    def fits(self, rows: Tensor) -> Tensor:
        """max(P − 1/U, 0) of clips [B, T, D]: [B]."""
        scores = self.model.log_scale.exp() * self.model.clips(rows) @ self._captions.T
        return (scores.softmax(-1)[:, 0] - 1.0 / self.n).clamp(min=0.0)

    def __call__(self, traj: Trajectory) -> Trajectory:
        """The segment with rewards of its clips; one never reaches back over the beginning of an episode."""
        assert isinstance(traj.obs, Tensor)
        n, t = traj.acted.shape
        ended = traj.terminated | traj.truncated
        first = torch.zeros(n, dtype=torch.long)
        windows = list[Tensor]()
        for k in range(t):  # the frames k + 2 − T … k + 1, of this episode
            if k:
                first = torch.where(ended[:, k - 1], k + (~traj.acted[:, k]).long(), first)
            at = torch.arange(k + 2 - self.model.frames, k + 2).clamp(min=0).expand(n, -1)
            windows.append(torch.maximum(at, first[:, None]).clamp(max=k + 1))
        index = torch.stack(windows, 1)[traj.acted]  # [M, T]
        rows = torch.arange(n)[:, None].expand(-1, t)[traj.acted]
        bonus = torch.zeros_like(traj.reward)
        bonus[traj.acted] = self.weight * self.fits(traj.obs[rows[:, None], index].float())
        self._metrics = {"captions/paid": bonus[traj.acted].mean()}
        return replace(traj, reward=traj.reward + bonus)
