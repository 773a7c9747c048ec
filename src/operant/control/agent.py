"""The agent: everything that acts and values, in one file that an evaluation cannot load by halves."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from operant.config.bounded import load_json
from operant.config.errors import ConfigError, NonFiniteError
from operant.config.registry import TRUST
from operant.control.action_values import GreedyValue
from operant.control.composite import composed
from operant.control.distributions import Normal, Parameters
from operant.control.flow import Flow
from operant.control.mlp import MLP
from operant.control.network import OwnFeatures, OwnNetwork
from operant.control.networks.renorm import RenormedMLP
from operant.control.networks.text import Reading, attention
from operant.control.networks.trunk import READING, Headed, Trunk, plain
from operant.control.networks.value import ValueHead
from operant.control.normalizer import ObsNormalizer, RewardScale
from operant.control.policies import ActionValues, Critic, Policy
from operant.control.spec import AgentSpec, weights
from operant.data.trajectory import Batch, Metrics, Obs, Trajectory, flatten, rows
from operant.env.interface import Interface
from operant.run.actor import Acting
from operant.run.disk import fits_memory, save_tensors
from operant.run.train_state import Filed, Kept


class Agent(Acting, nn.Module):
    """A policy, a critic and the statistics that normalise their inputs.

    Args:
        spec: sizes and switches.
        generator: where the initial weights come from; None leaves them to be loaded.

    Attributes:
        beside: what training needs besides and only checkpoints keep, each in a file of its own: counts, past segments.
        bonus_advantage: [N, T], β times the advantage of the last segment's bonuses where these have a critic of their
            own (`operant.control.explore`), else None.
        layout: what the numbers of a row of observations are.

    Raises:
        ConfigError: if its network cannot be made for such observations.
    """

    kind: ClassVar[str] = "networks"
    made_of: ClassVar[type[AgentSpec]] = AgentSpec

    def __init__(self, spec: AgentSpec, generator: torch.Generator | None = None) -> None:
        super().__init__()
        gen = generator or torch.Generator().manual_seed(0)
        self.spec = spec
        self.beside: dict[str, Kept | Filed] = {}
        self.bonus_advantage: Tensor | None = None
        self.interface = spec.interface()
        self.layout = spec.layout(self.interface)
        size = self.layout.vector_size
        self.normalizer = None if spec.obs_clip is None or size == 0 else ObsNormalizer(size, spec.obs_clip)
        self.reward_scale = None if spec.reward_clip is None else RewardScale(spec.reward_clip)
        distribution = spec.distribution(self.interface)
        if isinstance(distribution, Flow):
            distribution.begin(gen)
        trunk = self._trunk(gen) if spec.shared else None
        net = self._net(distribution.outputs, 1.0 if spec.head or spec.flow else 0.01, gen, trunk)
        self.policy = Policy(net, self.normalizer, self.layout, distribution, spec.log_std_init)
        if spec.head:
            self.critic: Critic | GreedyValue = GreedyValue(self.policy)
        elif spec.critics:
            self.critic = self.another_q(spec.critics, gen, renorm=spec.batch_renorm)
        else:
            self.critic = Critic(self._net(1, 1.0, gen, trunk), self.normalizer, self.layout)
        for trunk in self.trunks[1:]:
            trunk.offset = self.trunks[0].state
        self._memory = torch.zeros(0, self.remembers)

    @property
    def trunks(self) -> list[Trunk]:
        """Those of the policy and of the critic, once where they are one; none where both are plain perceptrons."""
        both = [trunk for trunk in (self.policy.trunk, self.critic.trunk) if trunk is not None]
        return both[:1] if self.spec.shared or self.spec.head else both

    @property
    def q(self) -> ActionValues:
        """The critic of an agent with `spec.critics` networks of action values."""
        assert isinstance(self.critic, ActionValues)
        return self.critic

    @property
    def remembers(self) -> int:
        """S, numbers that it carries from step to step: the policy's, then the critic's; 0 without memory."""
        return sum(trunk.state for trunk in self.trunks)

    def another_critic(self, generator: torch.Generator) -> Critic:
        """V(s) by a network of its own, shaped as this agent's and no part of it; the normaliser is one."""
        return Critic(self._net(1, 1.0, generator, None), self.normalizer, self.layout)

    def another_q(
        self, count: int, generator: torch.Generator, hidden: tuple[int, ...] | None = None, *, renorm: bool = False
    ) -> ActionValues:
        """So many networks of Q(s, a), with this agent's hidden layers or those that are named; no part of it.

        Above a trunk they have hidden layers, where features and action meet.
        """
        spec = self.spec
        trunk = self._trunk(generator) if spec.deep else None
        features = self.layout.vector_size if trunk is None else trunk.features
        chooses, its = spec.action_kind == "discrete", self.policy.distribution
        columns = its.columns if spec.action_kind == "box" else composed(its).numbers + sum(composed(its).sizes)
        beside, told = (0, spec.action_sizes[0]) if chooses else (columns, 1)
        sizes = (features + beside, *(spec.hidden if hidden is None else hidden), told)
        made = RenormedMLP if renorm else MLP
        nets = [made(sizes, spec.activation, out_gain=1.0, generator=generator) for _ in range(count)]
        return ActionValues(nets, trunk, self.normalizer, self.layout)

    def evaluate(self, obs: Obs, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log π(action|obs), entropy and V [...] of observations [..., D], through a shared trunk once."""
        return self._evaluated(obs, obs, action)

    def evaluate_segment(self, traj: Trajectory) -> tuple[Tensor, Tensor, Tensor]:
        """log π and entropy [N, T] of its decisions, V [N, T+1] of its states, through a shared trunk once."""
        return self._evaluated(traj.obs, traj.seen, traj.action)

    def _evaluated(self, states: Obs, seen: Obs, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self.spec.shared:
            return *self.policy.evaluate(seen, action), self.critic(states)
        features = self.trunks[0](states)
        decided = features if seen is states else features[:, :-1]
        p = self.policy.parameters_from(self.policy.output_of(decided), seen)
        distribution = self.policy.distribution
        value = self.critic.value_of(features, states)
        return distribution.logp(p, action), distribution.entropy(p, action), value

    def cut(self, size: int, horizon: int) -> tuple[Callable[..., Batch], int]:
        """What cuts a segment for minibatches of `size` steps, and how many of its pieces these are.

        A piece is a step alone, or, for an agent with memory, a whole row of `horizon`.
        """
        return (rows, max(1, size // horizon)) if self.remembers else (flatten, size)

    def step(self, obs: Tensor, memory: Tensor) -> tuple[Parameters, Tensor, Tensor]:
        """One step of each of N environments: [N, D], [N, S] → the policy's parameters, V [N], memory after it."""
        features, after = self.remember(obs, memory)
        p = self.policy.parameters_from(self.policy.output_of(features[0]), obs)
        if self.spec.critics:
            return p, self._judged(p, features[-1]), after
        return p, self.critic.value_of(features[-1], obs), after

    def remember(self, obs: Tensor, memory: Tensor) -> tuple[list[Tensor], Tensor]:
        """Of such a step what each trunk gives, [N, F], and the memory after it."""
        trunks = self.trunks
        each = memory.split([trunk.state for trunk in trunks], -1)
        features, after = zip(*(t.step(obs, m) for t, m in zip(trunks, each, strict=True)), strict=True)
        return [*features], torch.cat(after, -1)

    def _judged(self, p: Parameters, features: Tensor) -> Tensor:
        """min_k Q_k(s, π(s)) [...] of the critic's features [..., F], π(s) being the mode."""
        distribution, mode = self.policy.distribution, self.policy.distribution.mode(p)
        if isinstance(distribution, Normal):
            return self.q.of(features, mode.tanh()).amin(0)
        if self.spec.action_kind == "discrete":
            return self.q.of(features).amin(0).gather(-1, mode.unsqueeze(-1)).squeeze(-1)
        its = composed(distribution)
        return self.q.of(features, its.encoded(its.squashed(mode))).amin(0)

    @torch.no_grad()
    def decide(self, obs: Any, *, generator: np.random.Generator | None = None) -> np.ndarray:
        """The policy's own action for [D] or [N, D] numbers: its mode, or a sample where `generator` is given.

        A policy with memory remembers them, row by row, until `forget`, or until there are more or fewer rows.

        Raises:
            NonFiniteError: if an observation holds a NaN or an infinity.
        """
        x = self._input(obs)
        flat = x.reshape(-1, self.spec.obs_dim)
        if self.remembers:
            p, _, self._memory = self.step(flat, self._remembered(len(flat)))
        else:
            p = self.policy.parameters_of(flat)
        distribution = self.policy.distribution
        action = distribution.mode(p) if generator is None else distribution.sample(p, generator)
        action = distribution.finish(action)
        return action.reshape((*x.shape[:-1], *action.shape[1:])).cpu().numpy()

    def attention(self) -> AbstractContextManager[Callable[[], np.ndarray | None]]:
        """What the policy looks at: [L] by the first row that it last acted on, over all its texts."""
        return attention(self.policy)

    def forget(self, rows: np.ndarray | None = None) -> None:
        """Begin new episodes in the rows where `rows` [N] is True; in all of them without."""
        if rows is None or len(rows) != len(self._memory):
            self._memory = self._memory[:0]
        else:
            self._memory = torch.where(torch.from_numpy(rows).to(self._memory.device)[:, None], 0.0, self._memory)

    @torch.no_grad()
    def estimate(self, obs: Any) -> np.ndarray:
        """V of [D] or [N, D] numbers, in the units of the environment's reward; after what it remembers of each row.

        Of action values it is min_k Q_k(s, π(s)).
        """
        x = self._input(obs)
        if self.remembers:
            flat = x.reshape(-1, self.spec.obs_dim)
            value = self.step(flat, self._remembered(len(flat)))[1].reshape(x.shape[:-1])
        elif self.spec.critics:
            value = self._judged(self.policy.parameters_of(x), self.q.features(x))
        else:
            value = self.critic(x)
        scale = 1.0 if self.reward_scale is None else self.reward_scale.deviation
        return (value * scale).cpu().numpy()

    def _remembered(self, n: int) -> Tensor:
        if len(self._memory) != n:
            self._memory = torch.zeros(n, self.remembers, device=next(self.parameters()).device)
        return self._memory

    def know(self, interface: Interface) -> None:
        """Learn the environment's spaces, which are then part of the policy file."""
        self.interface, self.spec = interface, replace(self.spec, **interface.encoded())

    def observe(self, obs: Obs, acted: Tensor | None = None) -> None:
        """Take observations [S, D], or [N, T, D] where `acted`, into the running statistics, where there are some."""
        if self.normalizer is not None:
            seen = plain(obs)
            self.normalizer.update(self.layout.vector(seen if acted is None else seen[acted]))

    def combined(self, adv: Tensor) -> Tensor:
        """A + β A_bonus, [N, T], where a bonus has a critic of its own, else A (Burda et al. 2018, section 2.3)."""
        return adv if self.bonus_advantage is None else adv + self.bonus_advantage

    def stats(self) -> Metrics:
        """Of the policy as it stands: the mean standard deviation of a normal one."""
        log_std = self.policy.log_std
        return {} if log_std is None else {"policy/std": log_std.detach().exp().mean()}

    def stored(self) -> dict[str, Tensor]:
        """The tensors of `model.safetensors` by name: parameters and running statistics, not copied."""
        return {name: x.detach() for name, x in self.state_dict().items() if not self._repeated(name)}

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `policy.json` into `folder`."""
        save_tensors({name: x.clone() for name, x in self.stored().items()}, folder / "model.safetensors")
        (folder / "policy.json").write_text(json.dumps(self.spec.as_json(), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path, *, trust: bool = False) -> Self:
        """Read what `save` wrote. `trust` imports the code that it names as its network.

        Raises:
            ConfigError: if a file is missing or is not an agent's, or it names code and is not trusted.
        """
        try:
            raw = load_json(folder / "policy.json")
            raw |= {key: tuple(raw[key]) for key in ("action_sizes", "hidden")}
            tensors = load_file(fits_memory(folder / "model.safetensors"))
            raw.pop("kind", None)
            spec = cls.made_of(**raw)
            if not trust and spec.own:
                raise ConfigError(f"{folder}: its network is Python code, {spec.network!r}. {TRUST}")
            cls.refuse(spec, sum(x.numel() for x in tensors.values()))
            agent = cls(spec)
            missing, unknown = agent.load_state_dict(tensors, strict=False)
            if unknown or (missing := [name for name in missing if not agent._repeated(name)]):
                raise ValueError(f"model.safetensors does not fit policy.json: {[*missing, *unknown]}")
        except (OSError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise ConfigError(f"{folder}: not a readable policy ({error})") from error
        return agent

    @classmethod
    def refuse(cls, spec: AgentSpec, numbers: int) -> None:
        """Raises ValueError if a spec is none of such an agent with so many numbers."""
        if weights(spec) > numbers:
            raise ValueError("model.safetensors does not fit policy.json: it is smaller")

    def _input(self, obs: Any) -> Tensor:
        if self.layout.bytes and getattr(obs, "dtype", None) != np.uint8:
            raise ValueError(
                "obs is not of bytes: this policy takes rows of uint8, as its environment's copies give them"
            )
        x = np.asarray(obs, dtype=np.uint8 if self.layout.bytes else np.float32)
        if x.shape[-1:] != (self.spec.obs_dim,):
            raise ValueError(f"obs has shape {x.shape}; its last dimension must be {self.spec.obs_dim}")
        if self.layout.bytes and self.interface is not None:
            if not (fits := self.interface.observations.finite(x.reshape(-1, self.spec.obs_dim))).all():
                raise NonFiniteError(f"observation {int(np.argmin(fits))} of {len(fits)} is not finite")
        elif not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x.reshape(-1, self.spec.obs_dim)))[0]
            which = f"observation {row} of {x.size // self.spec.obs_dim}" if x.ndim > 1 else "the observation"
            raise NonFiniteError(f"{which} is not finite: number {column} is {x.reshape(-1, x.shape[-1])[row, column]}")
        return torch.as_tensor(x, device=next(self.parameters()).device)

    def _repeated(self, name: str) -> bool:
        """Policy and critic hold the agent's normaliser, and perhaps one trunk; each is stored once."""
        again = "critic.net.trunk." if self.spec.shared else "critic.normalizer."
        return name.startswith(("policy.", "critic.")) and (".normalizer." in name or name.startswith(again))

    def _trunk(self, generator: torch.Generator) -> Trunk:
        spec = self.spec
        own = OwnFeatures(spec.network, self.layout.vector_size, generator) if spec.own else None
        reads = Reading(spec.text, spec.text_size, spec.join) if spec.text and spec.join else READING
        return Trunk(
            self.layout, spec.network or "mlp", own, self.normalizer, spec.memory, spec.memory_size, generator, reads
        )

    def _net(self, outputs: int, out_gain: float, generator: torch.Generator, trunk: Trunk | None) -> nn.Module:
        """What gives so many numbers: a perceptron, or hidden layers above a trunk, where there is more to it.

        Above convolutions alone there are no hidden layers: they end in some of their own. A text beside them needs
        some.
        """
        spec = self.spec
        if trunk is None and not spec.deep:
            return self._head((self.layout.vector_size, *spec.hidden), outputs, out_gain, generator, behind=False)
        if trunk is None and spec.own and not (spec.memory or spec.head or spec.text):
            own = OwnFeatures(spec.network, self.layout.vector_size, generator)
            return OwnNetwork(own, outputs, out_gain=out_gain, generator=generator)
        trunk = trunk or self._trunk(generator)
        beside = spec.join == "concat"  # what only stands side by side has to meet yet
        hidden = spec.hidden if beside or (self.layout.vector_size and not spec.own) else ()
        return Headed(trunk, self._head((trunk.features, *hidden), outputs, out_gain, generator, behind=True))

    def _head(
        self, sizes: tuple[int, ...], outputs: int, out_gain: float, generator: torch.Generator, *, behind: bool
    ) -> nn.Module:
        """The layers above features of the first of these widths, perhaps `behind` a trunk."""
        spec = self.spec
        if not (spec.dueling or spec.noisy or spec.layer_norm):
            return MLP((*sizes, outputs), spec.activation, out_gain=out_gain, generator=generator)
        return ValueHead(
            sizes, spec.action_sizes[0], outputs // spec.action_sizes[0], spec.activation, dueling=spec.dueling,
            noisy=spec.noisy, norm=spec.layer_norm, normed=spec.layer_norm and behind, generator=generator,
        )  # fmt: skip
