"""Arrays and policies as other libraries have them: actions first, an action for each state, tables [S, A].

Each is taken for what it is, or refused with what is wrong; nothing is read in another way than it was meant.
"""

import inspect
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

import operant.mdp
from operant.mdp import MDP, ModelError, evaluate, solve
from operant.mdp.policies import deterministic

RNG = np.random.default_rng(0)
P = RNG.multinomial(20, np.full(4, 0.25), (3, 4)) / 20  # [A, S, S']
R_OUTCOME = RNG.normal(size=(3, 4, 4))  # [A, S, S']
R_PAIR = np.einsum("ast,ast->sa", P, R_OUTCOME)
OF_STATE = RNG.normal(size=4)
GAMMA = 0.9
MODEL = MDP(P.transpose(1, 0, 2), R_PAIR, GAMMA, start=0)
NEEDS = {
    "finite_horizon_values": {"horizon": 3},
    "simulate": {"steps": 20, "seed": 1},
    "soft_evaluate": {"temperature": 0.5},
    "td_fixed_point": {"features": np.eye(4)},
}
OTHER = {"expected_steps": MDP(P.transpose(1, 0, 2) * 0.9, R_PAIR, 1.0, start=0, leak=True),
         "stationary": MODEL.replace(criterion="average")}  # fmt: skip
TAKE_A_POLICY = {
    name: function
    for name in operant.mdp.__all__
    if inspect.isfunction(function := getattr(operant.mdp, name)) and "policy" in inspect.signature(function).parameters
}


def answer(entry, policy, mdp=None):
    """Numbers that come of a policy."""
    found = TAKE_A_POLICY[entry](mdp or OTHER.get(entry, MODEL), policy, **NEEDS.get(entry, {}))
    if entry == "evaluation_sweeps":
        return [next(found)[0] for _ in range(3)]
    if entry == "simulate":
        return [found.state, found.reward]
    return [np.asarray([float(v) for v in found] if entry == "evaluate_exactly" else getattr(found, "values", found))]


def same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("entry", sorted(TAKE_A_POLICY))
def test_an_action_for_each_state_is_a_policy(entry):
    actions = np.array([2, 0, 1, 1])
    wanted = answer(entry, deterministic(OTHER.get(entry, MODEL), actions))
    for form in (actions, actions.astype(np.int32), actions.tolist()):
        same(answer(entry, form), wanted)
    with pytest.raises(ModelError, match=r"action 3 is not admissible in state 1"):
        answer(entry, [0, 3, 1, 1])


@pytest.mark.parametrize("entry", sorted(TAKE_A_POLICY.keys() - {"evaluate_exactly"}))
def test_a_table_of_states_by_actions_is_a_policy(entry):
    table = RNG.dirichlet(np.ones(3), 4)
    if entry != "finite_horizon_values":  # two dimensions are a policy for each decision there
        same(answer(entry, table), answer(entry, table.ravel()))
    with pytest.raises(ModelError, match=r"sum to|expected \[L\] or \[H, L\]"):
        answer(entry, 2 * table)


BOTH = MDP({("a", "go"): {"b": 1.0}, ("a", "stop"): {"end": 1.0}, ("b", "stop"): {"end": 1.0}},
           {("a", "go"): 1.0, ("a", "stop"): 0.0, ("b", "stop"): 2.0}, 0.9, terminal=["end"], start="a")  # fmt: skip


@pytest.mark.parametrize("entry", ["evaluate", "occupancy", "return_variance", "simulate"])
def test_numbers_that_are_actions_and_probabilities_alike_are_refused(entry):
    """Three states and three rows: [0, 1, 1] goes from a as actions of a are numbered, and stops as a probability."""
    with pytest.raises(
        ModelError, match=r"an action for each of 3 states or a probability .* give probabilities as fl"
    ):
        answer(entry, [0, 1, 1], BOTH)
    same(answer(entry, [0.0, 1.0, 1.0], BOTH), answer(entry, ["stop", "stop", None], BOTH))
    same(answer(entry, [1, 0, 1], BOTH), answer(entry, np.array([1.0, 0.0, 1.0]), BOTH))
    same(answer(entry, np.array([1.0, 0.0, 1.0]), BOTH), answer(entry, ["go", "stop", "go"], BOTH))
    with pytest.raises(ModelError, match=r"not admissible in state 1 \(b\)"):
        answer(entry, ["go", "go", "go"], BOTH)


