"""A model's sweeps with a number of threads: the kernels, bound to arrays and to chunks of equal work."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import numba
import numpy as np
from numba.core import config
from numpy.typing import NDArray

from operant.data.ranges import whole
from operant.mdp.kernels import bellman as kernels
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, Integers, ModelError, unsigned

Choice = NDArray[np.int64]
SMALL = 50_000
"""Entries below which starting threads costs more than it saves."""


def thread_count(threads: int | None, entries: int) -> int:
    """At most what was asked for, or all threads that Numba may use; one for a small model.

    Raises:
        ModelError: if there are not that many.
    """
    most = int(config.NUMBA_NUM_THREADS)  # pyright: ignore[reportAttributeAccessIssue]
    if threads is not None and whole("threads", threads, error=ModelError) > most:
        raise ModelError(f"threads is {threads}: this process may use 1 to {most} (NUMBA_NUM_THREADS).")
    return 1 if entries < SMALL else threads or most


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
    if threads == 1:
        return np.array([0, len(cost) - 1], dtype=np.uint64)
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


class PaddedSweeps:
    """Sweeps over the rows of one policy, copied together and padded to the same length: the fastest form.

    Taking the next policy costs only the states that changed. It needs rows of about the same, small length (`fits`).
    """

    def __init__(self, mdp: MDP, threads: int) -> None:
        self.mdp, self.threads = mdp, threads
        self.length = longest_row(mdp)
        self.fan = (0,) * self.length
        size = mdp.num_states * self.length
        self.indices: Integers = np.empty(size, dtype=mdp.rows.indices.dtype)
        self.data, self.reward = np.empty(size), np.empty(mdp.num_states)
        self.held = np.full(mdp.num_states, -2, dtype=np.int64)
        self.starts = np.linspace(0, mdp.num_states, 4 * threads + 1).astype(np.uint64)
        self.bounds = np.empty((4 * threads, 2))

    @staticmethod
    def fits(mdp: MDP) -> bool:
        """Is the model large enough to compile for its length, and are most rows nearly as long as the longest?"""
        longest = longest_row(mdp)
        return mdp.nnz >= SMALL and longest <= 16 and longest * mdp.num_rows <= 1.5 * mdp.nnz

    def take(self, choice: Choice) -> None:
        """Copy the rows of a policy that are not here yet."""
        rows = self.mdp.rows
        with using(self.threads):
            kernels.pad(
                self.starts, choice, self.held, rows.indptr, rows.indices, rows.data, rows.reward, rows.terminal_value,
                np.uint64(self.length), self.indices, self.data, self.reward,
            )  # fmt: skip

    def evaluate(self, v: Floats, out: Floats) -> tuple[float, float]:
        """One Jacobi sweep of the policy from v into out; the least and the greatest change."""
        own, discount = (self.fan, self.indices, self.data, self.reward), self.mdp.discount
        if self.threads == 1:
            return kernels.evaluate_padded_range(np.uint64(0), np.uint64(len(v)), *own, discount, v, out)
        with using(self.threads):
            kernels.evaluate_padded(self.starts, *own, discount, v, out, self.bounds)
        return float(self.bounds[:, 0].min()), float(self.bounds[:, 1].max())


def longest_row(mdp: MDP) -> int:
    """Entries of the longest row."""
    return int(np.diff(mdp.rows.indptr).max(initial=0))


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
        kernels.copy_policy(
            choice, rows.indptr, rows.indices, rows.data, rows.reward, rows.terminal_value, *self.arrays
        )
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
