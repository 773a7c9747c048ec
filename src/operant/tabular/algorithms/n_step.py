# pyright: basic
"""n-step control: SARSA, tree backup, and Q(σ), of which they are the two ends.

The target of a pair, from the horizon h = min(t + n, T) backwards (π is the target policy):

    G_{t:h} = r_{t+1} + γ [σ G_{t+1:h} + (1 - σ) (Σ_a π(a|s_{t+1}) q(s_{t+1}, a)
                                                  + π(a_{t+1}|s_{t+1}) (G_{t+1:h} - q(s_{t+1}, a_{t+1})))]

with G_{h:h} = q(s_h, a_h), and the fixed value of the terminal state instead of the bracket where the episode ended.
σ = 1 is n-step SARSA, σ = 0 is n-step tree backup, and both with n = 1 are SARSA and expected SARSA. Source: De Asis et
al. (2018), Multi-step reinforcement learning: a unifying algorithm; Sutton and Barto (2018), sections 7.2, 7.5, 7.6.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np

from operant.mdp.analyse.sampler import compiled, part
from operant.mdp.model import MDP
from operant.tabular.action_values import (
    MEMORIES,
    Table,
    best_value,
    choose,
    epsilon_of,
    run,
    soft_probability,
    soft_value,
    update,
)
from operant.tabular.keywords import Stepping, keywords
from operant.tabular.learning import Learning
from operant.tabular.rules import RULES, Rules


class NStep(NamedTuple):
    """Q(σ) over n steps."""

    table: Table
    n: int
    sigma: float
    target_epsilon: float  # the target policy is ε-greedy with this; NaN: with the ε that acts
    time: Any  # [1]    steps of this episode
    states: Any  # [n+1]  a ring of the last n+1 states, rows and rewards
    rows: Any  # [n+1]
    rewards: Any  # [n+1]


@compiled
def begin_n_step(memory, state):
    """Choose; the ring is empty."""
    row = choose(memory.table, memory.table.q, state)
    memory.time[0] = 0
    memory.states[0], memory.rows[0] = state, row
    return row


@part
def sigma_target(memory, first, horizon, ended, terminal_value):
    """G of the pair at time `first`, for the horizon behind it."""
    table, size = memory.table, memory.n + 1
    total = terminal_value
    if not ended:
        total = table.q[memory.rows[horizon % size]]
    for k in range(horizon - 1, first - 1, -1):
        if k == horizon - 1 and ended:
            mixed = total
        else:
            state, row = memory.states[(k + 1) % size], memory.rows[(k + 1) % size]
            epsilon = epsilon_of(table, state) if np.isnan(memory.target_epsilon) else memory.target_epsilon
            tree = 0.0
            if memory.sigma < 1.0:
                probability = soft_probability(table.q, table.pointer, state, epsilon, row)
                mean = soft_value(table.q, table.pointer, state, epsilon)
                tree = mean + probability * (total - table.q[row])
            mixed = memory.sigma * total + (1.0 - memory.sigma) * tree
        total = memory.rewards[k % size] + table.discount * mixed
    return total


@compiled
def observe_n_step(memory, state, row, reward, next_state, terminated, truncated):
    """Choose, then learn about the pair n steps back; at the end about all that are left."""
    table, size, time = memory.table, memory.n + 1, memory.time[0]
    memory.rewards[time % size] = reward
    chosen = np.int64(-1)
    if not terminated:
        chosen = choose(table, table.q, next_state)
        memory.states[(time + 1) % size], memory.rows[(time + 1) % size] = next_state, chosen
    terminal_value = table.terminal_value[next_state] if terminated else 0.0
    first = time + 1 - memory.n
    for start in range(max(first, 0), time + 1 if terminated or truncated else first + 1):
        target = sigma_target(memory, start, time + 1, terminated, terminal_value)
        table.error[0] = update(table, table.q, memory.rows[start % size], target)
    table.clock[0] += 1
    memory.time[0] = time + 1
    return -1 if terminated or truncated else chosen


def _n_step(table: Table, n: int, sigma: float, target_epsilon: float | None = None) -> NStep:
    target = np.nan if target_epsilon is None else target_epsilon
    ring = np.zeros(n + 1, dtype=np.int64)
    return NStep(table, n, sigma, target, np.zeros(1, dtype=np.int64), ring, ring.copy(), np.zeros(n + 1))


RULES[NStep] = Rules(begin_n_step, observe_n_step, best_value)
MEMORIES.update(
    {
        "n-step-sarsa": lambda table, cfg: _n_step(table, cfg.n, 1.0),
        "tree-backup": lambda table, cfg: _n_step(table, cfg.n, 0.0, cfg.target_epsilon),
        "q-sigma": lambda table, cfg: _n_step(table, cfg.n, cfg.sigma),
    }
)


class NSteps(Stepping):
    """Over n steps."""

    n: int


class TreeBackup(NSteps, total=False):
    """Over n steps, about another policy than the one that acts."""

    target_epsilon: float | None


class QSigma(NSteps):
    """Over n steps, sampled in part."""

    sigma: float


@keywords()
def n_step_sarsa(mdp: MDP, **given: Unpack[NSteps]) -> Learning:
    """n-step SARSA; n = 1 is SARSA. Errors as `q_learning`. Source: Sutton and Barto (2018), section 7.2."""
    return run("n-step-sarsa", mdp, given)


@keywords()
def tree_backup(mdp: MDP, **given: Unpack[TreeBackup]) -> Learning:
    """n-step tree backup; n = 1 is expected SARSA.

    With `target_epsilon` it learns about the policy that is ε-greedy with this, 0 for the greedy one, whatever acts.

    Errors as `q_learning`. Source: Precup, Sutton and Singh (2000); Sutton and Barto (2018), section 7.5.
    """
    return run("tree-backup", mdp, given)


@keywords()
def q_sigma(mdp: MDP, **given: Unpack[QSigma]) -> Learning:
    """n-step Q(σ); σ = 1 is n-step SARSA, σ = 0 is tree backup. Errors as `q_learning`.

    Source: De Asis et al. (2018); Sutton and Barto (2018), section 7.6.
    """
    return run("q-sigma", mdp, given)
