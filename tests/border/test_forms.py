"""One model in several forms that come to mean different ones.

Every way of making a model is given the same numbers: arrays, matrices in any container, dictionaries, functions,
tables, files. They make the same model, or refuse.
"""

import json

import numba
import numpy as np
import pytest
import scipy.sparse as sp

import operant.mdp
from operant.mdp import MDP, ModelError, from_mdptoolbox, solve

S, A, END = 3, 2, 2
P = np.array(
    [[[0.2, 0.5, 0.3], [0.0, 0.6, 0.4]], [[0.7, 0.0, 0.3], [0.1, 0.4, 0.5]], [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]
)
R = np.round(np.random.default_rng(3).normal(size=(S, A, S)), 2)
"""[S, A, S'], states first; what follows is made of these two."""
BY_PAIR = (P * R).sum(2)
BY_STATE = np.array([-0.04, 0.5, 1.0])
GAMMA = 0.9
NAMES = "abc"
FIRST = ([0, 0, 1, 1, 2, 2], [0, 1] * 3)


def slow(reward, worth):
    """v* by sweeps over [S, A] rewards, the end worth as it is said."""
    v = np.zeros(S)
    v[END] = worth
    for _ in range(500):
        q = reward + GAMMA * P @ v
        v[:END] = q[:END].max(1)
    return v


def values(mdp):
    return solve(mdp, 1e-9).values[:S]


def actions_first(x):
    return [x[:, a] for a in range(A)]


def flat():
    return {(NAMES[s], a): {NAMES[t]: P[s, a, t] for t in range(S) if P[s, a, t]} for s in range(S) for a in range(A)}


@numba.njit
def compiled(s, a, successor, probability, reward):
    if s == END:
        return 0
    for t in range(S):
        successor[t], probability[t], reward[t] = t, P[s, a, t], R[s, a, t]
    return S


def written(folder, suffix):
    MDP(P, R, GAMMA, terminal=[END]).save(folder / f"m.{suffix}")
    return operant.mdp.load(folder / f"m.{suffix}")


def mapped(folder):
    operant.mdp.save_mapped(MDP(P, R, GAMMA, terminal=[END]), folder / "m")
    return operant.mdp.open_mapped(folder / "m")


def prism(folder):
    operant.mdp.to_prism(MDP(P, R, GAMMA, terminal=[END]), folder / "m.tra")
    return operant.mdp.from_prism(folder / "m.tra", target="terminal", discount=GAMMA)


def outcomes(s, a):
    return [(P[s, a, t], t, R[s, a, t]) for t in range(S)]


def logged():
    """A log in which every outcome occurs as often as its tenths say."""
    rows = [(s, a, R[s, a, t], t, t == END) for s in range(END) for a in range(A) for t in range(S)
            for _ in range(round(10 * P[s, a, t]))]  # fmt: skip
    return operant.mdp.from_logs(tuple(np.array(column) for column in zip(*rows, strict=True)), discount=GAMMA)


def nested():
    return {s: {a: outcomes(s, a) for a in range(A)} for s in range(END)}


def by_outcome():
    return {(NAMES[s], a, NAMES[t]): R[s, a, t] for s in range(S) for a in range(A) for t in range(S) if P[s, a, t]}


EVERY = {
    "array": lambda _: MDP(P, R, GAMMA, terminal=[END]),
    "nested lists": lambda _: MDP(P.tolist(), R.tolist(), GAMMA, terminal=[END]),
    "list of sparse matrices": lambda _: MDP(sparse(P), sparse(R), GAMMA, terminal=[END]),
    "list of matrices": lambda _: MDP(actions_first(P), actions_first(R), GAMMA, terminal=[END]),
    "array, rewards in a list": lambda _: MDP(P, actions_first(R), GAMMA, terminal=[END]),
    "list, rewards in an array": lambda _: MDP(sparse(P), R, GAMMA, terminal=[END]),
    "pairs": lambda _: MDP(*(sp.csr_array(x.reshape(6, 3)) for x in (P, R)), GAMMA, pairs=FIRST, terminal=[2]),
    "dictionary": lambda _: MDP(flat(), by_outcome(), GAMMA, terminal=["c"]),
    "nested dictionary": lambda _: MDP(nested(), None, GAMMA, terminal=[2]),
    "from_mdptoolbox": lambda _: from_mdptoolbox(P.transpose(1, 0, 2), R.transpose(1, 0, 2), GAMMA, terminal=[END]),
    "from_mdptoolbox sparse": lambda _: from_mdptoolbox(sparse(P), sparse(R), GAMMA, terminal=[END]),
    "from_gymnasium": lambda _: operant.mdp.from_gymnasium(table(), discount=GAMMA),
    "from_logs": lambda _: logged(),
    "enumerate_mdp": lambda _: operant.mdp.enumerate_mdp(
        outcomes, {0: 0.5, 1: 0.5}, discount=GAMMA, actions=[0, 1], terminal=lambda s: s == END, quiet=True
    ),
    "enumerate_compiled": lambda _: operant.mdp.enumerate_compiled(
        compiled, states=S, actions=A, successors=S, discount=GAMMA, quiet=True
    ),
    "npz": lambda folder: written(folder, "npz"),
    "json": lambda folder: written(folder, "json"),
    "mapped": mapped,
    "prism": prism,
}  # fmt: skip


def sparse(x):
    return [sp.csr_array(x[:, a]) for a in range(A)]


def table():
    return [[[(p, t, r, t == END) for p, t, r in outcomes(s, a)] for a in range(A)] for s in range(S)]


@pytest.mark.parametrize("entry", EVERY)
def test_every_way_of_making_a_model_makes_the_same(entry, tmp_path):
    np.testing.assert_allclose(values(EVERY[entry](tmp_path)), slow(BY_PAIR, 0.0), atol=1e-8)


def of_state(form, terminal, reward=BY_STATE):
    """The model under R(s), in a form; `terminal` is the end as that form names it."""
    ends = {NAMES[k] if form == "dictionary" else k: x for k, x in terminal.items()} if terminal else None
    given = {"terminal": ends if ends is None or None not in ends.values() else list(ends)}
    match form:
        case "array":
            return MDP(P, reward, GAMMA, **given)
        case "list of sparse matrices":
            return MDP(sparse(P), list(reward), GAMMA, **given)
        case "list of matrices":
            return MDP(actions_first(P), tuple(reward), GAMMA, **given)
        case "pairs":
            return MDP(sp.csr_array(P.reshape(6, 3)), reward, GAMMA, pairs=FIRST, **given)
        case "pairs in another order":
            order = [5, 3, 0, 1, 4, 2]
            pairs = tuple(np.array(column)[order] for column in FIRST)
            return MDP(sp.csr_array(P.reshape(6, 3)[order]), reward, GAMMA, pairs=pairs, **given)
        case "from_mdptoolbox":
            return from_mdptoolbox(P.transpose(1, 0, 2), reward, GAMMA, **given)
        case "dictionary":
            return MDP(flat(), dict(zip(NAMES, reward, strict=True)), GAMMA, **given)
    raise AssertionError(form)


FORMS = ("array", "list of sparse matrices", "list of matrices", "pairs", "pairs in another order", "from_mdptoolbox",
         "dictionary")  # fmt: skip


@pytest.mark.parametrize("entry", FORMS)
def test_an_end_is_worth_its_reward_where_rewards_are_of_states(entry):
    """One rule: R(s) says what a terminal state is worth, unless a mapping does."""
    wide = np.repeat(BY_STATE[:, None], A, axis=1)
    named = of_state(entry, {END: None})
    np.testing.assert_allclose(values(named), slow(wide, 1.0), atol=1e-8)
    assert named.rows.terminal_value.tolist() == [0.0, 0.0, 1.0]
    np.testing.assert_allclose(values(of_state(entry, {END: -3.0})), slow(wide, -3.0), atol=1e-8)
    np.testing.assert_allclose(values(of_state(entry, {END: 0.0})), slow(wide, 0.0), atol=1e-8)
    absorbing = of_state(entry, None)  # no terminal state: the last one pays for ever
    np.testing.assert_allclose(values(absorbing), slow(wide, 1.0 / (1 - GAMMA)), atol=1e-6)


@pytest.mark.parametrize("entry", ["array", "list of sparse matrices", "pairs", "dictionary", "from_mdptoolbox"])
def test_an_end_is_worth_nothing_where_rewards_are_of_pairs(entry):
    by_pair = {(NAMES[s], a): BY_PAIR[s, a] for s in range(S) for a in range(A)}
    made = {
        "array": lambda: MDP(P, BY_PAIR, GAMMA, terminal=[END]),
        "list of sparse matrices": lambda: MDP(sparse(P), BY_PAIR, GAMMA, terminal=[END]),
        "pairs": lambda: MDP(sp.csr_array(P.reshape(6, 3)), BY_PAIR.ravel(), GAMMA, pairs=FIRST, terminal=[END]),
        "dictionary": lambda: MDP(flat(), by_pair, GAMMA, terminal=["c"]),
        "from_mdptoolbox": lambda: from_mdptoolbox(P.transpose(1, 0, 2), BY_PAIR, GAMMA, terminal=[END]),
    }
    np.testing.assert_allclose(values(made[entry]()), slow(BY_PAIR, 0.0), atol=1e-8)


SQUARE = np.array([[[0.5, 0.5], [0.1, 0.9]], [[0.2, 0.8], [0.7, 0.3]]])
"""A matrix for each action, as many actions as states: [A, S, S'] and not [S, A, S']."""
PAID = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])


