"""Imitation as a game: a discriminator tells an expert's steps from the learner's, and the learner is paid for hiding.

A discriminator gives a logit z, and D = σ(z) is the probability that a step is the expert's. `reduce` says what counts
as one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from operant.math import _check
from operant.math.objective import Metrics
from operant.math.reduce import Reduction, token_mean

Form = Callable[[Tensor], Tensor]
"""From a logit to the learner's reward, any shape."""


def discriminator_loss(expert: Tensor, learner: Tensor, *, reduce: Reduction = token_mean) -> tuple[Tensor, Metrics]:
    """½ (−E_expert log D − E_learner log(1 − D)), with D = σ(z): least where z = log(ρ_expert / ρ_learner).

    Args:
        expert: [M] logits of the expert's steps.
        learner: [N] logits of the learner's.
        reduce: what counts as one, of each side.

    Returns:
        loss []; metrics, means: `expert_accuracy` (D > ½ there), `learner_accuracy` (D < ½ there).

    Raises:
        TypeError: logits are not floating-point.

    Source: Goodfellow et al. (2014), Generative adversarial nets, equation 1; Ho and Ermon (2016), Generative
    adversarial imitation learning, algorithm 1 (there D is the probability of the learner).
    """
    _check.floating(expert=expert, learner=learner)
    there, here = torch.ones_like(expert, dtype=torch.bool), torch.ones_like(learner, dtype=torch.bool)
    loss = 0.5 * (reduce(-functional.logsigmoid(expert), there) + reduce(-functional.logsigmoid(-learner), here))
    return loss, {
        "expert_accuracy": token_mean((expert.detach() > 0).to(expert.dtype), there),
        "learner_accuracy": token_mean((learner.detach() < 0).to(learner.dtype), here),
    }


def saturating(logit: Tensor) -> Tensor:
    """−log(1 − D) = log(1 + e^z), above 0: whoever lives longer earns more. [...] to [...].

    Source: Ho and Ermon (2016), algorithm 1; the name `gail` in Orsini et al. (2021), What matters for adversarial
    imitation learning?, which compares the three.
    """
    return functional.softplus(logit)


def non_saturating(logit: Tensor) -> Tensor:
    """log D = −log(1 + e^−z), below 0: whoever ends sooner loses less. [...] to [...]."""
    return functional.logsigmoid(logit)


def log_ratio(logit: Tensor) -> Tensor:
    """log D − log(1 − D) = z, of either sign, 0 where expert and learner are alike. [...] to [...].

    Source: Fu et al. (2018), Learning robust rewards with adversarial inverse reinforcement learning, section 4.
    """
    return logit


FORMS: dict[str, Form] = {"gail": saturating, "gail2": non_saturating, "airl": log_ratio}
"""By the names of Orsini et al. (2021), section 3."""


def shaped(reward: Tensor, potential: Tensor, next_potential: Tensor, ended: Tensor, discount: float) -> Tensor:
    """f = g(s, a) + γ h(s') − h(s), where behind an end h is 0: shaping that changes no optimal policy.

    Args:
        reward: [...] g.
        potential: [...] h(s).
        next_potential: [...] h(s'); not read where ended.
        ended: [...] bool; nothing follows.
        discount: γ in [0, 1].

    Returns:
        [...].

    Raises:
        TypeError: `ended` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ, or γ lies outside of [0, 1].

    Source: Fu et al. (2018), equation 4; Ng, Harada and Russell (1999), Policy invariance under reward
    transformations, for the 0 behind an end.
    """
    _check.steps(ended, reward=reward, potential=potential, next_potential=next_potential)
    _check.fraction(discount=discount)
    return reward + discount * torch.where(ended, 0.0, next_potential) - potential


def absorbed(reward: Tensor, terminated: Tensor, after: Tensor, discount: float) -> Tensor:
    """r + γ/(1 − γ) r(s_absorbing) where terminated, and r elsewhere: what is earned for ever behind an end.

    Without it an end is worth 0, which no learnt reward has been told: if all rewards are above 0 it is the worst
    state, if all are below it is the best.

    Args:
        reward: [...] r.
        terminated: [...] bool; a time limit is not one.
        after: [] r(s_absorbing), of the state that every end leads to, and that leads to itself.
        discount: γ in [0, 1).

    Returns:
        [...].

    Raises:
        TypeError: `terminated` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ, or γ lies outside of [0, 1).

    Source: Kostrikov et al. (2019), Discriminator-actor-critic, section 4.2.
    """
    _check.steps(terminated, reward=reward)
    _check.same_shape((), after=after)
    if not 0.0 <= discount < 1.0:
        raise ValueError(f"discount must lie in [0, 1), got {discount}")
    return reward + torch.where(terminated, discount / (1.0 - discount) * after, 0.0)


def gradient_penalty(gradient: Tensor) -> Tensor:
    """E[(‖∇_x z‖ − 1)²], of the logit's gradient [N, D] in its inputs, between those of expert and learner. [].

    Raises:
        TypeError: the gradient is not floating-point.

    Source: Gulrajani et al. (2017), Improved training of Wasserstein GANs, equation 3; Kostrikov et al. (2019).
    """
    _check.floating(gradient=gradient)
    return (gradient.norm(dim=-1) - 1.0).square().mean()
