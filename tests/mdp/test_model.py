"""The model: every form of input gives the same rows, and no more memory than they need."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.mdp import MDP, ModelError, Rows
from operant.mdp.rows import unsigned
from reference.model_table import assert_identical, assert_same, merged, outcomes_of, random_triples, table_of


def arrays(seed, states=5, actions=3):
    generator = np.random.default_rng(seed)
    P = generator.dirichlet(np.ones(states), size=(states, actions))
    P[generator.random(P.shape) < 0.4] = 0.0
    P[..., 0] += P.sum(axis=2) == 0
    return P / P.sum(axis=2, keepdims=True), generator.normal(size=(states, actions, states))


FORMATS = ["csr", "csc", "coo", "lil"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("of", [sp.csr_array, sp.csr_matrix])
def test_every_form_of_p_and_r_gives_the_same_model(kind, of):
    P, R = arrays(0)
    states, actions, _ = P.shape
    dense = MDP(P, R, 0.9)
    slices = [of(P[:, a]).asformat(kind) for a in range(actions)]
    prizes = [of(R[:, a]).asformat(kind) for a in range(actions)]
    flat, flat_r = of(P.reshape(-1, states)).asformat(kind), of(R.reshape(-1, states)).asformat(kind)
    pairs = np.repeat(np.arange(states), actions), np.tile(np.arange(actions), states)
    for other in (
        MDP(P.tolist(), R.tolist(), 0.9),
        MDP(slices, prizes, 0.9),
        MDP(slices, R, 0.9),
        MDP(slices, [R[:, a] for a in range(actions)], 0.9),
        MDP(flat, flat_r, 0.9, pairs=pairs),
    ):
        assert_identical(other, dense)
    shuffled = np.random.default_rng(1).permutation(states * actions)
    mixed = MDP(
        sp.csr_array(flat)[shuffled],
        sp.csr_array(flat_r)[shuffled],
        0.9,
        pairs=(pairs[0][shuffled], pairs[1][shuffled]),
    )
    assert_identical(mixed, dense)
    np.testing.assert_allclose(dense.rows.reward, (P * R).sum(axis=2).ravel(), atol=1e-14)
    np.testing.assert_array_equal(dense.matrix.toarray().reshape(P.shape), P)


def test_r_of_s_and_of_s_and_a_and_minus_infinity():
    P, R = arrays(2)
    by_pair = R.mean(axis=2)
    by_pair[1, 2] = by_pair[3, 0] = -np.inf
    for given_p in (P, [sp.csr_array(P[:, a]) for a in range(3)]):
        mdp = MDP(given_p, by_pair, 0.9)
        assert set(table_of(mdp)) == {(s, a) for s in range(5) for a in range(3)} - {(1, 2), (3, 0)}
        for (s, a), (entries, reward) in table_of(mdp).items():
            assert reward == by_pair[s, a]
            assert entries == {t: P[s, a, t] for t in np.flatnonzero(P[s, a])}
        assert mdp.num_rows == 13
        assert mdp.rows.outcome_reward is None
    of_state = MDP(P, np.arange(5.0), 0.9, terminal=[4])
    assert {key: r for key, (_, r) in table_of(of_state).items()} == {(s, a): s for s in range(4) for a in range(3)}
    assert of_state.rows.terminal_value.tolist() == [0, 0, 0, 0, 4]


def test_rewards_where_there_is_no_transition_do_not_count_and_missing_ones_are_zero():
    P = sp.csr_array(np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    R = sp.csr_array(np.array([[0.0, 2.0, 100.0], [7.0, 7.0, 0.0], [3.0, 0.0, 0.0]]))
    mdp = MDP([P], [R], 0.9)
    assert mdp.rows.reward.tolist() == [1.0, 0.0, 3.0]
    assert outcomes_of(mdp) == {(0, 0, 0): 0, (0, 0, 1): 2, (1, 0, 2): 0, (2, 0, 0): 3}


def test_duplicates_are_summed_and_their_rewards_averaged():
    row, column = [0, 0, 0, 1, 1], [1, 0, 1, 1, 1]
    P = sp.coo_array(([0.25, 0.5, 0.25, 0.25, 0.75], (row, column)), shape=(2, 2))
    R = sp.coo_array(([1.0, 2.0, 5.0, 4.0, 8.0], (row, column)), shape=(2, 2))
    mdp = MDP([P], [R], 0.9)
    assert_same(table_of(mdp), {(0, 0): ({0: 0.5, 1: 0.5}, 2.5), (1, 0): ({1: 1.0}, 7.0)})
    assert outcomes_of(mdp) == {(0, 0, 0): 2.0, (0, 0, 1): 3.0, (1, 0, 1): 7.0}
    assert P.nnz == 5  # what was given is not written to
    with pytest.raises(ModelError, match="names an entry twice"):
        MDP([P.tocsr()], [R], 0.9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 4))
def test_sparse_rows_with_duplicates_equal_a_loop(seed, states, actions):
    triples = random_triples(np.random.default_rng(seed), states, actions)
    keys = sorted({(s, a) for s, a, *_ in triples})
    at = [keys.index((s, a)) for s, a, *_ in triples]
    where = at, [t for *_, t, _ in triples]
    P = sp.coo_array(([p for _, _, p, _, _ in triples], where), shape=(len(keys), states))
    R = sp.coo_array(([r for *_, r in triples], where), shape=(len(keys), states))
    pairs = tuple(np.array(keys).T)
    mdp = MDP(P, R, 0.5, pairs=pairs)
    assert_same(table_of(mdp), merged(triples))
    terminal = seed % states
    kept = merged([t for t in triples if t[0] != terminal])
    ended = MDP(P, R, 0.5, pairs=pairs, terminal={terminal: 2.0})
    assert_same(table_of(ended), kept)
    assert ended.rows.terminal_value[terminal] == 2.0


def test_long_rows_are_sorted_and_merged_like_short_ones():
    generator = np.random.default_rng(3)
    column = generator.integers(0, 400, size=1000)
    p = np.full(1000, 1e-3)
    r = generator.normal(size=1000)
    where = np.zeros(1000, dtype=int), column
    P, R = (sp.coo_array((x, where), shape=(1, 400)) for x in (p, r))
    mdp = MDP(P, R, 0.9, pairs=([0], [0]), terminal=range(1, 400))
    wanted = merged([(0, 0, p[k], int(column[k]), r[k]) for k in range(1000)])
    assert_same(table_of(mdp), wanted)
    for (_, _, to), reward in outcomes_of(mdp).items():
        np.testing.assert_allclose(reward, r[column == to].mean(), atol=1e-12)


def test_a_canonical_matrix_is_shared_and_another_is_left_alone():
    P = sp.csr_array(np.array([[0.5, 0.5], [0.0, 1.0]]))
    mdp = MDP(P, [1.0, 2.0], 0.9, pairs=([0, 1], [0, 0]))
    assert np.shares_memory(mdp.rows.data, P.data)
    assert np.shares_memory(mdp.rows.indices, P.indices)
    matrix = mdp.matrix
    for mine, theirs in ((matrix.data, P.data), (matrix.indices, P.indices), (matrix.indptr, mdp.rows.indptr)):
        assert np.shares_memory(mine, theirs)
    messy = sp.csr_array((np.array([0.5, 0.5, 0.0, 1.0]), [1, 0, 0, 1], [0, 2, 4]), shape=(2, 2))
    before = messy.data.copy(), messy.indices.copy()
    assert_same(
        table_of(MDP(messy, [0, 0], 0.9, pairs=([0, 1], [0, 0]))), {(0, 0): ({0: 0.5, 1: 0.5}, 0), (1, 0): ({1: 1}, 0)}
    )
    np.testing.assert_array_equal(messy.data, before[0])
    np.testing.assert_array_equal(messy.indices, before[1])


def test_wide_indices_are_read_as_well():
    rows = Rows(
        pointer=np.array([0, 1, 1], dtype=np.uint64),
        action=np.array([0], dtype=np.int32),
        indptr=np.array([0, 2], dtype=np.uint64),
        indices=np.array([0, 1], dtype=np.uint64),
        data=np.array([0.5, 0.5]),
        reward=np.array([1.0]),
        terminal=np.array([False, True]),
        terminal_value=np.zeros(2),
    )
    mdp = MDP.from_rows(rows, 0.5)
    np.testing.assert_array_equal(mdp.matrix.toarray(), [[0.5, 0.5]])
    assert unsigned([2**32]).dtype == np.uint64
    assert unsigned([2**32 - 1]).dtype == np.uint32
    assert unsigned(np.array([3], dtype=np.int32), 2**40).dtype == np.uint64


def big(states=100_000, actions=4):
    generator = np.random.default_rng(0)
    near = np.arange(states)[:, None, None] + generator.integers(-3, 4, size=(states, actions, 3))
    return np.clip(near, 0, states - 1), np.full((states, actions, 3), 1 / 3)


def test_building_takes_memory_in_proportion_to_the_entries():
    successor, p = big()
    states, actions, width = p.shape
    matrix = sp.csr_array(
        (p.ravel(), successor.ravel().astype(np.int32), np.arange(0, p.size + 1, width, dtype=np.int32)),
        shape=(states * actions, states),
    )
    pairs = np.repeat(np.arange(states), actions), np.tile(np.arange(actions), states)
    R = np.random.default_rng(1).normal(size=states * actions)
    small = matrix[:40]
    MDP(small[:, :10], R[:40], 0.9, pairs=(pairs[0][:40], pairs[1][:40]), leak=True)  # compile first
    tracemalloc.start()
    mdp = MDP(matrix, R, 0.9, pairs=pairs, terminal=[5])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert mdp.nnz <= p.size
    assert peak < 60 * p.size  # bytes: the model is 12 per entry, 16 per pair
    tracemalloc.start()
    view = mdp.matrix @ np.ones(states)
    MDP.from_rows(mdp.rows, 0.9)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * p.size  # validation and a product copy no matrix
    np.testing.assert_allclose(view, 1.0)


def test_a_keyword_that_is_none_is_refused_with_the_nearest():
    for build in (
        lambda **more: MDP(np.ones((1, 1, 1)), [1.0], 0.9, **more),
        MDP(np.ones((1, 1, 1)), [1.0], 0.9).replace,
    ):
        with pytest.raises(TypeError, match=r"a model takes no 'horizn'\. Did you mean 'horizon'\?"):
            build(horizn=3)


def test_names_pairs_and_replace():
    mdp = MDP(np.eye(2)[:, None, :], [[1.0], [2.0]], 0.5, states=["left", ("a", 1)], actions=["stay"], start=("a", 1))
    assert mdp.name(0) == "0 (left)"
    assert mdp.name(1) == "1 ('a', 1)"
    assert mdp.index(("a", 1)) == 1
    assert mdp.where(1) == "state 1 ('a', 1), action 0 (stay)"
    assert mdp.start.tolist() == [0, 1]
    assert mdp.row(1, 0) == 1
    with pytest.raises(ModelError, match=r"action 3 is not admissible in state 0 \(left\): it has 0 \(stay\)"):
        mdp.row(0, 3)
    with pytest.raises(ModelError, match="no state 2"):
        mdp.row(2, 0)
    with pytest.raises(ModelError, match="no state is named 'right'"):
        mdp.index("right")
    other = mdp.replace(discount=1.0)
    assert (other.criterion, other.discount, other.states) == ("total", 1.0, mdp.states)
    assert other.rows is mdp.rows
    assert mdp.replace(start={"left": 0.25, 1: 0.75}).start.tolist() == [0.25, 0.75]
    average = mdp.replace(criterion="average")
    assert average.replace(discount=0.9).criterion == "average"
    assert repr(mdp) == "MDP(2 states, 2 pairs, 2 entries, discounted, γ=0.5)"
    with pytest.raises(ModelError, match="discount is missing"):
        MDP(np.eye(2)[:, None, :], [[1.0], [2.0]])


def test_dictionaries_with_names():
    pairs = {
        ("cool", "slow"): {"cool": 1.0},
        ("cool", "fast"): {"cool": 0.5, "warm": 0.5},
        ("warm", "fast"): {"hot": 1.0},
    }
    mdp = MDP(pairs, {("cool", "slow"): 1.0, ("cool", "fast"): 2.0, ("warm", "fast"): -10.0}, 0.9, terminal=["hot"])
    assert mdp.states == ("cool", "warm", "hot")
    assert mdp.actions == ("slow", "fast")
    assert_same(table_of(mdp), {(0, 0): ({0: 1}, 1), (0, 1): ({0: 0.5, 1: 0.5}, 2), (1, 1): ({2: 1}, -10)})
    nested = {
        "cool": {"slow": [(1.0, "cool", 1)], "fast": [(0.5, "cool", 2), (0.5, "warm", 2)]},
        "warm": {"fast": [(0.5, "hot", -5), (0.5, "hot", -15)]},
        "hot": {},
    }
    assert_identical(MDP(nested, discount=0.9, terminal=["hot"], states=mdp.states), mdp)
    by_outcome = MDP(pairs, {("cool", "fast", "warm"): 4.0, ("warm", "fast", "hot"): -10.0}, 0.9, terminal={"hot": 3.0})
    assert by_outcome.rows.reward.tolist() == [0, 2, -10]
    assert by_outcome.rows.outcome_reward.tolist() == [0, 0, 4, -10]
    assert by_outcome.rows.terminal_value.tolist() == [0, 0, 3]
    by_state = MDP(pairs, {"cool": 1, "warm": 2}, 0.9, terminal=["hot"], start={"cool": 0.5, "warm": 0.5})
    assert by_state.rows.reward.tolist() == [1, 1, 2]
    assert by_state.start.tolist() == [0.5, 0.5, 0]
    numbered = MDP({(1, 0): {0: 1.0}, (0, 3): {1: 1.0}}, {(1, 0): 5.0}, 0.9)
    assert numbered.states is None
    assert numbered.actions == (0, 3)
    without = MDP(pairs, {("cool", "slow"): -np.inf}, 0.9, terminal=["hot"])
    assert without.num_rows == 2


@pytest.mark.parametrize(
    ("P", "R", "message"),
    [
        ({}, None, "P is empty"),
        ({("a", 0): {"b": 1.0}}, None, "give a dictionary by s"),
        ({("a", 0): {"a": 1.0}}, {"z": 1.0}, "R has the key 'z'"),
        ({"a": {"b": 1.0}}, {}, "expected"),
        ({"a": {"go": [(1.0, "a")]}}, None, r"P\['a'\]\['go'\] is"),
        ({"a": {"go": [(1.0, "a", 0, True)]}}, None, "from_gymnasium"),
        ({"a": {"go": [(1.0, "a", 0)]}}, {"a": 1}, "leave R out"),
        ({"a": {"go": [(1.0, "b", 0)]}}, None, r"state 1 \(b\) has no actions"),
        ({"a": {"go": [(0.7, "a", 0)]}}, None, r"state 0 \(a\), action 0 \(go\): the probabilities sum to 0.7"),
    ],
)
def test_dictionaries_of_another_form_are_refused(P, R, message):
    with pytest.raises(ModelError, match=message):
        MDP(P, R, 0.9)


def test_arrays_of_another_shape_are_refused():
    P, R = arrays(4)
    for arguments, options, message in (
        ((P.transpose(1, 0, 2), R), {}, "from_mdptoolbox"),
        ((P, R[:, :2]), {}, "R has shape"),
        ((P, None), {}, "R is missing"),
        ((sp.csr_array(P[:, 0]), R), {}, "without pairs"),
        ((sp.csr_array(P[:, 0]), R[:, 0, 0]), {"pairs": ([0, 1], [0, 0])}, "pairs names states of shape"),
        ((sp.csr_array(P[:, 0]), R[:, 0, 0]), {"pairs": (range(1, 6), [0] * 5)}, "row 4 has state 5"),
        ((sp.csr_array(P[:, 0]), R[:, 0, 0]), {"pairs": (range(5), [-1] * 5)}, "row 0 has action -1"),
        ((sp.csr_array(P[:, 0]), R[:, 0, 0]), {"pairs": ([0.5] * 5, [0] * 5)}, "of type float64"),
        ((P, R), {"terminal": [7]}, "terminal state 7 does not exist"),
        ((P, R), {"terminal": [True, False]}, "terminal is a mask"),
        (([sp.csr_array(P[:, 0]), sp.csr_array(P[:3, 0])], R[:, :2, 0]), {}, r"P\[1\] has shape"),
    ):
        with pytest.raises(ModelError, match=message):
            MDP(*arguments, 0.9, **options)
