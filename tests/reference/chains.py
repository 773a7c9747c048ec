"""Small Markov decision processes in exact rational arithmetic, trying every deterministic policy. Slow and plain."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.sparse as sp

from operant.mdp import MDP

Vector = list[Fraction]
INF = float("inf")


@dataclass
class Model:
    """P[s][a][t], r[s][a] with s < n; states from n on are terminal, worth `ends`. Rows may sum to less than one."""

    P: list[list[Vector]]
    r: list[Vector]
    ends: Vector

    @property
    def n(self) -> int:
        """States that are not terminal."""
        return len(self.P)

    def mdp(self, criterion: str) -> MDP:
        """The same in floating point."""
        n, size = self.n, self.n + len(self.ends)
        pairs = [(s, a) for s in range(n) for a in range(len(self.P[s]))]
        matrix = np.array([[float(p) for p in self.P[s][a]] for s, a in pairs])
        return MDP(
            sp.csr_array(matrix),
            np.array([float(self.r[s][a]) for s, a in pairs]),
            1.0,
            pairs=([s for s, _ in pairs], [a for _, a in pairs]),
            terminal={n + i: float(v) for i, v in enumerate(self.ends)},
            criterion=criterion,  # pyright: ignore
            leak=bool((matrix.sum(1) < 0.99).any()),
            states=[f"s{i}" for i in range(size)],
        )

    def policies(self):
        """Every deterministic policy, one action for each state."""
        yield from itertools.product(*(range(len(self.P[s])) for s in range(self.n)))

    def chain(self, policy) -> tuple[list[Vector], Vector]:
        """P[s][t] and r[s] of a policy, over all states, what is missing as a last state."""
        size = self.n + len(self.ends) + 1
        P = [[*self.P[s][a], 1 - sum(self.P[s][a])] for s, a in enumerate(policy)]
        P += [[Fraction(int(t == s)) for t in range(size)] for s in range(self.n, size)]
        return P, [self.r[s][a] for s, a in enumerate(policy)] + [Fraction(0)] * (size - self.n)


def solve(A: list[Vector], b: Vector) -> Vector:
    """A x = b by Gauss–Jordan elimination."""
    n, M = len(b), [[*row, y] for row, y in zip(A, b, strict=True)]
    for i in range(n):
        pivot = next(j for j in range(i, n) if M[j][i] != 0)
        M[i], M[pivot] = M[pivot], M[i]
        M[i] = [x / M[i][i] for x in M[i]]
        for j in range(n):
            if j != i and M[j][i] != 0:
                M[j] = [x - M[j][i] * y for x, y in zip(M[j], M[i], strict=True)]
    return [row[-1] for row in M]


def classes(P: list[Vector]) -> list[list[int]]:
    """The recurrent classes of a chain."""
    n = len(P)
    reach = [[i == j or P[i][j] > 0 for j in range(n)] for i in range(n)]
    for k, i, j in itertools.product(range(n), repeat=3):
        reach[i][j] = reach[i][j] or (reach[i][k] and reach[k][j])
    found = []
    for i in range(n):
        mine = [j for j in range(n) if reach[i][j]]
        if all(reach[j][i] for j in mine) and mine[0] == i:
            found.append(mine)
    return found


def stationary(P: list[Vector], states: list[int]) -> Vector:
    """The stationary distribution of a recurrent class."""
    k = len(states)
    A = [[P[j][i] - (i == j) for j in states] for i in states]
    A[-1] = [Fraction(1)] * k
    return solve(A, [Fraction(0)] * (k - 1) + [Fraction(1)])


def absorbed(P: list[Vector], r: Vector, fixed: dict[int, Fraction]) -> Vector:
    """v = r + P v on the states that are not in `fixed`."""
    inner = [s for s in range(len(P)) if s not in fixed]
    x = solve(
        [[Fraction(int(s == t)) - P[s][t] for t in inner] for s in inner],
        [r[s] + sum(P[s][t] * v for t, v in fixed.items()) for s in inner],
    )
    v = [Fraction(0)] * len(P)
    for s, y in [*zip(inner, x, strict=True), *fixed.items()]:
        v[s] = y
    return v


def total(model: Model, policy) -> list[Fraction | float | None]:
    """The total reward of a policy from each state: a number, ±inf, or None where the expectation does not exist."""
    P, r = model.chain(policy)
    fixed, fate = {}, {}
    for states in classes(P):
        if states[0] >= model.n:
            worth = model.ends[states[0] - model.n] if states[0] < model.n + len(model.ends) else Fraction(0)
            fixed[states[0]] = worth
            continue
        gain = sum(p * r[s] for p, s in zip(stationary(P, states), states, strict=True))
        for s in states:
            fixed[s] = Fraction(0)
            fate[s] = "+" if gain > 0 else "-" if gain < 0 else "0" if all(r[t] == 0 for t in states) else "?"
    v = absorbed(P, r, fixed)
    out: list[Fraction | float | None] = []
    for s in range(model.n):
        seen, queue = {s}, [s]
        while queue:
            for t in range(len(P)):
                if P[queue[0]][t] > 0 and t not in seen:
                    seen.add(t)
                    queue.append(t)
            queue.pop(0)
        met = {fate[t] for t in seen if t in fate} - {"0"}
        out.append(v[s] if not met else None if "?" in met or len(met) == 2 else INF if "+" in met else -INF)
    return out


def ends_surely(model: Model, policy) -> list[bool]:
    """Whether a policy terminates almost surely from each state."""
    P, _ = model.chain(policy)
    fixed = {s: Fraction(int(states[0] >= model.n)) for states in classes(P) for s in states}
    return [v == 1 for v in absorbed(P, [Fraction(0)] * len(P), fixed)[: model.n]]


def gain(model: Model, policy) -> Vector:
    """The average reward of a policy from each state."""
    P, r = model.chain(policy)
    fixed = {}
    for states in classes(P):
        g = sum((p * r[s] for p, s in zip(stationary(P, states), states, strict=True)), Fraction(0))
        fixed |= dict.fromkeys(states, g)
    return absorbed(P, [Fraction(0)] * len(P), fixed)[: model.n]


def random_model(
    rng: np.random.Generator,
    states: int,
    rewards: list[int],
    *,
    ends: int = 1,
    leak: float = 0.0,
    most_actions: int = 3,
) -> Model:
    """One to three successors for each action, probabilities of small denominators; end components are common."""
    size = states + ends
    P: list[list[Vector]] = []
    r: list[Vector] = []
    for _ in range(states):
        P.append([])
        r.append([])
        for _ in range(int(rng.integers(1, most_actions + 1))):
            row = [Fraction(0)] * size
            at = rng.choice(size, size=min(size, int(rng.integers(1, 4))), replace=False)
            weights = [Fraction(int(w)) for w in rng.integers(1, 4, size=len(at))]
            for t, w in zip(at, weights, strict=True):
                row[int(t)] = w / sum(weights)
            if rng.random() < leak:
                row = [p / 2 for p in row]
            P[-1].append(row)
            r[-1].append(Fraction(int(rng.choice(rewards)), int(rng.integers(1, 4))))
    return Model(P, r, [Fraction(int(x)) for x in rng.integers(-3, 4, size=ends)])
