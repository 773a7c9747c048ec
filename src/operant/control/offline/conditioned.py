"""An agent that acts for a return that is asked for: a transformer over (return to go, state, action), step by step."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from operant.control.agent import Agent
from operant.control.distributions import Parameters
from operant.control.learned_reward import ActionFeatures
from operant.control.networks.causal import Causal, begin
from operant.control.networks.trunk import Trunk
from operant.control.spec import AgentSpec, weights
from operant.env.spaces import Actions
from operant.math.quick_start import undrawn

KIND = "return-conditioned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionedSpec(AgentSpec):
    """The shape of such an agent."""

    context: int = 20  # K, steps that it looks back on, the one it stands at among them
    layers: int = 3
    heads: int = 1
    width: int = 128  # H
    longest: int = 1_000  # steps of an episode that have a time of their own; later ones have that of the last
    target: float = 0.0  # the return that is asked for
    scale: float = 1.0  # what returns are divided by

    def as_json(self) -> dict[str, Any]:
        """What `policy.json` holds."""
        return {"kind": KIND} | AgentSpec.as_json(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """B pieces of episodes, T steps each; those behind the end of an episode only pad."""

    obs: Tensor  # [B, T, D]
    action: Tensor  # [B, T, *W], as the policy draws them
    done: Tensor  # [B, T, A], features of what was done
    to_go: Tensor  # [B, T], the rewards from here to the end, in units of `ConditionedSpec.scale`
    time: Tensor  # [B, T] int64, steps since the episode began
    acted: Tensor  # [B, T] bool; what counts


class Sequence(nn.Module):
    """From a piece to what the policy's distribution is made of at each of its steps.

    Each step is three tokens, (return to go, state, action), to each of which the embedding of the step's time is
    added; the state's gives the action, and so has seen the return, and no action but those before it.

    Args:
        spec: sizes.
        trunk: from observations to features.
        features: A, numbers of an action.
        outputs: K, of the distribution.
        generator: where the weights come from.
    """

    def __init__(
        self, spec: ConditionedSpec, trunk: Trunk, features: int, outputs: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.longest = spec.longest
        inputs = {"to_go": 1, "state": trunk.features, "action": features}
        self.embed = nn.ModuleDict({k: undrawn(nn.Linear, n, spec.width) for k, n in inputs.items()})
        self.time = undrawn(nn.Embedding, spec.longest, spec.width)
        self.norm = nn.LayerNorm(spec.width)
        self.body = Causal(spec.width, spec.layers, spec.heads)
        self.head = undrawn(nn.Linear, spec.width, outputs)
        begin(self, generator)
        self.below = trunk

    def forward(self, piece: Piece) -> Tensor:
        """[B, T, K]."""
        seen = {"to_go": piece.to_go.unsqueeze(-1), "state": self.below(piece.obs), "action": piece.done}
        tokens = torch.stack([self.embed[name](x) for name, x in seen.items()], 2)  # [B, T, 3, H]
        tokens = tokens + self.time(piece.time.clamp(max=self.longest - 1)).unsqueeze(2)
        return self.head(self.body(self.norm(tokens.flatten(1, 2)))[:, 1::3])


class Conditioned(Agent):
    """An agent whose policy is a `Sequence`. It has no values: what is still asked for stands in their place.

    Attributes:
        target: the return that is asked for when an episode begins, in the units of the environment.
        features: of actions.
    """

    kind: ClassVar[str] = KIND
    made_of: ClassVar[type[AgentSpec]] = ConditionedSpec

    def __init__(self, spec: ConditionedSpec, generator: torch.Generator | None = None) -> None:
        super().__init__(spec, generator)
        its, gen = self.policy.distribution, generator or torch.Generator().manual_seed(0)
        if self.interface is None:
            raise ValueError("policy.json: such an agent needs the spaces, and none are written down")
        self.shape, self.target = spec, spec.target
        self.features = ActionFeatures(Actions(self.interface.actions.space), its)
        self.policy.net = Sequence(spec, self._trunk(gen), self.features.size, its.outputs, gen)
        self._past: _Past | None = None

    @property
    def remembers(self) -> int:
        """It looks back on so many steps."""
        assert isinstance(self.spec, ConditionedSpec)
        return self.spec.context

    def parameters_of(self, piece: Piece) -> Parameters:
        """What the distribution is made of at each step of a piece."""
        return self.policy.parameters_from(self.policy.net(piece), piece.obs)

    @torch.no_grad()
    def decide(self, obs: Any, *, generator: np.random.Generator | None = None) -> np.ndarray:
        """As an agent's: for the return that is asked for, less what it was `told` since the episode began."""
        x = self._input(obs)
        flat = x.reshape(-1, self.spec.obs_dim)
        past = self._past = self._standing(flat)
        at = past.step(flat)
        p = self.parameters_of(past.piece())
        each = torch.arange(len(flat), device=flat.device)
        p = Parameters(p.output[each, at], p.log_std, None if p.allowed is None else p.allowed[each, at])
        its = self.policy.distribution
        action = its.mode(p) if generator is None else its.sample(p, generator)
        past.done[each, at] = self.features(action)
        action = its.finish(action)
        return action.reshape((*x.shape[:-1], *action.shape[1:])).cpu().numpy()

    def told(self, reward: np.ndarray) -> None:
        """So much was paid in each row [N] for its last decision: so much less is still asked for."""
        if self._past is not None and len(reward) == len(self._past.asked):
            self._past.asked -= torch.from_numpy(np.asarray(reward, np.float32)).to(self._past.asked) / self.shape.scale

    def forget(self, rows: np.ndarray | None = None) -> None:
        """Begin new episodes in the rows where `rows` [N] is True; in all of them without."""
        if rows is None or self._past is None or len(rows) != len(self._past.asked):
            self._past = None
        else:
            self._past.forget(torch.from_numpy(rows).to(self._past.asked.device), self.target / self.shape.scale)

    @torch.no_grad()
    def estimate(self, obs: Any) -> np.ndarray:
        """What is still asked for, of each row [N], before it is decided."""
        x = self._input(obs)
        past = self._standing(x.reshape(-1, self.spec.obs_dim))
        return (past.asked.reshape(x.shape[:-1]) * self.shape.scale).cpu().numpy()

    def _standing(self, flat: Tensor) -> _Past:
        if self._past is None or len(self._past.asked) != len(flat):
            return _Past(self.shape.context, flat, self.features.size, self.target / self.shape.scale)
        return self._past

    @classmethod
    def refuse(cls, spec: AgentSpec, numbers: int) -> None:
        """Raises ValueError if a spec is none of such an agent with so many numbers."""
        assert isinstance(spec, ConditionedSpec)
        counts = (spec.context, spec.layers, spec.heads, spec.width, spec.longest)
        if any(type(n) is not int or n < 1 for n in counts) or spec.width % spec.heads or spec.context > 10_000:
            raise ValueError("policy.json: context, layers, heads, width or longest is no count that it can have")
        if any(type(x) not in (int, float) or not isfinite(x) for x in (spec.target, spec.scale)) or spec.scale <= 0:
            raise ValueError("policy.json: target or scale is no number that it can have")
        if 12 * spec.layers * spec.width**2 + spec.longest * spec.width > numbers or weights(spec) > numbers:
            raise ValueError("model.safetensors does not fit policy.json: it is smaller")


