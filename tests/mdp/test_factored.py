"""Products of factors against the product written as a loop over all assignments."""

from itertools import product

import numpy as np
import pytest

from operant.mdp import ModelError, factored
from reference.model_table import assert_same, table_of


def tables(seed):
    """x has three values, y two, z two; some chances are 0."""
    generator = np.random.default_rng(seed)

    def chances(*shape):
        p = generator.dirichlet(np.ones(shape[-1]), size=shape[:-1])
        p[generator.random(p.shape) < 0.3] = 0
        p[..., 0] += p.sum(axis=-1) == 0
        return p / p.sum(axis=-1, keepdims=True)

    transitions = {
        "y": (("action", "z"), chances(2, 2, 2)),
        "x": (("y", "x", "action"), chances(2, 3, 2, 3)),
        "z": ((), chances(2)),
    }
    rewards = [(("x", "action"), generator.normal(size=(3, 2))), ((), 2.5), (("z",), [0.0, -1.0])]
    return transitions, rewards


@pytest.mark.parametrize("seed", range(6))
def test_the_product_equals_a_loop(seed):
    transitions, rewards = tables(seed)
    ends = [{"x": 1, "z": "on"}, {"y": 0, "x": 2}]
    mdp = factored({"x": 3, "y": 2, "z": ["off", "on"]}, ["a", "b"], transitions, rewards, discount=0.9, terminal=ends)
    states = list(product(range(3), range(2), range(2)))
    assert mdp.states == tuple((x, y, ["off", "on"][z]) for x, y, z in states)
    p = {name: np.asarray(table) for name, (_, table) in transitions.items()}
    wanted = {}
    for i, (x, y, z) in enumerate(states):
        if (x == 1 and z == 1) or (y == 0 and x == 2):
            assert mdp.rows.terminal[i]
            continue
        for a in range(2):
            entries = {j: p["x"][y, x, a, x2] * p["y"][a, z, y2] * p["z"][z2] for j, (x2, y2, z2) in enumerate(states)}
            paid = rewards[0][1][x, a] + 2.5 + rewards[2][1][z]
            wanted[i, a] = {j: q for j, q in entries.items() if q}, paid
    assert_same(table_of(mdp), wanted)
    assert mdp.actions == ("a", "b")


def test_the_start_fixes_some_variables():
    transitions, rewards = tables(0)
    mdp = factored({"x": 3, "y": 2, "z": 2}, 2, transitions, rewards, discount=0.9, start={"x": 1, "z": 0})
    assert {mdp.states[i]: p for i, p in enumerate(mdp.start) if p} == {(1, 0, 0): 0.5, (1, 1, 0): 0.5}
    assert mdp.actions is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": ((), [0.5, 0.6])}, r"the table of 'z' at all states is \[0.5, 0.6\]"),
        ({"z": ((), [1.5, -0.5])}, "probabilities from 0 to 1"),
        ({"z": (("x",), np.full((3, 2), [[0.5, 0.5]]) * [[1], [2], [1]])}, "the table of 'z' at x=1 is"),
        ({"z": (("x",), [[0.5, 0.5]])}, r"has shape \(1, 2\): its parents \['x'\] say \(3, 2\)"),
        ({"z": (("w",), [0.5, 0.5])}, "has the parent 'w'"),
        ({"z": (("x", "x"), np.full((3, 3, 2), 0.5))}, "names a parent twice"),
        ({"w": ((), [1.0])}, "give one table for each"),
    ],
)
def test_faulty_tables_are_named(changes, message):
    transitions, rewards = tables(0)
    with pytest.raises(ModelError, match=message):
        factored({"x": 3, "y": 2, "z": 2}, 2, transitions | changes, rewards, discount=0.9)


def test_other_faults_are_named():
    transitions, rewards = tables(0)
    variables = {"x": 3, "y": 2, "z": 2}
    with pytest.raises(ModelError, match=r"rewards\[0\] has shape"):
        factored(variables, 2, transitions, [(("x",), [1.0])], discount=0.9)
    with pytest.raises(ModelError, match=r"rewards\[0\] holds a number that is not finite"):
        factored(variables, 2, transitions, [((), np.nan)], discount=0.9)
    with pytest.raises(ModelError, match="no such variable or value"):
        factored(variables, 2, transitions, rewards, discount=0.9, terminal=[{"x": 3}])
    with pytest.raises(ModelError, match="may be used"):
        factored(variables, 2, transitions, rewards, discount=0.9, limit=500)
    with pytest.raises(ModelError, match="a list of 1,180,591,620,717,411,303,424 states needs"):
        factored({str(i): 2 for i in range(70)}, 2, {str(i): ((), [0.5, 0.5]) for i in range(70)}, [], discount=0.9)


def test_many_variables_stay_sparse():
    """Twelve switches of which each stays: one successor for each of 4096 states."""
    names = [f"s{i}" for i in range(12)]
    mdp = factored(
        dict.fromkeys(names, 2),
        1,
        {n: ((n,), np.eye(2)) for n in names},
        [((n,), [0.0, 1.0]) for n in names],
        discount=0.5,
    )
    assert (mdp.num_states, mdp.nnz) == (4096, 4096)
    np.testing.assert_array_equal(mdp.rows.indices, np.arange(4096))
    np.testing.assert_array_equal(mdp.rows.reward, [bin(i).count("1") for i in range(4096)])