def containers(x):
    first, second = x
    return {
        "csr": [sp.csr_array(first), sp.csr_array(second)],
        "csr and array": [sp.csr_array(first), second],
        "array and csr": [first, sp.csr_array(second)],
        "csr and nested lists": [sp.csr_array(first), second.tolist()],
        "arrays": [first, second],
        "tuple of arrays": (first, second),
        "arrays in Fortran's order": [np.asfortranarray(first), np.asfortranarray(second)],
        "np.matrix": [np.matrix(first), np.matrix(second)],
        "coo and lil": [sp.coo_matrix(first), sp.lil_matrix(second)],
        "csc and dia": [sp.csc_array(first), sp.dia_array(second)],
        "array of objects": objects([sp.csr_array(first), sp.csr_array(second)]),
    }


CONTAINERS = ("csr", "csr and array", "array and csr", "csr and nested lists", "arrays", "tuple of arrays",
              "arrays in Fortran's order", "np.matrix", "coo and lil", "csc and dia", "array of objects")  # fmt: skip


def objects(parts):
    out = np.empty(len(parts), dtype=object)
    out[:] = parts
    return out


def sweep(P_first, R_first):
    v = np.zeros(2)
    for _ in range(400):
        v = ((P_first * R_first).sum(2) + GAMMA * P_first @ v).max(0)
    return v


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("entry", CONTAINERS)
def test_a_list_of_matrices_means_one_for_each_action(entry):
    """Whatever holds the numbers; for R too; and nested lists are an array, states first."""
    given, paid = containers(SQUARE)[entry], containers(PAID)[entry]
    by_pair = np.array([[5.0, 10.0], [-1.0, 2.0]])
    want = sweep(SQUARE, np.repeat(by_pair.T[:, :, None], 2, axis=2))
    np.testing.assert_allclose(solve(MDP(given, by_pair, GAMMA), 1e-9).values, want, atol=1e-6)
    np.testing.assert_allclose(solve(MDP(given, paid, GAMMA), 1e-9).values, sweep(SQUARE, PAID), atol=1e-6)
    in_states = SQUARE.transpose(1, 0, 2)
    np.testing.assert_allclose(solve(MDP(in_states, paid, GAMMA), 1e-9).values, sweep(SQUARE, PAID), atol=1e-6)
    for ambiguous in (PAID, PAID.tolist()):
        with pytest.raises(ModelError, match="R may be"):
            MDP(given, ambiguous, GAMMA)


