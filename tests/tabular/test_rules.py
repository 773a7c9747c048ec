"""Rules against plain loops, and what each algorithm reduces to."""

import numpy as np
import pytest

from operant.mdp import MDP, worlds
from operant.mdp.analyse.sampler import first_state, generators, sampler, transition
from operant.mdp.policies import uniform
from operant.tabular import (
    ALGORITHMS,
    Learner,
    Settings,
    control,
    dyna_q,
    expected_sarsa,
    monte_carlo_prediction,
    n_step_sarsa,
    n_step_td,
    offline_lambda_return,
    q_learning,
    sarsa,
    sarsa_lambda,
    td,
    td_lambda,
    tree_backup,
    true_online_sarsa,
    true_online_td,
    watkins_q,
)
from operant.tabular.algorithms import memory
from operant.tabular.rules import RULES
from reference import tabular as slow
from reference.tabular import Step

pytestmark = pytest.mark.filterwarnings("ignore::operant.tabular.ConvergenceWarning")


def ragged(seed=0, states=6):
    """A random model in which states have one to three actions and episodes end with probability of at least 0.1."""
    g = np.random.default_rng(seed)
    at, action, P, R = [], [], [], []
    for s in range(states - 1):
        for a in range(1 + s % 3):
            p = g.dirichlet(np.ones(states - 1)) * 0.9
            at.append(s), action.append(a), P.append(np.append(p, 0.1)), R.append(g.normal(size=states))
    P, R = np.array(P), np.array(R)
    rewards = [np.zeros((states, states)) for _ in range(3)]
    matrices = [np.zeros((states, states)) for _ in range(3)]
    reward = np.full((states, 3), -np.inf)
    for s, a, p, r in zip(at, action, P, R, strict=True):
        matrices[a][s], rewards[a][s], reward[s, a] = p, r, p @ r
    dense = np.stack(matrices, axis=1)
    return MDP(dense, reward, 0.9, terminal=[states - 1], start=np.append(np.full(states - 1, 1 / (states - 1)), 0.0))


def live(mdp, settings, episodes, seed=0):
    """The Python loop of `loop.run`, which also tells every transition and choice."""
    model, outside = sampler(mdp), generators(seed, 0)
    mind = memory(settings, model.pointer, model.worth, generators(seed, 1))
    rules, told = RULES[type(mind)], []
    for _ in range(episodes):
        state, episode = first_state(model, outside), []
        row = rules.begin(mind, state)
        while True:
            following, reward, terminated = transition(model, row, outside)
            chosen = rules.observe(mind, state, row, reward, following, terminated, False)
            episode.append(Step(state, row, reward, following, terminated, chosen))
            state, row = following, chosen
            if terminated:
                break
        told.append(episode)
    return mind, told


COMMON = {"step_size": 0.3, "epsilon": 0.2, "discount": 0.9}
SLOW = {
    "q-learning": lambda e, q, p: slow.q_learning(e, q, p, alpha=0.3, gamma=0.9),
    "sarsa": lambda e, q, p: slow.sarsa(e, q, alpha=0.3, gamma=0.9),
    "expected-sarsa": lambda e, q, p: slow.expected_sarsa(e, q, p, alpha=0.3, gamma=0.9, epsilon=0.2),
    "n-step-sarsa": lambda e, q, p: slow.q_sigma(e, q, p, n=4, sigma=1.0, alpha=0.3, gamma=0.9, epsilon=0.2),
    "tree-backup": lambda e, q, p: slow.q_sigma(e, q, p, n=4, sigma=0.0, alpha=0.3, gamma=0.9, epsilon=0.2),
    "q-sigma": lambda e, q, p: slow.q_sigma(e, q, p, n=4, sigma=0.5, alpha=0.3, gamma=0.9, epsilon=0.2),
    "sarsa-lambda": lambda e, q, p: slow.sarsa_lambda(e, q, lam=0.9, alpha=0.3, gamma=0.9, kind="replacing"),
    "watkins-q": lambda e, q, p: slow.watkins(e, q, p, lam=0.9, alpha=0.3, gamma=0.9),
}


