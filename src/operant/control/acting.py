"""Acting without gradients: NumPy in, NumPy out, by the fastest way that applies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.control.action_values import Behaviour, EpsilonGreedy, greedy_of
from operant.control.agent import Agent
from operant.control.distributions import Categorical, Normal, Parameters
from operant.control.mlp import MLP
from operant.control.networks.trunk import Headed
from operant.control.networks.value import noised, noisy_layers
from operant.control.perceptrons import side_by_side
from operant.control.policies import Policy

Acted = tuple[NDArray[Any], NDArray[Any]]
"""Actions [N, ...] and their log-probabilities [N]."""


class Sampler:
    """A policy's `sample` on arrays: observations [N, D] and a generator to actions and log-probabilities."""

    memory: NDArray[np.float32] | None = None
    """[N, S], what a policy with memory remembers of each row before the next decision; None without."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.device = next(policy.parameters()).device

    def __call__(self, obs: NDArray[Any], generator: np.random.Generator) -> Acted:
        action, logp = self.policy.sample(torch.from_numpy(obs).to(self.device), generator)
        return action.cpu().numpy(), logp.cpu().numpy()

    @torch.no_grad()
    def parameters(self, obs: NDArray[Any]) -> Parameters:
        """What the policy's distribution is made of at observations [N, D]; a memory moves on by them."""
        return self.policy.parameters_of(torch.from_numpy(obs).to(self.device))

    def finish(self, action: NDArray[Any]) -> NDArray[Any]:
        """What the environment takes for a sampled action."""
        return self.policy.distribution.finish(torch.from_numpy(action)).numpy()

    def whole(self) -> Compiled | None:
        """What acts as this does now and can be called from compiled code; None where nothing does."""
        return None

    def begin(self, n: int) -> None:
        """Act in N environments that are new."""

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Episodes begin in the rows where `rows` [N] is True."""


def sampler(policy: Policy, agent: Agent | None = None) -> Sampler:
    """The policy's `sample` on arrays.

    For categorical and normal policies in float32 on a CPU it is a compiled kernel that reads the same parameters and
    draws the same numbers: about a tenth of the time of torch for a small network, equal to it up to rounding. It
    refuses observations of another shape by a ConfigError. A policy with memory needs its agent.
    """
    if agent is not None and agent.remembers:
        return _Remembering(agent)
    return Compiled(policy) if compiles(policy) else Sampler(policy)


def compiles(policy: Policy) -> bool:
    """Whether the kernels know such a policy: a perceptron of vectors, categorical (masked too) or normal."""
    return isinstance(policy.net, MLP) and _known(policy) and _vectors(policy)


def runs(policy: Policy) -> bool:
    """Whether the kernels know its network: a perceptron of vectors, in float32 on a CPU."""
    return isinstance(policy.net, MLP) and _float32(policy) and _vectors(policy)


def _vectors(policy: Policy) -> bool:
    layout = policy.layout
    return layout.vector_size + layout.choices == layout.dim and not layout.bytes


def _float32(policy: Policy) -> bool:
    return all(p.dtype == torch.float32 and p.device.type == "cpu" for p in policy.parameters())


def _known(policy: Policy) -> bool:
    """Whether its actions are of a kind that the kernels draw, from float32 numbers on a CPU."""
    its = policy.distribution
    known = isinstance(its, Categorical) or (isinstance(its, Normal) and its.std == "parameter" and its.low is None)
    return known and _float32(policy)


class _Remembering(Sampler):
    """Acts with an agent's memory, which it keeps row by row; what stands above the memory is compiled where it can."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent.policy)
        self.agent = agent
        net = agent.policy.net
        head = net.head if isinstance(net, Headed) and isinstance(net.head, MLP) and _known(agent.policy) else None
        self._head = None if head is None else Compiled(agent.policy, head)
        self.begin(0)

    def begin(self, n: int) -> None:
        self._state = torch.zeros(n, self.agent.remembers, device=self.device)

    @property
    def memory(self) -> NDArray[np.float32]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._state.cpu().numpy()

    @torch.no_grad()
    def parameters(self, obs: NDArray[Any]) -> Parameters:
        p, _, self._state = self.agent.step(torch.from_numpy(obs).to(self.device), self._state)
        return p

    @torch.no_grad()
    def __call__(self, obs: NDArray[Any], generator: np.random.Generator) -> Acted:
        rows, policy = torch.from_numpy(obs).to(self.device), self.policy
        features, self._state = self.agent.remember(rows, self._state)
        if self._head is not None:
            allowed = policy.layout.allowed(rows)
            seen = features[0] if allowed is None else torch.cat([features[0], allowed.float()], -1)
            return self._head(seen.contiguous().numpy(), generator)
        p, distribution = policy.parameters_from(policy.output_of(features[0]), rows), policy.distribution
        action = distribution.sample(p, generator)
        return action.cpu().numpy(), distribution.logp(p, action).cpu().numpy()

    def forget(self, rows: NDArray[np.bool_]) -> None:
        self._state = torch.where(torch.from_numpy(rows).to(self.device)[:, None], 0.0, self._state)


