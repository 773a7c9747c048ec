"""Tables of Gymnasium: ends, twins, duplicates, and the numbers that the environments are known by."""

import gymnasium
import numpy as np
import pytest

from operant.mdp import MDP, ModelError, from_gymnasium
from reference.model_table import assert_same, merged, outcomes_of, random_triples, table_of


def optimal(mdp):
    """Values by plain iteration."""
    v, rows = mdp.rows.terminal_value.copy(), mdp.rows
    full = np.flatnonzero(np.diff(rows.pointer))
    for _ in range(mdp.horizon or 20_000):
        q, before = rows.reward + mdp.discount * (mdp.matrix @ v), v
        v = before.copy()
        v[full] = np.maximum.reduceat(q, rows.pointer[full].astype(int))
        if mdp.horizon is None and np.abs(v - before).max() < 1e-12:
            break
    return v


@pytest.mark.parametrize(
    ("name", "options", "discount", "value", "sizes"),
    [
        ("FrozenLake-v1", {}, 1.0, 14 / 17, (16, 44, 128)),
        ("FrozenLake-v1", {}, 0.99, 0.542026, (16, 44, 128)),
        ("FrozenLake-v1", {"map_name": "8x8"}, 0.99, 0.414640, (64, 212, 630)),
        ("CliffWalking-v1", {}, 1.0, -13.0, (48, 188, 188)),
        ("CliffWalking-v1", {}, 0.99, -12.247898, (48, 188, 188)),
        ("Taxi-v4", {}, 1.0, 7.93, (504, 3000, 3000)),
        ("Taxi-v4", {}, 0.99, 6.327464, (504, 3000, 3000)),
    ],
)
def test_known_environments(name, options, discount, value, sizes):
    mdp = from_gymnasium(name, discount=discount, **options)
    assert (mdp.num_states, mdp.num_rows, mdp.nnz) == sizes
    assert mdp.start @ optimal(mdp) == pytest.approx(value, abs=1e-6)


def test_a_time_limit_is_a_horizon():
    env = gymnasium.make("FrozenLake-v1")
    mdp = from_gymnasium(env, discount=1.0, horizon=env.spec.max_episode_steps)
    assert mdp.start @ optimal(mdp) == pytest.approx(0.744190, abs=1e-6)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1"])
