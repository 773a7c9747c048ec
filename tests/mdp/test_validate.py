"""Whatever is no model is refused, naming the row; whatever is suspicious is told."""

import numpy as np
import pytest

from operant.mdp import MDP, ModelError, Rows, check, grid_world


def rows(**changes):
    """States 0 and 1 with two actions and one, state 2 terminal."""
    given = {
        "pointer": np.array([0, 2, 3, 3], dtype=np.uint32),
        "action": np.array([0, 1, 1], dtype=np.int32),
        "indptr": np.array([0, 2, 3, 5], dtype=np.uint32),
        "indices": np.array([0, 1, 2, 0, 2], dtype=np.uint32),
        "data": np.array([0.5, 0.5, 1.0, 0.25, 0.75]),
        "reward": np.array([1.0, 2.0, 3.0]),
        "outcome_reward": None,
        "terminal": np.array([False, False, True]),
        "terminal_value": np.zeros(3),
    } | changes
    return Rows(**given)


def changed(name, index, value):
    array = getattr(rows(), name).copy()
    array[index] = value
    return {name: array}


NAMES = {"states": ["A", "B", "C"], "actions": ["left", "right"]}


def test_the_model_that_is_broken_below_is_fine():
    mdp = MDP.from_rows(rows(), 0.9, **NAMES)
    assert mdp.where(2) == "state 1 (B), action 1 (right)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (changed("data", 4, 0.7), r"state 1 \(B\), action 1 \(right\): the probabilities sum to 0.95, not to 1.*leak"),
        (changed("data", 4, 0.8), r"state 1 \(B\), action 1 \(right\): the probabilities sum to 1.05, not to 1"),
        (changed("data", 0, -0.5), r"state 0 \(A\), action 0 \(left\): the probability of state 0 \(A\) is -0.5"),
        (changed("data", 2, np.nan), r"state 0 \(A\), action 1 \(right\): the probability of state 2 \(C\) is nan"),
        (changed("data", 2, np.inf), "is inf"),
        (changed("data", 1, 0.0), "is 0: leave the entry out"),
        (changed("indices", 4, 3), r"state 1 \(B\), action 1 \(right\): successor 3 does not exist"),
        (changed("indices", 1, 0), "named twice or out of order"),
        (changed("indices", slice(0, 2), [1, 0]), "named twice or out of order"),
        (changed("reward", 1, np.nan), r"state 0 \(A\), action 1 \(right\): the reward is nan"),
        (changed("reward", 1, -np.inf), "the reward is -inf"),
        ({"outcome_reward": np.array([1.0, np.nan, 2, 3, 3])}, r"the reward on the way to state 1 \(B\) is nan"),
        ({"outcome_reward": np.array([1.0, 2.0, 2, 3, 3])}, "reward is 1 but its outcomes average 1.5"),
        (changed("pointer", slice(1, 3), [3, 3]), r"state 1 \(B\) has no actions: give it a row, or name it"),
        (changed("terminal", 1, True), r"terminal state 1 \(B\) has rows"),
        (changed("action", 1, 0), r"state 0 \(A\), action 0 \(left\) is named twice"),
        (changed("action", 0, 2), "comes after a larger label"),
        (changed("action", 0, -1), "action labels are 0, 1, 2"),
        (changed("terminal_value", 0, 1.0), r"terminal_value of state 0 \(A\) is 1.0"),
        (changed("terminal_value", 2, np.inf), r"terminal_value of state 2 \(C\) is inf"),
        (changed("indptr", 3, 4), "indptr does not rise from 0 to 5"),
        (changed("indptr", 1, 4), "indptr does not rise"),
        (changed("pointer", 0, 1), "pointer does not rise"),
        ({"reward": np.zeros(2)}, r"rows.reward has shape \(2,\): expected \(3,\)"),
        ({"outcome_reward": np.zeros(2)}, "rows.outcome_reward has shape"),
        ({"indices": np.array([0, 1, 2, 0, 2])}, "rows.indices is int64"),
        ({"data": np.ones(5, dtype=np.float32)}, "rows.data is float32"),
        ({"terminal": np.zeros(0, dtype=bool)}, "the model has no states"),
    ],
)
def test_each_fault_of_the_arrays_is_named(changes, message):
    names = NAMES if "terminal" not in changes or len(changes["terminal"]) else {}
    with pytest.raises(ModelError, match=message):
        MDP.from_rows(rows(**changes), 0.9, **names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discount": 1.01}, "discount is 1.01"),
        ({"discount": -0.1}, "discount is -0.1"),
        ({"discount": np.nan}, "discount is nan"),
        ({"horizon": 0}, "horizon is 0"),
        ({"horizon": 2.5}, "horizon is 2.5"),
        ({"criterion": "best"}, "criterion is 'best'"),
        ({"criterion": "total"}, 'criterion is "total" with γ = 0.9'),
        ({"criterion": "discounted", "discount": 1.0}, 'criterion is "discounted" with γ = 1'),
        ({"start": [0.5, 0.5]}, "start has shape"),
        ({"start": [0.5, 0.6, -0.1]}, r"start gives state 2 \(C\) probability -0.1"),
        ({"start": [0.5, 0.6, 0.1]}, "the start probabilities sum to 1.2"),
        ({"start": [np.nan, 0.5, 0.5]}, "probability nan"),
        ({"start": 3}, "start state 3 does not exist"),
        ({"start": "D"}, "start state 'D' does not exist: .* named 'A', 'B', 'C'"),
        ({"states": ["A", "B"]}, "states holds 2 names"),
        ({"actions": ["left"]}, "actions holds 1 names"),
        ({"grid": grid_world("..", discount=0.9).grid}, "grid has 2 cells and 4 moves"),
    ],
)
def test_each_fault_of_the_rest_is_named(options, message):
    with pytest.raises(ModelError, match=message):
        MDP.from_rows(rows(), **({"discount": 0.9} | NAMES | options))


