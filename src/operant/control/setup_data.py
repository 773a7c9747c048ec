"""What every method that learns from a data set begins with: an agent, the episodes, and what measures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import gymnasium
import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError, said
from operant.control.action_values import Greedy
from operant.control.agent import Agent
from operant.control.composite import Composite
from operant.control.distributions import Normal, Parameters
from operant.control.settings.data import DataConfig, DataRun
from operant.control.setup import Spec, agent_spec, job_of, make_agent
from operant.control.spec import AgentSpec
from operant.data.memory import allow
from operant.data.replay import Replay
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env import EnvLike
from operant.env.check_data import check_data, refuse_leaks, require_sound
from operant.env.dataset import DataSet, Rows
from operant.env.interface import Interface
from operant.env.minari import read_data
from operant.run.device import device_of
from operant.run.evaluate import Evaluator, copies, supervisor
from operant.run.job import Job, Position

Made = Callable[[AgentSpec, Streams, DataSet], Agent]
"""Makes the agent of a run, of the shape that fits its environment, for the data that it learns from."""
IMPOSSIBLE = -1e6
"""log π of what a mask rules out is below."""


@dataclass
class GradientSteps:
    """Counts gradient steps, in the place of the environment's (`operant.run.job.Counter`)."""

    steps: int = 0
    episodes: int = 0
    seconds: float = 0.0


@dataclass(kw_only=True)
class FromData:
    """The parts of a run on a data set.

    Whoever takes a gradient step counts it: `parts.counter.steps += 1`. `generator` draws what is learnt from, `noise`
    what a policy samples. `test` holds the episodes that are held out; None where none are.
    """

    cfg: DataRun
    agent: Agent
    train: DataSet
    test: DataSet | None
    between: Interface
    evaluate: Evaluator
    counter: GradientSteps
    noise: np.random.Generator
    generator: np.random.Generator

    def begin(self, at: Position) -> None:
        """Stand at a seam."""
        streams = Streams(self.cfg.seed, at.seam)
        streams.rekey(self.noise, "policy")
        streams.rekey(self.generator, "minibatch")
        self.evaluate.close()
        self.counter.steps, self.counter.episodes = at.step, at.episodes

    def job(
        self,
        algorithm: Iterator[Metrics],
        optimizer: torch.optim.Optimizer,
        begin: Callable[[Position], None] | None = None,
    ) -> Job:
        """The run of an algorithm on these parts; `begin` where there is more to begin anew than they."""
        return job_of(
            self.cfg, self.agent, algorithm, optimizer, counter=self.counter, begin=begin or self.begin,
            evaluate=self.evaluate,
        )  # fmt: skip

    def segments(self, data: DataSet, lanes: int = 1) -> Iterator[Trajectory]:
        """The episodes as trajectories of so many rows, each an episode; see `segments`."""
        return segments(data, self.between, self.agent, lanes)

    def replay(self, data: DataSet | None = None) -> Replay:
        """A replay of one lane that holds all episodes, those to learn from if none are named, in their order.

        Raises:
            ConfigError: if it would not fit in memory.
        """
        data = self.train if data is None else data
        buffer = Replay(data.steps + len(data), 1, self.cfg.device, memory=self.agent.remembers)
        for traj in self.segments(data):
            buffer.extend(traj)
        return buffer


def from_data(
    cfg: DataRun, env: EnvLike, *, spec: Spec | None = None, apart: bool = True, make: Made | None = None
) -> FromData:
    """Everything but the loop and its optimiser, made from a config and its one seed.

    Args:
        cfg: the settings.
        env: whose data they are, and what the policy is measured in.
        spec: fields of the agent's `AgentSpec` that the method decides, or what gives them for a kind of actions.
        apart: for a critic apart from the policy, whatever they see.
        make: the agent, where it is none of `spec`.

    Raises:
        EnvError: if the environment cannot be made.
        ConfigError: if the data, the device or the network cannot be used; says why.
    """
    torch.set_num_threads(cfg.threads)
    streams, limits = Streams(cfg.seed), supervisor(cfg.env)
    one = copies(cfg, env, 1, limits=limits)
    try:
        between, made = Interface.of(one), agent_spec(cfg, one, apart)
    finally:
        one.close()
    train, test = load_split(cfg.data, between, cfg.env.id, streams.numpy("split"))
    agent = make_agent(cfg, made, spec, streams) if make is None else make(made, streams, train)
    parts = FromData(
        cfg=cfg, agent=agent, train=train, test=test, between=between, evaluate=Evaluator(cfg, env, agent, limits),
        counter=GradientSteps(), noise=streams.numpy("policy"), generator=streams.numpy("minibatch"),
    )  # fmt: skip
    if agent.normalizer is not None:
        for rows in train.rows(between):
            agent.observe(torch.from_numpy(rows.obs[:-1]).to(device_of(cfg.device)))
    return parts