class Exploring(Sampler):
    """Acts by an agent's action values as `behaviour` has it, with its memory and new noise in its noisy layers.

    Args:
        agent: whose values they are.
        behaviour: what draws actions.
    """

    def __init__(self, agent: Agent, behaviour: Behaviour) -> None:
        super().__init__(agent.policy)
        self._plain = _Remembering(agent) if agent.remembers else Sampler(agent.policy)
        self._behaviour, self._values, self._noisy = behaviour, greedy_of(agent.policy), noisy_layers(agent.policy)
        self.begin, self.forget = self._plain.begin, self._plain.forget
        known = runs(agent.policy) and self._values.head != "c51" and not agent.policy.layout.choices
        greedy = behaviour if known and isinstance(behaviour, EpsilonGreedy) else None
        self._compiled = None if greedy is None else CompiledGreedy(agent.policy, greedy)

    @property
    def memory(self) -> NDArray[np.float32] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._plain.memory

    def whole(self) -> Compiled | None:
        return self._compiled

    def __call__(self, obs: NDArray[Any], generator: np.random.Generator) -> Acted:
        if self._compiled is not None:
            return self._compiled(obs, generator)
        with noised(self._noisy, generator):
            return self._behaviour.act(self._values, self._plain.parameters(obs), generator)


class Compiled(Sampler):
    """Calls the acting kernel on the memory of a policy's parameters and normaliser.

    Args:
        policy: one that `compiles`; or of another the `head`, a perceptron that takes features in place of vectors.

    Attributes:
        kernel: `act_normal` where the policy is `normal`, else `act_categorical`.
        moments: mean, variance and bound of the normaliser.
        shape: of one action.
        bounds: the lower one, and how far the upper one is from it, between which actions in [-1, 1] are stretched; 0
            and 0 where the environment takes them as they are.
    """

    bounds = np.float32(0.0), np.float32(0.0)

    def __init__(self, policy: Policy, head: MLP | None = None) -> None:
        from operant.control import kernels

        super().__init__(policy)
        net, normalizer = (policy.net, policy.normalizer) if head is None else (head, None)
        assert isinstance(net, MLP)
        own = [] if policy.log_std is None else [policy.log_std]
        self._parameters = [*own, *net.parameters()]
        layers: list[Any] = list(net.layers)
        self._kernels: Any = kernels
        self.normal = isinstance(policy.distribution, Normal)
        self.kernel = kernels.act_normal if self.normal else kernels.act_categorical
        self._sizes = np.array([layers[0].in_features, *(layer.out_features for layer in layers)], np.int64)
        self._inputs, self._choices = layers[0].in_features, policy.layout.choices
        self.shape: tuple[int, ...] = (int(self._sizes[-1]),) if self.normal else ()
        self.choices = int(self._sizes[-1])
        self._relu = net.activation == "relu"
        none, bound = np.empty(0), np.float32(np.inf if normalizer is None else normalizer.clip)
        mean, var = (none, none) if normalizer is None else (normalizer.mean.numpy(), normalizer.var.numpy())
        self.moments = (mean, var, bound)
        self._first = self._parameters[0]
        self._at, self._theta = 0, np.empty(0, np.float32)

    def finish(self, action: NDArray[Any]) -> NDArray[Any]:
        return action

    def network(self) -> tuple[NDArray[Any], NDArray[Any], bool]:
        """Weights, widths and whether it is of rectified units, as the kernels take them."""
        if self._first.data_ptr() != self._at:  # the parameters moved, as into the memory of an optimiser
            self._theta = side_by_side(self._parameters).numpy()
            self._at = self._first.data_ptr()
        return self._theta, self._sizes, self._relu

    def fits(self, inputs: int, choices: int) -> bool:
        """Whether it sees so many numbers and takes one of so many actions, or with 0 choices one number."""
        outputs = self.shape[0] if self.shape else self.choices
        return (self._inputs, outputs) == (inputs, choices or 1) and bool(self.shape) == (choices == 0)

    def whole(self) -> Compiled | None:
        return self

    def noise(self, generator: np.random.Generator, *rows: int) -> NDArray[np.float32]:
        """What so many decisions need; for several steps at once what they need one after the other."""
        shape = (*rows, *self.shape)
        return generator.standard_normal(shape, np.float32) if self.normal else generator.random(shape, np.float32)

    def __call__(self, obs: NDArray[Any], generator: np.random.Generator) -> Acted:
        if obs.ndim != 2 or obs.shape[1] != self._inputs + self._choices:  # the kernel would read beyond
            expected = self._inputs + self._choices
            raise ConfigError(f"observations have shape {list(obs.shape)}: expected [N, {expected}].")
        return self.kernel(*self.network(), obs, *self.moments, self.noise(generator, len(obs)))


class CompiledGreedy(Compiled):
    """The largest action value, or with a share ε any action, all alike.

    Args:
        policy: a perceptron of values, or of quantiles.
        behaviour: has ε.
    """

    def __init__(self, policy: Policy, behaviour: EpsilonGreedy) -> None:
        super().__init__(policy)
        self._behaviour, its = behaviour, greedy_of(policy)
        self.kernel, self.choices, self._atoms = self._kernels.act_greedy, its.n, its.atoms

    def noise(self, generator: np.random.Generator, *rows: int) -> NDArray[np.float32]:
        drawn, rate = generator.random((*rows[:-1], 2, rows[-1])), self._behaviour.rate
        noise = np.full((*rows, 3), (-1.0, rate, self._atoms), np.float32)
        if rate > 0.0 and (chance := drawn[..., 0, :] < rate).any():
            noise[chance, 0] = (drawn[..., 1, :][chance] * self.choices).astype(np.int64)
        return noise
