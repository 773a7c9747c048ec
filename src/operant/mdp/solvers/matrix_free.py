"""Models without a matrix: the transitions are computed in every sweep, and memory holds values and a policy only.

A sweep needs two vectors of values (16 B per state) and a policy in the smallest integer that holds an action (1, 2 or
4 B per state), whatever the number of transitions: 17 B per state with up to 127 actions. What it costs is time, as
each sweep calls the transition function for every state and action.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Unpack

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from operant.data.ranges import whole
from operant.mdp.bounds.certify import THEOREM, Contraction, Stopping, norm_of
from operant.mdp.bounds.sweeps import thread_count
from operant.mdp.kernels.matrix_free import COUNT, FINE, PROBABILITY, REWARD, SUCCESSOR, SUM, compiled
from operant.mdp.options import Limits
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Certificate
from operant.mdp.validate import public

Policy = NDArray[np.signedinteger[Any]]
MARGIN = 64
"""Room in a thread's buffers beyond what a transition may write: one that writes a little more is found, not fatal."""
MESSAGES = {
    COUNT: "returns {0:.0f} outcomes, which is not 0 to {1}: raise `successors`",
    SUCCESSOR: "leads to state {0:.0f}, which does not exist: states are 0 to {2}, and -1 ends the episode",
    PROBABILITY: "has the probability {0:g}: it must be at least 0",
    SUM: "has probabilities that sum to {0:.9g}, not to 1",
    REWARD: "has the reward {0:g}: it must be finite, and an action that is not admissible has no outcomes",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class MatrixFree:
    """A model as a compiled function: `transition(s, a, successor, probability, reward) -> n`.

    It writes the n outcomes of action a in state s to the first n entries of its buffers (int64, float64, float64) and
    returns n; 0 says that a is not admissible in s. A successor -1 ends the episode: its reward counts, and nothing
    follows. A state without admissible actions is terminal and is worth 0. It must be a pure function of s and a, and
    one that Numba compiles; a plain Python function is compiled here.

    Args:
        states, actions: S and A: s is 0 … S-1, a is 0 … A-1, both int64.
        successors: the greatest n.
        discount: γ in [0, 1).

    Raises:
        ModelError: if a number is out of range, or Numba cannot compile the function.
    """

    transition: Any
    states: int
    actions: int
    successors: int
    discount: float

    def __post_init__(self) -> None:
        _check_sizes(self.states, self.actions, self.successors, self.discount)
        _ = self._kernels

    @cached_property
    def _kernels(self) -> tuple[Any, Any, Any]:
        function = self.transition if isinstance(self.transition, Dispatcher) else numba.njit(self.transition)
        kernels = compiled(function)
        try:  # on no states: this compiles, and reads nothing
            kernels[2](0, 0, self.states, self.actions, *_buffers(self.successors))
        except NumbaError as error:
            raise ModelError(
                f"Numba cannot compile the transition function: {str(error).strip().splitlines()[-1]} "
                "Write it in what Numba supports, or use MatrixFreeBatches."
            ) from error
        return kernels

    def check(self, threads: int = 1) -> Contraction:
        """Call every state and action once; what the certificate needs to know of the model.

        Raises:
            ModelError: if outcomes are no distribution over states; names state and action. If γ does not contract.
        """
        reports = self._each(threads, self._kernels[2], self.states, self.actions)
        for what, state, action, value, *_ in reports:
            if what != FINE:
                raise ModelError(_says(self, what, state, action, value))
        return _contraction(self.discount, np.array([report[4:] for report in reports]))

    def improve(self, v: Floats, out: Floats, policy: Policy, threads: int = 1) -> tuple[float, float]:
        """One Jacobi sweep: out(s) = max over a of Σ p (r + γ v), `policy` the first maximal action, -1 if terminal.

        Returns the least and the greatest change. The result is the same for any number of threads.
        """
        return _extremes(self._each(threads, self._kernels[0], self.actions, self.discount, v, out, policy))

    def evaluate(self, v: Floats, out: Floats, policy: Policy, threads: int = 1) -> tuple[float, float]:
        """One sweep of a policy: out(s) = Σ p (r + γ v) under its action. The least and the greatest change."""
        return _extremes(self._each(threads, self._kernels[1], self.discount, v, out, policy))

    def _each(self, threads: int, kernel: Callable[..., Any], *arguments: Any) -> list[Any]:
        """`kernel` on each chunk of states, by threads; every chunk has buffers of its own."""
        chunks = 1 if threads == 1 else 8 * threads

        def one(chunk: int) -> Any:
            begin, end = (self.states * at // chunks for at in (chunk, chunk + 1))
            return kernel(begin, end, *arguments, *_buffers(self.successors))

        if threads == 1:
            return [one(0)]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, range(chunks)))


