# pyright: basic
"""Rules of multi-armed bandits: upper confidence bounds, gradient bandits, Thompson sampling.

A bandit is a model of one state whose episode goes on; an arm is a row. ε-greedy, with averages, constant steps or
optimistic values, is Q-learning with γ = 0 (`one_step.py`).

Source: Sutton and Barto (2018), chapter 2; Thompson (1933).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from operant.mdp.analyse.sampler import compiled, normal, part, uniform
from operant.tabular.action_values import Table, best_value, greedy, next_step_size, update_now
from operant.tabular.rules import RULES, Rules, begin, evaluate, observe


class UpperConfidence(NamedTuple):
    """argmax q(a) + c √(ln t / N(a)), arms not tried yet first (Auer, Cesa-Bianchi and Fischer 2002)."""

    table: Table
    c: float
    bound: Any  # [L]


@compiled
def begin_upper_confidence(memory, state):
    """The arm of largest bound."""
    table = memory.table
    time = table.clock[0] + 1
    for row in range(table.pointer[state], table.pointer[state + 1]):
        tried = table.pair_visits[row]
        memory.bound[row] = table.q[row] + memory.c * np.sqrt(np.log(time) / tried) if tried > 0 else np.inf
    return greedy(memory.bound, table.pointer, state, table.random)


@compiled
def observe_upper_confidence(memory, state, row, reward, next_state, terminated, truncated):
    """Move the arm's value; choose."""
    update_now(memory.table, memory.table.q, row, reward)
    return np.int64(-1) if terminated or truncated else np.int64(begin_upper_confidence(memory, next_state))


class GradientBandit(NamedTuple):
    """π = softmax(H); H(a) += α (r - b) (1{a = A} - π(a)), with the baseline b moving towards the rewards.

    `table.q` holds the preferences H. A baseline step of 0 keeps b at 0: no baseline.
    """

    table: Table
    baseline: Any  # [1]
    tried: Any  # [1]    rewards in the baseline
    rate: Any  # [4]    schedule of the baseline's steps
    policy: Any  # [L]


@compiled
def begin_gradient(memory, state):
    """Draw an arm of the softmax, which is kept for the update."""
    table = memory.table
    first, last = table.pointer[state], table.pointer[state + 1]
    top, total = -np.inf, 0.0
    for row in range(first, last):
        top = max(top, table.q[row])
    for row in range(first, last):
        memory.policy[row] = np.exp(table.q[row] - top)
        total += memory.policy[row]
    u, chosen = uniform(table.random), last - 1
    for row in range(first, last):
        memory.policy[row] /= total
        if u >= 0.0 and u < memory.policy[row]:
            chosen = row
        u -= memory.policy[row]
    return chosen


@compiled
def observe_gradient(memory, state, row, reward, next_state, terminated, truncated):
    """Move the baseline, then the preferences; choose."""
    table = memory.table
    memory.baseline[0] += evaluate(memory.rate, table.clock[0], memory.tried[0]) * (reward - memory.baseline[0])
    memory.tried[0] += 1
    table.error[0] = reward - memory.baseline[0]
    step = next_step_size(table, row) * table.error[0]
    for other in range(table.pointer[state], table.pointer[state + 1]):
        table.q[other] += step * ((1.0 if other == row else 0.0) - memory.policy[other])
    table.clock[0] += 1
    return np.int64(-1) if terminated or truncated else np.int64(begin_gradient(memory, next_state))


class GaussianThompson(NamedTuple):
    """The arm whose mean, drawn from its posterior N(μ, 1/τ), is largest; rewards have variance 1, prior N(0, v).

    `table.q` holds the posterior means.
    """

    table: Table
    precision: Any  # [L]  τ, 1/v at first
    draw: Any  # [L]


@compiled
def begin_gaussian_thompson(memory, state):
    """Draw a mean for each arm."""
    table = memory.table
    for row in range(table.pointer[state], table.pointer[state + 1]):
        memory.draw[row] = table.q[row] + normal(table.random) / np.sqrt(memory.precision[row])
    return greedy(memory.draw, table.pointer, state, table.random)


@compiled
def observe_gaussian_thompson(memory, state, row, reward, next_state, terminated, truncated):
    """The posterior after a reward; choose."""
    table = memory.table
    memory.precision[row] += 1.0
    table.error[0] = reward - table.q[row]
    table.q[row] += table.error[0] / memory.precision[row]
    table.pair_visits[row] += 1
    table.clock[0] += 1
    return np.int64(-1) if terminated or truncated else np.int64(begin_gaussian_thompson(memory, next_state))


class BernoulliThompson(NamedTuple):
    """The arm whose probability, drawn from its posterior Beta(1 + successes, 1 + failures), is largest.

    `table.q` holds the posterior means.
    """

    table: Table
    successes: Any  # [L]
    failures: Any  # [L]
    draw: Any  # [L]


@part
def gamma(g, shape):
    """A Gamma(shape, 1) number for shape ≥ 1 (Marsaglia and Tsang 2000)."""
    d = shape - 1.0 / 3.0
    c = 1.0 / np.sqrt(9.0 * d)
    while True:
        x = normal(g)
        v = (1.0 + c * x) ** 3
        if v > 0.0 and np.log(1.0 - uniform(g)) < 0.5 * x * x + d - d * v + d * np.log(v):
            return d * v


@compiled
def begin_bernoulli_thompson(memory, state):
    """Draw a probability for each arm."""
    table = memory.table
    for row in range(table.pointer[state], table.pointer[state + 1]):
        a = gamma(table.random, 1.0 + memory.successes[row])
        memory.draw[row] = a / (a + gamma(table.random, 1.0 + memory.failures[row]))
    return greedy(memory.draw, table.pointer, state, table.random)


@compiled
def observe_bernoulli_thompson(memory, state, row, reward, next_state, terminated, truncated):
    """The posterior after a reward; choose."""
    table = memory.table
    memory.successes[row] += reward
    memory.failures[row] += 1.0 - reward
    table.error[0] = reward - table.q[row]
    table.q[row] = (1.0 + memory.successes[row]) / (2.0 + memory.successes[row] + memory.failures[row])
    table.pair_visits[row] += 1
    table.clock[0] += 1
    return np.int64(-1) if terminated or truncated else np.int64(begin_bernoulli_thompson(memory, next_state))


RULES[UpperConfidence] = Rules(begin_upper_confidence, observe_upper_confidence, best_value)
RULES[GradientBandit] = Rules(begin_gradient, observe_gradient, best_value)
RULES[GaussianThompson] = Rules(begin_gaussian_thompson, observe_gaussian_thompson, best_value)
RULES[BernoulliThompson] = Rules(begin_bernoulli_thompson, observe_bernoulli_thompson, best_value)


@compiled
def pull(memory, means, bernoulli, g, rewards, arms):
    """Play until `rewards` is full: an arm pays N(mean, 1), or 1 with probability `mean`."""
    arm = begin(memory, 0)
    for t in range(len(rewards)):
        if bernoulli:
            rewards[t] = 1.0 if uniform(g) < means[arm] else 0.0
        else:
            rewards[t] = means[arm] + normal(g)
        arms[t] = arm
        arm = observe(memory, 0, arm, rewards[t], 0, False, False)
