"""Robust control: the probabilities of each row are only known up to a set, out of which nature picks the worst."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike

from operant.mdp.bounds.certify import UNIT, Contraction
from operant.mdp.bounds.fixed_point import fixed_point
from operant.mdp.bounds.sweeps import Choice, Sweeps
from operant.mdp.kernels import robust as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Stop
from operant.mdp.rows import Floats, ModelError, unsigned
from operant.mdp.solution import Solution
from operant.mdp.validate import public

Attitude = Literal["pessimistic", "optimistic"]
Nature = Callable[[Floats, float, Floats], None]
"""Fills p [nnz] with the probabilities of least Σ sign · p v in every row: (values [S], sign, p)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervals:
    """lower ≤ p ≤ upper for each entry of the matrix, rows summing to one; each row picked on its own."""

    lower: ArrayLike  # [nnz]
    upper: ArrayLike  # [nnz]

    def nature(self, mdp: MDP) -> Nature:
        """The inner problem, solved exactly by sorting.

        Raises:
            ModelError: if bounds are no probabilities or admit none in some row, naming it.
        """
        rows = mdp.rows
        lower = np.ascontiguousarray(self.lower, dtype=np.float64)
        upper = np.ascontiguousarray(self.upper, dtype=np.float64)
        for name, bound in (("lower", lower), ("upper", upper)):
            if bound.shape != rows.data.shape:
                raise ModelError(f"{name} has shape {bound.shape}, expected one bound per entry, [{mdp.nnz}].")
        entry = np.repeat(np.arange(mdp.num_rows), np.diff(rows.indptr.astype(np.int64)))
        bad = ~((lower >= 0.0) & (lower <= upper) & (upper <= 1.0))
        least = np.bincount(entry, weights=lower, minlength=mdp.num_rows)
        most = np.bincount(entry, weights=upper, minlength=mdp.num_rows)
        row_bad = (np.bincount(entry, weights=bad, minlength=mdp.num_rows) > 0) | (least > 1 + 1e-9) | (most < 1 - 1e-9)
        if row_bad.any():
            at = int(np.argmax(row_bad))
            raise ModelError(
                f"the intervals of state {mdp.name(int(mdp.row_state[at]))}, action {rows.action[at]} hold no "
                f"probabilities: they need 0 ≤ lower ≤ upper ≤ 1 and Σ lower = {least[at]:.9g} ≤ 1 ≤ Σ upper = "
                f"{most[at]:.9g}."
            )
        order = _workspace(mdp)

        def pick(values: Floats, sign: float, p: Floats) -> None:
            kernels.interval_all(rows.indptr, rows.indices, lower, upper, values, sign, order, p)

        return pick


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distance:
    """Σ_s' |p(s') - p̂(s')| ≤ radius for each row, among the successors that the model's own p̂ names."""

    radius: ArrayLike  # [L], or one number, in [0, 2]

    def nature(self, mdp: MDP) -> Nature:
        """The inner problem, solved exactly by sorting.

        Raises:
            ModelError: if a radius lies outside of [0, 2].
        """
        rows = mdp.rows
        radius = np.asarray(self.radius, dtype=np.float64)
        if radius.shape not in ((), (mdp.num_rows,)):
            raise ModelError(f"radius has shape {list(radius.shape)}: expected one number, or one a row.")
        radius = np.ascontiguousarray(np.broadcast_to(radius, (mdp.num_rows,)))
        if not ((radius >= 0.0) & (radius <= 2.0)).all():
            raise ModelError("a radius lies outside of [0, 2], the range of the distance Σ |p - q|.")
        order = _workspace(mdp)

        def pick(values: Floats, sign: float, p: Floats) -> None:
            kernels.distance_all(rows.indptr, rows.indices, rows.data, radius, values, sign, order, p)

        return pick


@public("discounted")
def robust_value_iteration(
    mdp: MDP,
    *,
    uncertainty: Intervals | Distance,
    attitude: Attitude = "pessimistic",
    initial: Floats | None = None,
    **stop: Unpack[Stop],
) -> Solution:
    """v(s) = max_a r(s, a) + γ min_p Σ p(s') v(s'), the minimum over the row's own set ((s, a)-rectangular).

    Args:
        mdp: a discounted model; its own probabilities matter to `Distance` only. r(s, a) is taken as certain.
        uncertainty: the sets.
        attitude: "pessimistic" lets nature minimise, "optimistic" lets it help.
        initial, stop: as for every solver, see `operant.mdp.solve`.

    Returns:
        `extra["probabilities"]` [nnz]: what nature picks at the values found; `extra["model"]`: the model with those.

    Raises:
        ModelError: if the model is not discounted or leaks, the sets are empty, or ε cannot be certified.

    Source: Iyengar (2005), Robust dynamic programming, theorem 3.2; Nilim and El Ghaoui (2005); Givan, Leach and Dean
    (2000), Bounded-parameter Markov decision processes, for the order of the greedy inner solution.
    """
    if mdp.leak:
        raise ModelError("robust value iteration is for models whose rows sum to one, without leak=True.")
    if attitude not in ("pessimistic", "optimistic"):
        raise ModelError(f'attitude is "{attitude}": choose "pessimistic" or "optimistic".')
    nature, sign = uncertainty.nature(mdp), 1.0 if attitude == "pessimistic" else -1.0
    p = mdp.rows.data.copy()
    moving = MDP.from_rows(replace(mdp.rows, data=p, outcome_reward=None), mdp.discount, check=False)
    engine = Sweeps(moving, threads=1)  # it reads p, which nature rewrites

    def sweep(values: Floats) -> tuple[Floats, Choice]:
        nature(values, sign, p)
        out, rows = np.empty_like(values), np.empty(mdp.num_states, dtype=np.int64)
        engine.backup(values, out, rows)
        return out, rows

    solution = fixed_point(
        mdp,
        sweep,
        _contraction(mdp),
        method="robust-value-iteration",
        theorem="the robust backup is monotone and carries constants as γ does, so the span of one sweep bounds it",
        initial=initial,
        **stop,
    )
    nature(solution.values, sign, p)
    return replace(solution, extra={"probabilities": p, "model": _picked(mdp, moving)})


def _picked(mdp: MDP, moving: MDP) -> MDP:
    """Nature's model, without the entries that it gave nothing to."""
    matrix: Any = moving.matrix.copy()
    matrix.eliminate_zeros()
    rows = replace(
        moving.rows, indptr=unsigned(matrix.indptr), indices=unsigned(matrix.indices), data=np.asarray(matrix.data)
    )
    return mdp.replace(rows=rows)


def _contraction(mdp: MDP) -> Contraction:
    """Nature's rows sum to one up to the rounding of one pass over them, and to the tolerance of its bounds."""
    base = Contraction.of(mdp)
    slack = 8 * base.longest * UNIT + 2e-9
    return replace(
        base, least=min(base.least, 1.0 - slack), most=max(base.most, 1.0 + slack), longest=2 * base.longest + 8
    )


def _workspace(mdp: MDP) -> Choice:
    return np.empty(int(np.diff(mdp.rows.indptr.astype(np.int64)).max(initial=0)), dtype=np.int64)