@dataclass(frozen=True, kw_only=True, eq=False)
class MatrixFreeBatches:
    """A model as a NumPy function on batches of states: `transition(s, a, successor, probability, reward) -> n`.

    As `MatrixFree`, for what Numba cannot compile, and slower: s is [B] int64, a one action, the buffers are [B, K]
    with K = `successors`, and n is [B]. Memory: 40 B per outcome of a batch besides the vectors.
    """

    transition: Callable[..., NDArray[np.integer[Any]]]
    states: int
    actions: int
    successors: int
    discount: float
    batch: int = 1 << 16

    def __post_init__(self) -> None:
        _check_sizes(self.states, self.actions, self.successors, self.discount)

    def check(self, threads: int = 1) -> Contraction:
        """As `MatrixFree.check`."""
        reports: list[list[float]] = []
        for s in self._batches():
            for a in range(self.actions):
                reports += self._check(s, a)
        return _contraction(self.discount, np.array(reports).reshape(-1, 4))

    def improve(self, v: Floats, out: Floats, policy: Policy, threads: int = 1) -> tuple[float, float]:
        """As `MatrixFree.improve`; one thread."""
        low, high = np.inf, -np.inf
        for s in self._batches():
            best, at = v[s], np.full(len(s), -1)
            for a in range(self.actions):
                n, q = self._values(s, a, v)
                better = (n > 0) & ((at < 0) | (q > best))
                best, at = np.where(better, q, best), np.where(better, a, at)
            change = best - v[s]
            low, high = min(low, change.min()), max(high, change.max())
            out[s], policy[s] = best, at
        return float(low), float(high)

    def evaluate(self, v: Floats, out: Floats, policy: Policy, threads: int = 1) -> tuple[float, float]:
        """As `MatrixFree.evaluate`; one thread."""
        low, high = np.inf, -np.inf
        for batch in self._batches():
            out[batch] = v[batch]
            for a in range(self.actions):
                s = batch[policy[batch] == a]
                if len(s):
                    out[s] = self._values(s, a, v)[1]
            change = out[batch] - v[batch]
            low, high = min(low, change.min()), max(high, change.max())
        return float(low), float(high)

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        for first in range(0, self.states, self.batch):
            yield np.arange(first, min(first + self.batch, self.states))

    def _outcomes(self, s: NDArray[np.int64], a: int) -> tuple[Any, Any, Any, Any]:
        """n [B] and the buffers [B, K], zero beyond n."""
        shape = len(s), self.successors
        buffers = np.full(shape, -1, np.int64), np.zeros(shape), np.zeros(shape)
        n = np.broadcast_to(np.asarray(self.transition(s, a, *buffers)), len(s))
        beyond = np.arange(self.successors) >= n[:, None]
        for buffer, nothing in zip(buffers, (-1, 0.0, 0.0), strict=True):
            buffer[beyond] = nothing
        return n, *buffers

    def _values(self, s: NDArray[np.int64], a: int, v: Floats) -> tuple[Any, Floats]:
        """n and q(s, a), [B] each: outcomes in their order, as in the compiled kernel."""
        n, successor, probability, reward = self._outcomes(s, a)
        mean, total = np.zeros(len(s)), np.zeros(len(s))
        for k in range(self.successors):
            mean += probability[:, k] * reward[:, k]
            total += probability[:, k] * np.where(successor[:, k] >= 0, v[successor[:, k]], 0.0)
        return n, mean + self.discount * total

    def _check(self, s: NDArray[np.int64], a: int) -> list[list[float]]:
        n, successor, probability, reward = self._outcomes(s, a)
        mass = probability.sum(axis=1)
        for what, wrong, value in (
            (COUNT, (n < 0) | (n > self.successors), n),
            (SUCCESSOR, (successor < -1) | (successor >= self.states), successor),
            (PROBABILITY, ~(probability >= 0.0), probability),
            (REWARD, ~np.isfinite(reward), reward),
            (SUM, (n > 0) & ~(np.abs(mass - 1.0) <= 1e-8), mass),
        ):
            if wrong.any():
                at = np.argwhere(wrong)[0]
                raise ModelError(_says(self, what, int(s[at[0]]), a, float(value[tuple(at)])))
        stays = np.where(successor >= 0, probability, 0.0).sum(axis=1)[n > 0]
        longest = float(n.max(initial=0))
        return [[float(stays.min()), float(stays.max()), float(np.abs(reward).max()), longest]] if len(stays) else []


