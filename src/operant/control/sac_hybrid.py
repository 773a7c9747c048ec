"""Soft actor–critic of several actions at once, on one page: what `sac` learns by where an action holds choices.

    x ~ π_x(·|s), c_k ~ π_k(·|s)                          A numbers and M choices, independent given the state
    V(s) = (1/M) Σ_k Σ_j π_k(j) Q(s, x, c with c_k = j)   each choice in turn summed over, the others as drawn
           + α_c Σ_k H(π_k) − α_x log π_x(x)
    y = r + γ V'(s'), of min_k Q'_k;  Q_k: one step down ½ (Q_k(s, a) − y)²
    π_x: one step up V(s), through x, as in SAC
    π_k: one step up Σ_j π_k(j) (Q(s, x, c with c_k = j) − α_c log π_k(j)), its own sum
    α_x: one step towards the entropy of numbers that is asked for, −A; α_c towards a share of that of even choices

V and both gradients are without bias (`operant.math.soft.swept_value`). Of numbers alone it is SAC, of one choice alone
discrete SAC, with no draw of what is chosen; of one choice beside numbers it is that of Delalleau et al. (2019,
arXiv:1912.11077), but that their numbers know the choice. A critic reads numbers in [-1, 1] and choices as a 1 among
zeros, and is asked once for each of the S options. With both α equal and fixed the policy comes as near to the soft
optimum, π(a|s) ∝ exp(Q*(s, a) / α), as independent parts can.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.composite import Composite, composed
from operant.control.distributions import Parameters
from operant.control.policies import ActionValues
from operant.control.replay_actor_critic import Drawn, Temperature, Update, descend
from operant.control.settings.continuous import SACConfig
from operant.control.target import Target
from operant.data.trajectory import Metrics, Obs
from operant.math.bellman import backup, ensemble_loss
from operant.math.logprob import categorical_entropy
from operant.math.reduce import token_mean
from operant.math.soft import swept_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """An action for each observation, drawn, and all that it is weighed against."""

    encoded: Tensor  # [..., A + S], with gradients through its numbers
    chance: Tensor  # [..., S], π_k(j), with gradients
    logp: Tensor  # [...], log π_x(x); with gradients, as are all entropies
    entropy: Tensor  # [...], Σ_k H(π_k)
    even: Tensor  # [...], the same of even choices among what is allowed


def hybrid_update(
    cfg: SACConfig, agent: Agent, q_target: Target[ActionValues], prices: tuple[Temperature, Temperature],
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, b: Drawn,
) -> tuple[Tensor, Metrics]:  # fmt: skip
    """One step of the critics, one of the policy, one of each α, and the target; |δ| of each decision and metrics."""
    its, alphas = composed(agent.policy.distribution), (prices[0].value, prices[1].value)
    with torch.no_grad():
        following = considered(agent, its, b.next_obs, generator)
        next_value = value_of(q_target.module, its, b.next_obs, following, alphas)
        y = backup(b.reward, b.after(next_value), b.terminated, b.discount)
    q = agent.q(b.obs, its.encoded(b.action))  # [N, B]
    q_loss, error = ensemble_loss(q, y, b.weight, b.acted)
    norm = descend(optimizer, q_loss, agent.q, cfg.max_grad_norm)
    metrics = {"loss/value": q_loss.detach(), "value/q": q.detach().mean(), "grad/norm": norm}

    now = considered(agent, its, b.obs, generator)
    policy_loss = -token_mean(value_of(agent.q, its, b.obs, now, alphas), b.acted)
    descend(optimizer, policy_loss, agent.policy, cfg.max_grad_norm)
    numbers, choices = -token_mean(now.logp.detach(), b.acted), token_mean(now.entropy.detach(), b.acted)
    prices[0].follow(numbers, -float(its.numbers) if cfg.target_entropy is None else cfg.target_entropy)
    prices[1].follow(choices, cfg.choice_entropy * token_mean(now.even, b.acted))
    q_target.follow(cfg.tau)
    policy = {"loss/policy": policy_loss.detach(), "policy/entropy": numbers + choices}
    policy |= {"policy/choice_entropy": choices, "schedule/temperature": alphas[0]}
    return error, metrics | policy | {"schedule/choice_temperature": alphas[1]}


def considered(agent: Agent, its: Composite, obs: Obs, generator: np.random.Generator) -> Considered:
    """An action drawn at each observation [..., D], with gradients to the policy."""
    p = agent.policy.parameters_of(obs)
    (encoded, logp), logits = its.drawn(p, generator), its.choices_of(p)
    even, none = its.choices_of(Parameters(torch.zeros_like(p.output), None, p.allowed)), torch.zeros_like(logp)
    return Considered(
        encoded=encoded,
        chance=torch.cat([x.softmax(-1) for x in logits], -1) if logits else torch.ones_like(encoded[..., :1]),
        logp=logp,
        entropy=sum(map(categorical_entropy, logits), none),
        even=sum(map(categorical_entropy, even), none),
    )


def value_of(critics: ActionValues, its: Composite, obs: Obs, a: Considered, alphas: tuple[Tensor, Tensor]) -> Tensor:
    """V(s) [...], an estimate from one draw."""
    features, options = critics.features(obs).unsqueeze(-2), its.tried(a.encoded)
    q = critics.of(features.expand(*options.shape[:-1], -1), options).amin(0)  # [..., S]
    return swept_value(q, a.chance, max(1, len(its.sizes))) + alphas[1] * a.entropy - alphas[0] * a.logp


def hybrid(
    cfg: SACConfig, agent: Agent, q_target: Target[ActionValues], temperature: Temperature,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator,
) -> Update:  # fmt: skip
    """`hybrid_update` of these modules, with a temperature besides for what is chosen."""
    prices = temperature, Temperature(cfg, agent, "choice_temperature")
    return partial(hybrid_update, cfg, agent, q_target, prices, optimizer, generator)
