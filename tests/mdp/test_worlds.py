"""The worlds as models: what a reader of the book would check by hand. Their solutions are in test_acceptance_*.py."""

from itertools import product
from math import exp, factorial

import numpy as np
import pytest

from operant.mdp import worlds
from operant.mdp.worlds.games import CARDS, add, dealer

ALL = {
    "five_by_five": worlds.five_by_five(),
    "four_by_four": worlds.four_by_four(),
    "cliff_walking": worlds.cliff_walking(),
    "windy_grid": worlds.windy_grid(),
    "windy_king": worlds.windy_grid(worlds.KING_AND_STAY, gusts=[(1 / 3, -1), (1 / 3, 0), (1 / 3, 1)]),
    "dyna_maze": worlds.dyna_maze(),
    "blocking_maze": worlds.blocking_maze()[0],
    "blocked_maze": worlds.blocking_maze()[1],
    "shortcut_maze": worlds.shortcut_maze()[0],
    "shortcut_open": worlds.shortcut_maze()[1],
    "four_by_three": worlds.four_by_three(),
    "random_walk": worlds.random_walk(19, left=-1.0),
    "maximisation_bias": worlds.maximisation_bias(),
    "gambler": worlds.gambler(),
    "blackjack": worlds.blackjack(),
    "blackjack_plain": worlds.blackjack(natural=False),
    "car_rental": worlds.car_rental(),
    "forest": worlds.forest(),
    "taxicab": worlds.taxicab(),
    "two_state": worlds.two_state(),
    "three_state": worlds.three_state(),
}


def outcomes(mdp, state, action):
    """{successor's name: probability} and the mean reward of a pair given by names."""
    row = mdp.row(mdp.index(state) if mdp.states else state, mdp.actions.index(action))
    first, last = int(mdp.rows.indptr[row]), int(mdp.rows.indptr[row + 1])
    names = [mdp.states[s] if mdp.states else int(s) for s in mdp.rows.indices[first:last]]
    return dict(zip(names, mdp.rows.data[first:last].tolist(), strict=True)), float(mdp.rows.reward[row])


@pytest.mark.parametrize("name", ALL)
def test_every_world_is_sound(name):
    mdp = ALL[name]
    assert np.allclose(mdp.matrix.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert (np.diff(mdp.rows.pointer.astype(int)) > 0).tolist() == (~mdp.rows.terminal).tolist()
    assert (mdp.rows.data > 0).all()
    if mdp.states is not None:
        assert len(set(mdp.states)) == mdp.num_states
    if mdp.actions is not None:
        assert len(mdp.actions) >= mdp.num_actions
    if mdp.start is not None:
        assert mdp.start.sum() == pytest.approx(1.0, abs=1e-12)
        assert not mdp.start[mdp.rows.terminal].any()
    if mdp.rows.outcome_reward is not None:
        mean = np.add.reduceat(mdp.rows.data * mdp.rows.outcome_reward, mdp.rows.indptr[:-1].astype(int))
        assert np.allclose(mean, mdp.rows.reward, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "states", "rows", "unreached"),
    [
        ("five_by_five", 25, 100, 0),
        ("four_by_four", 16, 56, 0),
        ("cliff_walking", 38, 148, 0),
        ("windy_grid", 70, 276, 0),
        ("dyna_maze", 47, 184, 0),
        ("blocking_maze", 47, 184, 1),  # the gap that is not open yet
        ("blocked_maze", 47, 184, 1),
        ("shortcut_maze", 47, 184, 1),
        ("shortcut_open", 47, 184, 0),
        ("four_by_three", 11, 36, 0),
        ("gambler", 101, 2500, 0),
        ("blackjack", 213, 410, 0),
        ("car_rental", 441, 4221, 0),
    ],
)
def test_sizes(name, states, rows, unreached):
    mdp = ALL[name]
    assert (mdp.num_states, mdp.num_rows) == (states, rows)
    if mdp.start is not None:
        seen = mdp.start > 0
        for _ in range(states):
            # all successors of all rows of the states seen so far
            seen = seen | (mdp.matrix[seen[mdp.row_state]].sum(axis=0) > 0)
        still = {"windy_grid": 0}.get(name, unreached)
        if name != "windy_grid":  # the wind shelters some cells from the start
            assert (~seen).sum() == still


