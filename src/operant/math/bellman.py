"""One-step targets for action values, on transitions of any leading shape."""

from __future__ import annotations

import torch
from torch import Tensor

from operant.math import _check
from operant.math.objective import huber


def backup(reward: Tensor, next_value: Tensor, terminated: Tensor, discount: float | Tensor) -> Tensor:
    """r + γ V(s'), and r alone where terminated.

    A truncated transition is an ordinary one: its next state is the last one seen, not the one after a reset.

    Args:
        reward: [...].
        next_value: [...], the value of the next state; not read where terminated.
        terminated: [...] bool.
        discount: γ, a number in [0, 1] or a tensor [...] (γ^k for k-step transitions).

    Returns:
        [...].

    Raises:
        TypeError: `terminated` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ, or a Python `discount` lies outside of [0, 1].

    Source: Sutton and Barto (2018), Reinforcement Learning, equation 6.2.
    """
    _check.boolean(terminated=terminated)
    _check.floating(reward=reward, next_value=next_value)
    _check.same_shape(reward.shape, next_value=next_value, terminated=terminated)
    _check.fraction(discount=discount)
    return reward + discount * torch.where(terminated, 0.0, next_value)


def greedy(q: Tensor) -> Tensor:
    """max_a Q(s, a): the value of a state under the greedy policy.

    Args:
        q: [..., A].

    Returns:
        [...].

    Raises:
        TypeError: `q` is not floating-point.

    Source: Watkins and Dayan (1992), Q-learning.
    """
    _check.floating(q=q)
    return q.amax(-1)


