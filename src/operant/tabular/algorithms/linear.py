# pyright: basic
"""Linear values over binary features: semi-gradient TD(λ) for prediction, SARSA(λ) and Q(λ) for control.

A state is the list of the features that are 1 (one tile of each grid, or the group of an aggregation); its value is the
sum of their weights, and the gradient is 1 for each. The step size is shared by the K active features: each moves by
α / K of the error, so that α = 1 goes all the way. Schedules count all steps, not those of a state: where states share
weights, steps that differ between states change the weighting, and with it the point to which TD converges.

Source: Sutton and Barto (2018), sections 9.3 to 10.1 and 12.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.config.errors import ConfigError
from operant.data.ranges import finite, index, indices, whole
from operant.mdp.analyse.sampler import below, compiled, part, uniform
from operant.mdp.model import MDP
from operant.tabular.eligibility import Trace, clear, mark, spread, trace_of
from operant.tabular.keywords import Predicting, keywords
from operant.tabular.learning import Floats, Learning
from operant.tabular.resumable import Resumable, arrays_of, seeded
from operant.tabular.rules import RULES, Rules, encode, evaluate
from operant.tabular.settings import Settings
from operant.tabular.state_values import Values, follow, follow_unless, predict
from operant.tabular.tiles import TileCoder


@part
def linear_value(weights, active, base):
    """Σ of the weights of active features, numbered from `base`."""
    total = 0.0
    for k in range(len(active)):
        total += weights[base + active[k]]
    return total


class LinearTD(NamedTuple):
    """δ = r + γ v(s') - v(s); w += α / K δ e, with traces e of the features. `values` holds the policy."""

    values: Values
    weights: Any  # [F]
    active: Any  # [S, K]  features of each state
    trace: Trace


@compiled
def linear_estimate(memory, state):
    """The value of a state."""
    return linear_value(memory.weights, memory.active[state], 0)


@compiled
def begin_linear_td(memory, state):
    """No trace is left of the last episode; follow the policy."""
    clear(memory.trace)
    return follow(memory, state)


@compiled
def observe_linear_td(memory, state, row, reward, next_state, terminated, truncated):
    """Learn from one transition; follow the policy."""
    values, active = memory.values, memory.active[state]
    reached = values.v[next_state] if terminated else linear_estimate(memory, next_state)
    error = reward + values.discount * reached - linear_estimate(memory, state)
    alpha = evaluate(values.step_size, values.clock[0], values.clock[0]) / len(active)
    for k in range(len(active)):
        mark(memory.trace, active[k], alpha)
    spread(memory.trace, memory.weights, alpha * error)
    values.error[0] = error
    values.clock[0] += 1
    return follow_unless(memory, next_state, terminated or truncated)


RULES[LinearTD] = Rules(begin_linear_td, observe_linear_td, linear_estimate)


@keywords(step_size=0.1)
def semi_gradient_td(
    mdp: MDP, policy: ArrayLike, active: ArrayLike, *, lam: float = 0.0, **given: Unpack[Predicting]
) -> Learning:
    """Semi-gradient TD(λ) with linear values over binary features and accumulating traces.

    It converges to the fixed point of the projected TD(λ) operator (Tsitsiklis and Van Roy 1997), not to v.

    Arguments and errors as `td`, and `active`, the features of each state that are 1, [S, K]: one tile per grid, or
    [S, 1] groups of states. Source: Sutton and Barto (2018), sections 9.3 and 12.2.
    """
    features = np.ascontiguousarray(indices("active", active, 2**31))
    if features.ndim != 2 or len(features) != mdp.num_states or not features.size:
        raise ConfigError(f"active has shape {features.shape}: expected features per state, [{mdp.num_states}, K].")
    count = int(features.max(initial=0)) + 1

    def make(values: Values, cfg: Settings) -> LinearTD:
        return LinearTD(values, np.zeros(count), features, trace_of(count, cfg))

    return predict("semi-gradient TD(λ)", make, mdp, policy, {**given, "lam": lam, "traces": "accumulating"})


class LinearSarsa(NamedTuple):
    """δ = r + γ q(s', a') - q(s, a); w += α / K δ e. Feature f of action a has number a F + f.

    Where it is `greedy` max q(s', ·) follows, and traces end with an action that is not the best (Watkins 1989).
    """

    weights: Any  # [A F]
    trace: Trace
    features: int  # F
    actions: int  # A
    action_values: Any  # [A]
    clock: Any  # [1]
    error: Any  # [1]
    random: Any  # [4]
    step_size: Any  # [4]    schedule, by the step
    epsilon: Any  # [4]    schedule, by the step
    discount: float
    greedy: bool


@part
def choose_linear(memory, active):
    """An ε-greedy action, ties broken at random."""
    values = memory.action_values
    best, ties = -np.inf, 0
    for action in range(memory.actions):
        values[action] = linear_value(memory.weights, active, action * memory.features)
        if values[action] > best:
            best, ties = values[action], 1
        elif values[action] == best:
            ties += 1
    epsilon = evaluate(memory.epsilon, memory.clock[0], memory.clock[0])
    if epsilon > 0.0 and uniform(memory.random) < epsilon:
        return below(memory.random, memory.actions)
    skip = below(memory.random, ties) if ties > 1 else np.int64(0)
    for action in range(memory.actions):
        if values[action] == best:
            if skip == 0:
                return np.int64(action)
            skip -= 1
    return np.int64(-1)  # a value is NaN


@compiled
def linear_epsilon(memory):
    """ε as it is now."""
    return evaluate(memory.epsilon, memory.clock[0], memory.clock[0])


@compiled
def begin_linear_sarsa(memory, active):
    """No trace is left of the last episode; choose."""
    clear(memory.trace)
    return choose_linear(memory, active)


@compiled
def observe_linear_sarsa(memory, active, action, reward, next_active, terminated, truncated):
    """Choose, then learn from one transition between the active features of two states."""
    chosen = np.int64(-1) if terminated else choose_linear(memory, next_active)
    reached, explores = 0.0, False
    if not terminated:
        reached = linear_value(memory.weights, next_active, chosen * memory.features)
        if memory.greedy:
            for value in memory.action_values:
                if value > reached:
                    reached, explores = value, True
    base = action * memory.features
    error = reward + memory.discount * reached - linear_value(memory.weights, active, base)
    alpha = evaluate(memory.step_size, memory.clock[0], memory.clock[0]) / len(active)
    for k in range(len(active)):
        mark(memory.trace, base + active[k], alpha)
    spread(memory.trace, memory.weights, alpha * error)
    if explores:
        clear(memory.trace)
    memory.error[0] = error
    memory.clock[0] += 1
    return np.int64(-1) if truncated else chosen


class LinearLearner(Resumable):
    """Semi-gradient SARSA(λ) or Watkins's Q(λ) over the tiles of a box of observations.

    Q-learning with function approximation, bootstrapping and actions of another policy may diverge (Sutton and Barto
    2018, section 11.3); over tiles with a small ε it rarely does.

    Args:
        coder: makes the features.
        actions: A.
        config: discount, step_size (shared by the tilings), epsilon, lam and traces are read; schedules go by the step.
        generator: gives the seed of the choices; not used after that.
        greedy: learn towards max q(s', ·), as Q-learning does, in place of the action taken next.

    Raises:
        ConfigError: if there is no action.
    """

    def __init__(
        self, coder: TileCoder, actions: int, config: Settings, generator: np.random.Generator, *, greedy: bool = False
    ) -> None:
        self.coder, self.actions, self.config = coder, whole("actions", actions), config
        entries = coder.features * self.actions
        self._memory = LinearSarsa(
            weights=np.full(entries, config.initial / coder.tilings),
            trace=trace_of(entries, config),
            features=coder.features,
            actions=self.actions,
            action_values=np.zeros(self.actions),
            clock=np.zeros(1, dtype=np.int64),
            error=np.zeros(1),
            random=seeded(generator),
            step_size=encode(config.step_size),
            epsilon=encode(config.epsilon),
            discount=config.discount,
            greedy=greedy,
        )
        self._chosen = np.array([-1], dtype=np.int64)

    @property
    def weights(self) -> Floats:
        """Weights of the features, [A, F]; a view."""
        return self._memory.weights.reshape(self.actions, self.coder.features)

    def values(self, observation: ArrayLike) -> Floats:
        """q(s, ·), [A]."""
        return self.weights[:, self.coder.active(observation)].sum(axis=1)

    def act(self, observation: ArrayLike) -> int:
        """The action that the last `observe` chose; at the start of an episode a new one."""
        if self._chosen[0] < 0:
            self._chosen[0] = begin_linear_sarsa(self._memory, self.coder.active(observation))
        return int(self._chosen[0])

    def observe(
        self,
        observation: ArrayLike,
        action: int,
        reward: float,
        next_observation: ArrayLike,
        terminated: bool,
        truncated: bool,
    ) -> dict[str, float]:
        """Learn from one transition; returns the `td_error`.

        Raises:
            ConfigError: if there is no such action, or an observation or the reward is not of finite numbers; nothing
                is learned.
        """
        action, reward = index("action", action, self.actions), finite("reward", reward)
        now, then = self.coder.active(observation), self.coder.active(next_observation)
        self._chosen[0] = observe_linear_sarsa(
            self._memory, now, action, reward, then, bool(terminated), bool(truncated)
        )
        return {"td_error": float(self._memory.error[0])}

    def greedy(self, observation: ArrayLike) -> int:
        """The first action of largest value: how to act when not learning."""
        return int(np.argmax(self.values(observation)))

    @property
    def epsilon(self) -> float:
        """ε where the learner stands."""
        return float(linear_epsilon(self._memory))

    def check(self, state: Mapping[str, NDArray[Any]]) -> None:
        entries = self._memory.weights.size
        bounds = {"chosen": (-1, self.actions), "trace.active": (0, entries), "trace.count": (0, entries + 1)}
        for name, (least, beyond) in bounds.items():
            array = state[name]
            if array.size and not least <= array.min() <= array.max() < beyond:
                raise ConfigError(f"the saved {name} holds {array.min()} to {array.max()}, which this learner has not.")

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        yield "chosen", self._chosen
        yield from arrays_of(self._memory)