def test_the_picture_of_an_environment(name):
    env = gymnasium.make(name)
    mdp = from_gymnasium(env, discount=0.9)
    height, width = mdp.grid.shape
    assert mdp.grid.cell.tolist() == list(range(height * width))
    assert mdp.grid.lines[divmod(int(np.argmax(mdp.start)), width)[0]][int(np.argmax(mdp.start)) % width] == "S"
    ends = [mdp.grid.lines[s // width][s % width] for s in np.flatnonzero(mdp.rows.terminal)]
    assert set(ends) == ({"H", "G"} if name == "FrozenLake-v1" else {"G"})
    middle = width + 1  # a cell off the border: every move that is made goes where the picture says
    P = env.unwrapped.P
    for s in range(height * width):
        y, x = divmod(s, width)
        if mdp.rows.terminal[s] or not (0 < y < height - 1 and 0 < x < width - 1):
            continue
        for a, (down, right) in enumerate(mdp.grid.moves):
            to = (y + down) * width + x + right
            if name == "FrozenLake-v1" or mdp.grid.lines[to // width][to % width] != "C":
                assert to in {t for _, t, _, _ in P[s][a]}
    assert middle < height * width


def test_twins_keep_what_an_end_means():
    """State 1 ends an episode when it is entered from 0, and is passed from 2."""
    table = {
        0: {0: [(0.5, 1, 1.0, True), (0.5, 2, 0.0, False)]},
        1: {0: [(1.0, 3, 10.0, True)]},
        2: {0: [(0.5, 1, 0.0, False), (0.25, 3, 4.0, True), (0.25, 3, 8.0, True)]},
        3: {0: [(1.0, 0, 99.0, False)]},
    }
    mdp = from_gymnasium(table, discount=1.0)
    wanted = {(0, 0): ({2: 0.5, 4: 0.5}, 0.5), (1, 0): ({3: 1.0}, 10.0), (2, 0): ({1: 0.5, 3: 0.5}, 3.0)}
    assert_same(table_of(mdp), wanted)
    assert mdp.rows.terminal.tolist() == [False, False, False, True, True]
    assert mdp.states == (0, 1, 2, 3, ("end", 1))
    assert (mdp.name(1), mdp.name(4)) == ("1", "4 ('end', 1)")
    assert outcomes_of(mdp)[2, 0, 3] == 6.0
    assert optimal(mdp).tolist() == [4.5, 10, 8, 0, 0]


def test_rows_of_terminal_states_say_nothing():
    """The rows of 1 and 2 are never used: that they enter each other without ending means nothing."""
    table = {
        0: {0: [(0.5, 1, 3.0, True), (0.5, 2, 5.0, True)]},
        1: {0: [(1.0, 1, 9.0, False)], 1: [(1.0, 2, 9.0, False)]},
        2: {0: [(1.0, 1, 9.0, False)]},
    }
    mdp = from_gymnasium(table, discount=1.0)
    assert mdp.states is None
    assert_same(table_of(mdp), {(0, 0): ({1: 0.5, 2: 0.5}, 4.0)})


def test_a_state_where_episodes_begin_is_not_terminal():
    table = [[[(1.0, 1, 0.0, False)]], [[(1.0, 0, 5.0, True)]]]
    assert from_gymnasium(table, discount=1.0).rows.terminal.tolist() == [True, False]
    home = from_gymnasium(table, discount=1.0, start=0)
    assert home.rows.terminal.tolist() == [False, False, True]
    assert optimal(home).tolist() == [5, 5, 0]


def test_a_state_whose_end_is_undone_by_a_state_that_is_not_terminal_after_all():
    """1 looks terminal until 2, which enters it without ending, turns out not to be."""
    table = {
        0: {0: [(0.5, 1, 0.0, True), (0.5, 2, 0.0, True)], 1: [(1.0, 2, 0.0, False)]},
        1: {0: [(1.0, 1, 7.0, True)]},
        2: {0: [(1.0, 1, 0.0, False)]},
    }
    mdp = from_gymnasium(table, discount=1.0)
    assert mdp.rows.terminal.tolist() == [False, False, False, True, True]
    assert optimal(mdp)[:3].tolist() == [7, 7, 7]


@pytest.mark.parametrize("seed", range(10))
def test_random_tables_equal_a_loop(seed):
    generator = np.random.default_rng(seed)
    triples = random_triples(generator, 6, 3)
    table = {s: {} for s in range(7)}
    for s, a, p, to, r in triples:
        table[s].setdefault(a, []).append((p, np.int64(to), r, False))
    table[6] = {0: [(1.0, 6, 0.0, True)]}
    table[0][7] = [(1.0, 6, 2.0, True)]
    wanted = merged([*triples, (0, 7, 1.0, 6, 2.0)])
    mdp = from_gymnasium(table, discount=0.9)
    assert_same(table_of(mdp), wanted)
    reversed_order = {s: dict(reversed(row.items())) for s, row in reversed(table.items())}
    assert_same(table_of(from_gymnasium(reversed_order, discount=0.9)), wanted)
    assert isinstance(mdp, MDP)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({0: {0: [(1.0, 1, 0.0, False)]}}, "state 0, action 0: successor 1 does not exist"),
        ({0: {0: [(1.0, -1, 0.0, False)]}}, "successor -1 does not exist"),
        ({0: {0: [(1.0, 0, 0.0)]}}, r"P\[0\]\[0\] holds \(1.0, 0, 0.0\): expected"),
        ({0: {0: [(0.5, 0, 0.0, False)]}}, "state 0, action 0: the probabilities sum to 0.5"),
        ({1: {0: [(1.0, 1, 0.0, False)]}}, "not numbered 0 to 0"),
        ({0: {0: [(1.0, "a", 0.0, False)]}}, r"P\[0\]\[0\] holds"),
        ({0: {0: [(np.nan, 0, 0.0, False)]}}, "is nan"),
    ],
)
def test_a_table_of_another_form_is_refused(table, message):
    with pytest.raises(ModelError, match=message):
        from_gymnasium(table, discount=0.9)


def test_environments_without_a_table_are_refused():
    with pytest.raises(ModelError, match="CartPoleEnv has no table P"):
        from_gymnasium("CartPole-v1", discount=0.9)
    with pytest.raises(ModelError, match="cannot make 'Nothing-v0'"):
        from_gymnasium("Nothing-v0", discount=0.9)
    with pytest.raises(ModelError, match="options are for"):
        from_gymnasium(gymnasium.make("FrozenLake-v1"), discount=0.9, map_name="8x8")
