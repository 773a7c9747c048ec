"""Sound bounds for total reward: sequences from below and from above that are bounds after every sweep.

The problem here is already analysed (`operant.mdp.bounds.finiteness`): from every state some policy terminates almost
surely, and whoever does not terminate loses without limit. Then v* is the only solution of v = Tv and T^n x → v* from
any bounded x (Bertsekas & Tsitsiklis 1991), so that

- x ≥ Tx proves x ≥ v*, and min(x, Tx) is the next such bound;
- x ≤ T_π x proves that π terminates almost surely (on a recurrent class of π the average reward would have to be ≥ 0)
  and x ≤ v_π ≤ v*; max(x, Tx), with π following where x rose, is the next such bound.

Both are checked in floating point with an outward margin for each row, so rounding is included. A first bound from
above is guessed: value iteration with every reward raised by η rises to v* + η · (steps), and once no state rises by
more than η / 2 the guess is closed (Tx ≤ x), which one more sweep verifies.

Sources: Haddad & Monmege (2018), Interval iteration algorithm for MDPs and IMDPs; Baier, Klein, Leuschner, Parker &
Wunderlich (2017), Ensuring the reliability of your model checker; Hartmanns & Kaminski (2020), Optimistic value
iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, bicgstab, spilu, splu

from operant.mdp.graph.graph import Graph, Quotient
from operant.mdp.kernels import interval as kernels
from operant.mdp.rows import Floats, ModelError

Report = Callable[[int, float, Floats, Floats], None]
LARGE = 3000  # states from which on a policy is evaluated by an incomplete factorisation and BiCGStab
SMALL = 100_000  # states up to which policies are evaluated by a factorisation first
PATIENCE = 2**22  # sweeps after which a guess with one η is given up


@dataclass(eq=False)
class ShortestPath:
    """A stochastic shortest path problem: a model in which every state has a finite value, see the module."""

    quotient: Quotient
    first: NDArray[np.int64] = field(init=False)  # [S]  rows of a policy that terminates almost surely, -1 if terminal
    order: NDArray[np.int64] = field(init=False)  # states with rows, what they lead to first
    epsilon: float = 1e-6
    max_iterations: int | None = None
    report: Report | None = None
    iterations: int = 0
    history: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    rounding: float = 0.0

    def __post_init__(self) -> None:
        rows = self.quotient.rows
        graph = Graph(rows, self.quotient.leaks)
        self.first, distance = graph.approach()
        self.order = np.lexsort((distance, graph.strong(graph.every_row()).label))
        self.order = self.order[np.diff(rows.pointer.astype(np.int64))[self.order] > 0]
        self.arrays = (rows.indptr, rows.indices, rows.data)
        self.reward = rows.reward

    @property
    def size(self) -> int:
        """S."""
        return len(self.quotient.rows.terminal)

    def values(self, fill: float) -> Floats:
        """A vector of values, terminal ones in place."""
        rows = self.quotient.rows
        return np.where(rows.terminal, rows.terminal_value, fill)

    def tick(self, lower: Floats | None, upper: Floats | None, choice: NDArray[np.int64]) -> float:
        """Counts a sweep and returns the gap so far.

        Raises:
            Stopped: when the limit is reached, with the bounds so far.
        """
        self.iterations += 1
        low = self.values(-np.inf) if lower is None else lower
        high = self.values(np.inf) if upper is None else upper
        gap = float(np.max(high - low, initial=0.0))
        if self.report is not None:
            self.report(self.iterations, gap, low, high)
        if not self.history or self.history[-1][1] > 1.25 * gap:
            self.history.append((self.iterations, gap))
        if self.iterations == self.max_iterations:
            raise Stopped(Bounds(low, high, choice, f"stopped at {self.iterations} iterations, as asked"))
        return gap

    def rise(self, reward: Floats, shift: float, v: Floats, choice: NDArray[np.int64], *, unit: float) -> float:
        """One sweep over all rows, then some with the rows chosen. Returns the greatest rise of the first."""
        pointer = self.quotient.rows.pointer
        most = kernels.rise(self.order, pointer, *self.arrays, reward, shift, unit, v, choice)
        for _ in range(8):
            if kernels.rise_policy(self.order, *self.arrays, reward, shift, unit, v, choice) < most / 4:
                break
        return float(most)

    def steps(self, choice: NDArray[np.int64], lower: Floats | None = None) -> Floats:
        """At least the expected number of steps until a policy terminates: w with w ≥ 1 + P w, [S]."""
        one = np.ones_like(self.reward)
        w = np.zeros(self.size)
        for _ in range(PATIENCE):
            for _ in range(4):
                kernels.rise_policy(self.order, *self.arrays, one, 0.0, 0.0, w, choice)
            self.tick(lower, None, choice)
            if kernels.excess_policy(self.order, *self.arrays, one, w, choice) <= 0.5:
                return 2.0 * w  # w ≥ 1/2 + P w
        raise ModelError(
            f"no policy found that terminates within {PATIENCE:,} steps or so: bounds cannot be computed by sweeps; "
            "shorten the rare paths of the model, or use method 'policy-iteration'."
        )


@dataclass(eq=False)
class Bounds:
    """lower ≤ v_policy ≤ v* ≤ upper."""

    lower: Floats  # [S]
    upper: Floats  # [S]
    choice: NDArray[np.int64]  # [S]  the policy's rows
    stopped: str

    @property
    def gap(self) -> float:
        """max of upper - lower."""
        return float(np.max(self.upper - self.lower, initial=0.0))


class Stopped(Exception):
    """The limit of sweeps is reached; the argument is the bounds so far."""


def bound(problem: ShortestPath) -> Bounds:
    """Interval iteration on an analysed problem."""
    if problem.size <= SMALL and (bounds := exact(problem)) is not None:
        return tighten(problem, bounds.lower, bounds.upper, bounds.choice)
    rows = problem.quotient.rows
    lower, choice = from_below(problem)
    most = float(rows.reward.max(initial=0.0))
    if most <= 0.0:
        upper = problem.values(max(0.0, float(rows.terminal_value.max(initial=0.0))))
    else:
        upper = from_above(problem, lower, choice, most)
    return tighten(problem, lower, upper, choice)


def from_below(problem: ShortestPath) -> tuple[Floats, NDArray[np.int64]]:
    """A bound from below and its policy: the worst end, less the worst reward at each step of the first policy."""
    rows, choice, at = problem.quotient.rows, problem.first.copy(), problem.order
    worst = min(0.0, float(rows.reward[choice[at]].min(initial=0.0)))
    least = float(rows.terminal_value[rows.terminal].min(initial=0.0))
    steps = problem.steps(choice)
    most = max(float(np.abs(rows.terminal_value).max(initial=0.0)), abs(least) + abs(worst) * float(steps.max()))
    v = problem.values(0.0)
    v[at] = least + (worst - 4.0 * margin(problem, 2.0 * most)) * steps[at]
    lift = kernels.deficit(at, *problem.arrays, rows.reward, v, choice)
    if lift > 0.0:
        raise ModelError(
            f"the first bound from below misses by {lift:.3g}: rewards or terminal values are too unequal."
        )
    return v, choice


def from_above(problem: ShortestPath, below: Floats, choice: NDArray[np.int64], eta: float) -> Floats:
    """A bound from above, v* + η · (steps) or so; where end components lose less than η a step, η is cut down."""
    rows, patience = problem.quotient.rows, 1024
    graph = Graph(rows, problem.quotient.leaks)
    if not graph.end_components(graph.every_row()).count:
        patience = PATIENCE  # every policy terminates: any η will do
    while True:
        v, at = below.copy(), choice.copy()
        eta = max(eta, 8.0 * margin(problem, kernels.magnitude(below)))
        for _ in range(patience):
            problem.tick(below, None, choice)
            if problem.rise(rows.reward, eta, v, at, unit=0.0) > eta / 2:
                continue
            if kernels.excess(problem.order, rows.pointer, *problem.arrays, rows.reward, v) <= 0.0:
                return v
        if patience >= PATIENCE:
            raise ModelError(
                f"no bound from above was found within {patience:,} sweeps, with rewards raised by {eta:.3g}."
            )
        eta, patience = eta / 4, patience * 4


def tighten(problem: ShortestPath, lower: Floats, upper: Floats, choice: NDArray[np.int64]) -> Bounds:
    """Both sequences until they are within ε of each other, or rounding stops them."""
    rows = problem.quotient.rows
    while True:
        gap = problem.tick(lower, upper, choice)
        if gap <= problem.epsilon:
            return Bounds(lower, upper, choice, f"bounds within ε = {problem.epsilon:g} of each other")
        up = problem.rise(rows.reward, 0.0, lower, choice, unit=1.0)
        down = kernels.fall(problem.order, rows.pointer, *problem.arrays, rows.reward, upper)
        if max(up, down) <= margin(problem, max(kernels.magnitude(lower), kernels.magnitude(upper))):
            return Bounds(
                lower, upper, choice, f"rounding stops the bounds {gap:.3g} apart: ε is too small for this model"
            )


def margin(problem: ShortestPath, scale: float) -> float:
    """The greatest slack of a row."""
    rows = problem.quotient.rows
    longest = float(np.diff(rows.indptr.astype(np.int64)).max(initial=0))
    return (3.0 * longest + 12.0) * kernels.UNIT * (float(np.abs(rows.reward).max(initial=0.0)) + scale)


def tolerance(problem: ShortestPath, v: Floats) -> float:
    """What an evaluation may be off by: rounding, or where BiCGStab stops."""
    scale = kernels.magnitude(v)
    return max(4.0 * margin(problem, scale), 1e-12 * scale if len(problem.order) >= LARGE else 0.0)


def evaluate(problem: ShortestPath, choice: NDArray[np.int64], rewards: list[Floats]) -> list[Floats] | None:
    """v_π by a sparse factorisation for each vector of row rewards [L]; None where floats fail it.

    From 3,000 states on the factorisation is incomplete, at most 20 times as large as the matrix, and preconditions
    BiCGStab.
    """
    rows, n = problem.quotient.rows, problem.size
    at = problem.order
    matrix = sp.csr_array(
        (rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)), shape=(len(rows.action), n)
    )
    place = np.full(n, -1)
    place[at] = np.arange(len(at))
    mine = sp.csr_array(matrix[choice[at]])
    inner = sp.csc_array(sp.eye_array(len(at)) - mine[:, at])
    fixed = mine @ problem.values(0.0)
    try:
        factor = splu(inner) if len(at) < LARGE else spilu(inner, drop_tol=1e-8, fill_factor=20)
    except RuntimeError:  # exactly singular
        return None
    precondition = LinearOperator(inner.shape, matvec=factor.solve, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    results: list[Floats] = []
    for index, reward in enumerate(rewards):
        v = problem.values(0.0) if index == 0 else np.zeros(n)
        right = reward[choice[at]] + (fixed if index == 0 else 0.0)
        v[at] = factor.solve(right)
        if len(at) >= LARGE:
            v[at], failed = bicgstab(inner, right, x0=v[at], rtol=1e-14, atol=0.0, maxiter=100, M=precondition)
            if failed and np.abs(inner @ v[at] - right).max() > 1e-10 * np.abs(v[at]).max(initial=1.0):
                return None
        results.append(v)
    return results if all(np.isfinite(v).all() for v in results) else None


def improve(
    problem: ShortestPath, choice: NDArray[np.int64], shift: float
) -> tuple[Floats, Floats, NDArray[np.int64]] | None:
    """Howard's policy iteration with rewards raised by `shift`: (values, steps, policy); None where floats fail it."""
    rows, choice = problem.quotient.rows, choice.copy()
    one = np.ones_like(rows.reward)
    for _ in range(100):
        results = evaluate(problem, choice, [rows.reward + shift, one])
        if results is None:
            return None
        v, w = results
        before, arrays = v.copy(), (problem.order, rows.pointer, *problem.arrays, rows.reward, shift, 1.0, v, choice)
        if kernels.rise(*arrays) <= tolerance(problem, v):
            return before, w, choice
        for _ in range(30):  # sweeps are cheap beside a factorisation, and carry an improvement further
            kernels.rise(*arrays)
    return None


def exact(problem: ShortestPath) -> Bounds | None:
    """Policy iteration with exact evaluation, then the bounds v - η w and v_η, checked; None where a check fails."""
    rows = problem.quotient.rows
    if not len(problem.order):
        return Bounds(problem.values(0.0), problem.values(0.0), problem.first.copy(), "nothing to decide")
    improved = improve(problem, problem.first, 0.0)
    if improved is None:
        return None
    v, w, choice = improved
    eta = 2.0 * tolerance(problem, v)
    for _ in range(6):
        lower, raised = v - eta * w, improve(problem, choice, eta)
        lower[rows.terminal] = rows.terminal_value[rows.terminal]
        if (
            raised is not None
            and kernels.deficit(problem.order, *problem.arrays, rows.reward, lower, choice) <= 0.0
            and kernels.excess(problem.order, rows.pointer, *problem.arrays, rows.reward, raised[0]) <= 0.0
        ):
            problem.rounding = float(eta * w.max(initial=0.0))
            return Bounds(lower, raised[0], choice, "exact evaluation of an optimal policy, bounds checked")
        eta *= 4.0
    return None
