"""Whether what was done so far is what a sentence says: a classifier of action frequencies, and shaping by it.

Source: Goyal, Niekum and Mooney (2019), Using natural language for reward shaping in reinforcement learning (LEARN).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from operant.control.mlp import MLP
from operant.control.updates import take_step
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env.text import Codes, Words
from operant.grounded.reading import reader
from operant.math.shaping import potential_shaping

Clip = tuple[NDArray[np.int64], str]
"""Actions [T] of a piece of a demonstration, and a sentence about it."""


class Relatedness(nn.Module):
    """z = MLP(f, mean over words of a GRU): the logit of "these actions are what is said".

    Args:
        actions: A.
        words: the table of the sentences.
        size: H, of a word and of three hidden layers.
        generator: where the weights come from.
    """

    def __init__(self, actions: int, words: Words, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.actions, self.codes = actions, Codes(words)
        self.read = reader(words, size, generator)
        self.net = MLP((actions + size, size, size, size, 1), "relu", out_gain=1.0, generator=generator)

    def forward(self, frequencies: Tensor, codes: Tensor) -> Tensor:
        """[B, A], [B, L] → [B]."""
        _, words, there = self.read(codes)
        said = (words * there.unsqueeze(-1)).sum(1) / there.sum(1, keepdim=True).clamp(min=1)
        return self.net(torch.cat([frequencies, said], -1)).squeeze(-1)

    @torch.no_grad()
    def potential(self, counts: Tensor, text: str) -> Tensor:
        """Φ = P(related) − P(not), of counts of actions [..., A]: [...]."""
        flat = counts.reshape(-1, self.actions)
        codes = torch.from_numpy(self.codes.of(text)).expand(len(flat), -1)
        return (2.0 * self(frequencies(flat), codes).sigmoid() - 1.0).reshape(counts.shape[:-1])


def frequencies(counts: Tensor) -> Tensor:
    """[..., A] → the same, of sum 1; 0 where nothing was done."""
    return counts / counts.sum(-1, keepdim=True).clamp(min=1.0)


def pairs(clips: Sequence[Clip], net: Relatedness, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Frequencies [n, A], codes [n, L] and whether they are of one clip, [n], half of each.

    What was done is counted over a window of a clip, of five actions at least. One that is not related has the sentence
    of another clip, or, as often, frequencies that are drawn at random.
    """
    seen, said, alike = (
        np.zeros((n, net.actions), np.float32),
        np.zeros((n, net.codes.length), np.float32),
        rng.random(n),
    )
    for i in range(n):
        done, text = clips[int(rng.integers(len(clips)))]
        first = int(rng.integers(max(1, len(done) - 4)))
        last = int(rng.integers(min(first + 5, len(done)), len(done) + 1))
        seen[i] = np.bincount(done[first:last], minlength=net.actions)
        if 0.5 <= alike[i] < 0.75:
            text = clips[int(rng.integers(len(clips)))][1]
        elif alike[i] >= 0.75:
            seen[i] = rng.dirichlet(np.ones(net.actions))
        said[i] = net.codes.of(text)
    return frequencies(torch.from_numpy(seen)), torch.from_numpy(said), torch.from_numpy(alike < 0.5).float()


def fit_relatedness(
    net: Relatedness, clips: Sequence[Clip], *, steps: int, batch: int, lr: float, streams: Streams
) -> float:
    """Teach it by its cross-entropy; returns that of the last tenth."""
    optimizer, rng, told = torch.optim.Adam(net.parameters(), lr), streams.numpy("relatedness"), list[float]()
    for _ in range(steps):
        seen, said, alike = pairs(clips, net, batch, rng)
        loss = functional.binary_cross_entropy_with_logits(net(seen, said), alike)
        take_step(optimizer, loss, None)
        told.append(float(loss.detach()))
    return float(np.mean(told[-max(1, steps // 10) :]))


def auc(net: Relatedness, clips: Sequence[Clip], n: int, rng: np.random.Generator) -> float:
    """The chance that a related pair is ranked above one that is not: the area under the ROC curve, of n pairs."""
    seen, said, alike = pairs(clips, net, n, rng)
    with torch.no_grad():
        score = net(seen, said)
    right, wrong = score[alike > 0], score[alike == 0]
    return float((right[:, None] > wrong).float().mean() + 0.5 * (right[:, None] == wrong).float().mean())


class Shaped:
    """A judge that adds γ Φ(h') − Φ(h) to each reward, Φ of the actions of the episode so far.

    Args:
        potential: from counts [N, T, A] to Φ [N, T].
        actions: A.
        discount: γ.
    """

    def __init__(self, potential: Callable[[Tensor], Tensor], actions: int, discount: float) -> None:
        self.potential, self.actions, self.discount = potential, actions, discount
        self.begin(Streams(0))

    def begin(self, streams: Streams) -> None:
        """Stand at a seam: episodes begin."""
        self._counts, self._metrics = torch.zeros(1, self.actions), Metrics()

    def settle(self) -> Metrics:
        """Of the last segment."""
        return self._metrics

    def __call__(self, traj: Trajectory) -> Trajectory:
        """The segment with shaped rewards."""
        ended, before = traj.terminated | traj.truncated, list[Tensor]()
        done = functional.one_hot(traj.action.long(), self.actions) * traj.acted.unsqueeze(-1)  # [N, T, A]
        after, counts = list[Tensor](), self._counts.expand(len(done), -1)
        for t in range(done.shape[1]):
            before.append(counts)
            after.append(counts + done[:, t])
            counts = after[-1].masked_fill(ended[:, t, None], 0.0)
        self._counts = counts
        was, now = (self.potential(torch.stack(x, 1)) for x in (before, after))
        bonus = potential_shaping(was, now, traj.terminated, discount=self.discount) * traj.acted
        self._metrics = {"shaping/potential": now[traj.acted].mean()}
        return replace(traj, reward=traj.reward + bonus)
