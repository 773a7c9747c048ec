"""Acting by action values: the greedy policy of a network of them, its value, and policies that explore around it.

A network of action values is a policy like any other: its distribution puts all probability on the action of the
largest value, so that whatever acts, films, measures or exports policies does so here. What explores is another
distribution over the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.control.distributions import Parameters
from operant.control.networks.trunk import Trunk
from operant.control.policies import Policy
from operant.control.settings.values import ActingConfig, ValuesConfig
from operant.data.trajectory import Obs
from operant.math.bellman import greedy
from operant.math.logprob import allowed_or_all, categorical_logp, categorical_sample, masked_logits, ruled_out

Head = Literal["q", "c51", "qr"]


@dataclass(frozen=True, slots=True)
class Greedy:
    """π(a) = 1 for the largest action value, for `Discrete(n)`; actions are int64 [...], ties go to the first.

    Args:
        n: A, actions.
        head: what the network gives for each action: its value, the logits of a distribution over fixed atoms (C51), or
            quantiles of one (QR).
        atoms: K, numbers for each action; 1 for "q".
        low, high: the first and the last atom of C51, in units of return.
    """

    n: int
    head: Head = "q"
    atoms: int = 1
    low: float = 0.0
    high: float = 0.0
    deviations = 0
    columns = 1

    @property
    def outputs(self) -> int:
        return self.n * self.atoms

    @property
    def choices(self) -> int:
        return self.n

    def support(self, like: Tensor) -> Tensor:
        """[K], the atoms of C51."""
        return torch.linspace(self.low, self.high, self.atoms, device=like.device, dtype=like.dtype)

    def apart(self, output: Tensor) -> Tensor:
        """What the network gives, action by action: [..., A · K] → [..., A, K]."""
        return output.unflatten(-1, (self.n, self.atoms))

    def expected(self, output: Tensor) -> Tensor:
        """Q(s, ·) [..., A]."""
        match self.head:
            case "q":
                return output
            case "c51":
                return self.apart(output).softmax(-1) @ self.support(output)
            case "qr":
                return self.apart(output).mean(-1)

    def values(self, p: Parameters) -> Tensor:
        """Q(s, ·) [..., A], very low where an action is ruled out.

        Where none is allowed, as may be behind an end, nothing is ruled out: such a value is read only if the end was a
        truncation, and then it stays one of the network's.
        """
        q = self.expected(p.output)
        return q if p.allowed is None else ruled_out(q, allowed_or_all(p.allowed))

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """The mode; nothing is drawn."""
        return self.mode(p)

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        """0, or −∞."""
        return torch.where(action == self.mode(p), 0.0, -torch.inf)

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        return p.output.new_zeros(p.output.shape[:-1])

    def mode(self, p: Parameters) -> Tensor:
        """argmax of the values."""
        q = self.expected(p.output)
        return (q if p.allowed is None else masked_logits(q, p.allowed)).argmax(-1)

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        """0 where both choose alike, else ∞."""
        return torch.where(self.mode(p) == self.mode(q), 0.0, torch.inf)

    def finish(self, action: Tensor) -> Tensor:
        return action


class GreedyValue(nn.Module):
    """max_a Q(s, a), in units of the scaled reward where rewards are normalised; has no parameters of its own."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self._policy = [policy]  # in a list: it is no module of this one

    @property
    def trunk(self) -> Trunk | None:
        """That of the policy."""
        return self._policy[0].trunk

    def forward(self, obs: Obs) -> Tensor:
        """[..., D] → [...]."""
        policy = self._policy[0]
        return greedy(greedy_of(policy).values(policy.parameters_of(obs)))

    def value_of(self, features: Tensor, obs: Obs) -> Tensor:
        """The same [...] for features that the policy's trunk gave."""
        policy = self._policy[0]
        return greedy(greedy_of(policy).values(policy.parameters_from(policy.output_of(features), obs)))


def greedy_of(policy: Policy) -> Greedy:
    """The distribution of a policy whose network gives action values."""
    assert isinstance(policy.distribution, Greedy)
    return policy.distribution


def even_choice(allowed: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One of the actions that are allowed, all alike: int64 [N], and of how many, [N].

    Args:
        allowed: [N, A] bool.
        place: [N], uniform on [0, 1).
    """
    count = allowed.cumsum(-1)
    many = count[:, -1]
    return (count <= (place * many)[:, None].astype(np.int64)).sum(-1), many


class EpsilonGreedy:
    """The greedy action with probability 1 − ε, else one of those that are allowed, all alike.

    Attributes:
        rate: ε as it is now.
        even: the rate by which all actions are alike.
    """

    name, even = "epsilon", 1.0

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate

    def act(self, of: Greedy, p: Parameters, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Actions [N] int64 and their log-probabilities [N] float32, from two uniform numbers a row."""
        q = of.values(p).cpu().numpy()
        coin, place = generator.random((2, len(q)))
        best = q.argmax(-1)
        other, many = even_choice(np.ones(q.shape, np.bool_) if p.allowed is None else p.allowed.cpu().numpy(), place)
        action = np.where(coin < self.rate, other, best)
        share = self.rate / many + np.where(action == best, 1.0 - self.rate, 0.0)
        return action, np.log(share).astype(np.float32)


class Boltzmann:
    """π(a) = softmax(Q(s, ·) / τ)_a.

    Attributes:
        rate: τ as it is now, in units of return.
        even: the rate by which all actions are alike.
    """

    name, even = "temperature", inf

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate

    def act(self, of: Greedy, p: Parameters, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Actions [N] int64 and their log-probabilities [N] float32, from one uniform number a row."""
        q = of.expected(p.output) / self.rate
        logits = q if p.allowed is None else masked_logits(q, p.allowed)
        uniform = torch.from_numpy(generator.random(len(logits), np.float32)).to(logits.device)
        action = categorical_sample(logits, uniform)
        return action.cpu().numpy(), categorical_logp(logits, action).cpu().numpy()


Behaviour = EpsilonGreedy | Boltzmann


def behaviour_of(cfg: ActingConfig) -> Behaviour:
    """What explores by the settings, as at the start."""
    return EpsilonGreedy(cfg.epsilon) if cfg.exploration == "epsilon-greedy" else Boltzmann(cfg.temperature)


def rate_at(cfg: ActingConfig, done: float) -> float:
    """ε, or τ, after a share `done` of the steps."""
    start, end = (
        (cfg.epsilon, cfg.epsilon_end)
        if cfg.exploration == "epsilon-greedy"
        else (cfg.temperature, cfg.temperature_end)
    )
    return start + (end - start) * min(1.0, done / cfg.exploration_share)


def spec_of(cfg: ValuesConfig) -> dict[str, Any]:
    """The fields of an agent's spec that make its policy a network of action values.

    Raises:
        ConfigError: if what is set cannot be.
    """
    if cfg.head == "c51" and (cfg.atoms < 2 or cfg.value_min >= cfg.value_max):
        raise ConfigError(
            f"c51 needs at least two atoms from policy.value_min up to policy.value_max: there are {cfg.atoms}, from "
            f"{cfg.value_min:g} to {cfg.value_max:g}. Set these to the least and the largest return to be told apart"
        )
    fields: dict[str, Any] = {"head": cfg.head, "dueling": cfg.dueling, "noisy": cfg.noisy, "shared": False}
    fields |= {"layer_norm": cfg.layer_norm, "atoms": 0 if cfg.head == "q" else cfg.atoms}
    return fields | ({"value_min": cfg.value_min, "value_max": cfg.value_max} if cfg.head == "c51" else {})