def load_split(
    cfg: DataConfig, between: Interface, env_id: str, generator: np.random.Generator
) -> tuple[DataSet, DataSet | None]:
    """The episodes that the settings name, to learn from and to test on, seen to be sound and of this environment.

    Raises:
        ConfigError: if they are not, or none are named.
    """
    if not cfg.path:
        raise ConfigError(
            "no data set to learn from: name one with --data FOLDER, or record one: "
            f"operant record {env_id or 'ENV'} --out NAME"
        )
    data = chosen(load_data(cfg.path, between, env_id), cfg)
    if cfg.test:
        test = load_data(cfg.test, between, env_id)
        refuse_leaks(data, test)
        return data, test
    return (data, None) if cfg.test_share == 0.0 else data.split(cfg.test_share, generator)


def chosen(data: DataSet, cfg: DataConfig) -> DataSet:
    """The episodes that the settings choose: the first so many, and of these the best."""
    data = data if cfg.episodes is None else data.chosen(range(min(cfg.episodes, len(data))))
    return data if cfg.best == 1.0 else data.best(cfg.best)


def load_data(name: str, between: Interface | None = None, env_id: str = "") -> DataSet:
    """A data set, seen to be sound, and to be of an environment where one stands `between`; warns of what can be lived
    with.

    Raises:
        ConfigError: if it is not.
    """
    data = read_data(name)
    require_sound(data, between)
    spec = gymnasium.registry.get(env_id or data.env_id)
    for problem in check_data(data, limit=None if spec is None else spec.max_episode_steps):
        warnings.warn(f"{name}: {problem}", stacklevel=3)
    return data


def segments(data: DataSet, between: Interface, agent: Agent, lanes: int = 1) -> Iterator[Trajectory]:
    """Episodes as trajectories of so many rows, each an episode from its beginning; the last may lack rows.

    Behind the end of an episode stands a step with `acted` False, so that a replay keeps its last observation. Actions
    are as the agent's policy has them, those that it squashes in [-1, 1]; `logp` is not known, and 0.

    Raises:
        ConfigError: if an episode lies outside of the spaces, or all would not fit in memory.
    """
    each = data.rows(between)
    for first in range(0, len(data), lanes):
        traj = _together([*islice(each, lanes)], lanes, agent)
        seen = traj.seen
        assert isinstance(seen, Tensor)
        if not (fits := legal(agent, seen, traj.action) | ~traj.acted).all():
            k, step = (int(x) for x in (~fits).nonzero()[0])
            raise ConfigError(
                f"{data.source}: the mask at episode {first + k}, step {step} rules out what was done there"
            )
        yield traj


def unit_actions(agent: Agent, action: Tensor) -> Tensor:
    """Actions of the environment [..., A] as the agent's policy has them: in [-1, 1] where it squashes them."""
    its = agent.policy.distribution
    return its.unit(action) if isinstance(its, Normal | Composite) else action


def _together(rows: Sequence[Rows], lanes: int, agent: Agent) -> Trajectory:
    """Episodes side by side, padded on the right by steps on which nothing was done."""
    steps, device = max(len(r.reward) for r in rows) + 1, next(agent.parameters()).device
    first = rows[0]
    try:
        allow(lanes * steps * (first.obs[0].nbytes + 16), "episodes of such lengths side by side take")
        obs = np.zeros((lanes, steps + 1, first.obs.shape[1]), first.obs.dtype)
        action = np.zeros((lanes, steps, *first.action.shape[1:]), first.action.dtype)
        reward = np.zeros((lanes, steps), np.float32)
        terminated, truncated, acted = np.zeros((3, lanes, steps), np.bool_)
    except (MemoryError, ValueError) as error:
        raise ConfigError(f"the data set does not fit in memory ({said(error)}): set data.episodes lower") from error
    for k, its in enumerate(rows):
        n = len(its.reward)
        obs[k, : n + 1], obs[k, n + 1 :] = its.obs, its.obs[-1]
        action[k, :n], reward[k, :n], acted[k, :n] = its.action, its.reward, True
        terminated[k, :n], truncated[k, :n] = its.terminated, its.truncated
    x = [torch.from_numpy(a).to(device) for a in (obs, action, reward, terminated, truncated, acted)]
    return Trajectory(
        obs=x[0], action=unit_actions(agent, x[1]), logp=torch.zeros_like(x[2]), reward=x[2], terminated=x[3],
        truncated=x[4], acted=x[5], group=torch.arange(lanes, device=device),
    )  # fmt: skip


def legal(agent: Agent, obs: Tensor, action: Tensor) -> Tensor:
    """Whether the mask of observations [..., D] leaves each action possible, [...]; where there are no masks, all."""
    allowed, its = agent.layout.allowed(obs), agent.policy.distribution
    if allowed is None:
        return torch.ones(obs.shape[:-1], dtype=torch.bool, device=obs.device)
    if isinstance(its, Greedy):  # whose other actions have no chance, mask or not
        return allowed.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    even = torch.zeros(*allowed.shape[:-1], its.outputs, device=obs.device)
    log_std = torch.zeros(its.deviations, device=obs.device) if its.deviations else None
    return its.logp(Parameters(even, log_std, allowed), action) > IMPOSSIBLE