def test_cells_of_the_grids():
    grid = ALL["five_by_five"]
    for action in grid.actions:
        assert outcomes(grid, (0, 1), action) == ({(4, 1): 1.0}, 10.0)
        assert outcomes(grid, (0, 3), action) == ({(2, 3): 1.0}, 5.0)
    assert outcomes(grid, (0, 0), "up") == ({(0, 0): 1.0}, -1.0)
    assert outcomes(grid, (0, 0), "right") == ({(0, 1): 1.0}, 0.0)
    cliff = ALL["cliff_walking"]
    assert outcomes(cliff, (3, 0), "right") == ({(3, 0): 1.0}, -100.0)
    assert outcomes(cliff, (2, 5), "down") == ({(3, 0): 1.0}, -100.0)
    assert outcomes(cliff, (2, 11), "down") == ({(3, 11): 1.0}, -1.0)
    assert outcomes(cliff, (0, 4), "up") == ({(0, 4): 1.0}, -1.0)
    windy = ALL["windy_grid"]
    assert outcomes(windy, (3, 6), "right") == ({(1, 7): 1.0}, -1.0)  # the wind of the column that is left
    assert outcomes(windy, (4, 8), "left") == ({(3, 7): 1.0}, -1.0)
    assert outcomes(windy, (3, 0), "up") == ({(2, 0): 1.0}, -1.0)
    assert outcomes(windy, (1, 6), "up") == ({(0, 6): 1.0}, -1.0)
    gusty = ALL["windy_king"]
    assert outcomes(gusty, (4, 3), "stay")[0] == pytest.approx({(4, 3): 1 / 3, (3, 3): 1 / 3, (2, 3): 1 / 3})
    assert outcomes(gusty, (4, 0), "stay")[0] == {(4, 0): 1.0}  # no gusts where there is no wind
    maze = ALL["dyna_maze"]
    assert outcomes(maze, (2, 1), "right") == ({(2, 1): 1.0}, 0.0)
    assert outcomes(maze, (1, 8), "up") == ({(0, 8): 1.0}, 1.0)


def test_changing_mazes_keep_their_states():
    for before, after in (worlds.blocking_maze(), worlds.shortcut_maze()):
        assert before.states == after.states
        assert (before.rows.pointer == after.rows.pointer).all()
    before, after = worlds.blocking_maze()
    assert outcomes(before, (4, 8), "up")[0] == {(3, 8): 1.0}
    assert outcomes(after, (4, 8), "up")[0] == {(4, 8): 1.0}
    assert outcomes(after, (4, 0), "up")[0] == {(3, 0): 1.0}


def test_slips_and_both_ways_to_pay_in_the_four_by_three_world():
    inside, outside = worlds.four_by_three(-0.04), worlds.four_by_three(-0.04, paid_on="enter")
    assert outcomes(inside, (0, 2), "right")[0] == pytest.approx({(0, 3): 0.8, (0, 2): 0.1, (1, 2): 0.1})
    assert outcomes(inside, (0, 2), "right")[1] == -0.04
    assert outcomes(outside, (0, 2), "right")[1] == pytest.approx(0.8 - 0.2 * 0.04)
    assert outcomes(inside, (2, 0), "left")[0] == pytest.approx({(2, 0): 0.9, (1, 0): 0.1})
    assert inside.rows.terminal_value[[3, 6]].tolist() == [1.0, -1.0]
    assert not outside.rows.terminal_value.any()


def test_maps():
    mdp = worlds.four_by_three()
    assert mdp.grid.shape == (3, 4)
    assert [divmod(int(cell), 4) for cell in mdp.grid.cell] == list(mdp.states)
    cliff = worlds.cliff_walking()
    assert [divmod(int(cell), 12) for cell in cliff.grid.cell] == list(cliff.states)
    assert cliff.grid.lines[3] == "SCCCCCCCCCCG"
    assert worlds.windy_grid(worlds.KING_AND_STAY).grid.moves[-2:] == ((-1, -1), (0, 0))


def test_table_merges_outcomes_and_leaves_out_what_is_not_admissible():
    def step(state, action):
        if (state, action) == ("x", "go"):
            return [(0.25, "y", 4.0), (0.25, "y", 0.0), (0.5, "end", 1.0)]
        return [(1.0, "end", -1.0)] if action == "stop" else []

    mdp = worlds.table(["x", "y", "end"], ["go", "stop"], step, 0.5, terminal={"end": 3.0}, start={"x": 0.5, "y": 0.5})
    assert mdp.rows.action.tolist() == [0, 1, 1]
    assert mdp.rows.pointer.tolist() == [0, 2, 3, 3]
    assert outcomes(mdp, "x", "go") == ({"y": 0.5, "end": 0.5}, 1.5)
    assert mdp.rows.outcome_reward.tolist() == [2.0, 1.0, -1.0, -1.0]
    assert mdp.rows.terminal_value.tolist() == [0.0, 0.0, 3.0]
    assert mdp.start.tolist() == [0.5, 0.5, 0.0]


