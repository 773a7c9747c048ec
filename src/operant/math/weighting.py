"""What each log-probability is weighed by, Ψ_t, and what a critic is taught, by the names of the literature.

The policy gradient is E[Σ_t Ψ_t ∇ log π(a_t|s_t)], for the discounted objective with γ^t Ψ_t (`discount_weight`). With
G_t the discounted reward to go, δ_t = r_t + γ V(s_{t+1}) − V(s_t):

    return     Σ_i γ^i r_i of the whole episode; γ^t is in it
    to-go      G_t
    td         δ_t
    td-n       r_t + … + γ^{n-1} r_{t+n-1} + γ^n V(s_{t+n}) − V(s_t)
    gae        Σ_k (γλ)^k δ_{t+k}
    q          Q(s_t, a_t)
    advantage  Q(s_t, a_t) − V(s_t)

Masks and the rules at ends are those of `operant.math.advantage`: a termination ends the sum, a truncation goes on with
V(s_{t+1}). An episode that begins before the row or runs over its end is not whole: `whole` says which decisions are of
whole ones, and `time_in_episode` is told how old the first episode of each row already is.

Source: Schulman et al. (2016), Generalized advantage estimation, section 2; Sutton and Barto (2018), chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from operant.math import _check
from operant.math.advantage import gae, n_step, reward_to_go

Weighting = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Of reward [N, T], value [N, T+1], terminated, truncated, acted [N, T]: a number for each decision, [N, T]."""

Psi = Literal["return", "to-go", "td", "td-n", "gae"]
PsiOfQ = Literal["q", "advantage"]
Target = Literal["mc", "td", "lambda"]


def weighting(name: Psi, *, discount: float, n: int = 1, lam: float = 1.0) -> Weighting:
    """Ψ by its name.

    Args:
        name: of the table at the head of this file.
        discount: γ.
        n: of `td-n`.
        lam: λ of `gae`.

    Raises:
        KeyError: there is no such weighting. What it returns raises as `operant.math.advantage` does.
    """
    return {
        "return": partial(total_return, discount=discount),
        "to-go": partial(_to_go, discount=discount),
        "td": partial(gae, discount=discount, lam=0.0),
        "td-n": partial(_n_step_error, n=n, discount=discount),
        "gae": partial(gae, discount=discount, lam=lam),
    }[name]


def critic_target(name: Target, *, discount: float, lam: float = 1.0) -> Weighting:
    """What V(s_t) is taught: `mc` the reward to go, `td` r_t + γ V(s_{t+1}), `lambda` the TD(λ) return.

    Args:
        name: of these.
        discount: γ.
        lam: λ of `lambda`; 1 makes it `mc`, 0 `td`.

    Raises:
        KeyError: there is no such target. What it returns raises as `operant.math.advantage` does.
    """
    return {
        "mc": partial(_to_go, discount=discount),
        "td": partial(n_step, n=1, discount=discount),
        "lambda": partial(_lambda_return, discount=discount, lam=lam),
    }[name]


