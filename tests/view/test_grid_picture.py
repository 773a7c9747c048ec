"""Pictures of grids: what stands in them, read off the drawing itself."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from operant.config.errors import ConfigError
from operant.mdp import grid_world, solve, worlds
from operant.view.curves import save_figure
from operant.view.grid_layout import actions_taken, layout, layout_of
from operant.view.grid_picture import LOW, MIDDLE, WALL, GridPicture, draw_grid, shades, value_limits

MAZE = """\
S.#
..G
"""


@pytest.fixture(scope="module")
def maze():
    return grid_world(MAZE, discount=0.9, rewards={"G": 1.0}, terminal="G")


def test_numbers_pointers_walls_and_ends(maze):
    solution = solve(maze)
    places = layout_of(maze)
    picture = GridPicture(places, maze.rows.terminal)
    picture.show(solution.values, actions_taken(maze, solution.ties()))
    said = [text.get_text() for text in picture.texts]
    assert said == ["0.810", "0.900", "0.900", "1.000", ""]  # the terminal cell is worth 0 and says nothing
    assert len(picture.pointers.get_paths()) == int(solution.ties().sum()) == 5
    walls = [p for p in picture.axis.patches if p.get_facecolor()[:3] == to_rgb(WALL)]
    assert [p.get_xy() for p in walls] == [(2, 0)]


def test_a_pointer_lies_over_the_edge_that_the_action_leads_over(maze):
    picture = GridPicture(layout_of(maze), maze.rows.terminal)
    policy = np.array([1, -1, -1, -1, -1])  # right, in the first cell
    picture.show(np.zeros(5), policy)
    (path,) = picture.pointers.get_paths()
    tip = path.vertices[path.vertices[:, 0].argmax()]
    assert tip[0] == pytest.approx(0.95)
    assert tip[1] == pytest.approx(0.5)


def test_values_and_policy_can_change(maze):
    picture = GridPicture(layout_of(maze), maze.rows.terminal)
    picture.show(np.zeros(5), np.full(5, -1))
    before = picture.faces.get_facecolor().copy()
    picture.show(np.array([1.0, 2.0, 3.0, 4.0, 0.0]), np.array([0, 2, 1, 1, -1]))
    assert (picture.faces.get_facecolor() != before).any()
    assert len(picture.pointers.get_paths()) == 4


@pytest.mark.parametrize(("side", "numbers"), [(4, True), (8, True), (20, True), (50, False)])
def test_numbers_are_dropped_where_cells_are_small(side, numbers):
    states = np.arange(side * side).reshape(side, side)
    places = layout(states, actions=["up", "down", "left", "right"])
    picture = GridPicture(places, np.zeros(side * side, dtype=bool))
    picture.show(np.linspace(0, 1, side * side), np.zeros(side * side, dtype=int))
    assert bool(picture.texts) == numbers
    assert len(picture.pointers.get_paths()) == side * side
    assert max(picture.figure.get_size_inches()) < 12


def test_colours_order_values_and_part_signs():
    up = shades(np.linspace(0.0, 1.0, 20), 0.0, 1.0)
    light = up @ [0.299, 0.587, 0.114]
    assert np.all(np.diff(light) < 0)  # lightness alone orders them
    both = shades(np.array([-1.0, 0.0, 1.0]), -1.0, 1.0)
    assert np.allclose(both[0], to_rgb(LOW))
    assert np.allclose(both[1], to_rgb(MIDDLE))
    assert np.isfinite(shades(np.array([np.nan, np.inf, -np.inf]), -1.0, 1.0)).all()
    assert value_limits(np.array([2.0, 2.0])) == (1.0, 2.0)
    assert value_limits(np.array([np.nan])) == (0.0, 1.0)


def test_states_that_nothing_leads_to_are_left_out():
    from operant.mdp import from_gymnasium

    gymnasium = pytest.importorskip("gymnasium")
    mdp = from_gymnasium(gymnasium.make("CliffWalking-v1"), discount=1.0)
    assert (layout_of(mdp).states[3] == [36, *[-1] * 10, 47]).all()


def test_states_named_by_two_numbers_stand_in_rows_and_columns():
    places = layout_of(worlds.car_rental())
    assert places.states.shape == (21, 21)
    assert places.moves == [None] * 11  # cars moved are no direction: they are written


def test_without_a_map_it_says_what_to_give():
    mdp = worlds.forest()
    assert layout_of(mdp) is None
    with pytest.raises(ConfigError, match="give `layout`"):
        draw_grid(mdp, np.zeros(3))


def test_it_draws_on_an_axis_and_is_saved(maze, tmp_path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    left, _ = figure.subplots(1, 2)
    assert draw_grid(maze, np.zeros(5), axis=left, title="zero") is figure
    save_figure(draw_grid(maze, np.arange(5.0), solve(maze).policy), tmp_path / "grid.png")
    assert (tmp_path / "grid.png").stat().st_size > 5_000
