"""Surgery: a policy that goes on in a larger network, or sees more, and does at first exactly what it did.

What is new feeds on everything but nothing that was there feeds on it: old rows have weights of zero to new columns.
New rows are drawn as those of a new agent, so their gradients differ, and the zeros move from the first step on.

Source: Berner et al. (2019), Dota 2 with large scale deep reinforcement learning, arXiv:1912.06680, appendix B; Chen,
Goodfellow and Shlens (2016), Net2Net, arXiv:1511.05641.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.agent import Agent

GATES = {"lstm": 4, "gru": 3}


def grown(
    agent: Agent, generator: torch.Generator, *, obs_dim: int | None = None, memory_size: int | None = None,
    hidden: tuple[int, ...] | None = None,
) -> Agent:  # fmt: skip
    """A larger agent whose policy and values are those of this one, whatever stands in the numbers it sees besides.

    Args:
        agent: a categorical one of vectors, with memory or without; neither normalised nor noisy. It is not changed.
        generator: where new weights come from.
        obs_dim: D' ≥ D, the first D of which are what it sees now; None leaves it.
        memory_size: H' ≥ H units of memory; None leaves them.
        hidden: widths of as many hidden layers as it has; None leaves them.

    Raises:
        ConfigError: if something would shrink, or the agent is of another kind.
    """
    spec = agent.spec
    plain = not (spec.network or spec.text or spec.head or spec.noisy or spec.layer_norm or spec.critics)
    if (
        not plain
        or agent.normalizer is not None
        or agent.reward_scale is not None
        or spec.observation_space is not None
    ):
        raise ConfigError("surgery is for policies of vectors that are not normalised: give a perceptron or a memory")
    made = replace(
        spec, obs_dim=obs_dim or spec.obs_dim, memory_size=memory_size or spec.memory_size, hidden=hidden or spec.hidden
    )  # fmt: skip
    before = (spec.obs_dim, spec.memory_size, *spec.hidden)
    after = (made.obs_dim, made.memory_size, *made.hidden)
    if len(before) != len(after) or any(new < old for old, new in zip(before, after, strict=True)):
        raise ConfigError(f"surgery only adds: sizes {list(before)} cannot become {list(after)}")
    larger = Agent(made, generator)
    into = larger.stored()
    for name, x in agent.stored().items():
        _placed(name, x, spec.memory, into[name])
    return larger


def grown_optimizer(agent: Agent, old: torch.optim.Optimizer, larger: Agent, new: torch.optim.Optimizer) -> None:
    """What Adam has of each weight goes on in the larger agent's; of new weights it has seen gradients of zero.

    Args:
        agent, old: what was trained, with Adam.
        larger, new: what `grown` made of it, and an Adam of all its parameters that has not stepped.
    """
    into = dict(larger.named_parameters())
    for name, p in agent.named_parameters():
        if its := old.state.get(p):
            state: dict[str, Any] = {"step": its["step"].clone()}
            for moment in ("exp_avg", "exp_avg_sq"):
                state[moment] = torch.zeros_like(into[name])
                _placed(name, its[moment], agent.spec.memory, state[moment], zero=False)
            new.state[into[name]] = state


@torch.no_grad()
def _placed(name: str, x: Tensor, memory: str, into: Tensor, *, zero: bool = True) -> None:
    """Put a smaller tensor into the first rows and columns of a larger one, gate by gate; old rows heed no new column.

    Args:
        name: of the parameter.
        x: [R, C] or [R].
        memory: what kind the agent has.
        into: [R', C'] or [R'], changed.
        zero: whether new columns of old rows become 0.
    """
    gates = GATES[memory] if ".memory." in name else 1
    old, new = x.view(gates, -1, *x.shape[1:]), into.view(gates, -1, *into.shape[1:])
    rows = old.shape[1]
    if x.ndim == 1:
        new[:, :rows] = old
        return
    if zero:
        new[:, :rows] = 0.0
    new[:, :rows, : old.shape[2]] = old
