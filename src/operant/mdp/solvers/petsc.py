"""Models larger than one machine: PETSc through petsc4py, which is never a dependency of operant.

The states are dealt out to the MPI ranks in contiguous ranges; each rank holds the rows of its states and its part of
every vector, and reads only its share of a memory-mapped model. Inexact policy iteration: improve, then solve
(I - γ P_π) v = r_π with a Krylov method (GMRES) to a tenth of the Bellman residual. Where some policies in a row do not
shrink the span of the residual by γ, a sweep of value iteration from the best values does, so that it always converges.

    mpirun -n 4 python solve.py          # solve.py: solve_petsc(open_mapped("model"))

Source: Gargiani et al. (2024), inexact policy iteration methods for large-scale Markov decision processes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from operant.mdp.bounds.certify import Contraction, Stopping
from operant.mdp.kernels import bellman as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Stop
from operant.mdp.rows import Floats, ModelError
from operant.mdp.validate import public

PREFIX = "operant_"
"""Of PETSc's options, such as -operant_ksp_type bcgs or -operant_pc_type bjacobi."""


PATIENCE = 20
"""Policies that may pass without a smaller span of the residual before a sweep of value iteration; then doubled."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PetscSolution:
    """One rank's part of an answer: states first … last-1. The bounds are one number for all states."""

    first: int
    last: int
    values: Floats  # [last - first]  midpoints: |v* - values| ≤ gap / 2
    policy: NDArray[np.int32]  # [last - first]  action labels, -1 where terminal
    gap: float  # upper - lower over all states of all ranks, rounding included
    policy_loss: float
    rounding: float
    why: str
    iterations: int
    inner_iterations: int  # products with a policy's matrix
    seconds: float
    history: tuple[tuple[int, float], ...]


