"""What a policy is worth, from a data set alone: fitted Q evaluation, importance sampling, and both together.

Fitted Q evaluation (FQE) learns the values of the policy itself: y = r + γ E_{a'~π} Q'(s', a'), and reads them where
episodes begin. Its interval is a bootstrap's: as many networks learn at once, each from the episodes as one draw with
repetition has them (Hao et al. 2021, Bootstrapping fitted Q-evaluation). Importance sampling weighs episodes by how
much likelier the policy makes them than whoever acted (`operant.math.off_policy_evaluation`); it needs that behaviour
as a policy, which a clone of the data is. Doubly robust estimates correct FQE's values by it.

Source: Le, Voloshin and Yue (2019), Batch policy learning under constraints, algorithm 3; Voloshin et al. (2019),
Empirical study of off-policy policy evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast, get_args

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.distributions import Normal
from operant.control.policies import ActionValues
from operant.control.setup_data import segments
from operant.control.target import Target
from operant.data.replay import Replay
from operant.data.stats import bootstrap_ratio
from operant.data.streams import Streams
from operant.data.trajectory import Trajectory
from operant.env.dataset import DataSet
from operant.math.bellman import backup
from operant.math.off_policy_evaluation import Estimator, evaluation_terms

TOGETHER = 16
"""Episodes that pass through the networks at a time."""
EDGE = 1.0 - 1e-6
"""Actions nearer to a bound than this have no density under a policy that squashes: they are taken to be here."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The discounted value of a policy where episodes begin, with a 95 % bootstrap interval over episodes."""

    value: float
    low: float
    high: float
    episodes: float  # how many count; of importance sampling those that its weights leave (Kish 1965)


@dataclass(frozen=True, slots=True, kw_only=True)
class FQE:
    """How fitted Q evaluation learns."""

    steps: int = 5_000  # gradient steps
    batch: int = 256
    lr: float = 1e-3  # at first; it falls to 0
    tau: float = 0.01  # share of the way that the target follows
    hidden: tuple[int, ...] | None = None  # as the agent's, if None
    resamples: int = 20  # networks for the interval


def evaluate_from_data(
    agent: Agent, data: DataSet, *, behaviour: Agent | None = None, discount: float = 0.99, deterministic: bool = True,
    seed: int = 0, fqe: FQE | None = None,
) -> dict[str, Estimate]:  # fmt: skip
    """E_π[Σ_t γ^t r_t] by each estimator that applies.

    Args:
        agent: the policy π, and the interface that the data are seen through.
        data: episodes of another policy.
        behaviour: that policy μ, or a clone of it; without one only FQE applies.
        discount: γ, below 1 where episodes are long.
        deterministic: whether π takes its mode; then FQE alone applies, as π gives most actions no chance.
        seed: of what is drawn.
        fqe: how FQE learns.

    Returns:
        by name: "fqe", and with `behaviour` those of `operant.math.off_policy_evaluation.Estimator`.

    Raises:
        ConfigError: if the policy remembers, its actions are neither one choice nor numbers, its spaces are not known,
            or the data lie outside of them.
    """
    _require(agent)
    its, streams = fqe or FQE(), Streams(seed)
    q, counts = fitted_q(agent, data, discount, its, streams, deterministic=deterministic)
    found = {"fqe": _fitted(agent, q, data, counts, deterministic)}
    if behaviour is None or deterministic:
        return found
    _require(behaviour)
    given = _columns(agent, behaviour, q, data)
    for name in get_args(Estimator):
        terms = evaluation_terms(name, **given, discount=discount)
        low, high = bootstrap_ratio(terms.numerator.numpy(), terms.denominator.numpy(), seed=seed)
        weights = evaluation_terms("weighted", **given, discount=discount)
        found[name] = Estimate(terms.value, low, high, weights.effective)
    return found


