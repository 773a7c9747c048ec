"""Every trajectory of a small model with its probability: what an estimator's expectation is taken over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Paths:
    """N trajectories of T steps; what was not acted holds NaN, so that an estimator that reads it is caught."""

    mdp: object
    probability: torch.Tensor  # [N]
    obs: torch.Tensor  # [N, T+1] states
    row: torch.Tensor  # [N, T]  rows of the model, 0 where not acted
    reward: torch.Tensor  # [N, T]
    terminated: torch.Tensor  # [N, T] bool
    truncated: torch.Tensor  # [N, T] bool
    acted: torch.Tensor  # [N, T] bool

    @property
    def masks(self):
        return self.terminated, self.truncated, self.acted

    def at_rows(self, table):
        """[N, T]: a table [L], or [T, L], read at each step."""
        table = torch.as_tensor(table)
        steps = torch.arange(self.row.shape[1]).expand_as(self.row)
        return table[self.row] if table.ndim == 1 else table[steps, self.row]

    def at_states(self, table, blank=torch.nan):
        """[N, T+1]: a table [S], or [T+1, S], read at each state; `blank` in terminal states and in what follows."""
        table = torch.as_tensor(table)
        found = (
            table[self.obs] if table.ndim == 1 else table[torch.arange(self.obs.shape[1]).expand_as(self.obs), self.obs]
        )
        return torch.where(torch.as_tensor(self.mdp.rows.terminal)[self.obs], blank, found)

    def mean_by_row(self, x):
        """[T, L]: E[x_t | s_t, a_t], NaN where a row is never taken."""
        T, L = x.shape[1], self.mdp.num_rows
        total, weight = torch.zeros(T, L, dtype=x.dtype), torch.zeros(T, L, dtype=x.dtype)
        for t in range(T):
            on = self.acted[:, t]
            total[t].index_add_(0, self.row[on, t], self.probability[on] * x[on, t])
            weight[t].index_add_(0, self.row[on, t], self.probability[on])
        return (total / weight).numpy()

    def mean_by_state(self, x):
        """[T, S]: E[x_t | s_t], NaN where a state is never visited or terminal."""
        T, S = x.shape[1], self.mdp.num_states
        total, weight = torch.zeros(T, S, dtype=x.dtype), torch.zeros(T, S, dtype=x.dtype)
        for t in range(T):
            on = self.acted[:, t]
            total[t].index_add_(0, self.obs[on, t], self.probability[on] * x[on, t])
            weight[t].index_add_(0, self.obs[on, t], self.probability[on])
        return (total / weight).numpy()


def enumerate_paths(mdp, policy, steps, *, cut):
    """All paths of `steps` decisions of a policy [L] from the model's start; `cut` says how the last one ends:
    "truncated" (we stopped looking) or "terminated" (the horizon is part of the task)."""
    rows = mdp.rows
    indptr, pointer = rows.indptr.astype(int), rows.pointer.astype(int)
    outcome = rows.outcome_reward
    found = [(p, [s], [], [], False) for s, p in enumerate(mdp.start) if p > 0 and not rows.terminal[s]]
    for _ in range(steps):
        longer = []
        for p, states, taken, paid, ended in found:
            if ended:
                longer.append((p, states, taken, paid, True))
                continue
            s = states[-1]
            for row in range(pointer[s], pointer[s + 1]):
                if policy[row] == 0:
                    continue
                for k in range(indptr[row], indptr[row + 1]):
                    to = int(rows.indices[k])
                    r = rows.reward[row] if outcome is None else outcome[k]
                    chance = p * policy[row] * rows.data[k]
                    longer.append((chance, [*states, to], [*taken, row], [*paid, r], bool(rows.terminal[to])))
        found = longer
    N = len(found)
    obs, row = np.zeros((N, steps + 1), dtype=int), np.zeros((N, steps), dtype=int)
    reward = np.full((N, steps), np.nan)
    terminated, truncated, acted = (np.zeros((N, steps), dtype=bool) for _ in range(3))
    for i, (_, states, taken, paid, ended) in enumerate(found):
        n = len(taken)
        obs[i, : n + 1], obs[i, n + 1 :] = states, states[-1]
        row[i, :n], reward[i, :n], acted[i, :n] = taken, paid, True
        terminated[i, n - 1] = ended or cut == "terminated"
        truncated[i, n - 1] = not terminated[i, n - 1]
    tensors = map(torch.from_numpy, (np.array([p for p, *_ in found]), obs, row, reward, terminated, truncated, acted))
    return Paths(mdp, *tensors)
