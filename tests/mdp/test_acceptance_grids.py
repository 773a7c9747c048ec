"""Published numbers: the grid worlds of Sutton & Barto (chapters 3, 4, 6, 8)."""

from itertools import islice

import numpy as np
import pytest

from operant.mdp import best_epsilon_soft, evaluate, evaluation_sweeps, solve, worlds
from operant.mdp.analyse.occupancy import expected_steps
from operant.mdp.policies import epsilon_greedy, uniform

RANDOM_5X5 = """
 3.3090  8.7893  4.4276  5.3224  1.4922
 1.5216  2.9923  2.2501  1.9076   .5474
  .0508   .7382   .6731   .3582  -.4031
 -.9736  -.4355  -.3549  -.5856 -1.1831
-1.8577 -1.3452 -1.2293 -1.4229 -1.9752
"""
OPTIMAL_5X5 = """
21.9775 24.4194 21.9775 19.4194 17.4775
19.7797 21.9775 19.7797 17.8018 16.0216
17.8018 19.7797 17.8018 16.0216 14.4194
16.0216 17.8018 16.0216 14.4194 12.9775
14.4194 16.0216 14.4194 12.9775 11.6797
"""
SWEEPS_4X4 = {
    1: [0, -1, -1, -1],
    2: [0, -1.75, -2, -2],
    3: [0, -2.4375, -2.9375, -3],
}


def grid(text):
    return np.array(text.split(), dtype=float)


def at(mdp, values):
    return float(mdp.start @ values)


def test_five_by_five():
    mdp = worlds.five_by_five()
    assert evaluate(mdp, uniform(mdp)).values == pytest.approx(grid(RANDOM_5X5), abs=6e-5)
    found = solve(mdp, epsilon=1e-9)
    assert found.values == pytest.approx(grid(OPTIMAL_5X5), abs=6e-5)
    assert found.values[1] == pytest.approx(10 / (1 - 0.9**5), abs=1e-8)
    ties = np.bincount(mdp.row_state[found.ties(1e-7)], minlength=25).reshape(5, 5)
    assert ties.tolist() == [
        [1, 4, 1, 4, 1],
        [2, 1, 2, 1, 1],
        [2, 1, 2, 2, 2],
        [2, 1, 2, 2, 2],
        [2, 1, 2, 2, 2],
    ]


def test_four_by_four_values():
    mdp = worlds.four_by_four()
    expected = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]
    assert evaluate(mdp, uniform(mdp)).values == pytest.approx(expected, abs=1e-11)
    assert solve(mdp).values == pytest.approx([0, -1, -2, -3, -1, -2, -3, -2, -2, -3, -2, -1, -3, -2, -1, 0], abs=1e-6)


def test_four_by_four_sweeps():
    mdp = worlds.four_by_four()
    first = [values for values, _ in islice(evaluation_sweeps(mdp, uniform(mdp)), 10)]
    for k, row in SWEEPS_4X4.items():
        assert first[k - 1][:4].tolist() == row
    assert first[2].reshape(4, 4)[1].tolist() == [-2.4375, -2.875, -3.0, -2.9375]
    assert first[9].reshape(4, 4)[0] == pytest.approx([0, -6.138, -8.3524, -8.9673], abs=6e-5)
    assert first[9].reshape(4, 4)[1] == pytest.approx([-6.138, -7.7374, -8.4278, -8.3524], abs=6e-5)


@pytest.mark.parametrize(("order", "expected"), [("synchronous", 172), ("in-place", 113)])
def test_four_by_four_number_of_sweeps(order, expected):
    mdp = worlds.four_by_four()
    changes = [change for _, change in islice(evaluation_sweeps(mdp, uniform(mdp), order=order), 200)]
    assert sum(change >= 1e-4 for change in changes) == expected


def test_cliff_walking():
    mdp = worlds.cliff_walking()
    found = solve(mdp, epsilon=1e-9)
    assert at(mdp, found.values) == pytest.approx(-13.0, abs=1e-9)
    q = found.action_values
    assert at(mdp, evaluate(mdp, epsilon_greedy(mdp, q, 0.1)).values) == pytest.approx(-50.8000, abs=6e-5)
    assert at(mdp, evaluate(mdp, epsilon_greedy(mdp, q, 0.1, ties="first")).values) == pytest.approx(-45.8033, abs=6e-5)
    for epsilon, expected in ((0.1, -20.7077), (0.01, -15.4408)):
        soft, _ = best_epsilon_soft(mdp, epsilon)
        assert at(mdp, soft.values) == pytest.approx(expected, abs=6e-5)
    soft, _ = best_epsilon_soft(mdp, 0.1)
    path = walk(mdp, soft.policy)
    assert len(path) - 1 == 15  # steps of its greedy path, through the middle rows
    assert {row for row, _ in path[1:-2]} <= {1, 2}


def walk(mdp, policy):
    """Names of the states that a deterministic policy visits in a deterministic model."""
    state, path = int(np.argmax(mdp.start)), []
    while not mdp.rows.terminal[state] and len(path) < mdp.num_states:
        path.append(mdp.states[state])
        state = int(mdp.rows.indices[mdp.rows.indptr[mdp.row(state, policy[state])]])
    return [*path, mdp.states[state]]


@pytest.mark.parametrize(
    ("moves", "shortest", "greedy", "best"),
    [
        (worlds.COMPASS, 15, 17.0533, 17.0483),
        (worlds.KING, 7, 9.2655, 8.1869),
        (worlds.KING_AND_STAY, 7, 9.3128, 8.1665),
    ],
    ids=["compass", "king", "king-and-stay"],
)
def test_windy_grid(moves, shortest, greedy, best):
    mdp = worlds.windy_grid(moves)
    found = solve(mdp, epsilon=1e-9)
    assert at(mdp, found.values) == pytest.approx(-shortest, abs=1e-9)
    behaviour = epsilon_greedy(mdp, found.action_values, 0.1)
    assert at(mdp, evaluate(mdp, behaviour).values) == pytest.approx(-greedy, abs=6e-5)
    assert at(mdp, best_epsilon_soft(mdp, 0.1)[0].values) == pytest.approx(-best, abs=6e-5)


def test_dyna_maze():
    mdp = worlds.dyna_maze()
    found = solve(mdp, epsilon=1e-9)
    assert mdp.num_states == 47
    assert at(mdp, found.values) == pytest.approx(0.95**13, abs=1e-8)
    assert at(mdp, found.values) == pytest.approx(0.513342, abs=1e-6)
    assert len(walk(mdp, found.policy)) - 1 == 14
    assert at(mdp, expected_steps(mdp, uniform(mdp))) == pytest.approx(868.725, abs=6e-4)
    behaviour = epsilon_greedy(mdp, found.action_values, 0.1)
    assert at(mdp, expected_steps(mdp, behaviour)) == pytest.approx(15.8781, abs=6e-5)


def test_changing_mazes():
    lengths = [len(walk(mdp, solve(mdp).policy)) - 1 for mdp in (*worlds.blocking_maze(), *worlds.shortcut_maze())]
    assert lengths == [10, 16, 16, 10]