def ensemble_loss(q: Tensor, target: Tensor, weight: Tensor, acted: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_k mean w ½ (Q_k − y)²: the loss of N critics that are taught the same, and their error, mean_k |Q_k − y|.

    Args:
        q: [N, ...], with gradients.
        target: [...], y; no gradient flows to it.
        weight: [...], w, importance weights; 1 where there are none.
        acted: [...] bool; where it is False no number is read.

    Returns:
        loss []; |δ| [...], without a gradient, 0 where not acted.

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit.

    Source: Fujimoto et al. (2018), Addressing function approximation error, algorithm 1 (there without the ½).
    """
    _check.steps(acted, target=target, weight=weight)
    _check.floating(q=q)
    _check.same_shape((q.shape[0], *target.shape), q=q)
    error = torch.where(acted, q - target.detach(), 0.0)
    loss = 0.5 * (torch.where(acted, weight, 0.0) * error.square()).sum() / acted.sum().clamp(min=1)
    return loss, error.detach().abs().mean(0)


def double_q_target(
    reward: Tensor,
    next_q: Tensor,
    next_q_target: Tensor,
    terminated: Tensor,
    discount: float | Tensor,
) -> Tensor:
    """r + γ Q_target(s', argmax_a Q(s', a)): one network chooses, the other judges.

    Args:
        reward: [...].
        next_q: [..., A], of the network being trained: chooses.
        next_q_target: [..., A], of the target network: judges.
        terminated: [...] bool.
        discount: γ, a number in [0, 1] or a tensor [...].

    Returns:
        [...].

    Raises:
        TypeError: `terminated` is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit, or a Python `discount` lies outside of [0, 1].

    Source: van Hasselt et al. (2016), Deep reinforcement learning with double Q-learning, equation 4.
    """
    _check.floating(next_q=next_q, next_q_target=next_q_target)
    _check.same_shape(next_q.shape, next_q_target=next_q_target)
    chosen = next_q.argmax(-1, keepdim=True)
    return backup(reward, next_q_target.gather(-1, chosen).squeeze(-1), terminated, discount)


def soft_backup(
    reward: Tensor,
    next_q: Tensor,
    terminated: Tensor,
    discount: float | Tensor,
    *,
    temperature: float | Tensor,
) -> Tensor:
    """r + γ α log Σ_a exp(Q(s', a) / α): the backup of maximum-entropy control.

    The sum equals max_π E_π[Q − α log π], and tends to `greedy` as α falls to 0.

    Args:
        reward: [...].
        next_q: [..., A].
        terminated: [...] bool.
        discount: γ, a number in [0, 1] or a tensor [...].
        temperature: α, above 0 (a tensor [] is not read), in units of reward per nat.

    Returns:
        [...].

    Raises:
        TypeError: `terminated` is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit, or a Python number lies outside of its range.

    Source: Haarnoja et al. (2017), Reinforcement learning with deep energy-based policies, equation 3.
    """
    _check.floating(next_q=next_q)
    if not isinstance(temperature, Tensor):
        _check.positive(temperature=temperature)
    return backup(reward, temperature * (next_q / temperature).logsumexp(-1), terminated, discount)


def distributional_projection(
    reward: Tensor,
    next_probability: Tensor,
    terminated: Tensor,
    discount: float | Tensor,
    *,
    support: Tensor,
) -> Tensor:
    """The distribution of r + γ Z' laid back onto the atoms z_i (C51's target).

        m_i = Σ_j clamp(1 − |clamp(r + γ z_j, z_1, z_K) − z_i| / Δz, 0, 1) p_j

    Each moved atom is split between its two neighbours; one that lands on an atom goes there whole.

    Args:
        reward: [...].
        next_probability: [..., K], of the next state's (greedy) action; sums to 1.
        terminated: [...] bool.
        discount: γ, a number in [0, 1] or a tensor [...].
        support: [K], K >= 2 evenly spaced rising atoms.

    Returns:
        [..., K], sums to 1.

    Raises:
        TypeError: `terminated` is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit, K < 2, or a Python `discount` lies outside of [0, 1].

    Source: Bellemare et al. (2017), A distributional perspective on reinforcement learning, equation 7.
    """
    _check.floating(next_probability=next_probability, support=support)
    if support.ndim != 1 or support.shape[0] < 2:
        raise ValueError(f"support must have shape [K] with K >= 2, got {list(support.shape)}")
    _check.same_shape((*reward.shape, support.shape[0]), next_probability=next_probability)
    atoms = support.expand(next_probability.shape)
    ahead = discount.unsqueeze(-1).expand(atoms.shape) if isinstance(discount, Tensor) and discount.ndim else discount
    moved = backup(reward.unsqueeze(-1).expand(atoms.shape), atoms, terminated.unsqueeze(-1).expand(atoms.shape), ahead)
    moved = torch.minimum(torch.maximum(moved, support[0]), support[-1])
    gap = (support[-1] - support[0]) / (support.shape[0] - 1)
    share = (1.0 - (moved.unsqueeze(-2) - support.unsqueeze(-1)).abs() / gap).clamp(0.0, 1.0)  # [..., i, j]
    return (share * next_probability.unsqueeze(-2)).sum(-1)


def categorical_error(logits: Tensor, target: Tensor) -> Tensor:
    """KL(m ‖ p) = Σ_i m_i (log m_i − log p_i): how far a predicted distribution is from its target (C51's loss).

    Its gradient is that of the cross-entropy, and unlike that it is 0 where they agree, as a priority should be.

    Args:
        logits: [..., K], of p over the atoms; differentiable.
        target: [..., K], m; sums to 1.

    Returns:
        [...], in nats.

    Raises:
        TypeError: a number tensor is not floating-point.
        ValueError: shapes differ.

    Source: Bellemare et al. (2017), equation 7; as a priority Hessel et al. (2018), Rainbow.
    """
    _check.floating(logits=logits, target=target)
    _check.same_shape(logits.shape, target=target)
    return (torch.special.xlogy(target, target) - target * logits.log_softmax(-1)).sum(-1)


def quantile_huber(quantile: Tensor, target: Tensor, *, threshold: float = 1.0) -> Tensor:
    """Σ_i mean_j |τ_i − 1{u_ij < 0}| L_κ(u_ij) / κ with u_ij = target_j − quantile_i and τ_i = (i + ½) / N (QR-DQN's).

    L_κ(u) is ½ u² up to |u| = κ and κ (|u| − ½ κ) beyond. With κ = 0 the Huber part is |u|: quantile regression.

    Args:
        quantile: [..., N], of the prediction at the midpoints τ; differentiable.
        target: [..., M], samples or quantiles of the target.
        threshold: κ, at least 0, in units of return.

    Returns:
        [...].

    Raises:
        TypeError: a number tensor is not floating-point.
        ValueError: leading shapes differ, or κ is negative.

    Source: Dabney et al. (2018), Distributional reinforcement learning with quantile regression, equations 9 and 10.
    """
    _check.floating(quantile=quantile, target=target)
    _check.at_least(1, quantile=quantile)
    _check.same_shape((*quantile.shape[:-1], target.shape[-1]), target=target)
    _check.not_negative(threshold=threshold)
    u = target.unsqueeze(-2) - quantile.unsqueeze(-1)  # [..., N, M]
    size = threshold * huber(u / threshold) if threshold > 0.0 else u.abs()
    N = quantile.shape[-1]
    tau = (torch.arange(N, device=u.device, dtype=u.dtype) + 0.5) / N
    weight = (tau.unsqueeze(-1) - (u.detach() < 0).to(u.dtype)).abs()
    return (weight * size).mean(-1).sum(-1)


def munchausen(
    reward: Tensor, q: Tensor, action: Tensor, *, temperature: float, scale: float = 0.9, least: float = -1.0
) -> Tensor:
    """r + α clamp(τ log π(a|s), l, 0) with π = softmax(q / τ): the reward of Munchausen DQN, to be backed up softly.

    Args:
        reward: [...].
        q: [..., A], of the target network at the state; −∞ or very low where an action is ruled out.
        action: [...] int64, the one taken.
        temperature: τ, above 0.
        scale: α in [0, 1].
        least: l, at most 0, in units of reward.

    Returns:
        [...].

    Raises:
        TypeError: `action` is not int64, or a number tensor is not floating-point.
        ValueError: shapes do not fit, or a number lies outside of its range.

    Source: Vieillard, Pietquin and Geist (2020), Munchausen reinforcement learning, equation 2.
    """
    _check.floating(reward=reward, q=q)
    _check.integer(action=action)
    _check.same_shape((*reward.shape, q.shape[-1]), q=q)
    _check.same_shape(reward.shape, action=action)
    _check.positive(temperature=temperature)
    _check.fraction(scale=scale)
    _check.not_negative(minus_least=-least)
    logp = (q / temperature).log_softmax(-1).gather(-1, action.unsqueeze(-1)).squeeze(-1)
    return reward + scale * (temperature * logp).clamp(least, 0.0)