def fitted_q(
    agent: Agent, data: DataSet, discount: float, its: FQE, streams: Streams, *, deterministic: bool
) -> tuple[ActionValues, NDArray[np.float32]]:
    """Networks of Q^π, the first from all episodes once each, the others from draws of them; and how often each is in.

    Returns:
        Q_k, k = 0 … K, and counts [K + 1, E].
    """
    generator, device = streams.numpy("fqe"), next(agent.parameters()).device
    counts = generator.multinomial(len(data), np.full(len(data), 1 / len(data)), its.resamples).astype(np.float32)
    counts = np.concatenate([np.ones((1, len(data)), np.float32), counts])
    buffer, of_row = _stored(agent, data)
    q = agent.another_q(len(counts), streams.torch("init-fqe"), its.hidden).to(device)
    target, optimizer = Target(q), torch.optim.Adam(q.parameters(), its.lr)
    weights, of_row = torch.from_numpy(counts).to(device), torch.from_numpy(of_row).to(device)
    for k in range(its.steps):
        optimizer.param_groups[0]["lr"] = its.lr * (1.0 - k / its.steps)
        b = buffer.sample(its.batch, generator, discount=discount)
        with torch.no_grad():
            following = _value(agent, target.module, b.next_obs, generator, deterministic)  # [K + 1, B]
            reward, ended, ahead = (x.expand_as(following) for x in (b.reward, b.terminated, b.discount))
            y = backup(reward, following, ended, ahead)
        weight = weights[:, of_row[b.index]]
        loss = 0.5 * (weight * (q.taken(b.obs, b.action) - y).square()).mean(-1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        target.follow(its.tau)
    return q, counts


@torch.no_grad()
def _fitted(agent: Agent, q: ActionValues, data: DataSet, counts: NDArray[np.float32], deterministic: bool) -> Estimate:
    """FQE's estimate: the mean of V over first observations; each network's over its own draw of episodes."""
    generator = np.random.default_rng(0)
    first = torch.cat([t.obs[:, 0] for t in _segments(agent, data)])  # pyright: ignore[reportArgumentType, reportCallIssue]
    value = _value(agent, q, first[: len(data)], generator, deterministic).double().cpu().numpy()  # [K + 1, E]
    means = (value * counts).sum(-1) / counts.sum(-1)
    low, high = np.quantile(means[1:], [0.025, 0.975]) if len(means) > 1 else (np.nan, np.nan)
    return Estimate(float(means[0]), float(low), float(high), float(len(data)))


def _value(agent: Agent, q: ActionValues, obs: Tensor, generator: np.random.Generator, deterministic: bool) -> Tensor:
    """Σ_a π(a|s) Q_k(s, a) [K, B] of choices; of numbers Q_k(s, a) of the mode, or of an action drawn."""
    its, p = agent.policy.distribution, agent.policy.parameters_of(obs)
    if agent.spec.action_kind == "box":
        u = its.mode(p) if deterministic else its.sample(p, generator)
        return q(obs, as_stored(agent, its.finish(u)))
    return (chances(agent, obs, deterministic) * q(obs)).sum(-1)


def chances(agent: Agent, obs: Tensor, deterministic: bool) -> Tensor:
    """π(a|s) of every choice, [..., A]."""
    its, p = agent.policy.distribution, agent.policy.parameters_of(obs)
    mode = its.mode(p)
    every = torch.arange(agent.spec.action_sizes[0], device=mode.device).expand(*mode.shape, -1)
    if deterministic:
        return (every == mode.unsqueeze(-1)).float()
    return torch.stack([its.logp(p, a) for a in every.unbind(-1)], -1).exp()


@torch.no_grad()
def _columns(agent: Agent, behaviour: Agent, q: ActionValues, data: DataSet) -> Mapping[str, Tensor]:
    """What `evaluation_terms` takes of all episodes, [N, T] each, padded; Q and V are the first network's."""
    found: dict[str, list[Tensor]] = {}
    pairs = zip(_segments(agent, data), _segments(behaviour, data), strict=True)
    generator, width = np.random.default_rng(0), int(data.lengths.max()) + 1
    for own, other in pairs:
        value = _value(agent, q, own.obs, generator, False)[0]  # pyright: ignore[reportArgumentType]
        each = {
            "logp": _logp(agent, own), "behaviour_logp": _logp(behaviour, other), "reward": own.reward,
            "acted": own.acted, "truncated": own.truncated, "q": q.taken(own.seen, own.action)[0], "value": value,
        }  # fmt: skip
        for name, x in each.items():
            wide = width + (name == "value")
            found.setdefault(name, []).append(torch.nn.functional.pad(x, (0, wide - x.shape[1])).cpu())
    return {name: torch.cat(parts)[: len(data)] for name, parts in found.items()}


def _logp(agent: Agent, traj: Trajectory) -> Tensor:
    """log π(a|s) [N, T] of what was done; densities are those of the actions as the policy has them."""
    its, action = agent.policy.distribution, traj.action
    if isinstance(its, Normal) and its.low is not None:
        action = action.clamp(-EDGE, EDGE).atanh()
    return agent.policy.evaluate(traj.seen, action)[0]


def as_stored(agent: Agent, action: Tensor) -> Tensor:
    """Actions [..., A] that an environment was given, as a data set seen by this agent has them: within bounds."""
    its, between = agent.policy.distribution, agent.interface
    if isinstance(its, Normal) and its.low is not None:
        return its.unit(action)
    assert between is not None
    space = cast("spaces.Box", between.actions.space)
    low, high = (torch.from_numpy(x.astype(np.float32).ravel()) for x in (space.low, space.high))
    return torch.minimum(torch.maximum(action, low.to(action.device)), high.to(action.device))


def _segments(agent: Agent, data: DataSet) -> Iterator[Trajectory]:
    assert agent.interface is not None
    return segments(data, agent.interface, agent, TOGETHER)


def _stored(agent: Agent, data: DataSet) -> tuple[Replay, NDArray[np.int64]]:
    """All episodes in a replay of one lane, and of which episode each of its rows is."""
    assert agent.interface is not None
    buffer, of_row = Replay(data.steps + len(data), 1, str(next(agent.parameters()).device)), list[NDArray[np.int64]]()
    for k, traj in enumerate(segments(data, agent.interface, agent)):
        before = int(buffer.head[0])
        buffer.extend(traj)
        of_row.append(np.full(int(buffer.head[0]) - before, k))
    return buffer, np.concatenate(of_row)


def _require(agent: Agent) -> None:
    """Raises ConfigError where a policy is not of a kind whose values can be learnt here."""
    if agent.interface is None:
        raise ConfigError("the policy's file does not say what spaces it acts between: export it anew")
    if agent.remembers:
        raise ConfigError("the policy remembers, and what it does in the data's states depends on what it saw before")
    if agent.spec.action_kind not in ("box", "discrete"):
        raise ConfigError(
            f"off-policy evaluation knows numbers (Box) and a choice (Discrete), not {agent.spec.action_kind}"
        )
