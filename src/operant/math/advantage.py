"""Returns and advantages: each is `reverse_scan` with other coefficients.

Every function reads the same three masks over rows of T steps, [N, T] (any leading dimensions will do):

- `acted`       the policy being trained chose here. Other steps (prompts, tool output, reset rows, padding) are
                transparent: they neither discount nor decay, and their reward and value are not read.
- `terminated`  the task ended here and nothing follows: the next value is 0.
- `truncated`   we stopped looking here: the next value is `value[:, t + 1]`, and the trace is cut.

A step that is both is terminated. Otherwise the next value of a decision is the value at the row's next decision,
or `value[:, T]` when there is none. Several episodes may share a row. An end may stand on a step without a decision
(a task that is over after the tool has answered): it ends the decisions before it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from operant.math import _check
from operant.math.scan import reverse_scan


def reward_to_go(
    reward: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    acted: Tensor,
    *,
    discount: float | Tensor,
    value: Tensor | None = None,
) -> Tensor:
    """Discounted sum of the rewards from each decision to its episode's end: G_t = r_t + γ G_{t+1}.

    Where the sum is cut short (truncation, the row's end) it goes on with `value`, or with 0 when none is given.

    Args:
        reward: [N, T].
        terminated, truncated, acted: [N, T] bool.
        discount: γ, a number in [0, 1] or a tensor [N, T].
        value: [N, T+1], the value of each state; read only where the sum is cut short.

    Returns:
        [N, T], 0 where not acted.

    Raises:
        TypeError: a mask is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit, or a Python `discount` lies outside of [0, 1].

    Source: Sutton and Barto (2018), Reinforcement Learning, equation 3.9; for time limits Pardo et al. (2018),
    Time limits in reinforcement learning, section 3.
    """
    _check_steps(reward, terminated, truncated, acted, value=value, discount=discount)
    done = terminated | truncated
    if value is None:
        value = reward.new_zeros(()).expand(*reward.shape[:-1], reward.shape[-1] + 1)
    cut = torch.where(truncated & ~terminated, value[..., 1:], 0.0)  # [N, T] what follows an end
    add = torch.where(acted, reward + discount * cut, cut)
    keep = _decay(discount, done, acted, reward)
    add = torch.cat((add, _tail(value, acted, done)), -1)  # one step more, to start from V(s_T) in place of 0
    keep = torch.cat((keep, keep.new_zeros(*keep.shape[:-1], 1)), -1)
    return torch.where(acted, reverse_scan(add, keep)[..., :-1], 0.0)


def n_step(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    acted: Tensor,
    *,
    n: int,
    discount: float | Tensor,
) -> Tensor:
    """The n-step return: G_t = r_t + γ r_{t+1} + … + γ^{n-1} r_{t+n-1} + γ^n V(s_{t+n}), counted in decisions.

    It stops early at an end of the episode (bootstrapping if truncated) and at the row's end (bootstrapping). With
    n >= T it is `reward_to_go`. One step is the affine map v ↦ b_t + a_t v of the next value; n of them are composed by
    repeated squaring, log2 n rounds.

    Args:
        reward: [N, T].
        value: [N, T+1].
        terminated, truncated, acted: [N, T] bool.
        n: how many rewards are summed, at least 1.
        discount: γ, a number in [0, 1] or a tensor [N, T].

    Returns:
        [N, T], 0 where not acted.

    Raises:
        TypeError: a mask is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit, n < 1, or a Python `discount` lies outside of [0, 1].

    Source: Sutton and Barto (2018), section 7.1, equation 7.1.
    """
    _check_steps(reward, terminated, truncated, acted, value=value, discount=discount)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    T = reward.shape[-1]
    done = terminated | truncated
    cut = torch.where(truncated & ~terminated, value[..., 1:], 0.0)
    pad = _tail(value, acted, done)
    # Nodes 0..T. A node that is no decision, and node T, stand for their value and lead to themselves.
    here = torch.cat((torch.where(acted, value[..., :-1], cut), pad), -1)  # [N, T+1] value at each node
    add = torch.cat((torch.where(acted, reward + discount * cut, 0.0), torch.zeros_like(pad)), -1)
    keep = torch.cat((_decay(discount, acted & done, acted, reward), torch.ones_like(pad)), -1)
    node = torch.arange(T + 1, device=reward.device).expand(here.shape)
    to = torch.cat((torch.where(acted, _next_stop(acted | done), node[..., :-1]), node[..., -1:]), -1)

    total_add, total_keep, total_to = torch.zeros_like(here), torch.ones_like(here), node
    n = min(n, T)
    while n:
        if n & 1:
            total_add = total_add + total_keep * add.gather(-1, total_to)
            total_keep, total_to = total_keep * keep.gather(-1, total_to), to.gather(-1, total_to)
        add, keep, to = add + keep * add.gather(-1, to), keep * keep.gather(-1, to), to.gather(-1, to)
        n >>= 1
    total = total_add + total_keep * here.gather(-1, total_to)
    return torch.where(acted, total[..., :-1], 0.0)


def gae(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    acted: Tensor,
    *,
    discount: float | Tensor,
    lam: float,
) -> Tensor:
    """Generalised advantage estimation: A_t = δ_t + γ λ A_{t+1}, with δ_t = r_t + γ V(s_{t+1}) − V(s_t).

    λ = 1 is `reward_to_go` minus the value, λ = 0 the one-step error. A_t + V(s_t) is the TD(λ) return, the usual
    target of the value. A group's mean return as `value`, constant over a row, makes this GRPO's and RLOO's advantage.

    Args:
        reward: [N, T].
        value: [N, T+1], the value of each state; after the last decision of a row too.
        terminated, truncated, acted: [N, T] bool.
        discount: γ, a number in [0, 1] or a tensor [N, T] (for instance 1 inside of a turn).
        lam: λ in [0, 1].

    Returns:
        [N, T], 0 where not acted.

    Raises:
        TypeError: a mask is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit, or a Python `discount` or `lam` lies outside of [0, 1].

    Source: Schulman et al. (2016), High-dimensional continuous control using generalized advantage estimation, eq. 16.
    """
    _check_steps(reward, terminated, truncated, acted, value=value, discount=discount)
    _check.fraction(lam=lam)
    done = terminated | truncated
    delta = reward + discount * _next_value(value, terminated, truncated, acted) - value[..., :-1]
    error = reverse_scan(torch.where(acted, delta, 0.0), _decay(discount * lam, done, acted, reward))
    return torch.where(acted, error, 0.0)


def vtrace(
    logp: Tensor,
    behaviour_logp: Tensor,
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    acted: Tensor,
    *,
    discount: float | Tensor,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
    lam: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """V-trace: value targets and advantages for data of an older policy.

    With ρ_t = min(ρ̄, π/μ), c_t = λ min(c̄, π/μ) and δ_t = ρ_t (r_t + γ V(s_{t+1}) − V(s_t)):

        v_t = V(s_t) + e_t,   e_t = δ_t + γ c_t e_{t+1}
        A_t = ρ_t (r_t + γ (V(s_{t+1}) + λ e_{t+1}) − V(s_t))

    λ = 1 is the paper's form; with π = μ and clips of at least 1, A_t is `gae` and v_t the TD(λ) return.

    Args:
        logp, behaviour_logp: [N, T], log π(a|s) of the policy being trained and log μ(a|s) of the one that acted.
        reward: [N, T].
        value: [N, T+1].
        terminated, truncated, acted: [N, T] bool.
        discount: γ, a number in [0, 1] or a tensor [N, T].
        clip_rho: ρ̄, which says whose value is learnt (π's as it grows).
        clip_c: c̄, which says how far errors travel.
        lam: λ in [0, 1].

    Returns:
        target [N, T], `value[:, :-1]` where not acted; advantage [N, T], 0 where not acted. Both carry the graph of
        their inputs; the objectives detach them.

    Raises:
        TypeError: a mask is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit, a Python `discount` or `lam` lies outside of [0, 1], or a clip is negative.

    Source: Espeholt et al. (2018), IMPALA, section 4.1, equation 1; λ in the advantage as in rlax.
    """
    _check_steps(reward, terminated, truncated, acted, value=value, discount=discount)
    _check.floating(logp=logp, behaviour_logp=behaviour_logp)
    _check.same_shape(reward.shape, logp=logp, behaviour_logp=behaviour_logp)
    _check.fraction(lam=lam)
    _check.not_negative(clip_rho=clip_rho, clip_c=clip_c)
    done = terminated | truncated
    ratio = torch.where(acted, logp - behaviour_logp, 0.0).exp()
    rho = ratio.clamp(max=clip_rho)
    delta = reward + discount * _next_value(value, terminated, truncated, acted) - value[..., :-1]
    keep = _decay(discount * lam * ratio.clamp(max=clip_c), done, acted, reward)
    error = reverse_scan(torch.where(acted, rho * delta, 0.0), keep)  # e at the first decision from t on
    advantage = rho * (delta + discount * lam * _following(error, done))
    return value[..., :-1] + torch.where(acted, error, 0.0), torch.where(acted, advantage, 0.0)


def retrace(
    logp: Tensor,
    behaviour_logp: Tensor,
    reward: Tensor,
    q: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    acted: Tensor,
    *,
    discount: float | Tensor,
    lam: float = 1.0,
) -> Tensor:
    """Retrace(λ): targets of an action value from data of any other policy.

    With δ_t = r_t + γ V(s_{t+1}) − Q(s_t, a_t) and c_t = λ min(1, π/μ):

        target_t = Q(s_t, a_t) + e_t,   e_t = δ_t + γ c_{t+1} e_{t+1}

    The trace is the *next* action's: the action at t is given, the ones after it are corrected.

    Args:
        logp, behaviour_logp: [N, T], log π(a|s) of the policy being evaluated and log μ(a|s) of the one that acted.
        reward: [N, T].
        q: [N, T], Q(s_t, a_t).
        value: [N, T+1], Σ_a π(a|s) Q(s, a) at each state.
        terminated, truncated, acted: [N, T] bool.
        discount: γ, a number in [0, 1] or a tensor [N, T].
        lam: λ in [0, 1].

    Returns:
        target [N, T], `q` where not acted.

    Raises:
        TypeError: a mask is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit, or a Python `discount` or `lam` lies outside of [0, 1].

    Source: Munos et al. (2016), Safe and efficient off-policy reinforcement learning, equations 3 and 4.
    """
    _check_steps(reward, terminated, truncated, acted, value=value, discount=discount)
    _check.floating(logp=logp, behaviour_logp=behaviour_logp, q=q)
    _check.same_shape(reward.shape, logp=logp, behaviour_logp=behaviour_logp, q=q)
    _check.fraction(lam=lam)
    done = terminated | truncated
    trace = lam * torch.where(acted, logp - behaviour_logp, 0.0).exp().clamp(max=1.0)
    delta = reward + discount * _next_value(value, terminated, truncated, acted) - q
    traced = torch.where(acted, trace * delta, 0.0)
    error = reverse_scan(traced, _decay(discount * trace, done, acted, reward))  # c_t e_t, from t's next decision on
    return q + torch.where(acted, delta + discount * _following(error, done), 0.0)


# ---------------------------------------------------------------------------------------------------- parts
def _check_steps(
    reward: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    acted: Tensor,
    *,
    value: Tensor | None,
    discount: float | Tensor,
) -> None:
    _check.boolean(terminated=terminated, truncated=truncated, acted=acted)
    _check.floating(reward=reward)
    _check.at_least(1, reward=reward)
    _check.same_shape(reward.shape, terminated=terminated, truncated=truncated, acted=acted)
    if value is not None:
        _check.floating(value=value)
        _check.same_shape((*reward.shape[:-1], reward.shape[-1] + 1), value=value)
    _check.fraction(discount=discount)


def lagrangian(adv: Tensor, cost_adv: Tensor, multiplier: float) -> Tensor:
    """(A − λ A_cost) / (1 + λ): the Lagrangian's advantage under a bound on costs, whose scale does not grow with λ.

    Args:
        adv, cost_adv: [...] advantages of rewards and of costs.
        multiplier: λ, at least 0.

    Raises:
        ValueError: shapes differ, or λ is negative.

    Source: Ray, Achiam and Amodei (2019), Benchmarking safe exploration in deep reinforcement learning, section 5.
    """
    _check.same_shape(adv.shape, cost_adv=cost_adv)
    _check.not_negative(multiplier=multiplier)
    return (adv - multiplier * cost_adv) / (1.0 + multiplier)


def _decay(factor: float | Tensor, done: Tensor, acted: Tensor, like: Tensor) -> Tensor:
    """[N, T]: `factor` at a decision, 1 at any other step, 0 at an end."""
    return torch.where(acted, factor, like.new_ones(())).masked_fill(done, 0.0)


def _tail(value: Tensor, acted: Tensor, done: Tensor) -> Tensor:
    """V(s_T) [N, 1] where the sum of some decision goes on to the row's end, and 0 where every one is cut before."""
    ends_later = done.flip(-1).cumsum(-1).flip(-1) > 0  # [N, T]
    read = (acted & ~ends_later).any(-1, keepdim=True)
    return torch.where(read, value[..., -1:], 0.0)


def _next_stop(stops: Tensor) -> Tensor:
    """[N, T] int64: the first stop strictly after t, or T."""
    T = stops.shape[-1]
    index = torch.where(stops, torch.arange(T, device=stops.device), T)
    index = torch.cat((index[..., 1:], index.new_full((*index.shape[:-1], 1), T)), -1)
    return index.flip(-1).cummin(-1).values.flip(-1)


def _next_value(value: Tensor, terminated: Tensor, truncated: Tensor, acted: Tensor) -> Tensor:
    """[N, T]: the value that follows a decision at t, as the head of this file says."""
    cut = torch.where(terminated, 0.0, value[..., 1:])  # [N, T] what follows an end
    here = torch.cat((torch.where(acted, value[..., :-1], cut), value[..., -1:]), -1)  # [N, T+1] at each stop
    done = terminated | truncated
    return torch.where(done, cut, here.gather(-1, _next_stop(acted | done)))


def _following(error: Tensor, done: Tensor) -> Tensor:
    """[N, T]: the scanned error at t + 1, 0 after an end."""
    following = torch.cat((error[..., 1:], torch.zeros_like(error[..., -1:])), -1)
    return following.masked_fill(done, 0.0)
