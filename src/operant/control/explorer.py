"""Acting for a replay: a policy with noise on its actions, or actions drawn evenly while nothing is learnt yet."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from operant.control.acting import Acted, Compiled, Sampler, runs, sampler
from operant.control.action_values import even_choice
from operant.control.agent import Agent
from operant.control.composite import Composite, composed
from operant.control.distributions import Categorical, Normal, Parameters
from operant.control.policies import Policy
from operant.math.logprob import categorical_entropy, composite_logp


class Noise(Protocol):
    """What is added to actions in [-1, 1]."""

    def begin(self, n: int) -> None:
        """Act in N environments that are new."""
        ...

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Episodes begin in the rows where `rows` [N] is True."""
        ...

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
        """The next noise, [N, A]."""
        ...


class Gaussian:
    """σ ε with ε from N(0, I), each step's its own (Fujimoto et al. 2018)."""

    def __init__(self, std: float) -> None:
        self._std = np.float32(std)

    def begin(self, n: int) -> None:
        """Nothing is remembered."""

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Nothing is remembered."""

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
        return self._std * generator.standard_normal(shape, np.float32)


class OrnsteinUhlenbeck:
    """x ← (1 − θ) x + σ ε, from 0 in each episode: noise that goes the same way for a while (Lillicrap et al. 2016).

    Its own deviation is σ / √(1 − (1 − θ)²), with θ = 0.15 about 1.9 σ.
    """

    def __init__(self, std: float, theta: float) -> None:
        self._std, self._theta = np.float32(std), np.float32(theta)
        self._x: NDArray[np.float32] | None = None

    def begin(self, n: int) -> None:
        self._x = None

    def forget(self, rows: NDArray[np.bool_]) -> None:
        if self._x is not None:
            self._x[rows] = 0.0

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
        before = np.zeros(shape, np.float32) if self._x is None else self._x
        noise = self._std * generator.standard_normal(shape, np.float32)
        self._x = after = np.asarray(before - self._theta * before + noise, np.float32)
        return after


def exploring_noise(kind: Literal["none", "gaussian", "ou"], std: float, theta: float) -> Noise | None:
    """The noise of that name; None where there is none."""
    return {"none": None, "gaussian": Gaussian(std), "ou": OrnsteinUhlenbeck(std, theta)}[kind]


class Explorer(Sampler):
    """Draws a policy's actions as a replay keeps them: continuous ones in [-1, 1], before they are stretched to bounds.

    Args:
        agent: whose policy acts; its continuous actions are squashed.
        noise: what is added to them, within [-1, 1]; or None.

    Attributes:
        evenly: whether actions are drawn evenly from all that are allowed, and the policy is not asked.
    """

    evenly = False

    def __init__(self, agent: Agent, noise: Noise | None = None) -> None:
        super().__init__(agent.policy)
        self._acts, self._noise = sampler(agent.policy, agent), noise
        self._normal = agent.policy.distribution if isinstance(agent.policy.distribution, Normal) else None
        self._parts = agent.policy.distribution if isinstance(agent.policy.distribution, Composite) else None
        known = self._normal is not None and (noise is None or isinstance(noise, Gaussian)) and not agent.remembers
        self._compiled = CompiledSquashed(agent.policy, noise) if known and runs(agent.policy) else None

    @property
    def memory(self) -> NDArray[np.float32] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._acts.memory

    def __call__(self, obs: NDArray[Any], generator: np.random.Generator) -> Acted:
        if self.evenly and self.memory is None:
            return self._even(obs, generator)
        if self._compiled is not None:
            return self._compiled(obs, generator)
        action, logp = self._acts(obs, generator)
        if self.evenly:  # what was seen is remembered all the same
            return self._even(obs, generator)
        if self._parts is not None:
            return self._parts.squashed(torch.from_numpy(action)).numpy(), logp
        if self._normal is None:
            return action, logp
        unit = np.tanh(action)
        if self._noise is not None:
            unit = np.clip(unit + self._noise(unit.shape, generator), -1.0, 1.0, dtype=np.float32)
        return unit, logp

    def whole(self) -> Compiled | None:
        return None if self.evenly else self._acts.whole() if self._normal is None else self._compiled

    def finish(self, action: NDArray[Any]) -> NDArray[Any]:
        its = self._normal or self._parts
        return action if its is None else its.scaled(torch.from_numpy(action)).numpy()

    def begin(self, n: int) -> None:
        self._acts.begin(n)
        if self._noise is not None:
            self._noise.begin(n)

    def forget(self, rows: NDArray[np.bool_]) -> None:
        self._acts.forget(rows)
        if self._noise is not None:
            self._noise.forget(rows)

    def _even(self, obs: NDArray[Any], generator: np.random.Generator) -> Acted:
        """Actions [N, ...], and their log-probabilities [N]: log-densities in [-1, 1]."""
        n, its = len(obs), self.policy.distribution
        if self._normal is not None:
            unit = generator.uniform(-1.0, 1.0, (n, its.columns)).astype(np.float32)
            return unit, np.full(n, -its.columns * np.log(2.0), np.float32)
        allowed = self.policy.layout.allowed(torch.from_numpy(obs))
        if not isinstance(its, Categorical):
            return self._even_parts(Parameters(torch.zeros(n, its.outputs), None, allowed), generator)
        open_to = np.ones((n, its.choices), np.bool_) if allowed is None else allowed.numpy()
        action, many = even_choice(open_to, generator.random(n))
        return action, -np.log(many).astype(np.float32)

    def _even_parts(self, even: Parameters, generator: np.random.Generator) -> Acted:
        """The same of several parts, for logits that are all 0."""
        its = composed(self.policy.distribution)
        action = self.policy.distribution.sample(even, generator)
        if self._parts is not None:
            action = its.changed(action, lambda _, u: torch.from_numpy(generator.uniform(-1, 1, u.shape)).float())
        logp = -composite_logp([categorical_entropy(x) for x in its.choices_of(even)] or [torch.zeros(len(action))])
        return action.numpy(), logp.numpy() - np.float32(its.numbers * np.log(2.0))


class CompiledSquashed(Compiled):
    """Actions in [-1, 1] of a perceptron: squashed, drawn where it gives deviations, and with noise on them.

    Args:
        policy: of a normal distribution that is squashed.
        noise: what is added, each step's its own; or None.
    """

    def __init__(self, policy: Policy, noise: Noise | None) -> None:
        super().__init__(policy)
        its = policy.distribution
        assert isinstance(its, Normal)
        self._its, self._noise, self.kernel, self.shape = its, noise, self._kernels.act_squashed, (its.columns,)
        if its.low is not None and its.high is not None:
            self.bounds = np.float32(its.low[0]), np.float32(its.high[0] - its.low[0])

    def finish(self, action: NDArray[Any]) -> NDArray[Any]:
        return self._its.scaled(torch.from_numpy(action)).numpy()

    def noise(self, generator: np.random.Generator, *rows: int) -> NDArray[np.float32]:
        count, shape = self._its.columns, (*rows, self._its.columns)
        noise = np.zeros((*rows, 2 * count + 1), np.float32)
        if self._its.outputs > count:
            noise[..., :count] = generator.standard_normal(shape, np.float32)
        if self._noise is not None:
            noise[..., count : 2 * count] = self._noise(shape, generator)
        noise[..., -1] = self._its.log_std_init
        return noise