def q_weighting(name: PsiOfQ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Ψ of an action value, by its name: of Q(s_t, a_t), V(s_t) = Σ_a π(a|s_t) Q(s_t, a) and `acted`, [N, T] each.

    Raises:
        KeyError: there is no such weighting.
    """
    return {"q": _action_value, "advantage": _action_advantage}[name]


def total_return(
    reward: Tensor, value: Tensor, terminated: Tensor, truncated: Tensor, acted: Tensor, *, discount: float
) -> Tensor:
    """Σ_i γ^i r_i of the episode that each decision is of, from the episode's first decision in the row.

    Args:
        reward: [N, T].
        value: [N, T+1]; follows a truncation and the row's end.
        terminated, truncated, acted: [N, T] bool.
        discount: γ.

    Returns:
        [N, T], 0 where not acted.

    Raises:
        As `reward_to_go`.

    Source: Sutton et al. (1999), Policy gradient methods; Williams (1992), REINFORCE.
    """
    ret = reward_to_go(reward, terminated, truncated, acted, discount=discount, value=value)
    first = acted & (time_in_episode(terminated, truncated, acted) == 0)
    at = torch.where(first, torch.arange(reward.shape[-1], device=reward.device), 0).cummax(-1).values
    return torch.where(acted, ret.gather(-1, at), 0.0)


def time_in_episode(terminated: Tensor, truncated: Tensor, acted: Tensor, elapsed: Tensor | None = None) -> Tensor:
    """How many decisions of its episode lie before each step, [N, T] int64.

    Args:
        terminated, truncated, acted: [N, T] bool.
        elapsed: [N] int64, decisions of the open episode that lie before the row; none if None.

    Raises:
        TypeError: a mask is not bool, or `elapsed` not int64.
        ValueError: shapes do not fit.
    """
    _check.boolean(terminated=terminated, truncated=truncated, acted=acted)
    _check.same_shape(acted.shape, terminated=terminated, truncated=truncated)
    upto = acted.long().cumsum(-1)  # with the step itself
    if elapsed is not None:
        _check.integer(elapsed=elapsed)
        _check.same_shape(acted.shape[:-1], elapsed=elapsed)
        upto = upto + elapsed[..., None]
    gone = torch.where(terminated | truncated, upto, 0).cummax(-1).values  # decisions of the episodes that have ended
    gone = torch.cat((torch.zeros_like(gone[..., :1]), gone[..., :-1]), -1)
    return upto - acted.long() - gone


def discount_weight(
    terminated: Tensor, truncated: Tensor, acted: Tensor, elapsed: Tensor | None = None, *, discount: float
) -> Tensor:
    """γ^t, t being the time within the episode: with it the gradient is that of the discounted objective, [N, T].

    Args and errors as in `time_in_episode`; `discount`: γ.

    Source: Sutton and Barto (2018), section 13.3; Nota and Thomas (2020), Is the policy gradient a gradient?
    """
    time = time_in_episode(terminated, truncated, acted, elapsed)
    return torch.full_like(time, discount, dtype=torch.get_default_dtype()).pow(time)


def whole(terminated: Tensor, truncated: Tensor, acted: Tensor, elapsed: Tensor | None = None) -> Tensor:
    """Which decisions are of episodes that both begin and end within the row, [N, T] bool.

    Args and errors as in `time_in_episode`.
    """
    done = terminated | truncated
    ends = done.flip(-1).cumsum(-1).flip(-1) > 0
    older = time_in_episode(terminated, truncated, acted, elapsed) != time_in_episode(terminated, truncated, acted)
    return acted & ends & ~older


def episode_number(terminated: Tensor, truncated: Tensor, acted: Tensor) -> Tensor:
    """Which of the row's episodes, from 0, a decision is of, [N, T] int64; errors as in `time_in_episode`."""
    return (acted & (time_in_episode(terminated, truncated, acted) == 0)).long().cumsum(-1) - 1


# ---------------------------------------------------------------------------------------------------- parts
def _to_go(
    reward: Tensor, value: Tensor, terminated: Tensor, truncated: Tensor, acted: Tensor, *, discount: float
) -> Tensor:
    return reward_to_go(reward, terminated, truncated, acted, discount=discount, value=value)


def _n_step_error(
    reward: Tensor, value: Tensor, terminated: Tensor, truncated: Tensor, acted: Tensor, *, n: int, discount: float
) -> Tensor:
    total = n_step(reward, value, terminated, truncated, acted, n=n, discount=discount)
    return torch.where(acted, total - value[..., :-1], 0.0)


def _lambda_return(
    reward: Tensor, value: Tensor, terminated: Tensor, truncated: Tensor, acted: Tensor, *, discount: float, lam: float
) -> Tensor:
    error = gae(reward, value, terminated, truncated, acted, discount=discount, lam=lam)
    return torch.where(acted, error + value[..., :-1], 0.0)


def _action_value(q: Tensor, value: Tensor, acted: Tensor) -> Tensor:
    _check.steps(acted, q=q, value=value)
    return torch.where(acted, q, 0.0)


def _action_advantage(q: Tensor, value: Tensor, acted: Tensor) -> Tensor:
    _check.steps(acted, q=q, value=value)
    return torch.where(acted, q - value, 0.0)