def test_nested_lists_and_lists_over_states_are_arrays():
    in_states = SQUARE.transpose(1, 0, 2)
    want = sweep(SQUARE, PAID)
    found = MDP(in_states.tolist(), PAID.transpose(1, 0, 2).tolist(), GAMMA)
    np.testing.assert_allclose(solve(found, 1e-9).values, want, atol=1e-6)
    np.testing.assert_allclose(values(MDP(list(P), list(R), GAMMA, terminal=[END])), slow(BY_PAIR, 0.0), atol=1e-8)


def barred(form):
    """Action 1 of state 0 is not admissible; under R(s, a, s') one of its outcomes says so."""
    pair = BY_PAIR.copy()
    pair[0, 1] = -np.inf
    outcome = R.copy()
    outcome[0, 1, 1] = -np.inf
    D = flat()
    match form:
        case "R(s, a)":
            return MDP(P, pair, GAMMA, terminal=[END])
        case "R(s, a), no probabilities":
            return MDP(np.where(np.isinf(pair)[:, :, None], 0.0, P), pair, GAMMA, terminal=[END])
        case "R(s, a, s')":
            return MDP(P, outcome, GAMMA, terminal=[END])
        case "R(s, a, s') of sparse matrices":
            return MDP(sparse(P), sparse(outcome), GAMMA, terminal=[END])
        case "pairs":
            return MDP(sp.csr_array(P.reshape(6, 3)), pair.ravel(), GAMMA, pairs=FIRST, terminal=[END])
        case "pairs, R(s, a, s')":
            paid = sp.csr_array(outcome.reshape(6, 3))
            return MDP(sp.csr_array(P.reshape(6, 3)), paid, GAMMA, pairs=FIRST, terminal=[END])
        case "from_mdptoolbox":
            return from_mdptoolbox(P.transpose(1, 0, 2), pair, GAMMA, terminal=[END])
        case "from_mdptoolbox, outcomes":
            return from_mdptoolbox(P.transpose(1, 0, 2), outcome.transpose(1, 0, 2), GAMMA, terminal=[END])
        case "dictionary by pair":
            return MDP(D, {(s, a): pair[NAMES.index(s), a] for s, a in D}, GAMMA, terminal=["c"])
        case "dictionary by outcome":
            paid = {(s, a, t): outcome[NAMES.index(s), a, NAMES.index(t)] for (s, a), to in D.items() for t in to}
            return MDP(D, paid, GAMMA, terminal=["c"])
        case "nested dictionary":
            rows = {s: {a: [(P[s, a, t], t, outcome[s, a, t]) for t in range(S) if P[s, a, t]] for a in range(A)}
                    for s in range(END)}  # fmt: skip
            return MDP(rows, None, GAMMA, terminal=[END])
    raise AssertionError(form)