@pytest.mark.parametrize("name", SLOW)
def test_the_compiled_rule_is_the_books_box(name):
    mdp = ragged()
    mind, told = live(mdp, Settings(algorithm=name, **COMMON), 30)
    q = np.zeros(mdp.num_rows)
    for episode in told:
        q = SLOW[name](episode, q, mdp.rows.pointer)
    assert len({step.row for episode in told for step in episode}) == mdp.num_rows
    np.testing.assert_allclose(mind.table.q, q, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["accumulating", "replacing", "dutch"])
def test_traces_of_every_kind_are_the_books(kind):
    mdp = ragged(1)
    mind, told = live(mdp, Settings(algorithm="sarsa-lambda", lam=0.7, traces=kind, **COMMON), 20)
    q = np.zeros(mdp.num_rows)
    for episode in told:
        q = slow.sarsa_lambda(episode, q, lam=0.7, alpha=0.3, gamma=0.9, kind=kind)
    np.testing.assert_allclose(mind.table.q, q, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_loop_on_a_model_is_the_python_loop_bit_for_bit(name):
    mdp = ragged(2)
    settings = Settings(algorithm=name, **COMMON)
    mind, told = live(mdp, settings, 5, seed=3)
    kernel = control(mdp, settings, seeds=[3], episodes=5)
    assert np.array_equal(kernel.rows[0], mind.table.q)
    assert kernel.lengths[0].tolist() == [len(episode) for episode in told]


@pytest.mark.parametrize("name", ["q-learning", "prioritised-sweeping"])
def test_what_a_seed_does_depends_on_nothing_else(name):
    settings, mdp = Settings(algorithm=name, **COMMON), ragged(3)
    together = control(mdp, settings, seeds=4, episodes=20, threads=2)
    for seed in (0, 3):
        alone = control(mdp, settings, seeds=[seed], episodes=20)
        assert np.array_equal(alone.rows[0], together.rows[seed])
        assert np.array_equal(alone.returns[0], together.returns[seed])
    assert len(np.unique(together.rows[:, 0])) == 4


def test_algorithms_reduce_to_each_other():
    mdp, how = ragged(4), {"seeds": 3, "episodes": 40, "step_size": 0.3, "epsilon": 0.2}
    one = sarsa(mdp, **how)
    assert np.array_equal(n_step_sarsa(mdp, n=1, **how).rows, one.rows)
    for kind in ("accumulating", "replacing", "dutch"):
        np.testing.assert_allclose(sarsa_lambda(mdp, lam=0.0, traces=kind, **how).rows, one.rows, atol=1e-12)
    np.testing.assert_allclose(true_online_sarsa(mdp, lam=0.0, **how).rows, one.rows, atol=1e-12)
    plain = q_learning(mdp, **how)
    assert np.array_equal(dyna_q(mdp, planning=0, **how).rows, plain.rows)
    assert not np.array_equal(dyna_q(mdp, planning=1, **how).rows, plain.rows)
    chosen_uniformly = how | {"epsilon": 1.0}  # what is chosen does not depend on when
    np.testing.assert_allclose(
        tree_backup(mdp, n=1, **chosen_uniformly).rows, expected_sarsa(mdp, **chosen_uniformly).rows, atol=1e-12
    )
    np.testing.assert_allclose(
        watkins_q(mdp, lam=0.0, **chosen_uniformly).rows, q_learning(mdp, **chosen_uniformly).rows, atol=1e-12
    )
    np.testing.assert_allclose(  # towards the greedy policy with one step, tree backup is Q-learning
        tree_backup(mdp, n=1, target_epsilon=0.0, **chosen_uniformly).rows,
        q_learning(mdp, **chosen_uniformly).rows,
        atol=1e-12,
    )


def test_predictions_reduce_to_each_other():
    walk = worlds.random_walk(7)
    policy, how = uniform(walk), {"seeds": 3, "episodes": 30, "step_size": 0.2, "initial": 0.3}
    base = td(walk, policy, **how).values
    assert np.array_equal(n_step_td(walk, policy, n=1, **how).values, base)
    for kind in ("accumulating", "replacing", "dutch"):
        np.testing.assert_allclose(td_lambda(walk, policy, lam=0.0, traces=kind, **how).values, base, atol=1e-13)
    np.testing.assert_allclose(true_online_td(walk, policy, lam=0.0, **how).values, base, atol=1e-13)
    far = n_step_td(walk, policy, n=10_000, **how).values
    np.testing.assert_allclose(offline_lambda_return(walk, policy, lam=1.0, **how).values, far, atol=1e-12)
    one = {"seeds": 20, "episodes": 1, "step_size": 1e-3, "initial": 0.3}  # orders of updates differ by α²
    change = monte_carlo_prediction(walk, policy, visits="every", **one).values - 0.3
    np.testing.assert_allclose(td_lambda(walk, policy, lam=1.0, **one).values - 0.3, change, atol=1e-4)
    assert np.abs(change[:, 1:-1]).max() > 5e-3


@pytest.mark.parametrize("lam", [0.0, 0.4, 0.9, 1.0])
def test_true_online_td_is_the_online_forward_view(lam):
    walk = worlds.random_walk(9, left=-1.0)
    for seed in range(3):
        learnt = true_online_td(walk, uniform(walk), lam=lam, step_size=0.4, seeds=[seed], episodes=4)
        v = np.where(walk.rows.terminal, walk.rows.terminal_value, 0.0)
        model, outside = sampler(walk), generators(seed, 0)
        for _ in range(4):
            state, episode = first_state(model, outside), []
            while not walk.rows.terminal[state]:
                row = walk.row(state, 0)
                following, reward, ended = transition(model, row, outside)
                episode.append(Step(state, row, reward, following, ended, -1))
                state = following
            v = slow.online_lambda_return(episode, v, lam=lam, alpha=0.4, gamma=1.0)
        np.testing.assert_allclose(learnt.values[0], v, rtol=0, atol=1e-12)


def test_expected_sarsa_is_sarsa_in_the_mean():
    """From the same table, the mean of SARSA's targets over its next choices is expected SARSA's target."""
    pointer, q = np.array([0, 1, 4, 4]), np.array([0.0, 1.0, -2.0, 0.5])
    targets = {}
    for name in ("sarsa", "expected-sarsa"):
        found = []
        for g in generators(np.arange(4000)):
            mind = memory(Settings(algorithm=name, step_size=1.0, epsilon=0.3, discount=0.9), pointer, np.zeros(4), g)
            mind.table.q[:] = q
            RULES[type(mind)].observe(mind, 0, 0, 0.25, 1, False, False)
            found.append(mind.table.q[0])
        targets[name] = np.array(found)
    error = targets["sarsa"].std() / np.sqrt(4000)
    exact = 0.25 + 0.9 * (0.8 * 1.0 + 0.1 * -2.0 + 0.1 * 0.5)
    assert targets["expected-sarsa"] == pytest.approx(exact, abs=1e-12)
    assert 0 < error < 0.02
    assert abs(targets["sarsa"].mean() - exact) < 4 * error


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_learner_goes_on_exactly(name):
    """Saved in the middle and loaded into another that began with another seed, it goes on bit for bit."""
    mdp, settings = worlds.dyna_maze(), Settings(algorithm=name, epsilon=0.3, step_size=0.5, discount=0.95)
    model = sampler(mdp)

    def walk(learner, outside, state, steps):
        for _ in range(steps):
            action = learner.act(state)
            following, reward, ended = transition(model, int(model.pointer[state]) + action, outside)
            learner.observe(state, action, reward, following, ended, False)
            state = first_state(model, outside) if ended else following
        return state

    whole, first = (Learner(mdp.num_states, 4, settings, np.random.default_rng(5)) for _ in range(2))
    outside = generators(0)
    walk(whole, outside, first_state(model, outside), 400)
    outside = generators(0)
    middle = walk(first, outside, first_state(model, outside), 150)
    second = Learner(mdp.num_states, 4, settings, np.random.default_rng(6))
    second.load(first.state())
    walk(second, outside, middle, 250)
    for name, array in whole.state().items():
        assert np.array_equal(array, second.state()[name]), name
    assert whole.table.shape == (mdp.num_states, 4)
