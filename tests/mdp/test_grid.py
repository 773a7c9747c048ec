"""Grid worlds from text: the books' numbers, and every transition against a loop over the cells."""

import numpy as np
import pytest

from operant.mdp import ModelError, from_gymnasium, grid_world
from reference.model_table import assert_same, merged, table_of

FOUR_BY_THREE = """
    ...+
    .#.-
    S...
"""


def optimal(mdp):
    v, rows = mdp.rows.terminal_value.copy(), mdp.rows
    full = np.flatnonzero(np.diff(rows.pointer))
    for _ in range(2000):
        q = rows.reward + mdp.discount * (mdp.matrix @ v)
        v[full] = np.maximum.reduceat(q, rows.pointer[full].astype(int))
    return v


@pytest.mark.parametrize(
    ("reward_on", "values"),
    [
        ("leave", [0.811558, 0.867808, 0.917808, 1, 0.761558, 0.660274, -1, 0.705308, 0.655308, 0.611416, 0.387925]),
        ("enter", [0.851558, 0.907808, 0.957808, 0, 0.801558, 0.700274, 0, 0.745308, 0.695308, 0.651416, 0.427925]),
    ],
)
def test_russell_and_norvigs_world(reward_on, values):
    mdp = grid_world(
        FOUR_BY_THREE,
        discount=1.0,
        rewards={"+": 1, "-": -1},
        terminal="+-",
        living_reward=-0.04,
        slip=0.2,
        reward_on=reward_on,
    )
    np.testing.assert_allclose(optimal(mdp), values, atol=1e-6)
    assert mdp.start.tolist() == [0] * 7 + [1, 0, 0, 0]
    assert mdp.states[5] == (1, 2)
    assert mdp.grid.lines == ("...+", ".#.-", "S...")
    assert mdp.grid.cell.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("slip", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("reward_on", ["leave", "enter"])
def test_every_transition_equals_a_loop(slip, reward_on):
    generator = np.random.default_rng(int(10 * slip))
    text = ["".join(generator.choice(list("...#X"), size=7)) for _ in range(5)]
    text[2] = "G" + text[2][1:]
    mdp = grid_world(
        "\n".join(text), discount=0.9, rewards={"G": 5, "X": -3}, terminal="G", living_reward=-1, slip=slip,
        reward_on=reward_on,
    )  # fmt: skip
    cells = [(y, x) for y in range(5) for x in range(7) if text[y][x] != "#"]
    assert list(mdp.states) == cells
    pays = {"G": 5.0, "X": -3.0}
    triples = []
    for y, x in cells:
        if text[y][x] == "G":
            continue
        for a in range(4):
            for turn, p in ((0, 1 - slip), (1, slip / 2), (-1, slip / 2)):
                down, right = [(-1, 0), (0, 1), (1, 0), (0, -1)][(a + turn) % 4]
                to = (y + down, x + right)
                to = to if to in cells else (y, x)
                paying = text[to[0]][to[1]] if reward_on == "enter" else text[y][x]
                triples.append((cells.index((y, x)), a, p, cells.index(to), pays.get(paying, -1.0)))
    assert_same(table_of(mdp), merged(triples))
    worth = mdp.rows.terminal_value[mdp.rows.terminal]
    assert worth.tolist() == ([5.0] if reward_on == "leave" else [0.0])
    assert mdp.start is None


def test_the_frozen_lake_is_a_grid_world():
    lake = from_gymnasium("FrozenLake-v1", discount=0.99)
    drawn = grid_world("\n".join(lake.grid.lines), discount=0.99, rewards={"G": 1}, terminal="HG", slip=2 / 3)
    order = [drawn.actions.index(name) for name in lake.actions]
    for (s, a), (entries, reward) in table_of(lake).items():
        mine, mine_reward = table_of(drawn)[s, order[a]]
        assert list(mine) == list(entries)
        np.testing.assert_allclose(list(mine.values()), list(entries.values()), atol=1e-15)
        assert mine_reward == pytest.approx(reward, abs=1e-15)
    np.testing.assert_array_equal(lake.start, drawn.start)


def test_starts_are_equally_likely_and_walls_can_be_other_characters():
    mdp = grid_world("SxS\nS.G", discount=0.9, terminal="G", walls="x")
    assert mdp.num_states == 5
    assert mdp.start.tolist() == [1 / 3, 1 / 3, 1 / 3, 0, 0]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "the map is empty"),
        ("..\n...", {}, "line 2 of the map has 3 characters"),
        ("##", {}, "no cell but walls"),
        ("..", {"slip": 1.5}, "slip is 1.5"),
        ("..", {"terminal": "G"}, "terminal names 'G', which is not on the map"),
        ("..", {"rewards": {"G": 1}}, "rewards names 'G'"),
        ("..", {"reward_on": "both"}, "reward_on is 'both'"),
    ],
)
def test_what_is_no_map_is_refused(text, options, message):
    with pytest.raises(ModelError, match=message):
        grid_world(text, discount=0.9, **options)
