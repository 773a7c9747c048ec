"""How likely a policy says that an expert's actions are, and what kinds of policies can say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.distributions import Normal
from operant.control.flow import Flow
from operant.control.settings.imitation import CloningConfig
from operant.control.settings.policy import PolicyConfig
from operant.data.trajectory import Obs
from operant.math.density import squared_distance

LogLikelihood = Callable[[Obs, Tensor], Tensor]
"""log π(a|s) [...] of observations [..., D] and the actions of a data set, with a gradient."""

EDGE = 0.999
"""How near to its bounds an action counts that is squashed into them: at the bound itself tanh has no inverse."""


def spec_of(cfg: CloningConfig, policy: PolicyConfig, kind: str, where: str) -> dict[str, Any]:
    """The fields of the agent's `AgentSpec` that the likelihood decides, for actions of a kind.

    Raises:
        ConfigError: if it is none of such actions.
    """
    its = cfg.likelihood
    if its == "auto":
        return {}
    if (its == "categorical") != (kind not in ("box", "composite")) or kind == "composite":
        known = {"box": "continuous: mse, gaussian, mixture, flow or discretised"}.get(
            kind, f"{kind}: leave it at auto"
        )
        raise ConfigError(f"algo.likelihood is {its}, and the actions of {where} are {known}")
    if its in ("mixture", "flow", "discretised") and policy.squash:
        raise ConfigError(f"policy.squash is on, and algo.likelihood {its} does not squash: leave it off")
    if its == "mse":
        return {"std": "parameter"}
    decided = {
        "mixture": {"components": cfg.components},
        "flow": {"flow": cfg.flow_steps},
        "discretised": {"bins": cfg.bins},
    }
    return decided.get(its, {})


def likelihood_of(cfg: CloningConfig, agent: Agent) -> LogLikelihood:
    """log π(a|s) as the settings have it; of mse that of a normal distribution of deviation 1, without its constant."""
    policy = agent.policy
    squashes = isinstance(policy.distribution, Normal) and policy.distribution.low is not None

    def of_mean(obs: Obs, action: Tensor) -> Tensor:
        mean = policy.distribution.mode(policy.parameters_of(obs))
        return -squared_distance(mean.tanh() if squashes else mean, action)

    def of_distribution(obs: Obs, action: Tensor) -> Tensor:
        action = action.clamp(-EDGE, EDGE).atanh() if squashes else action
        return policy.distribution.logp(policy.parameters_of(obs), action)

    return of_mean if cfg.likelihood == "mse" else of_distribution


def objective_of(cfg: CloningConfig, agent: Agent, generator: np.random.Generator) -> LogLikelihood:
    """What a gradient step goes up: the likelihood; of a flow minus its loss of matching at a place that is drawn."""
    policy = agent.policy
    if not isinstance(its := policy.distribution, Flow):
        return likelihood_of(cfg, agent)
    return lambda obs, action: -its.matching(policy.parameters_of(obs), action, generator)


def distance(agent: Agent, obs: Obs, action: Tensor) -> Tensor:
    """How far the policy's mode is from each action, [...]: 1 or 0 of choices, the distance of continuous ones."""
    its = agent.policy.distribution
    mode = its.mode(agent.policy.parameters_of(obs))
    if agent.spec.action_kind in ("box", "composite"):
        mode = mode.tanh() if isinstance(its, Normal) and its.low is not None else mode
        return torch.linalg.vector_norm(mode - action, dim=-1)
    differs = (mode != action).float()
    return differs if agent.spec.action_kind == "discrete" else differs.amax(-1)


def learnt(cfg: CloningConfig, agent: Agent) -> list[torch.nn.Parameter]:
    """The policy's parameters that the likelihood depends on: of mse no deviation."""
    return [*(agent.policy.net if cfg.likelihood == "mse" else agent.policy).parameters()]