@dataclass(frozen=True, kw_only=True, eq=False)
class MatrixFreeSolution:
    """An answer whose bounds are one number for all states: |v* - values| ≤ gap / 2 where the policy acts."""

    values: Floats  # [S]  midpoints of the bounds; 0 where terminal
    policy: Policy  # [S]  action, -1 where terminal; int8, int16 or int32
    gap: float  # upper - lower, rounding included
    policy_loss: float  # v* - v_policy is at most this in every state
    rounding: float  # what of the gap is rounding
    method: str
    why: str
    iterations: int
    seconds: float
    history: tuple[tuple[int, float], ...]

    @property
    def certificate(self) -> Certificate:
        """The bounds as vectors: 16 B per state more."""
        half = np.where(self.policy >= 0, self.gap / 2, 0.0)
        return Certificate(
            criterion="discounted",
            lower=self.values - half,
            upper=self.values + half,
            policy_loss=self.policy_loss,
            rounding=self.rounding,
            why=THEOREM,
        )


@public()
def solve_matrix_free(
    model: MatrixFree | MatrixFreeBatches,
    *,
    method: Literal["value-iteration", "modified-policy-iteration"] = "modified-policy-iteration",
    **limits: Unpack[Limits],
) -> MatrixFreeSolution:
    """Solve a discounted model without its matrix, with the certificate of `operant.mdp.bounds.certify`.

    The first pass calls every state and action once and checks the outcomes. Value iteration then sweeps all actions;
    modified policy iteration follows each such sweep by at most 50 of the greedy policy alone, each 1/A of the work.

    Args:
        model: the model.
        method: value iteration, or modified policy iteration.
        limits: as for every solver, see `operant.mdp.solve`; `initial` is overwritten.

    Raises:
        ModelError: if an outcome is no distribution (naming state and action), or ε cannot be certified.
    """
    if method not in ("value-iteration", "modified-policy-iteration"):
        raise ModelError(f"{method!r} needs a matrix: without one, value-iteration or modified-policy-iteration.")
    started = time.perf_counter()
    number = thread_count(limits.get("threads"), model.states * model.actions * model.successors)
    run = Stopping(model.check(number), **limits)
    v, policy = _initial_values(model, run.initial), np.full(model.states, -1, dtype=_narrowest(model.actions))
    out = np.empty_like(v)
    sweeps = 50 if method == "modified-policy-iteration" else 0
    part = 0.5 if model.discount > 0.999 else 0.1
    while True:
        low, high = model.improve(v, out, policy, number)
        norm = norm_of(out) + max(abs(low), abs(high))  # at least that of v too
        v, out = out, v
        if run.done(low, high, v):
            least, most = run.contraction.bounds(low, high, norm)
            if most - least <= run.epsilon or run.history[-1][1] > run.epsilon:
                break
        enough = part * (high - low)
        for _ in range(sweeps):
            low, high = model.evaluate(v, out, policy, number)
            v, out = out, v
            if high - low <= enough:
                break
    del out
    acts = policy >= 0
    least, most, gap, rounding = run.contraction.proof(low, high, norm, acts=bool(acts.any()))
    why = run.verdict(gap, rounding, norm, method)
    np.add(v, 0.5 * (least + most), out=v, where=acts)
    return MatrixFreeSolution(
        values=v,
        policy=policy,
        gap=gap,
        policy_loss=gap,
        rounding=rounding,
        method=method,
        why=why,
        iterations=run.iterations,
        seconds=time.perf_counter() - started,
        history=tuple(run.history),
    )


def _initial_values(model: MatrixFree | MatrixFreeBatches, initial: Floats | None) -> Floats:
    if initial is None:
        return np.zeros(model.states)
    if initial.shape != (model.states,) or initial.dtype != np.float64 or not np.isfinite(initial).all():
        raise ModelError(f"initial has shape {initial.shape}: expected {model.states} finite float64 values.")
    return initial


def _says(model: MatrixFree | MatrixFreeBatches, what: int, state: int, action: int, value: float) -> str:
    return f"state {state}, action {action} {MESSAGES[what].format(value, model.successors, model.states - 1)}."


def _narrowest(actions: int) -> type[np.signedinteger[Any]]:
    return next(kind for kind in (np.int8, np.int16, np.int32) if actions <= np.iinfo(kind).max)


def _buffers(successors: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    size = successors + MARGIN
    return np.empty(size, np.int64)[:successors], np.empty(size)[:successors], np.empty(size)[:successors]


def _extremes(bounds: list[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def _contraction(discount: float, reports: Floats) -> Contraction:
    """From rows of (least mass, greatest mass, max |r|, longest row); none where no action is admissible."""
    reports = reports[reports[:, 3] > 0] if len(reports) else reports
    if not len(reports):
        return Contraction(discount, 1.0, 1.0, 0, 0.0)
    return Contraction.measured(
        discount, reports[:, 0].min(), reports[:, 1].max(), int(reports[:, 3].max()), reports[:, 2].max()
    )


def _check_sizes(states: int, actions: int, successors: int, discount: float) -> None:
    for name, value in (("states", states), ("actions", actions), ("successors", successors)):
        whole(name, value, error=ModelError)
    if not 0.0 <= discount < 1.0:
        raise ModelError(f"discount is {discount}: without a matrix γ lies in [0, 1); build one for γ = 1.")
