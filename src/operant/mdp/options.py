"""What is given by keyword all over this room: what a model says besides its rows, and how far a solver goes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Literal, TypedDict

from operant.config.errors import KeywordError
from operant.config.suggest import did_you_mean, nearest
from operant.mdp.rows import Criterion, Endless, Floats, Grid, Start

Watch = Callable[[int, float, Floats], None]
"""Called by a solver after each sweep or improvement with (iteration, certified gap so far or inf, values [S] now).

The values are the solver's own array: copy what is to be kept.
"""


class About(TypedDict, total=False):
    """What a model says besides its rows and its discount, as `MDP` documents it."""

    start: Start | Hashable | None
    horizon: int | None
    criterion: Criterion | None
    endless: Endless | None
    leak: bool
    states: Sequence[Hashable] | None
    actions: Sequence[Hashable] | None
    grid: Grid | None


class Header(About):
    """All of a model but its rows: `MDP.from_rows(rows, **header)`."""

    discount: float


EPSILON = 1e-6
"""How far off an answer may be where nothing is said."""


class Stop(TypedDict, total=False):
    """When a solver stops, and who is told on the way."""

    epsilon: float  # how far off any value may be, and how much the policy may lose [1e-6]
    watch: Watch | None  # called after each sweep or improvement [nobody]
    max_iterations: int | None  # stop then, with whatever the certificate states [no limit]


class Limits(Stop, total=False):
    """`Stop`, and what an iterative solver takes besides."""

    threads: int | None  # how many; None for all, or one if the model is small: the answer does not depend on it
    initial: Floats | None  # values [S] to start from; zeros if None


Kind = Literal["discounted", "total", "average", "finite-horizon"]
"""Which problem a model means: a horizon if it has one, else its criterion. `MDP.kind` tells."""


def unknown_keyword(taker: str, unknown: Iterable[str], known: Iterable[str]) -> KeywordError:
    """What to raise for keywords that `known` lacks: it names one of them, and the nearest that is there."""
    names, name = list(known), min(unknown)
    return KeywordError(f"{taker} takes no {name!r}.{did_you_mean(nearest(name, names))} It takes {', '.join(names)}.")
