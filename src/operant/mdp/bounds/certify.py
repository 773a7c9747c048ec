"""What a Bellman sweep proves: bounds on v* and on the loss of the greedy policy, rounding included.

Let d = Tv - v over all states, and σ the sum of a row (1 up to rounding, less where a model leaks). For c > 0 with
max d ≤ c (1 - γ σ_max), T(v + c) ≤ v + c, so v* ≤ v + c, and v* = Tv* ≤ Tv + γ σ_max c; for max d < 0 the same holds
with σ_min. Bounds from below are the same with min d, and they hold for the value of the greedy policy too, as its
sweep is Tv: hence v* - v_policy ≤ upper - lower. With σ = 1 this is Puterman (1994), theorem 6.6.3 and proposition
6.6.5. Terminal states have d = 0, which enters min and max: that makes min d ≤ 0 ≤ max d; a leak enters through σ.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np

from operant.mdp.bounds.sweeps import Choice, Sweeps
from operant.mdp.kernels import bellman as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Limits, Watch, unknown_keyword
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Certificate, Solution
from operant.mdp.validate import stopping

UNIT = 2.0**-53
"""The relative error of one operation."""
THEOREM = "span of one Bellman sweep (Puterman 1994, theorem 6.6.3), row sums and rounding included"


@dataclass(frozen=True, slots=True)
class Contraction:
    """What the bounds need to know of a model: γ, the sums of its rows, how long rows are, how large rewards."""

    discount: float
    least: float  # the least sum of a row
    most: float  # the greatest
    longest: int  # entries of the longest row
    reward: float  # max |r|

    @classmethod
    def of(cls, mdp: MDP) -> Contraction:
        """One pass over the probabilities.

        Raises:
            ModelError: if γ is 1, or so near to 1 that the rows, whose sums are rounded, do not contract.
        """
        rows = mdp.rows
        if mdp.num_rows == 0:
            return cls(mdp.discount, 1.0, 1.0, 0, 0.0)
        reward = max(abs(float(rows.reward.max())), abs(float(rows.reward.min())))
        least, most, longest = kernels.masses(rows.indptr, rows.data)
        return cls.measured(mdp.discount, least, most, int(longest), reward)

    @classmethod
    def measured(cls, discount: float, least: float, most: float, longest: int, reward: float) -> Contraction:
        """From computed sums of rows, which are rounded themselves.

        Raises:
            ModelError: as `of`.
        """
        slack = longest * UNIT
        contraction = cls(discount, float(least) * (1 - slack), float(most) * (1 + slack), longest, float(reward))
        if discount * contraction.most * (1 + 2 * UNIT) >= 1.0:
            raise ModelError(
                f"γ={discount!r} with rows that sum to {most!r} does not contract: nothing can be certified as "
                'discounted. Use criterion="total" or "average", or a smaller discount.'
            )
        return contraction

    def noise(self, norm: float) -> float:
        """A bound on the rounding error of one backup of values of at most this norm."""
        return 1.01 * (self.longest + 3) * UNIT * (self.reward + self.discount * self.most * norm)

    def shift(self, low: float, high: float) -> tuple[float, float]:
        """How far v* lies above Tv at least and at most, given min and max of Tv - v."""
        below = self.discount * (self.most if low <= 0 else self.least)
        above = self.discount * (self.most if high >= 0 else self.least)
        return below * low / (1 - below), above * high / (1 - above)

    def bounds(self, low: float, high: float, norm: float) -> tuple[float, float]:
        """`shift` for computed values: rounding of the sweep, of the differences and of the result is added."""
        noise = self.noise(norm)
        low, high = low - noise - 2 * UNIT * abs(low), high + noise + 2 * UNIT * abs(high)
        least, most = self.shift(low, high)
        own = 16 * UNIT / (1 - self.discount * self.most)  # relative error of the two quotients
        end = noise + 4 * UNIT * (norm + abs(low) + abs(high) + abs(least) + abs(most))
        return least - own * abs(least) - end, most + own * abs(most) + end

    def proof(self, low: float, high: float, norm: float, *, acts: bool) -> tuple[float, float, float, float]:
        """(least, most, gap, rounding): `bounds`, most - least, and how much of that is rounding.

        The last two are 0 if no state acts.
        """
        (least, most), exact = self.bounds(low, high, norm), self.shift(low, high)
        gap = most - least if acts else 0.0
        return least, most, gap, max(0.0, gap - (exact[1] - exact[0]))

    def gap(self, low: float, high: float, norm: float) -> float:
        """upper - lower of the certificate after a sweep that changed values by low to high."""
        least, most = self.bounds(low, high, norm)
        return most - least


def norm_of(values: Floats) -> float:
    """max |v|, without a temporary array."""
    return max(abs(float(values.max())), abs(float(values.min()))) if len(values) else 0.0


def discounted(
    mdp: MDP, values: Floats, threads: int | None = None, contraction: Contraction | None = None
) -> tuple[Floats, Choice, Certificate]:
    """The values, the greedy policy (as rows) and the certificate that one Jacobi sweep from `values` [S] proves.

    The values returned are the midpoints of the bounds: off by at most `certificate.radius`. Values of terminal states
    are taken from the model, whatever `values` says.

    Raises:
        ModelError: if the model does not contract (γ = 1), or a value is not finite.
    """
    contraction = contraction or Contraction.of(mdp)
    rows = mdp.rows
    values = np.where(rows.terminal, rows.terminal_value, values)
    out, choice = np.empty_like(values), np.empty(mdp.num_states, dtype=np.int64)
    low, high = Sweeps(mdp, threads).backup(values, out, choice)
    norm = max(norm_of(values), norm_of(out))
    if not np.isfinite(norm):
        raise ModelError("the values are not finite: rewards or terminal values are too large, or are not numbers.")
    del values
    least, most, loss, rounding = contraction.proof(low, high, norm, acts=mdp.num_rows > 0)
    lower, upper = np.where(rows.terminal, out, out + least), np.where(rows.terminal, out, out + most)
    middle = np.where(rows.terminal, out, out + 0.5 * (least + most))
    return middle, choice, Certificate(
        criterion="discounted", lower=lower, upper=upper, policy_loss=loss, rounding=rounding, why=THEOREM
    )  # fmt: skip


def initial_values(mdp: MDP, initial: Sequence[float] | Floats | None) -> Floats:
    """Where a solver starts: `initial`, or zeros; terminal states have their own value. Always a new array.

    Raises:
        ModelError: if `initial` has another shape or is not finite.
    """
    values = np.zeros(mdp.num_states) if initial is None else np.array(initial, dtype=np.float64)
    if values.shape != (mdp.num_states,) or not np.isfinite(values).all():
        raise ModelError(f"initial has shape {values.shape}: expected {mdp.num_states} finite values, one per state.")
    values[mdp.rows.terminal] = mdp.rows.terminal_value[mdp.rows.terminal]
    return values


class Stopping:
    """When a run of sweeps stops: the certified gap is within ε, cannot become so, or the allowance is spent.

    Raises:
        ModelError: if ε is not positive, or the allowance is less than one iteration.
        TypeError: for a limit that there is not, with the nearest.
    """

    def __init__(self, contraction: Contraction, **limits: Unpack[Limits]) -> None:
        if unknown := limits.keys() - Limits.__annotations__:
            raise unknown_keyword("a solver", unknown, Limits.__annotations__)
        self.contraction, (self.epsilon, self.watch, self.max_iterations) = contraction, stopping(limits)
        self.threads, self.initial = limits.get("threads"), limits.get("initial")
        self.started = time.perf_counter()
        self.iterations, self.history = 0, list[tuple[int, float]]()
        self.best, self.stalled = float("inf"), 0

    def gap(self, low: float, high: float, values: Floats) -> float:
        """The certified gap after a Jacobi sweep into `values`; the norm is only taken where it matters."""
        least, most = self.contraction.shift(low, high)
        if most - least > 4 * self.epsilon and self.watch is None and self.stalled < 8:
            return most - least
        return self.contraction.gap(low, high, norm_of(values))

    def done(self, low: float, high: float, values: Floats) -> bool:
        """Count one iteration; is the answer good enough, can it not become better, or is the allowance spent?"""
        gap = self.gap(low, high, values)
        self.iterations += 1
        self.history.append((self.iterations, gap))
        if self.watch is not None:
            self.watch(self.iterations, gap, values)
        self.stalled = 0 if gap < 0.999 * self.best else self.stalled + 1
        self.best = min(self.best, gap)
        return gap <= self.epsilon or self.spent or self.stuck(gap, values)

    def step(self, values: Floats) -> None:
        """Count one iteration that proves nothing by itself, such as a Gauss–Seidel sweep."""
        self.iterations += 1
        if self.watch is not None:
            self.watch(self.iterations, self.best, values)

    @property
    def spent(self) -> bool:
        """Are `max_iterations` done?"""
        return self.max_iterations is not None and self.iterations >= self.max_iterations

    def stuck(self, gap: float, values: Floats) -> bool:
        """Is the gap near what rounding alone leaves, and no longer falling, so that further sweeps cannot help?"""
        if self.stalled < 8:
            return False
        return gap <= 16 * self.contraction.gap(0.0, 0.0, norm_of(values))

    def verdict(self, gap: float, rounding: float, norm: float, method: str) -> str:
        """Why the run stopped, as a sentence, given what its certificate states.

        Raises:
            ModelError: if floating point cannot certify ε and the allowance was not spent.
        """
        if gap <= self.epsilon:
            return f"stopped when the certified gap {gap:.3g} was within epsilon={self.epsilon:g}"
        if self.spent:
            return (
                f"stopped after max_iterations={self.max_iterations}: the certified gap is {gap:.3g}, not yet "
                f"epsilon={self.epsilon:g}"
            )
        raise ModelError(
            f"epsilon={self.epsilon:g} cannot be certified in double precision for this model: with "
            f"γ={self.contraction.discount:g} and values up to {norm:.3g} rounding alone may add {rounding:.2g}, and "
            f"{method} reached a gap of {gap:.2g}. Ask for epsilon={2 * gap:.1g} or more."
        )


class Progress(Stopping):
    """One run of a solver on a model: when to stop, what to tell, and how to end."""

    def __init__(self, mdp: MDP, **limits: Unpack[Limits]) -> None:
        started = time.perf_counter()
        super().__init__(Contraction.of(mdp), **limits)
        self.mdp, self.started = mdp, started
        self.wait, self.pause = 0, 1
        self.closed = not bool(mdp.rows.terminal.any()) and self.contraction.least > 1 - 1e-6

    def goal(self, share: float) -> float:
        """The change of a pass in place below which a Jacobi sweep certifies ε, times `share` (up to ½)."""
        rate = self.mdp.discount * self.contraction.most
        return share * self.epsilon * (1 - rate) / max(rate, 1e-3)

    def initial_values(self) -> Floats:
        """Where the run starts, a new array [S]."""
        return initial_values(self.mdp, self.initial)

    def value_iteration(self) -> Floats:
        """Jacobi sweeps, v ← Tv, from the initial values until `done`."""
        v, choice = self.initial_values(), np.empty(self.mdp.num_states, dtype=np.int64)
        sweeps, out = Sweeps(self.mdp, self.threads), np.empty_like(v)
        while True:
            low, high = sweeps.backup(v, out, choice)
            v, out = out, v
            if self.done(low, high, v):
                return v

    def recentre(self, values: Floats, low: float, high: float) -> None:
        """Move all values by the middle of what a Jacobi sweep left, in a model that nothing leaves.

        There a constant error dies out at the rate γ alone, however well mixed the model is. A move may also undo what
        sweeps in place have done, for ever: after one that brought no better gap there is a pause, each time twice as
        long, in which the sweeps converge by themselves.
        """
        if not self.closed:
            return
        if self.wait > 0:
            self.wait -= 1
        elif self.stalled > 0:
            self.wait, self.pause = self.pause, 2 * self.pause
        else:
            values += self.mdp.discount / (1 - self.mdp.discount) * (low + high) / 2

    @property
    def left(self) -> int | None:
        """What remains of `max_iterations`."""
        return None if self.max_iterations is None else self.max_iterations - self.iterations

    def later(self) -> Watch | None:
        """`watch` for a method that takes over, whose first iteration comes after those done."""
        watch, done = self.watch, self.iterations
        return None if watch is None else lambda iteration, gap, values: watch(done + iteration, gap, values)

    def joined(self, solution: Solution, why: str) -> Solution:
        """What a method that took over returned, as the answer of the whole run."""
        return replace(
            solution,
            why=f"{why}; {solution.why}",
            iterations=self.iterations + solution.iterations,
            seconds=time.perf_counter() - self.started,
            history=(*self.history, *((self.iterations + i, gap) for i, gap in solution.history)),
        )

    def finish(self, values: Floats, *, method: str, why: str, **extra: object) -> Solution:
        """Certify `values` and make the answer.

        Raises:
            ModelError: if floating point cannot certify ε and the allowance was not spent.
        """
        middle, rows, certificate = discounted(self.mdp, values, self.threads, self.contraction)
        stop = self.verdict(certificate.gap, certificate.rounding, norm_of(values), method)
        return Solution(
            mdp=self.mdp,
            values=middle,
            policy=self.mdp.action_labels(rows),
            rows=rows,
            certificate=certificate,
            method=method,
            why=f"{why}; {stop}",
            iterations=self.iterations,
            seconds=time.perf_counter() - self.started,
            history=tuple(self.history),
            extra=extra,
        )