FORMS = {
    "array": (P, R_PAIR, R_PAIR),
    "list of matrices": (list(P), R_OUTCOME, R_PAIR),
    "sparse matrices": ([sp.csr_array(p) for p in P], [sp.csr_array(r) for r in R_OUTCOME], R_PAIR),
    "nested lists": (P.tolist(), R_OUTCOME.tolist(), R_PAIR),
    "rewards of states": (P, OF_STATE, np.repeat(OF_STATE[:, None], 3, 1)),
    "rewards of outcomes": (P, R_OUTCOME, R_PAIR),
}


@pytest.mark.parametrize("entry", sorted(FORMS))
def test_actions_come_first_in_from_arrays(entry):
    given, reward, of_pairs = FORMS[entry]
    made = MDP.from_arrays(given, reward, GAMMA)
    wanted = MDP(P.transpose(1, 0, 2), of_pairs, GAMMA)
    np.testing.assert_allclose(made.matrix.toarray(), wanted.matrix.toarray())
    np.testing.assert_allclose(made.rows.reward, wanted.rows.reward, rtol=1e-12)


WRONG = {
    "states first": (P.transpose(1, 0, 2), R_PAIR, r"\[S, A, S'\], states first, which MDP\(P, R, discount\) takes"),
    "one matrix": (P[0], R_PAIR, r"P has shape \(4, 4\): expected one matrix for each action"),
    "one number": (1.0, R_PAIR, r"P has shape \(\): expected one matrix for each action"),
    "nothing": ([], R_PAIR, r"P is empty: give one matrix"),
    "rewards turned": (P, R_PAIR.T, r"R has shape \(3, 4\): expected R\(s\) \[4\], R\(s, a\) \[4, 3\]"),
    "rewards states first": (P, R_OUTCOME.transpose(1, 0, 2), r"R has shape \(4, 3, 4\).*\[3, 4, 4\], actions first"),
    "rewards of too few": (P, OF_STATE[:3], r"R has shape \(3,\): expected"),
    "no distribution": (P * 0.5, R_PAIR, r"sum"),
    "words": (P, "rewards", r"R is str: expected an array of numbers"),
}


@pytest.mark.parametrize("entry", sorted(WRONG))
def test_what_is_no_model_of_that_form_is_refused_by_its_shape(entry):
    given, reward, words = WRONG[entry]
    with pytest.raises(ModelError, match=words):
        MDP.from_arrays(given, reward, GAMMA)


def test_values_of_actions_are_a_table_with_nothing_where_there_is_no_action():
    found = solve(BOTH, 1e-9)
    np.testing.assert_allclose(found.q, [[1 + 0.9 * 2, 0.0], [-np.inf, 2.0], [-np.inf, -np.inf]], atol=1e-9)
    np.testing.assert_array_equal(found.q[BOTH.row_state, BOTH.rows.action], found.action_values)
    np.testing.assert_array_equal(solve(MODEL).q.argmax(1), solve(MODEL).policy)
    assert solve(MODEL.replace(horizon=5)).q.shape == (5, 4, 3)
    worth = evaluate(MODEL, [2, 0, 1, 1])
    np.testing.assert_allclose(worth.q[np.arange(4), [2, 0, 1, 1]], worth.values, rtol=1e-9)


def test_fractions_of_rows_are_no_names_of_actions():
    half = [Fraction(1, 2), Fraction(1, 2), Fraction(1)]
    same(answer("evaluate", half, BOTH), answer("evaluate", np.array([0.5, 0.5, 1.0]), BOTH))