@public("discounted")
def solve_petsc(mdp: MDP, *, comm: Any = None, inner: float = 0.1, **stop: Unpack[Stop]) -> PetscSolution:
    """Solve a discounted model on the ranks of an MPI communicator; every rank calls this with the same model.

    Args:
        mdp: the model.
        comm: a communicator of petsc4py or mpi4py; all ranks if None.
        inner: the inner solver stops at this fraction of the norm of the Bellman residual.
        stop: as for every solver; `watch` gets this rank's values.

    Raises:
        ModelError: if petsc4py is not installed, its integers are too small for the model, or ε cannot be certified.
    """
    petsc = _petsc()
    started = time.perf_counter()
    if max(mdp.num_states, mdp.num_rows) > np.iinfo(petsc.IntType).max:
        raise ModelError(f"{mdp!r} needs 64-bit indices: build PETSc with --with-64-bit-indices=1.")
    part = _Part(mdp, petsc, petsc.COMM_WORLD if comm is None else comm)
    watch = stop.pop("watch", None)
    run = Stopping(part.contraction, **stop)
    v = part.begin()
    anchor = step = part.improve(v)
    left = patience = PATIENCE
    while True:
        norm = step.norm + max(abs(step.low), abs(step.high))  # at least that of the values before the sweep
        done = run.done(step.low, step.high, np.array([norm]))
        if watch is not None:
            watch(run.iterations, run.history[-1][1], step.values.getArray(readonly=True))
        if done:
            least, most = run.contraction.bounds(step.low, step.high, norm)
            if most - least <= run.epsilon or run.history[-1][1] > run.epsilon:
                break
        step = part.improve(part.evaluate(step, inner))
        left -= 1
        if step.span <= mdp.discount * anchor.span:
            anchor, left = step, patience
        elif left == 0:
            anchor = step = part.improve(anchor.values)
            left = patience = 2 * patience
    least, most, gap, rounding = run.contraction.proof(step.low, step.high, norm, acts=mdp.num_rows > 0)
    why = run.verdict(gap, rounding, norm, "inexact policy iteration")
    acts = step.choice >= 0
    policy = np.full(len(acts), -1, dtype=np.int32)
    policy[acts] = part.rows.action[step.choice[acts]]
    return PetscSolution(
        first=part.first,
        last=part.last,
        values=np.where(acts, step.values.getArray() + 0.5 * (least + most), part.rows.terminal_value),
        policy=policy,
        gap=gap,
        policy_loss=gap,
        rounding=rounding,
        why=why,
        iterations=run.iterations,
        inner_iterations=part.products,
        seconds=time.perf_counter() - started,
        history=tuple(run.history),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """A Bellman sweep: Tv, the greedy rows of this rank (-1 where terminal), and what changed on all ranks."""

    values: Any
    choice: NDArray[np.int64]
    low: float
    high: float
    norm: float

    @property
    def span(self) -> float:
        """high - low."""
        return self.high - self.low


class _Part:
    """The states of one rank."""

    def __init__(self, mdp: MDP, petsc: Any, comm: Any) -> None:
        self.petsc, self.discount, self.products = petsc, mdp.discount, 0
        self._values = petsc.Vec().createMPI(mdp.num_states, comm=comm)
        self.comm, self.states = self._values.comm, mdp.num_states
        self.first, self.last = self._values.getOwnershipRange()
        self.rows = mdp.rows.block(self.first, self.last)
        rows = self.rows
        self.matrix = self._aij(rows.indptr, rows.indices, rows.data)
        self.starts = rows.pointer[:-1][~rows.terminal].astype(np.int64)
        most = int(kernels.successors(rows.pointer, rows.indptr))
        self._own = (
            np.zeros(len(rows.terminal) + 1, rows.indptr.dtype),
            np.empty(most, rows.indices.dtype),
            np.empty(most),
        )
        self.contraction = self._contraction()
        self.ksp = self._solver()

    def begin(self) -> Any:
        """Zeros; terminal states have their value."""
        v = self._values.duplicate()
        v.setArray(self.rows.terminal_value)
        return v

    def improve(self, v: Any) -> _Step:
        """Tv, collectively."""
        product = self.matrix.createVecLeft()
        self.matrix.mult(v, product)
        q = self.rows.reward + self.discount * product.getArray(readonly=True)
        values, choice = v.duplicate(), np.full(self.last - self.first, -1, dtype=np.int64)
        best, acts = self.rows.terminal_value.copy(), ~self.rows.terminal
        if len(q):
            best[acts] = np.maximum.reduceat(q, self.starts)
            counts = np.diff(np.append(self.starts, len(q)))
            greatest = np.where(q == np.repeat(best[acts], counts), np.arange(len(q)), len(q))
            choice[acts] = np.minimum.reduceat(greatest, self.starts)
        values.setArray(best)
        change = values.duplicate()
        change.waxpy(-1.0, v, values)
        norm = values.norm(self.petsc.NormType.NORM_INFINITY)
        return _Step(values, choice, change.min()[1], change.max()[1], norm)

    def evaluate(self, step: _Step, inner: float) -> Any:
        """About the value of the greedy policy: the Krylov method from Tv, collectively."""
        reward = np.empty(self.last - self.first)
        rows, own = self.rows, self._own
        kernels.copy_policy(
            step.choice, rows.indptr, rows.indices, rows.data, rows.reward, rows.terminal_value, *own, reward
        )
        end = int(own[0][-1])
        shape = self.last - self.first, self.states
        policy = sp.csr_array((own[2][:end], own[1][:end].astype(np.int64), own[0].astype(np.int64)), shape=shape)
        local: Any = sp.csr_array(sp.eye_array(*shape, k=self.first) - self.discount * policy)
        system = self._aij(local.indptr, local.indices, local.data)
        right, residual, v = (step.values.duplicate() for _ in range(3))
        right.setArray(reward)
        step.values.copy(v)
        system.mult(v, residual)
        residual.aypx(-1.0, right)
        self.ksp.setOperators(system)
        self.ksp.setTolerances(rtol=1e-50, atol=inner * residual.norm(), divtol=1e10, max_it=1000)
        self.ksp.solve(right, v)
        self.products += self.ksp.getIterationNumber() + 1
        self.ksp.reset()
        system.destroy()
        return v

    def _solver(self) -> Any:
        ksp = self.petsc.KSP().create(self.comm)
        ksp.setType("gmres")
        ksp.getPC().setType("none")
        ksp.setInitialGuessNonzero(True)
        ksp.setOptionsPrefix(PREFIX)
        ksp.setFromOptions()
        return ksp

    def _aij(self, indptr: NDArray[Any], indices: NDArray[Any], data: Floats) -> Any:
        """Rows of this rank as a distributed matrix over all states."""
        kind = self.petsc.IntType
        size = (len(indptr) - 1, None), (self.last - self.first, self.states)
        csr = indptr.astype(kind), indices.astype(kind), np.ascontiguousarray(data)
        return self.petsc.Mat().createAIJ(size, csr=csr, comm=self.comm)

    def _contraction(self) -> Contraction:
        """Of all ranks together."""
        rows = self.rows
        least, most, longest = np.inf, -np.inf, 0
        if len(rows.action):
            least, most, longest = kernels.masses(rows.indptr, rows.data)
        reward = float(np.abs(rows.reward).max(initial=0.0))
        least, most = -self._greatest(-float(least)), self._greatest(float(most))
        longest, reward = int(self._greatest(float(longest))), self._greatest(reward)
        if longest == 0:
            return Contraction(self.discount, 1.0, 1.0, 0, 0.0)
        return Contraction.measured(self.discount, least, most, longest, reward)

    def _greatest(self, number: float) -> float:
        """Of all ranks' numbers."""
        vector = self.petsc.Vec().createMPI((1, None), comm=self.comm)
        vector.setArray(np.array([number]))
        return float(vector.max()[1])


def _petsc() -> Any:
    """petsc4py.PETSc.

    Raises:
        ModelError: if it is not installed.
    """
    try:
        from petsc4py import PETSc  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ModelError(
            f"petsc4py is not installed ({error}): pip install petsc petsc4py (builds PETSc with your C compiler and "
            "MPI, some minutes), or use operant.mdp.solve, which needs one machine and nothing else."
        ) from error
    return PETSc