def test_sums_are_accepted_within_a_hundred_millionth_per_entry():
    for error, fine in ((1.9e-8, True), (-1.9e-8, True), (2.1e-8, False), (-2.1e-8, False)):
        changes = changed("data", 4, 0.75 + error)
        if fine:
            MDP.from_rows(rows(**changes), 0.9)
        else:
            with pytest.raises(ModelError, match="sum to"):
                MDP.from_rows(rows(**changes), 0.9)


def test_a_leak_may_miss_mass_but_not_have_too_much():
    assert MDP.from_rows(rows(**changed("data", 4, 0.5)), 0.9, leak=True).leak
    with pytest.raises(ModelError, match="more than 1: scale the row"):
        MDP.from_rows(rows(**changed("data", 4, 0.8)), 0.9, leak=True)
    with pytest.raises(ModelError, match=r"sum to 0\.75"):
        MDP.from_rows(rows(**changed("data", 4, 0.5)), 0.9, leak=True).replace(leak=False)


def test_the_check_can_be_skipped():
    assert MDP.from_rows(rows(**changed("data", 4, 0.5)), 0.9, check=False).nnz == 5


def chain(**options):
    """0 → 1 → 2 or back; 3 stays for ever; 4 leads to 3 and is not reached."""
    P = {
        (0, 0): {1: 1.0},
        (1, 0): {2: 1.0},
        (1, 1): {0: 1.0},
        (3, 0): {3: 1.0},
        (3, 1): {3: 1.0},
        (4, 0): {3: 1.0},
        (0, 1): {3: 1.0},
    }
    return MDP(P, {0: -1.0}, terminal=[2], **options)


def test_what_is_suspicious_is_told():
    found = {problem.kind: problem.states.tolist() for problem in check(chain(discount=1.0, start=0))}
    assert found == {"unreachable": [4], "absorbing": [3], "endless": [3, 4], "improper": [0, 1]}
    found = {problem.kind: problem.states.tolist() for problem in check(chain(discount=0.9))}
    assert found == {"absorbing": [3]}
    assert "name it in `terminal`" in str(check(chain(discount=0.9))[0])
    assert [p.kind for p in check(chain(discount=1.0, horizon=7))] == ["absorbing"]
    assert check(MDP({(0, 0): {1: 1.0}}, {0: 1.0}, 1.0, terminal=[1], start=0)) == []
    assert check(MDP({(0, 0): {0: 0.5, 1: 0.5}}, {0: 1.0}, 1.0, terminal=[1], start=0)) == []  # stays for a while