@pytest.mark.parametrize(
    "entry",
    ["R(s, a)", "R(s, a), no probabilities", "R(s, a, s')", "R(s, a, s') of sparse matrices", "pairs",
     "pairs, R(s, a, s')", "from_mdptoolbox", "from_mdptoolbox, outcomes", "dictionary by pair",
     "dictionary by outcome", "nested dictionary"],
)  # fmt: skip
def test_a_pair_with_reward_minus_infinity_is_left_out(entry):
    found = barred(entry)
    assert (found.num_rows, found.rows.action.tolist()) == (3, [0, 0, 1])
    allowed = BY_PAIR.copy()
    allowed[0, 1] = -1e9
    np.testing.assert_allclose(values(found), slow(allowed, 0.0), atol=1e-8)


ONE = {"P": np.eye(2)[:, None, :], "R": [1.0, 2.0], "discount": 0.5}
NO_MODELS = {
    "discount text": {"discount": "half"},
    "discount NaN": {"discount": float("nan")},
    "P text": {"P": "hello"},
    "P None": {"P": None},
    "P ragged": {"P": [[[0.5, 0.5]], [[0.1, 0.9], [1, 0]]]},
    "P complex": {"P": [sp.csr_array(np.eye(2) * 1j)]},
    "P empty": {"P": []},
    "R text": {"R": ["a", "b"]},
    "R ragged": {"R": [[1.0], [1.0, 2.0]]},
    "R None": {"R": None},
    "terminal a name": {"terminal": ["x"]},
    "terminal half": {"terminal": [0.5]},
    "terminal beyond": {"terminal": [2]},
    "terminal below": {"terminal": [-1]},
    "start beyond": {"start": 2},
    "start below": {"start": -1},
    "horizon True": {"horizon": True},
    "horizon 2.5": {"horizon": 2.5},
    "endless": {"endless": "draws"},
    "dictionary of text": {"P": {("a", "x"): {"a": "one"}}, "R": {"a": 1.0}},
    "dictionary of lists": {"P": {("a", "x"): [("a", 1.0)]}, "R": {"a": 1.0}},
    "dictionary, terminal a number": {"P": {("a", "x"): {"a": 1.0}}, "R": {"a": 1.0}, "terminal": 3},
}


@pytest.mark.parametrize("entry", NO_MODELS)
def test_what_is_no_model_is_refused_in_words(entry):
    assert MDP(**ONE).num_states == 2
    with pytest.raises(ModelError, match=r"\w+ \w+"):
        MDP(**ONE | NO_MODELS[entry])


def test_a_file_says_what_an_endless_play_does(tmp_path):
    """Kept by every format, and not written where it says nothing."""
    mdp = MDP(np.eye(2)[:, None, :], [0.0, 0.0], 1.0, terminal=[1], endless="loses")
    for suffix in ("npz", "json"):
        mdp.save(tmp_path / f"m.{suffix}")
        assert operant.mdp.load(tmp_path / f"m.{suffix}").endless == "loses"
    operant.mdp.save_mapped(mdp, tmp_path / "m")
    assert operant.mdp.open_mapped(tmp_path / "m").endless == "loses"
    mdp.replace(endless=None).save(tmp_path / "m.json")
    assert "endless" not in json.loads((tmp_path / "m.json").read_text())
    with pytest.raises(ModelError, match="endless is"):
        mdp.replace(endless="wins or loses")
