"""A model as plain dictionaries, and the slow way to one: what every builder is compared with."""

from __future__ import annotations

import numpy as np


def table_of(mdp):
    """{(state, action): ({successor: probability}, reward)} of a model, read entry by entry."""
    rows, found = mdp.rows, {}
    for state in range(mdp.num_states):
        for row in range(int(rows.pointer[state]), int(rows.pointer[state + 1])):
            entries = {}
            for k in range(int(rows.indptr[row]), int(rows.indptr[row + 1])):
                assert int(rows.indices[k]) not in entries
                entries[int(rows.indices[k])] = float(rows.data[k])
            assert (state, int(rows.action[row])) not in found
            found[state, int(rows.action[row])] = entries, float(rows.reward[row])
    return found


def outcomes_of(mdp):
    """{(state, action, successor): reward}."""
    rows, found = mdp.rows, {}
    for (state, action), (entries, reward) in table_of(mdp).items():
        begin = int(rows.indptr[mdp.row(state, action)])
        for at, successor in enumerate(entries):
            kept = reward if rows.outcome_reward is None else float(rows.outcome_reward[begin + at])
            found[state, action, successor] = kept
    return found


def merged(triples):
    """The table of [(state, action, probability, successor, reward), …], with duplicates summed one by one."""
    mass, paid = {}, {}
    for state, action, p, successor, r in triples:
        here = mass.setdefault((state, action), {})
        here[successor] = here.get(successor, 0.0) + p
        paid[state, action] = paid.get((state, action), 0.0) + p * r
    return {key: ({s: p for s, p in sorted(entries.items()) if p}, paid[key]) for key, entries in mass.items()}


def assert_same(found, wanted, tolerance=1e-12):
    """Two tables agree."""
    assert list(found) == sorted(wanted)
    for key, (entries, reward) in found.items():
        assert list(entries) == list(wanted[key][0]), key
        np.testing.assert_allclose(list(entries.values()), list(wanted[key][0].values()), atol=tolerance, rtol=0)
        np.testing.assert_allclose(reward, wanted[key][1], atol=tolerance, rtol=1e-12)


def assert_identical(one, other):
    """Two models have the same arrays to the last bit, and the same of all else."""
    for name in one.rows.__slots__:
        here, there = getattr(one.rows, name), getattr(other.rows, name)
        assert (here is None) == (there is None), name
        if here is not None:
            assert here.dtype == there.dtype, name
            np.testing.assert_array_equal(here, there, err_msg=name)
    for name in ("discount", "criterion", "horizon", "leak", "states", "actions"):
        assert getattr(one, name) == getattr(other, name), name
    assert (one.start is None) == (other.start is None)
    if one.start is not None:
        np.testing.assert_array_equal(one.start, other.start)
    assert (one.grid is None) == (other.grid is None)
    if one.grid is not None:
        assert (one.grid.lines, one.grid.moves) == (other.grid.lines, other.grid.moves)
        np.testing.assert_array_equal(one.grid.cell, other.grid.cell)


def random_triples(generator, states, actions, most=4):
    """Rows with a random number of entries, some of them twice, for a random part of the pairs (one at least)."""
    triples = []
    for state in range(states):
        for action in sorted(
            generator.choice(actions, size=generator.integers(1, actions + 1), replace=False).tolist()
        ):
            count = int(generator.integers(1, most + 1))
            for p, successor in zip(
                generator.dirichlet(np.ones(count)), generator.integers(0, states, size=count), strict=True
            ):
                triples.append((state, action, float(p), int(successor), float(generator.normal())))
    return triples
