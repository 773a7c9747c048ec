"""Values and policies of a model that lives on a grid, as a picture: colour, number and pointers in every cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from operant.config.errors import ConfigError
from operant.view.curves import family
from operant.view.grid_layout import Layout, Move, actions_taken, layout_of

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from operant.mdp.model import MDP

    Values = NDArray[np.float64]

INK, MUTED, HAIR, WALL = "#16191d", "#667080", "#d5dae1", "#4a515c"
LOW, MIDDLE, HIGH, DEEP = "#c85f1a", "#fbfcfe", "#7d9df0", "#1d47b8"
CELL, WIDEST = 0.86, 11.0
"""Inches of a cell, and of the longer side of a picture at most."""


def draw_grid(
    mdp: MDP,
    values: Values,
    policy: NDArray[Any] | None = None,
    *,
    layout: Layout | None = None,
    axis: Axes | None = None,
    title: str = "",
    limits: tuple[float, float] | None = None,
    numbers: bool | None = None,
) -> Figure:
    """Draw values as colours and numbers, and a policy as pointers, one for each action that is taken or optimal.

    Args:
        mdp: whose states stand on the grid.
        values: [S], or any other number for each state.
        policy: actions [S] (labels, -1 for none), or which rows of the model are taken [L] (bool), as
            `Solution.ties()` gives all optimal ones; None draws no pointers.
        layout: where the states stand; what `layout_of` says if None.
        axis: where to draw; a figure of its own if None.
        title: stands above.
        limits: the values at the ends of the colours; those of the states that are not terminal if None.
        numbers: write the values into the cells; if None, where they are legible.

    Returns:
        The figure, to be saved with `operant.view.curves.save_figure`.

    Raises:
        ConfigError: if nothing says where the states stand.
    """
    layout = layout or layout_of(mdp)
    if layout is None:
        raise ConfigError("the model has no map (`mdp.grid`), so it cannot be drawn as a grid: give `layout`.")
    picture = GridPicture(layout, mdp.rows.terminal, axis=axis, title=title, numbers=numbers)
    if policy is not None and policy.dtype == bool:
        policy = actions_taken(mdp, policy)
    picture.show(values, policy, limits=limits)
    return picture.figure


class GridPicture:
    """A grid on an axis of which values and policy can be changed, as for the frames of a film.

    Arguments are those of `draw_grid`; `terminal` [S] says which states end an episode.
    """

    def __init__(
        self,
        layout: Layout,
        terminal: NDArray[np.bool_],
        *,
        axis: Axes | None = None,
        title: str = "",
        numbers: bool | None = None,
    ) -> None:
        import matplotlib as mpl
        import numpy as np
        from matplotlib.collections import PolyCollection

        self.layout = layout
        height, width = layout.states.shape
        with mpl.rc_context({"font.family": family(), "hatch.linewidth": 0.7}):
            self.axis = _figure(height, width, title) if axis is None else axis
            self.figure: Figure = self.axis.figure  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
            axis = self.axis
            axis.set_xlim(-0.03, width + 0.03)
            axis.set_ylim(height + 0.03, -0.03)
            axis.set_aspect("equal")
            axis.set_axis_off()
            if title:
                axis.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=8)
            self.points = _points(axis, height, width)
            self.cells = np.argwhere(layout.states >= 0)  # [K, 2]
            self.state = layout.states[layout.states >= 0]  # [K]
            self.terminal = terminal[self.state]
            self.numbers = self.points >= 25 if numbers is None else numbers
            squares = [[(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)] for y, x in self.cells.tolist()]
            line = 0.8 if self.points >= 14 else 0.4
            self.faces = axis.add_collection(PolyCollection(squares, edgecolors=HAIR, linewidths=line, zorder=1))
            self.pointers = PolyCollection([], facecolors=INK, linewidths=0, zorder=4)
            axis.add_collection(self.pointers)
            self.stays = axis.scatter([], [], s=(0.16 * self.points) ** 2, c=INK, linewidths=0, zorder=4)
            self._still(line)
            size = min(12.5, self.points / 4.9)
            centred: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 5}
            self.texts = [
                axis.text(x + 0.5, y + 0.5, "", fontsize=size, **centred)
                for y, x in (self.cells.tolist() if self.numbers else ())
            ]
            size = min(11.0, self.points / 5)
            named = any(move is None for move in layout.moves) and self.points >= 9
            self.action_names = [
                axis.text(x + 0.5, y + (0.8 if self.numbers else 0.5), "", fontsize=size, color=INK, **centred)
                for y, x in (self.cells.tolist() if named else ())
            ]

    def show(
        self, values: Values, policy: NDArray[Any] | None = None, *, limits: tuple[float, float] | None = None
    ) -> None:
        """Put other values [S], and another policy, actions [S] or which of them [S, A], into the picture."""
        import numpy as np

        cell_values = np.asarray(values, dtype=np.float64)[self.state]  # [K]
        low, high = limits or value_limits(cell_values[~self.terminal] if (~self.terminal).any() else cell_values)
        colours = shades(cell_values, low, high)  # [K, 3]
        plain = self.terminal & (cell_values == 0.0)
        colours[plain] = 1.0
        self.faces.set_facecolor(colours)  # pyright: ignore[reportArgumentType]
        dark = colours @ np.array([0.299, 0.587, 0.114]) < 0.52
        texts = _numbers(cell_values, 5 if self.points >= 40 else 4) if self.texts else []
        for text, label, ink, none in zip(self.texts, texts, dark.tolist(), plain.tolist(), strict=False):
            text.set_text("" if none else label)
            text.set_color("white" if ink else INK)
        self._point([()] * len(self.state) if policy is None else self._taken(np.asarray(policy)), dark)

    def _taken(self, policy: NDArray[Any]) -> list[tuple[int, ...]]:
        """The actions of each cell."""
        chosen = policy[self.state]
        if chosen.ndim == 1:
            return [(int(action),) if action >= 0 else () for action in chosen.tolist()]
        return [tuple(row.nonzero()[0].tolist()) for row in chosen]

    def _point(self, taken: Sequence[tuple[int, ...]], dark: NDArray[np.bool_]) -> None:
        import numpy as np

        shapes: list[NDArray[np.float64]] = []
        inks: list[str] = []
        stays: list[tuple[float, float]] = []
        small = not self.numbers
        moves = self.layout.moves
        for index, actions in enumerate(taken):
            y, x = (self.cells[index] + 0.5).tolist()
            ink, names = "white" if dark[index] else INK, list[str]()
            for action in actions:
                move = moves[action] if action < len(moves) else None
                if move is None:
                    names.append(str(self.layout.names[action]) if action < len(self.layout.names) else str(action))
                elif move == (0, 0):
                    stays.append((x, y + (0.0 if small else 0.36)))
                else:
                    shapes.append(_arrow(x, y, move, len(actions) == 1) if small else _pointer(x, y, move))
                    inks.append(ink)
            if self.action_names:
                self.action_names[index].set_text(" ".join(names))
                self.action_names[index].set_color(ink)
        self.pointers.set_verts(shapes)
        self.pointers.set_facecolor(inks or INK)
        self.stays.set_offsets(np.reshape(stays, (-1, 2)))

    def _still(self, line: float) -> None:
        """What never changes: walls, frames of terminal cells, and marks."""
        import numpy as np
        from matplotlib.patches import Rectangle

        axis, layout = self.axis, self.layout
        for y, x in np.argwhere(layout.states < 0).tolist():
            axis.add_patch(Rectangle((x, y), 1, 1, facecolor=WALL, edgecolor=WALL, linewidth=line, zorder=1))
        size = 0.3 * self.points
        for (y, x), ends in zip(self.cells.tolist(), self.terminal.tolist(), strict=True):
            mark = layout.mark(y, x)
            if ends and self.points >= 12:
                inner: dict[str, Any] = {"fill": False, "edgecolor": INK, "linewidth": min(1.2, self.points / 30)}
                axis.add_patch(Rectangle((x + 0.07, y + 0.07), 0.86, 0.86, zorder=3, **inner))
            centre = (x + 0.5, y + 0.5) if ends else (x + 0.2, y + 0.2)
            scale = 1.0 if ends else 0.5
            if mark == "G":
                _glyph(axis, centre, "*", (1.5 * scale * size) ** 2, "#f2b632")
            elif mark in ("H", "C", "X"):
                _glyph(axis, centre, "o" if mark == "H" else "X", (scale * size) ** 2, "#8b95a3")
            elif mark and self.points >= 14:
                big = min(9.0, self.points / 6)
                corner: dict[str, Any] = {"ha": "left", "va": "top", "fontweight": "bold", "zorder": 5}
                axis.text(x + 0.11, y + 0.11, mark, fontsize=big, color=MUTED, **corner)


def value_limits(values: Values) -> tuple[float, float]:
    """The ends of the colours for these values: the least and the largest that are finite, and never the same."""
    import numpy as np

    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        return (low - 1.0, high) if high > 0 else (low, high + 1.0)
    return low, high


def shades(values: Values, low: float, high: float) -> Values:
    """A colour for each value, [K] → [K, 3]: pale to blue, the deeper the higher; orange below zero where both occur.

    Blue and orange are told apart by every common kind of colour vision, and lightness alone orders each of them.
    """
    import numpy as np
    from matplotlib.colors import to_rgb

    pale, blue, deep, orange = (np.array(to_rgb(c)) for c in (MIDDLE, HIGH, DEEP, LOW))
    both = low < 0 < high
    base, top = (0.0, max(-low, high)) if both else (low, high)
    share = np.clip(np.nan_to_num((values - base) / (top - base), nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    up, down = np.clip(share, 0.0, 1.0)[:, None], np.clip(-share, 0.0, 1.0)[:, None]
    ramp = np.where(up < 0.6, pale + (blue - pale) * up / 0.6, blue + (deep - blue) * (up - 0.6) / 0.4)
    return np.where(down > 0, pale + (orange - pale) * down, ramp) if both else ramp


def _figure(height: int, width: int, title: str) -> Axes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cell = min(CELL, WIDEST / max(height, width))
    head = 0.36 if title else 0.0
    wide, tall = max(cell * width, 1.2) + 0.2, cell * height + 0.2 + head
    figure = Figure(figsize=(wide, tall), dpi=160, facecolor="white")
    FigureCanvasAgg(figure)
    return figure.add_axes((0.1 / wide, 0.1 / tall, 1 - 0.2 / wide, 1 - (0.2 + head) / tall))


def _points(axis: Any, height: int, width: int) -> float:
    """Points of a cell's side on this axis."""
    box = axis.get_position()
    wide, tall = axis.figure.get_size_inches()
    return 72.0 * min(box.width * wide / (width + 0.06), box.height * tall / (height + 0.06))


