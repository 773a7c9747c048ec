"""A model's sweeps with a number of threads: the kernels, bound to arrays and to chunks of equal work."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import numba
import numpy as np
from numba.core import config
from numpy.typing import NDArray

from operant.mdp import kernels
from operant.mdp.model import MDP, Floats, Integers, ModelError, unsigned

Choice = NDArray[np.int64]
SMALL = 50_000
"""Entries below which starting threads costs more than it saves."""


def thread_count(threads: int | None, entries: int) -> int:
    """What was asked for, or all threads that Numba may use, or one for a small model.

    Raises:
        ModelError: if there are not that many.
    """
    most = int(config.NUMBA_NUM_THREADS)  # pyright: ignore[reportAttributeAccessIssue]
    if threads is None:
        return 1 if entries < SMALL else most
    if not 1 <= threads <= most:
        raise ModelError(f"threads is {threads}: this process may use 1 to {most} (NUMBA_NUM_THREADS).")
    return threads


@contextmanager
def using(threads: int) -> Generator[None]:
    """Numba's threads inside of the block."""
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def chunks_of(cost: Integers, threads: int) -> NDArray[np.uint64]:
    """The states at which chunks of equal cost begin; cost [S+1] is cumulative."""
    wanted = np.linspace(0, float(cost[-1]), 4 * threads + 1)[1:-1]
    inner = np.searchsorted(cost, wanted)
    return np.concatenate(([0], inner, [len(cost) - 1])).astype(np.uint64)


class Sweeps:
    """Sweeps over all rows of a model."""

    def __init__(self, mdp: MDP, threads: int | None = None) -> None:
        self.threads = thread_count(threads, mdp.nnz)
        self.mdp = mdp
        rows = mdp.rows
        self.arrays = (rows.pointer, rows.indptr, rows.indices, rows.data, rows.reward)
        self.discount = mdp.discount
        self.starts = chunks_of(rows.indptr[rows.pointer] + rows.pointer, self.threads)
        self.bounds = np.empty((len(self.starts) - 1, 2))

    def backup(self, v: Floats, out: Floats, choice: Choice) -> tuple[float, float]:
        """One Jacobi sweep from v into out; the least and the greatest change."""
        if self.threads == 1:
            return kernels.backup_range(np.uint64(0), np.uint64(len(v)), *self.arrays, self.discount, v, out, choice)
        with using(self.threads):
            kernels.backup(self.starts, *self.arrays, self.discount, v, out, choice, self.bounds)
        return float(self.bounds[:, 0].min()), float(self.bounds[:, 1].max())


class PolicySweeps:
    """Sweeps over the rows of one policy, copied together; memory is allocated once for all policies of a model."""

    def __init__(self, mdp: MDP, threads: int) -> None:
        rows = mdp.rows
        most = int(kernels.successors(rows.pointer, rows.indptr))
        self.mdp, self.threads = mdp, threads
        self.indptr: Integers = np.zeros(mdp.num_states + 1, dtype=unsigned([most]).dtype)
        self.indices: Integers = np.empty(most, dtype=rows.indices.dtype)
        self.data: Floats = np.empty(most)
        self.reward: Floats = np.empty(mdp.num_states)
        self.choice: Choice | None = None
        self.starts = np.zeros(0, dtype=np.uint64)
        self.bounds = np.empty((0, 2))

    @property
    def arrays(self) -> tuple[Integers, Integers, Floats, Floats]:
        """indptr, indices, data, reward of the policy."""
        return self.indptr, self.indices, self.data, self.reward

    def take(self, choice: Choice) -> int:
        """Copy the rows of a policy; in how many states it differs from the one that was here."""
        changes = len(choice) if self.choice is None else int(np.count_nonzero(self.choice != choice))
        if changes == 0:
            return 0
        rows = self.mdp.rows
        kernels.extract(choice, rows.indptr, rows.indices, rows.data, rows.reward, rows.terminal_value, *self.arrays)
        self.choice = choice.copy()
        self.starts = chunks_of(self.indptr, self.threads)
        self.bounds = np.empty((len(self.starts) - 1, 2))
        return changes

    def evaluate(self, v: Floats, out: Floats) -> tuple[float, float]:
        """One Jacobi sweep of the policy from v into out; the least and the greatest change."""
        discount = self.mdp.discount
        if self.threads == 1:
            return kernels.evaluate_range(np.uint64(0), np.uint64(len(v)), *self.arrays, discount, v, out)
        with using(self.threads):
            kernels.evaluate(self.starts, *self.arrays, discount, v, out, self.bounds)
        return float(self.bounds[:, 0].min()), float(self.bounds[:, 1].max())
