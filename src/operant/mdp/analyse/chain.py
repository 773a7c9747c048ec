"""The Markov chain of one policy: its classes, and linear systems in I - γP on the states that still run."""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from operant.mdp.model import MDP
from operant.mdp.policies import averaged, checked
from operant.mdp.rows import Floats, ModelError

UNIT = float(np.finfo(np.float64).eps) / 2  # u: the largest relative error of one rounded operation


class Chain:
    """A model under a policy: P [S, S] and r [S]; terminal states have empty rows and keep their value.

    Args:
        mdp: the model.
        policy: probabilities of its rows, [L].

    Raises:
        ModelError: if `policy` is none, naming the state.
    """

    def __init__(self, mdp: MDP, policy: ArrayLike) -> None:
        self.mdp = mdp
        self.policy = checked(mdp, policy)
        self.weights = averaged(mdp, self.policy)  # [S, L]
        matrix: Any = sp.csr_array(self.weights @ mdp.matrix)
        matrix.eliminate_zeros()
        matrix.sort_indices()
        self.matrix: Any = matrix  # [S, S]
        self.reward: Floats = np.asarray(self.weights @ mdp.rows.reward)
        self.discount = mdp.discount

    @cached_property
    def classes(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """(the class of each state [S], which classes are recurrent [C]): strongly connected components, closed ones.

        Terminal states, and classes out of which mass leaks, are not recurrent.
        """
        count, label = connected_components(self.matrix, connection="strong")
        closed = np.ones(count, dtype=bool)
        closed[label[self.mdp.rows.terminal]] = False
        source = np.repeat(np.arange(len(label)), np.diff(self.matrix.indptr))
        closed[label[source[label[source] != label[self.matrix.indices]]]] = False
        if self.mdp.leak:
            closed[label[np.asarray(self.matrix.sum(axis=1)).ravel() < 1.0 - 1e-8]] = False
        return label, closed

    @cached_property
    def recurrent(self) -> NDArray[np.bool_]:
        """[S]: states of recurrent classes, which the chain never leaves."""
        label, closed = self.classes
        return closed[label]

    @cached_property
    def running(self) -> NDArray[np.int64]:
        """The states whose value has to be solved for: neither terminal nor, under γ = 1, in a class without reward.

        Raises:
            ModelError: under γ = 1, if a recurrent class has a reward: the total has no limit; or if the model says
                what an endless play is worth.
        """
        ended = self.mdp.rows.terminal.copy()
        if self.discount == 1.0:
            counts = self.mdp.kind == "total" and self.mdp.endless is not None
            bad = np.flatnonzero(self.recurrent & (counts | (self.reward != 0.0)))
            if len(bad):
                why = "and goes on earning, so that with γ = 1 the total has no limit"
                raise ModelError(
                    f"the policy is not proper: from state {self.mdp.name(int(bad[0]))} it never ends "
                    + (f"(and an endless play {self.mdp.endless}); choose one that ends" if counts else why)
                    + ', set a discount below 1, or criterion="average".'
                )
            ended |= self.recurrent
        return np.flatnonzero(~ended)

    def under(self, discount: float, running: NDArray[np.int64] | None = None) -> Chain:
        """The same chain under another discount, with the states `running` to be solved for (else as here)."""
        other = copy(self)
        other.__dict__ = {name: value for name, value in self.__dict__.items() if name not in ("_system", "_mask")}
        other.discount, other.running = discount, self.running if running is None else running
        return other

    @cached_property
    def transient(self) -> Chain:
        """The chain without a discount, of which only the transient states run, whatever they earn."""
        return self.under(1.0, np.flatnonzero(~(self.recurrent | self.mdp.rows.terminal)))

    @property
    def worth(self) -> Floats:
        """[S]: the values that are known from the start, those of terminal states; 0 elsewhere."""
        return np.where(self.mdp.rows.terminal, self.mdp.rows.terminal_value, 0.0)

    @cached_property
    def _system(self) -> tuple[Any, Any]:
        """I - γP among the running states, and its factors."""
        at = self.running
        system: Any = sp.csc_array(sp.eye_array(len(at)) - self.discount * self.matrix[at][:, at])
        return system, splu(system) if len(at) else None

    def solve(self, right: Floats, *, transposed: bool = False) -> Floats:
        """x with (I - γP) x = right, or its transpose, among the running states; 0 at the others. [S] or [S, K].

        One step of iterative refinement follows the factors.
        """
        solution, at = np.zeros_like(right), self.running
        if len(at):
            system, factors = self._system
            matrix, kind = (system.T, "T") if transposed else (system, "N")
            b = np.ascontiguousarray(right[at])
            x = factors.solve(b, kind)
            solution[at] = x + factors.solve(b - matrix @ x, kind)
        return solution

    def sweep(self, values: Floats) -> Floats:
        """T v = r + γ P v; states that do not run keep their value. [S]."""
        out, at = values.copy(), self.running
        out[at] = self.reward[at] + self.discount * (self.matrix @ values)[at]
        return out

    def known(self) -> Floats:
        """[S]: r + γ P w of the running states, with w the known values: the right-hand side of evaluation."""
        return self.reward + self.discount * (self.matrix @ self.worth)

    def rounding(self, values: Floats) -> float:
        """What floating point may have added to one entry of `sweep`, and to r and P themselves."""
        largest = float(np.abs(self.mdp.rows.reward).max(initial=0.0) + 2.0 * np.abs(values).max(initial=0.0))
        return self._terms * UNIT * largest

    @cached_property
    def _terms(self) -> int:
        """Twice the operations behind one entry of `sweep`: the sum over a state's actions and their successors."""
        old = self.mdp.rows
        ends = old.indptr.astype(np.int64)[old.pointer.astype(np.int64)]
        return 2 * (int(np.diff(ends).max(initial=0)) + self.mdp.num_actions + 4)

    def bounds(self, values: Floats, steps: Floats) -> tuple[Floats, Floats, float]:
        """(lower [S], upper [S], rounding) around the value of the policy, from any `values` and any positive `steps`.

        With d = T v - v, the value is v + (I - γP)⁻¹ d, and where (I - γP) h ≥ 1 - δ > 0 the inverse of any d ≤ D is at
        most D h / (1 - δ): h need not be exact, it is checked. h = (I - γP)⁻¹ 1 is the expected (discounted) number of
        decisions. If δ ≥ 1 the bounds are infinite.
        """
        at, noise = self.running, self.rounding(values)
        d = (self.sweep(values) - values)[at]
        kept = (steps - self.discount * (self.matrix @ np.where(self._mask, steps, 0.0)))[at]
        slack = float(kept.min(initial=np.inf)) - self._terms * UNIT * float(np.abs(steps).max(initial=0.0))
        h = np.zeros_like(values)
        if len(at):
            h[at] = steps[at] / slack if slack > 0.0 else np.inf
        low, high = min(float(d.min(initial=0.0)), 0.0), max(float(d.max(initial=0.0)), 0.0)
        off = np.zeros_like(values)
        off[at] = UNIT * 4 * np.abs(values[at])
        lower, upper = values + h * (low - noise) - off, values + h * (high + noise) + off
        return lower, upper, float(np.max(h * noise + off, initial=0.0))

    @cached_property
    def _mask(self) -> NDArray[np.bool_]:
        mask = np.zeros(self.mdp.num_states, dtype=bool)
        mask[self.running] = True
        return mask
