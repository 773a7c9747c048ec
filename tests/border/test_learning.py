"""Learners that tend to something else than the model that they draw from says.

A small model of chance, with unequal sets of actions, a loop and an end that is worth something: what each algorithm
tends to is known exactly, and the mean of independent runs comes to it.
"""

import warnings

import numpy as np
import pytest

import operant.tabular
from operant.mdp import MDP, best_epsilon_soft, evaluate, solve
from operant.mdp.policies import uniform
from operant.tabular import Learner, Polynomial, Settings

P = {
    ("a", "l"): {"b": 0.7, "c": 0.3}, ("a", "r"): {"c": 1.0}, ("b", "l"): {"a": 0.5, "T": 0.5}, ("b", "r"): {"T": 1.0},
    ("b", "x"): {"c": 1.0}, ("c", "l"): {"b": 0.9, "T": 0.1},
}  # fmt: skip
R = {("a", "l"): 1.0, ("a", "r"): 2.0, ("b", "l"): -1.0, ("b", "r"): 0.5, ("b", "x"): 0.0, ("c", "l"): 1.5}
MODEL = MDP(P, R, 0.9, terminal={"T": 3.0}, start="a")
EPSILON = 0.2
OPTIMAL = ("q_learning", "double_q_learning", "watkins_q", "prioritised_sweeping", "off_policy_monte_carlo")
ON_POLICY = ("sarsa", "expected_sarsa", "n_step_sarsa", "tree_backup", "q_sigma", "sarsa_lambda", "true_online_sarsa",
             "monte_carlo")  # fmt: skip
PREDICTION = ("td", "n_step_td", "td_lambda", "true_online_td", "offline_lambda_return", "monte_carlo_prediction")
OWN = {
    **{name: {"lam": 0.9} for name in ("watkins_q", "sarsa_lambda", "true_online_sarsa")},
    **{name: {"lam": 0.8} for name in ("td_lambda", "true_online_td", "offline_lambda_return")},
    **{name: {"n": 3} for name in ("n_step_sarsa", "tree_backup")},
    "q_sigma": {"n": 3, "sigma": 0.5},
    "n_step_td": {"n": 4},
}


@pytest.mark.spread(4)
@pytest.mark.parametrize("entry", [*OPTIMAL, *ON_POLICY, *PREDICTION])
def test_the_mean_of_runs_comes_to_what_is_exact(entry):
    given = {"seeds": 10, "episodes": 8_000} | OWN.get(entry, {})
    if entry != "off_policy_monte_carlo":
        given["step_size"] = Polynomial(1.0, 0.7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if entry in PREDICTION:
            found = getattr(operant.tabular, entry)(MODEL, uniform(MODEL), **given).values
            want = evaluate(MODEL, uniform(MODEL)).values
        else:
            found = getattr(operant.tabular, entry)(MODEL, epsilon=EPSILON, **given).rows
            soft = best_epsilon_soft(MODEL, EPSILON)[0]
            want = solve(MODEL, 1e-10).action_values
            if entry in ON_POLICY:
                want = MODEL.rows.reward + 0.9 * (MODEL.matrix @ soft.values)
    assert np.abs(found.mean(axis=0) - want).max() < 0.08


@pytest.mark.parametrize("entry", ["function", "Learner", "leaking model", "random rewards"])
def test_prioritised_sweeping_counts(entry):
    """With a step size of 1, so that only counting can come to the mean; and a learner has room for what it meets."""
    mdp = MODEL
    if entry == "leaking model":
        mdp = MDP(
            [[[0.4, 0.3], [0.1, 0.1]], [[0.0, 0.9], [0.5, 0.0]]], [[1.0, 0.5], [0.0, 2.0]], 0.9, leak=True, start=0
        )
    elif entry == "random rewards":
        mdp = MDP([[[0.5, 0.5], [1.0, 0.0]], [[0.2, 0.8], [0.9, 0.1]]],
                  [[[4.0, -4.0], [0.1, 0.0]], [[3.0, 0.0], [0.0, 9.0]]], 0.8, start=0)  # fmt: skip
    want = solve(mdp, 1e-10).action_values
    if entry != "Learner":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = operant.tabular.prioritised_sweeping(
                mdp, epsilon=0.5, planning=10, threshold=1e-9, seeds=6, episodes=3000, max_steps=30
            )
        assert np.abs(found.rows.mean(axis=0) - want).max() < 0.05
        return
    states, actions = 40, 2
    rng = np.random.default_rng(1)
    chances = rng.dirichlet(np.ones(states), size=(states, actions))
    wide = MDP(chances, rng.normal(size=(states, actions)), 0.5, start=0)
    settings = Settings(algorithm="prioritised-sweeping", discount=0.5, step_size=1.0, epsilon=1.0, planning=20)
    learner, state = Learner(states, actions, settings, np.random.default_rng(0)), 0
    twin = None
    for step in range(20_000):
        action = learner.act(state)
        following = int(rng.choice(states, p=chances[state, action]))
        learner.observe(state, action, float(wide.rows.reward[2 * state + action]), following, False, False)
        state = following
        if step == 10_000:  # it has grown, and goes on from what was saved as if it had not stopped
            twin = Learner(states, actions, settings, np.random.default_rng(5))
            twin.load(learner.state())
    assert twin is not None
    assert twin.steps == 10_001
    assert np.abs(learner.table - solve(wide, 1e-9).action_values.reshape(states, actions)).max() < 0.15
