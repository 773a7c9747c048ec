"""What somebody wants, from what he says of his options: a posterior over weights of a reward, by a pragmatic speaker.

Who speaks is taken to choose words by two things: whether a listener who sees the options would pick the best one, and
whether the words say what counts for him at all.

    p_S1(u | θ, M) ∝ exp β [λ log p_L0(best of M under θ | u, M) + (1 − λ) log p_S0(u | θ)],  u of a bank of sentences

Source: Lin, Fried, Klein and Dragan (2022), Inferring rewards from language in context, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor, nn
from torch.nn import functional

from operant.control.mlp import MLP
from operant.control.updates import take_step
from operant.env.text import Codes, Words
from operant.grounded.flights import LEVELS, Array, Round
from operant.grounded.reading import reader


class Grounding(nn.Module):
    """h(u) · g(x): how well a sentence fits a vector, an option's features (a listener) or weights (a speaker)."""

    def __init__(self, words: Words, features: int, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.codes, self.read = Codes(words), reader(words, size, generator)
        self.told = MLP((features, size), "relu", out_gain=1.0, generator=generator)

    def heard(self, texts: Sequence[str]) -> Tensor:
        """h of U texts, [U, H]."""
        return self.read(torch.from_numpy(np.stack([self.codes.of(text) for text in texts]))).whole

    def forward(self, said: Tensor, x: Tensor) -> Tensor:
        """[U, H], and [U, K, F] or [K, F] → [U, K]."""
        return torch.einsum("uh,...kh->uk" if x.ndim == 2 else "uh,ukh->uk", said, self.told(x))


def teach(
    listener: Grounding, speaker: Grounding, rounds: Sequence[Round], *, steps: int, batch: int, lr: float,
    rng: np.random.Generator,
) -> tuple[float, float]:  # fmt: skip
    """L0 learns which option was meant, S0 whose weights go with a sentence among those of the batch.

    Returns the last losses, in nats.
    """
    optimizer = torch.optim.Adam([*listener.parameters(), *speaker.parameters()], lr)
    heard = said = torch.zeros(())
    for _ in range(steps):
        some = [rounds[int(k)] for k in rng.integers(len(rounds), size=batch)]
        texts = [each.text for each in some]
        options, weights = (_tensor([getattr(each, name) for each in some]) for name in ("options", "weights"))
        heard = functional.cross_entropy(
            listener(listener.heard(texts), options), torch.tensor([each.best for each in some])
        )
        said = functional.cross_entropy(speaker(speaker.heard(texts), weights).T, torch.arange(batch))
        take_step(optimizer, heard + said, None)
    return float(heard.detach()), float(said.detach())


def pragmatic_speaker(
    listener: Array, speaker: Array, best: NDArray[np.int64], heard: int, *, beta: float, lam: float
) -> Array:
    """log p_S1(u | θ, M) of the sentence `heard`, [Θ].

    Args:
        listener: log p_L0(option | u, M), [U, K].
        speaker: log p_S0(u | θ), [U, Θ].
        best: the best option of M under each θ, [Θ].
        heard: which sentence of the U was said.
        beta: β, how well the speaker chooses.
        lam: λ, 1 where he thinks of the option alone and 0 where of what counts alone.
    """
    score = beta * (lam * listener[:, best] + (1.0 - lam) * speaker)
    return score[heard] - logsumexp(score, axis=0)


class Posterior:
    """p(θ | u_1 … u_t) over particles of a prior, uniform over θ in {−1, −½, 0, ½, 1}^F.

    Args:
        grounded: ensembles of listeners and speakers, whose logarithms are averaged.
        bank: sentences over which a speaker chooses.
        theta: particles [Θ, F].
        beta, lam: as `pragmatic_speaker`.
    """

    def __init__(
        self, grounded: Sequence[tuple[Grounding, Grounding]], bank: Sequence[str], theta: Array, *, beta: float,
        lam: float,
    ) -> None:  # fmt: skip
        self.grounded, self.theta, self.beta, self.lam = grounded, theta, beta, lam
        self._bank = self._read(bank)
        self._speaker = self._speaks([said for _, said in self._bank])
        self.forget()

    def forget(self) -> None:
        """Begin with the prior."""
        self.logp = np.zeros(len(self.theta))

    @torch.no_grad()
    def _read(self, texts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """What each listener and each speaker of the ensemble reads in sentences, [U, H]."""
        return [(listener.heard(texts), speaker.heard(texts)) for listener, speaker in self.grounded]

    @torch.no_grad()
    def _speaks(self, said: Sequence[Tensor]) -> Array:
        """log p_S0(u | θ), up to a constant of each θ, [U, Θ]."""
        theta = _tensor(self.theta)
        return np.mean([net(x, theta).double().numpy() for (_, net), x in zip(self.grounded, said, strict=True)], 0)

    @torch.no_grad()
    def hear(self, text: str, options: Array) -> None:
        """Take a round into account: p(θ) p_S1(u | θ, M)."""
        new, menu = self._read([text]), _tensor(options)
        logits = [
            net(torch.cat([bank, said]), menu).double().log_softmax(-1).numpy()
            for (net, _), (bank, _), (said, _) in zip(self.grounded, self._bank, new, strict=True)
        ]
        speaker = np.concatenate([self._speaker, self._speaks([said for _, said in new])])
        speaker -= logsumexp(speaker, axis=0)
        best, heard = (self.theta @ options.T).argmax(1), len(speaker) - 1
        self.logp += pragmatic_speaker(np.mean(logits, 0), speaker, best, heard, beta=self.beta, lam=self.lam)

    @property
    def mean(self) -> Array:
        """E[θ], [F]."""
        weight = np.exp(self.logp - self.logp.max())
        return weight @ self.theta / weight.sum()


def prior(n: int, features: int, rng: np.random.Generator) -> Array:
    """[n, F] particles of the uniform prior."""
    return rng.choice(LEVELS, (n, features))


def _tensor(x: object) -> Tensor:
    return torch.from_numpy(np.asarray(x, np.float32))
