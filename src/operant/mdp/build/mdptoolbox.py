"""Models in the form of MDPtoolbox: one matrix [S, S] per action, states last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from numpy.typing import ArrayLike

from operant.mdp.model import MDP
from operant.mdp.options import About
from operant.mdp.validate import public


class Options(About, total=False):
    """What `MDP` takes besides."""

    terminal: ArrayLike | Mapping[int, float] | None


@public()
def from_mdptoolbox(P: Any, R: Any, discount: float, **options: Unpack[Options]) -> MDP:
    """The model of MDPtoolbox arrays, by another name: `MDP.from_arrays`.

    Args:
        P: p(s' | s, a) = P[a][s, s']: an array, or a sequence of dense or sparse matrices. Sparse ones stay sparse.
        R: rewards in one of the forms of that package.
        discount: γ.
        options: what `MDP` takes besides: terminal, start, horizon, criterion, names.

    Raises:
        ModelError: if shapes do not fit, or a row is no distribution.
    """
    return MDP.from_arrays(P, R, discount, **options)