def rental(cars, request, back, most=20, cut=60):
    """One lot by brute force: P(cars in the evening) and the mean number rented."""

    def poisson(mean, n):
        return exp(-mean) * mean**n / factorial(n)

    evening, rented = np.zeros(most + 1), 0.0
    for wanted, returned in product(range(cut), repeat=2):
        p = poisson(request, wanted) * poisson(back, returned)
        out = min(wanted, cars)
        evening[min(cars - out + returned, most)] += p
        rented += p * out
    return evening, rented


def test_car_rental_against_brute_force():
    mdp = ALL["car_rental"]
    for (one, two), moved in [((0, 0), 0), ((20, 20), 0), ((7, 3), 5), ((2, 20), -5), ((20, 12), -4)]:
        row = mdp.row(one * 21 + two, moved + 5)
        first, earned_first = rental(min(one - moved, 20), 3.0, 3.0)
        second, earned_second = rental(min(two + moved, 20), 4.0, 2.0)
        found = mdp.matrix[[row]].toarray().reshape(21, 21)
        assert np.allclose(found, np.outer(first, second), rtol=0, atol=1e-14)
        assert mdp.rows.reward[row] == pytest.approx(10 * (earned_first + earned_second) - 2 * abs(moved), abs=1e-10)
    assert mdp.states[22] == (1, 1)
    assert mdp.rows.action[: mdp.rows.pointer[1]].tolist() == [5]  # nothing can be moved from two empty lots


def test_blackjack_cards():
    assert sum(CARDS.values()) == pytest.approx(1.0)
    assert add((0, False), 1) == (11, True)
    assert add((11, True), 1) == (12, True)
    assert add((15, True), 10) == (15, False)
    assert add((15, False), 10) == (25, False)
    assert dealer((16, False)) == pytest.approx(
        {17: 1 / 13, 18: 1 / 13, 19: 1 / 13, 20: 1 / 13, 21: 1 / 13, 22: 8 / 13}
    )
    for card in CARDS:
        assert sum(dealer(add((0, False), card)).values()) == pytest.approx(1.0)


def test_blackjack_start_by_dealing():
    """Deal many hands with a plain loop; the start distribution lies within five standard errors of what is dealt."""
    mdp, hands = ALL["blackjack"], 200_000
    generator = np.random.default_rng(5)
    cards = np.minimum(generator.integers(1, 14, (hands, 24)), 10)
    seen = np.zeros(mdp.num_states)
    for row in cards.tolist():
        shown, total, aces, used = row[0], row[1] + row[2], row.count(1), 3
        aces = (row[1] == 1) + (row[2] == 1)
        while total + (10 if aces else 0) < 12:
            total, aces, used = total + row[used], aces + (row[used] == 1), used + 1
        usable = bool(aces) and total + 10 <= 21
        total += 10 if usable else 0
        state = ("natural", shown) if used == 3 and total == 21 else (total, usable, shown)
        seen[mdp.index(state)] += 1
    p = mdp.start
    error = np.sqrt(p * (1 - p) / hands)
    assert (np.abs(seen / hands - p) <= 5 * error + 1e-12).all()


def test_noise_of_the_maximisation_bias():
    for levels in (2, 7, 100):
        mdp = worlds.maximisation_bias(levels=levels)
        row = mdp.row(1, 3)
        first, last = int(mdp.rows.indptr[row]), int(mdp.rows.indptr[row + 1])
        paid, p = mdp.rows.outcome_reward[first:last], mdp.rows.data[first:last]
        assert mdp.rows.reward[row] == pytest.approx(-0.1, abs=1e-12)
        assert p @ (paid + 0.1) ** 2 == pytest.approx(1.0, abs=1e-12)
        assert len(set(paid.tolist())) == levels
    assert mdp.actions[:2] == ("0", "1")
    assert outcomes(mdp, 0, "0") == ({1: 1.0}, 0.0)
    assert outcomes(mdp, 0, "1") == ({2: 1.0}, 0.0)


def test_gambler_stakes():
    mdp = ALL["gambler"]
    assert mdp.rows.action[mdp.row_state == 30].tolist() == list(range(1, 31))
    assert mdp.rows.action[mdp.row_state == 80].tolist() == list(range(1, 21))
    assert outcomes(mdp, 80, "20") == (pytest.approx({100: 0.4, 60: 0.6}), pytest.approx(0.4))