def _numbers(values: Values, room: int) -> list[str]:
    """The values with as many decimals as fit into `room` characters, alike for all, a true minus sign."""
    import numpy as np

    finite = np.abs(values[np.isfinite(values)])
    digits = len(f"{finite.max():.0f}") if len(finite) else 1
    sign = int(bool((values < 0).any()))
    decimals = max(0, min(3, room - digits - sign - 1))
    if np.allclose(finite, np.round(finite), rtol=0, atol=1e-9):
        decimals = 0
    return [(f"{v:.{decimals}f}" if np.isfinite(v) else str(v)).replace("-", "−") for v in (values + 0.0).tolist()]


def _pointer(x: float, y: float, move: Move) -> NDArray[np.float64]:
    """A small triangle near the edge of the cell that the move leads over."""
    import numpy as np

    along = np.array([move[1], move[0]], dtype=np.float64)
    along /= np.abs(along).max() if abs(along[0]) == abs(along[1]) else np.hypot(*along)
    unit = along / np.hypot(*along)
    across = np.array([-unit[1], unit[0]])
    tip = np.array([x, y]) + along * (0.45 if abs(along).sum() < 1.5 else 0.43)
    return np.stack([tip, tip - 0.11 * unit + 0.1 * across, tip - 0.11 * unit - 0.1 * across])


def _arrow(x: float, y: float, move: Move, alone: bool) -> NDArray[np.float64]:
    """An arrow in a cell that has no number: across its middle where it is alone, else out of its middle."""
    import numpy as np

    unit = np.array([move[1], move[0]], dtype=np.float64) / np.hypot(*move)
    across = np.array([-unit[1], unit[0]])
    begin, end = (-0.34, 0.36) if alone else (-0.04, 0.42)
    neck = end - 0.24
    half = [(begin, 0.05), (neck, 0.05), (neck, 0.17), (end, 0.0)]
    outline = [*half, *((a, -b) for a, b in reversed(half[:-1]))]
    return np.array([x, y]) + np.array([a * unit + b * across for a, b in outline])


def _glyph(axis: Any, at: tuple[float, float], marker: str, size: float, colour: str) -> None:
    axis.scatter(*at, marker=marker, s=size, c=colour, edgecolors=INK, linewidths=0.6, zorder=4)
