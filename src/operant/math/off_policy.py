"""What a decision of an older policy weighs, by the name of its importance ratio.

Each weighting maps (log π, log μ, reward, value, terminated, truncated, acted) to an advantage, which is to weigh
∇ log π(a_t|s_t), and to a target of the value. With π = μ all are GAE and its λ-return. What the expectation over μ of
Σ_t γ^t A_t ∇ log π(a_t|s_t) is, for λ = 1, an exact value or whole episodes, and no bound:

    none            Σ_t γ^t E_μ[∇ log π (Q^μ − V)]         of nothing that one would climb: it is biased
    step            Σ_t γ^t E_{s~μ} Σ_a ∇π(a|s) Q^π(s, a)  the policy is π's, the states are μ's (Degris et al. 2012)
    per-decision    ∇J(π)                                  Π of the ratios up to each reward
    per-trajectory  ∇J(π)                                  Π of the ratios of the whole episode: more variance
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from operant.math.advantage import gae, vtrace
from operant.math.ratio import prefix_weight, trajectory_weight, truncated

Ratio = Literal["none", "step", "per-decision", "per-trajectory"]
Weighting = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def off_policy_weighting(name: Ratio, *, discount: float, lam: float, bound: float) -> Weighting:
    """The weighting of that name.

    Args:
        name: see above.
        discount: γ in [0, 1].
        lam: λ in [0, 1].
        bound: what each ratio, and each product of ratios, is truncated at; infinity for none.

    Returns:
        A function of log π(a|s), log μ(a|s) and reward [N, T], value [N, T+1], and terminated, truncated, acted
        [N, T] bool. It returns advantage and target, [N, T] each, detached; the advantage is 0 where not acted.

    Raises:
        KeyError: if there is no such weighting.

    Source: Precup, Sutton and Singh (2000), Eligibility traces for off-policy policy evaluation; Degris, White and
    Sutton (2012), Off-policy actor-critic; for the bound Espeholt et al. (2018), IMPALA, section 4.1; Ionides (2008).
    """
    chosen = {"none": _none, "step": _step, "per-decision": _per_decision, "per-trajectory": _per_trajectory}[name]
    return torch.no_grad()(partial(chosen, discount, lam, bound))


def _none(discount: float, lam: float, bound: float, *of: Tensor) -> tuple[Tensor, Tensor]:
    _, _, reward, value, *ends = of
    adv = gae(reward, value, *ends, discount=discount, lam=lam)
    return adv, adv + value[..., :-1]


def _step(discount: float, lam: float, bound: float, *of: Tensor) -> tuple[Tensor, Tensor]:
    logp, behaviour_logp, reward, value, *ends = of
    bounds = {"clip_rho": bound, "clip_c": bound}
    target, adv = vtrace(logp, behaviour_logp, reward, value, *ends, discount=discount, lam=lam, **bounds)
    return adv, target


def _per_decision(discount: float, lam: float, bound: float, *of: Tensor) -> tuple[Tensor, Tensor]:
    logp, behaviour_logp, _, _, terminated, cut, acted = of
    adv, target = _step(discount, lam, bound, *of)
    before = prefix_weight(logp, behaviour_logp, terminated | cut, acted)
    return truncated(before, low=0.0, high=bound) * adv, target


def _per_trajectory(discount: float, lam: float, bound: float, *of: Tensor) -> tuple[Tensor, Tensor]:
    logp, behaviour_logp, _, _, terminated, cut, acted = of
    adv, _ = _none(discount, lam, bound, *of)
    whole = trajectory_weight(logp, behaviour_logp, terminated | cut, acted)
    return truncated(whole, low=0.0, high=bound) * adv, _step(discount, lam, bound, *of)[1]