class _Past:
    """The last K steps of N rows, each from the beginning of its episode."""

    def __init__(self, context: int, rows: Tensor, features: int, target: float) -> None:
        n, device = len(rows), rows.device
        self.obs = rows.new_zeros((n, context, rows.shape[-1]))
        self.done = torch.zeros(n, context, features, device=device)
        self.to_go, self.time = torch.zeros(n, context, device=device), self.obs.new_zeros((n, context)).long()
        self.count, self.now = torch.zeros(2, n, dtype=torch.int64, device=device)
        self.asked = torch.full((n,), target, device=device)

    def step(self, rows: Tensor) -> Tensor:
        """Observations [N, D] are there; returns the places [N] at which they stand."""
        full = self.count == self.obs.shape[1]
        for name in ("obs", "done", "to_go", "time"):
            x: Tensor = getattr(self, name)
            setattr(self, name, torch.where(full.reshape(-1, *(1,) * (x.ndim - 1)), x.roll(-1, 1), x))
        at = self.count - full.long()
        each = torch.arange(len(rows), device=rows.device)
        self.obs[each, at], self.to_go[each, at], self.time[each, at] = rows, self.asked, self.now
        self.done[each, at] = 0.0
        self.count, self.now = at + 1, self.now + 1
        return at

    def piece(self) -> Piece:
        """What was, up to now."""
        steps = int(self.count.max())
        acted = torch.arange(steps, device=self.asked.device) < self.count.unsqueeze(1)
        obs, done, to_go, time = (x[:, :steps] for x in (self.obs, self.done, self.to_go, self.time))
        return Piece(obs=obs, action=done, done=done, to_go=to_go, time=time, acted=acted)

    def forget(self, rows: Tensor, target: float) -> None:
        """Begin anew in these rows [N] bool."""
        self.count, self.now = torch.where(rows, 0, self.count), torch.where(rows, 0, self.now)
        self.asked = torch.where(rows, target, self.asked)
