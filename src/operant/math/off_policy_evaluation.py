"""What a policy π is worth, from whole episodes of another one, μ, and nothing else.

With ρ_{0:t} = Π_{k≤t} π(a_k|s_k)/μ(a_k|s_k), G = Σ_t γ^t r_t of an episode, and a mean over N episodes, or over their
weights where the estimator is weighted:

    ordinary         mean ρ_{0:T} G                                   unbiased; one episode may outweigh all others
    per-decision     Σ_t γ^t mean ρ_{0:t} r_t                         unbiased; later ratios do not blur earlier rewards
    doubly-robust    Σ_t γ^t mean (ρ_{0:t} (r_t − Q_t) + ρ_{0:t−1} V_t)   unbiased for any Q and V = Σ_a π Q; without
                     variance of the policy's where they are right
    weighted-…       the same, each mean over episodes of ρ x being Σ ρ x / Σ ρ: biased, consistent, bounded

All are sums of ratios of sums over episodes, so that one record serves them and their bootstrap (`Terms`). An episode
that was cut is worth what was seen of it; the doubly robust ones go on with V of what was seen last.

Source: Precup, Sutton and Singh (2000), Eligibility traces for off-policy policy evaluation; Jiang and Li (2016),
Doubly robust off-policy value evaluation; Thomas and Brunskill (2016), Data-efficient off-policy policy evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from operant.math import _check

Estimator = Literal[
    "ordinary", "weighted", "per-decision", "weighted-per-decision", "doubly-robust", "weighted-doubly-robust"
]


@dataclass(frozen=True, slots=True)
class Terms:
    """An estimate as Σ_k (Σ_i n_ik) / (Σ_i d_ik), i being the episode."""

    numerator: Tensor  # n [N, K], float64
    denominator: Tensor  # d [N, K]; 1 where the mean is a plain one

    @property
    def value(self) -> float:
        """The estimate, in units of return; NaN where all the weights of a mean are 0."""
        return float((self.numerator.sum(0) / self.denominator.sum(0)).sum())

    @property
    def effective(self) -> float:
        """(Σ_i w_i)² / Σ_i w_i² of the weights of the last mean: how many episodes count (Kish 1965)."""
        weight = self.denominator[:, -1]
        return float(weight.sum().square() / weight.square().sum())


def evaluation_terms(
    name: Estimator, logp: Tensor, behaviour_logp: Tensor, reward: Tensor, acted: Tensor, truncated: Tensor,
    q: Tensor | None = None, value: Tensor | None = None, *, discount: float,
) -> Terms:  # fmt: skip
    """The terms of an estimator of J(π) = E_π[Σ_t γ^t r_t], from N episodes of μ, a row each, from their beginning.

    Args:
        name: of the table above.
        logp, behaviour_logp: [N, T] log π(a|s) and log μ(a|s).
        reward: [N, T].
        acted: [N, T] bool, False behind the end of an episode that is shorter.
        truncated: [N, T] bool, where an episode was cut.
        q: [N, T] Q(s_t, a_t), an estimate of π's; for the doubly robust ones.
        value: [N, T+1] Σ_a π(a|s_t) Q(s_t, a) of the same.
        discount: γ in [0, 1].

    Raises:
        KeyError: there is no such estimator.
        TypeError: a mask is not bool or a number tensor is not floating-point.
        ValueError: shapes do not fit, γ lies outside of [0, 1], or a doubly robust one has no estimate to begin with.
    """
    _check.steps(acted, logp=logp, behaviour_logp=behaviour_logp, reward=reward)
    _check.boolean(truncated=truncated)
    _check.same_shape(acted.shape, truncated=truncated)
    _check.fraction(discount=discount)
    weighted, kind = name.startswith("weighted"), name.removeprefix("weighted").removeprefix("-") or "ordinary"
    r = torch.where(acted, reward, 0.0).double()
    upto = torch.where(acted, logp.double() - behaviour_logp.double(), 0.0).cumsum(-1).exp()  # ρ_{0:t}
    before = torch.cat([torch.ones_like(upto[:, :1]), upto[:, :-1]], -1)
    power = discount ** torch.arange(reward.shape[-1] + 1, dtype=torch.float64, device=reward.device)
    if kind == "ordinary":
        numerator, weight = upto[:, -1:] * (r @ power[:-1]).unsqueeze(-1), upto[:, -1:]
    elif kind == "per-decision":
        numerator, weight = power[:-1] * upto * r, upto
    elif kind == "doubly-robust":
        if q is None or value is None:
            raise ValueError(f"{name} needs q [N, T] and value [N, T+1], estimates for the policy that is evaluated")
        _check.steps(acted, q=q)
        _check.same_shape((*reward.shape[:-1], reward.shape[-1] + 1), value=value)
        numerator, weight = _corrected(r, q, value, upto, before, acted, truncated, power)
    else:
        raise KeyError(name)
    return Terms(numerator, weight if weighted else torch.ones_like(weight))


def _corrected(
    r: Tensor, q: Tensor, value: Tensor, upto: Tensor, before: Tensor, acted: Tensor, truncated: Tensor, power: Tensor
) -> tuple[Tensor, Tensor]:
    """Of the doubly robust ones: what is wrong with the estimate, and then the estimate itself, [N, 2 T + 1] each."""
    error = torch.where(acted, r - q.double(), 0.0)
    V = torch.where(acted, value[:, :-1].double(), 0.0)
    cut = (acted & truncated).any(-1)
    last = acted.sum(-1)  # [N]; the column of what was seen last
    after = torch.where(cut, value.gather(-1, last.unsqueeze(-1)).squeeze(-1).double() * power[last], 0.0)
    terms = [power[:-1] * upto * error, power[:-1] * before * V, (upto[:, -1] * after).unsqueeze(-1)]
    return torch.cat(terms, -1), torch.cat([upto, before, upto[:, -1:]], -1)
