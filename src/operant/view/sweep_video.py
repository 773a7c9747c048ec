"""The sweeps of a solver as a film: values colour the states while they spread, and the greedy actions follow them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.errors import OperantError
from operant.view.grid_layout import actions_taken, layout_of
from operant.view.grid_picture import GridPicture, shades, value_limits
from operant.view.video import record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from operant.mdp.model import MDP
    from operant.mdp.solution import Solution

    Floats = NDArray[np.float64]

EVERY, GROWTH = 48, 1.06
"""So many iterations at the beginning are all shown; after them each is so much later than the one before."""

CELLS = 2_500
"""Cells of a map up to which it is drawn as a map."""

STRIP = (54, 160)
"""Rows and columns of a heat strip, at most."""

SECONDS, HOLD = 12.0, 2.0
"""Length of a film, about, and how long its last picture stands."""

WIDEST = 1280


class Sweeps:
    """Told of each sweep by the solver (it is a `Watch`), keeps some of them, and films them when all is done.

    Memory does not grow with the iterations beyond a logarithm, nor with the states beyond the cells of a strip.
    """

    def __init__(self, mdp: MDP) -> None:
        layout = layout_of(mdp)
        self.mdp = mdp
        self.layout = layout if layout is not None and layout.states.size <= CELLS else None
        self.kept: list[tuple[int, float, Floats]] = []
        self.due = 1

    def __call__(self, iteration: int, gap: float, values: Floats) -> None:
        """Keep this sweep if it is to be shown."""
        if iteration < self.due or values.ndim != 1:
            return
        self.due = iteration + 1 if iteration < EVERY else math.ceil(iteration * GROWTH)
        self.kept.append((iteration, gap, values.copy() if self.layout is not None else bins(values)))

    def film(self, solution: Solution, name: str, path: Path) -> Path:
        """Encode what was kept, and the answer, as an mp4; returns its path.

        Raises:
            OperantError: if the method told of no sweep.
            DiskError: if the disk refuses.
        """
        final = solution.values[0] if solution.values.ndim == 2 else solution.values
        last = (solution.iterations, solution.certificate.gap, final if self.layout is not None else bins(final))
        frames = [*self.kept, last]
        if len(frames) < 2:
            raise OperantError(f"{solution.method} makes no sweeps to film. Try --method value-iteration.")
        fps = max(2, min(25, round(len(frames) / SECONDS)))
        captions = [f"{name} · {solution.method} · iteration {i:,} · gap {g:.1e}" for i, g, _ in frames]
        pictures = self._maps(frames) if self.layout is not None else self._strips(frames)
        hold = round(fps * HOLD)
        captions += captions[-1:] * hold
        return record(_held(pictures, hold), path, fps=fps, overlay=captions.__getitem__, poster=True)

    def _maps(self, frames: list[tuple[int, float, Floats]]) -> Iterator[Any]:
        assert self.layout is not None
        picture = GridPicture(self.layout, self.mdp.rows.terminal)
        figure = picture.figure
        figure.set_dpi(min(160.0, WIDEST / figure.get_figwidth()))
        limits = _limits([values[~self.mdp.rows.terminal] for _, _, values in frames])
        for _, _, values in frames:
            picture.show(values, greedy(self.mdp, values), limits=limits)
            yield _pixels(figure)

    def _strips(self, frames: list[tuple[int, float, Floats]]) -> Iterator[Any]:
        limits = _limits([values for _, _, values in frames])
        for _, _, values in frames:
            yield strip(values, limits)


def greedy(mdp: MDP, values: Floats) -> NDArray[np.bool_]:
    """Which actions are greedy under `values`, ties up to rounding included, [S, A]."""
    import numpy as np

    q = mdp.rows.reward + mdp.discount * (mdp.matrix @ values)  # [L]
    best = np.full(mdp.num_states, -np.inf)
    state = mdp.row_state
    np.maximum.at(best, state, q)
    slack = 1e-9 * max(1.0, float(np.abs(q).max(initial=0.0)))
    return actions_taken(mdp, q >= best[state] - slack)


def bins(values: Floats) -> Floats:
    """The values in order, or, where they are more than a strip has cells, the means of as many equal parts."""
    import numpy as np

    cells = STRIP[0] * STRIP[1]
    if len(values) <= cells:
        return values.copy()
    edges = np.linspace(0, len(values), cells + 1).astype(np.int64)
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)


def strip(values: Floats, limits: tuple[float, float]) -> NDArray[np.uint8]:
    """A heat strip, line after line from the top left, [H, W, 3]: a cell for each value."""
    import numpy as np

    columns = min(STRIP[1], max(1, math.ceil(math.sqrt(2.5 * len(values)))))
    rows = -(-len(values) // columns)
    table = np.ones((rows * columns, 3))
    table[: len(values)] = shades(values, *limits)
    side = max(4, 960 // columns)
    image = (255 * table.reshape(rows, columns, 3) + 0.5).astype(np.uint8)
    return np.repeat(np.repeat(image, side, axis=0), side, axis=1)


def _limits(frames: list[Floats]) -> tuple[float, float]:
    """The ends of the colours of a film: those of its last picture, and of nothing that the first ones overshoot."""
    import numpy as np

    low, high = value_limits(frames[-1])
    return min(low, float(np.min(frames[0], initial=low))), max(high, float(np.max(frames[0], initial=high)))


def _held(pictures: Iterator[Any], more: int) -> Iterator[Any]:
    picture: Any = None
    for picture in pictures:
        yield picture
    for _ in range(more):
        yield picture


def _pixels(figure: Any) -> NDArray[np.uint8]:
    """The picture of a figure, [H, W, 3]."""
    import numpy as np

    figure.canvas.draw()
    return np.ascontiguousarray(np.asarray(figure.canvas.buffer_rgba())[:, :, :3])
