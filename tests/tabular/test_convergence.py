"""Under the conditions of Robbins and Monro, values converge to the exact ones; schedules say when they are not met."""

import warnings

import gymnasium as gym
import numpy as np
import pytest

from operant.config.errors import ConfigError
from operant.mdp import MDP, ModelError, evaluate, solve, worlds
from operant.mdp.analyse.td_fixed_point import td_fixed_point
from operant.mdp.policies import epsilon_soft, uniform
from operant.tabular import (
    Constant,
    ConvergenceWarning,
    Exponential,
    Harmonic,
    Learner,
    Linear,
    LinearLearner,
    Polynomial,
    Settings,
    TileCoder,
    control,
    dyna_q_plus,
    expected_sarsa,
    monte_carlo,
    monte_carlo_prediction,
    n_step_td,
    off_policy_monte_carlo,
    off_policy_prediction,
    prioritised_sweeping,
    q_learning,
    semi_gradient_td,
    td,
    td_lambda,
    true_online_td,
)
from operant.tabular.bandits import epsilon_greedy

quiet = pytest.mark.filterwarnings("ignore::operant.tabular.ConvergenceWarning")
STEPS = Polynomial(10.0, 0.8)


def random_model(seed, discount=0.8):
    """Five states, three actions, rewards by outcome, a terminal state worth something."""
    g = np.random.default_rng(seed)
    P = g.dirichlet(np.ones(5), size=(5, 3))
    return MDP(P, g.normal(size=(5, 3, 5)), discount, terminal={4: 0.5}, start=np.append(np.full(4, 0.25), 0.0))


def converges(estimates, exact, bias=0.02, spread=0.06):
    """[runs, K]: the mean of independent runs is right to four standard errors and what is left of the bias, and
    runs are near it."""
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(axis=0) - exact) <= 4 * error + bias)
    assert np.sqrt(np.mean((estimates - exact) ** 2)) < spread


def exact_rows(mdp):
    return solve(mdp, epsilon=1e-10).action_values


@pytest.mark.parametrize("name", ["q-learning", "double-q-learning", "watkins-q"])
@pytest.mark.parametrize("seed", [0, 1])
def test_off_policy_control_converges_to_the_optimal_values(name, seed):
    mdp = random_model(seed)
    settings = Settings(algorithm=name, discount=0.8, step_size=STEPS, epsilon=1.0, lam=0.5, n=3, target_epsilon=0.0)
    found = control(mdp, settings, seeds=12, episodes=40_000)
    converges(found.rows, exact_rows(mdp))
    assert np.mean(found.policies[:, :4] == solve(mdp).rows[:4]) > 0.9


def test_off_policy_tree_backup_converges_to_the_optimal_values():
    mdp = random_model(2)
    settings = Settings(algorithm="tree-backup", discount=0.8, step_size=STEPS, epsilon=1.0, n=3, target_epsilon=0.0)
    found = control(mdp, settings, seeds=12, episodes=30_000)
    converges(found.rows, exact_rows(mdp))


@quiet
@pytest.mark.parametrize("name", ["sarsa", "expected-sarsa", "n-step-sarsa", "q-sigma", "sarsa-lambda", "monte-carlo"])
def test_on_policy_control_converges_to_the_value_of_the_policy_that_acts(name):
    """With ε = 1 that is the uniform policy, whose value is exact."""
    mdp = random_model(3)
    settings = Settings(algorithm=name, discount=0.8, step_size=STEPS, epsilon=1.0, lam=0.5, n=3)
    values = evaluate(mdp, uniform(mdp)).values
    exact = mdp.rows.reward + 0.8 * (mdp.matrix @ values)
    found = control(mdp, settings, seeds=12, episodes=30_000)
    converges(found.rows, exact, spread=0.1)


def test_glie_converges_to_the_optimal_values():
    """ε = (1 + n(s))^-0.3 explores for ever and becomes greedy; pairs that are not optimal are learned slowly."""
    mdp = random_model(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = expected_sarsa(mdp, step_size=STEPS, epsilon=Polynomial(1.0, 0.3), seeds=8, episodes=100_000)
    converges(found.values, solve(mdp, epsilon=1e-9).values, bias=0.05, spread=0.1)
    assert np.mean(found.policies[:, :4] == solve(mdp).rows[:4]) > 0.9


@quiet
def test_deterministic_models_are_solved_exactly():
    """Constant steps suffice without noise; prioritised sweeping needs few."""
    maze = worlds.dyna_maze()
    best = solve(maze, epsilon=1e-9)
    running = ~maze.rows.terminal
    swept = prioritised_sweeping(maze, planning=50, epsilon=0.5, threshold=1e-9, seeds=2, episodes=500)
    assert np.abs(swept.values - best.values)[:, running].max() < 1e-6
    plain = q_learning(maze, step_size=1.0, epsilon=1.0, seeds=2, episodes=1000)
    assert np.abs(plain.values - best.values)[:, running].max() < 1e-9


@quiet
def test_dyna_q_plus_finds_the_way_that_opens():
    """Figure 8.5: behind the book's 3,000 steps Dyna-Q keeps to the long way and Dyna-Q+ finds the short one."""
    before, after = worlds.shortcut_maze()
    short = []
    for name in ("dyna-q", "dyna-q-plus"):
        learner = Learner(
            before.num_states,
            4,
            Settings(algorithm=name, discount=0.95, step_size=0.5, planning=50, kappa=1e-3),
            np.random.default_rng(0),
        )
        start = int(np.flatnonzero(before.start)[0])
        state, length, lengths = start, 0, []
        for step in range(9000):
            mdp = before if step < 3000 else after
            row = mdp.row(state, learner.act(state))
            following = int(mdp.rows.indices[mdp.rows.indptr[row]])
            ended = bool(mdp.rows.terminal[following])
            learner.observe(state, int(mdp.rows.action[row]), float(mdp.rows.reward[row]), following, ended, False)
            length += 1
            state = following
            if ended:
                lengths.append(length)
                state, length = start, 0
        short.append(np.median(lengths[-50:]))
    assert short[1] < short[0] - 3
    assert dyna_q_plus(before, seeds=1, episodes=3).lengths[0, 0] > 0


@pytest.mark.parametrize("visits", ["first", "every"])
def test_monte_carlo_and_temporal_differences_find_the_value(visits):
    mdp, how = random_model(5), {"seeds": 3, "episodes": 30_000}
    policy = epsilon_soft(mdp, np.tile([1.0, 0.0, 0.0], 4), 0.5)
    exact = evaluate(mdp, policy).values
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = monte_carlo_prediction(mdp, policy, visits=visits, exact=exact, **how)
        assert np.abs(found.values - exact).max() < 0.06
        if visits == "first":
            for algorithm, more in (
                (td, {}),
                (n_step_td, {"n": 3}),
                (td_lambda, {"lam": 0.5}),
                (true_online_td, {"lam": 0.5}),
            ):
                learnt = algorithm(mdp, policy, step_size=STEPS, exact=exact, **how, **more)
                assert np.abs(learnt.values - exact).max() < 0.08
                np.testing.assert_allclose(
                    learnt.errors[:, -1], np.sqrt(np.mean((learnt.values - exact)[:, :4] ** 2, axis=1)), rtol=1e-12
                )


@pytest.mark.parametrize("sampling", ["ordinary", "weighted"])
@pytest.mark.parametrize("visits", ["first", "every"])
def test_importance_sampling_finds_the_value_of_another_policy(sampling, visits):
    g = np.random.default_rng(6)
    P = 0.5 * g.dirichlet(np.ones(5), size=(5, 3)) + 0.5 * np.eye(5)[4]  # short episodes: the variance is finite
    mdp = MDP(P, g.normal(size=(5, 3, 5)), 0.9, terminal=[4], start=np.append(np.full(4, 0.25), 0.0))
    target = epsilon_soft(mdp, np.tile([0.0, 1.0, 0.0], 4), 0.5)
    exact = evaluate(mdp, target).values
    found = off_policy_prediction(
        mdp, target, uniform(mdp), sampling=sampling, visits=visits, seeds=20, episodes=10_000
    )
    converges(found.values, exact, bias=0.005, spread=0.05)
    assert np.abs(evaluate(mdp, uniform(mdp)).values - exact).max() > 0.1


def test_ordinary_importance_sampling_is_unbiased_and_weighted_is_not():
    """After one episode: the mean over runs of the ordinary estimate is v; the weighted one is the return itself."""
    P = np.zeros((2, 2, 2))
    P[0, :, 1] = 1.0
    mdp = MDP(P, np.array([[1.0, 0.0], [0.0, 0.0]]), 1.0, terminal=[1], start=0)
    how = {"seeds": 4000, "episodes": 1}
    ordinary = off_policy_prediction(mdp, [0.9, 0.1], [0.5, 0.5], sampling="ordinary", **how).values[:, 0]
    weighted = off_policy_prediction(mdp, [0.9, 0.1], [0.5, 0.5], sampling="weighted", **how).values[:, 0]
    assert abs(ordinary.mean() - 0.9) < 4 * ordinary.std() / np.sqrt(4000)
    assert set(ordinary) == {0.0, 1.8}
    assert abs(weighted.mean() - 0.5) < 4 * weighted.std() / np.sqrt(4000)


@quiet
def test_monte_carlo_control():
    """On a noisy model ε-soft and off-policy control find the optimal actions."""
    mdp = random_model(7, 0.5)
    best = np.broadcast_to(solve(mdp).rows[:4], (2, 4))
    how = {"seeds": 2, "episodes": 100_000}
    soft = monte_carlo(mdp, epsilon=0.2, **how)
    assert np.array_equal(soft.policies[:, :4], best)
    off = off_policy_monte_carlo(mdp, epsilon=0.5, **how)
    assert np.array_equal(off.policies[:, :4], best)
    assert np.abs(off.rows.max() - exact_rows(mdp).max()) < 0.1


@quiet
def test_exploring_starts_solve_blackjack_states():
    mdp = worlds.blackjack()
    exact = solve(mdp, epsilon=1e-9)
    found = monte_carlo(mdp, exploring_starts=True, epsilon=0.0, seeds=1, episodes=2_000_000)
    running = ~mdp.rows.terminal & (np.diff(mdp.rows.pointer.astype(int)) > 1)
    gap = np.abs(found.values[0] - exact.values)[running]
    assert np.sqrt(np.mean(gap**2)) < 0.02


@quiet
def test_semi_gradient_td_finds_the_projected_fixed_point():
    walk = worlds.random_walk(20, left=-1.0)
    groups = np.clip((np.arange(22) - 1) // 4, 0, 4)
    features = np.eye(5)[groups]
    for lam in (0.0, 0.8):
        found = semi_gradient_td(
            walk, uniform(walk), groups[:, None], lam=lam, step_size=Polynomial(1000.0, 0.8), seeds=12, episodes=20_000
        )
        weights = np.stack([memory.weights for memory in found.memories])
        exact = td_fixed_point(walk, uniform(walk), features, lam=lam)
        converges(weights, exact, bias=0.01)
        assert np.array_equal(found.values[:, 1], weights[:, 0])


def test_tiles_are_counted_not_hashed():
    coder = TileCoder([0.0, -1.0], [1.0, 1.0], tiles=(4, 5), tilings=8)
    assert coder.features == 8 * 5 * 6
    g = np.random.default_rng(0)
    points = np.vstack([g.uniform([0.0, -1.0], [1.0, 1.0], size=(3000, 2)), [[0, -1], [1, 1], [9, -9]]])
    active = np.array([coder.active(p) for p in points])
    assert np.array_equal(active // 30, np.broadcast_to(np.arange(8), active.shape))
    width = np.array([0.25, 0.4])
    for i in range(8):  # two points share a tile of grid i exactly if they lie in the same cell of the shifted grid
        shift = np.array([i, 3 * i % 8]) / 8
        cell = np.floor((np.clip(points, [0, -1], [1, 1]) - [0, -1]) / width + shift).astype(int)
        assert len(np.unique(active[:, i])) == len(np.unique(cell, axis=0))
        assert len(np.unique(np.column_stack([active[:, i], cell]), axis=0)) == len(np.unique(cell, axis=0))
    assert np.array_equal(coder.active([9, -9]), coder.active([1, -1]))


@quiet
def test_linear_sarsa_climbs_the_mountain():
    env = gym.make("MountainCar-v0", max_episode_steps=3000)
    coder = TileCoder(env.observation_space.low, env.observation_space.high, tiles=8, tilings=8)
    settings = Settings(discount=1.0, step_size=0.5, epsilon=0.0, lam=0.9)
    learner, twin = (LinearLearner(coder, 3, settings, np.random.default_rng(seed)) for seed in (0, 1))
    lengths = []
    for episode in range(60):
        observation, _ = env.reset(seed=episode)
        length, over = 0, False
        while not over:
            action = learner.act(observation)
            following, reward, terminated, truncated, _ = env.step(action)
            learner.observe(observation, action, float(reward), following, terminated, truncated)
            observation, over, length = following, terminated or truncated, length + 1
        lengths.append(length)
    assert np.mean(lengths[-20:]) < 160 < np.mean(lengths[:5])
    twin.load(learner.state())
    assert np.array_equal(twin.weights, learner.weights)
    assert twin.act(observation) == learner.act(observation)
    assert learner.greedy(observation) == int(np.argmax(learner.values(observation)))


@pytest.mark.parametrize("lam", [0.0, 0.8])
def test_greedy_linear_learner_is_watkins_q_and_finds_the_values_of_a_chain(lam):
    """Each step beside a slow loop; and, over tiles that tell the cells of a row apart, γ^k of the reward behind it."""
    cells, discount, alpha = 5, 0.9, 0.2
    coder = TileCoder([0.0], [float(cells)], tiles=cells, tilings=1)
    settings = Settings(discount=discount, step_size=alpha, epsilon=0.4, lam=lam, traces="accumulating")
    learner = LinearLearner(coder, 2, settings, np.random.default_rng(0), greedy=True)
    slow, trace, steps, explored = np.zeros((2, coder.features)), np.zeros((2, coder.features)), 0, 0
    for _ in range(300):
        at, over = 0, False
        trace[:] = 0.0
        while not over:
            now = coder.active([at + 0.5])
            action = learner.act([at + 0.5])
            to = max(at - 1, 0) if action == 0 else at + 1  # only behind the last is a reward
            over = to == cells
            following = coder.active([to + 0.5 if not over else at + 0.5])
            then = slow[:, following].sum(axis=1)
            error = (1.0 if over else discount * then.max()) - slow[action, now].sum()
            learner.observe([at + 0.5], action, float(over), [to + 0.5 if not over else at + 0.5], over, False)
            trace *= discount * lam
            trace[action, now] += 1.0
            slow += alpha * error * trace
            if not over and then[learner.act([to + 0.5])] < then.max():
                trace[:] = 0.0
                explored += 1
            np.testing.assert_allclose(learner.weights, slow, atol=1e-12)
            at, steps = to, steps + 1
    assert explored > 100
    exact = discount ** np.arange(cells - 1, -1, -1.0)
    best = [learner.values([x + 0.5]).max() for x in range(cells)]
    np.testing.assert_allclose(best, exact, atol=0.02)
    assert [learner.greedy([x + 0.5]) for x in range(cells)] == [1] * cells


def test_schedules_have_their_values():
    for schedule, expected in (
        (Constant(0.3), [0.3, 0.3, 0.3]),
        (Harmonic(), [1.0, 1 / 2, 1 / 3]),
        (Polynomial(4.0, 0.6), [1.0, 0.8**0.6, (4 / 6) ** 0.6]),
        (Linear(1.0, 0.2, 4), [1.0, 0.8, 0.6]),
        (Exponential(1.0, 0.0, 2.0), [1.0, np.exp(-0.5), np.exp(-1.0)]),
    ):
        arm = MDP(np.ones((1, 1, 1)), np.ones((1, 1)), 0.0, start=0)
        q, found = 0.0, []
        for steps in (1, 2, 3):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                learnt = q_learning(arm, step_size=schedule, epsilon=0.0, episodes=1, max_steps=steps).rows[0, 0]
            found.append((learnt - q) / (1 - q) if q < 1 else expected[len(found)])
            q = learnt
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"step_size": 0.1, "epsilon": 0.1}, "Σ α² = ∞"),
        ({"step_size": Polynomial(1.0, 0.4), "epsilon": 0.1}, "ω = 0.4"),
        ({"step_size": Polynomial(1.0, 1.2), "epsilon": 0.1}, "Σ α < ∞"),
        ({"step_size": Exponential(1.0, 0.0, 10.0), "epsilon": 0.1}, "Σ α < ∞"),
        ({"step_size": Harmonic(), "epsilon": 0.0}, "exploration ends"),
        ({"step_size": Harmonic(), "epsilon": Linear(1.0, 0.0, 100)}, "exploration ends"),
        ({"step_size": Harmonic(), "epsilon": 0.1, "algorithm": "sarsa"}, "ε does not vanish"),
    ],
)
def test_schedules_that_violate_a_condition_are_told(settings, words):
    with pytest.warns(ConvergenceWarning, match=words):
        control(random_model(0), Settings(discount=0.8, **settings), episodes=1)


def test_schedules_that_meet_the_conditions_are_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        control(random_model(0), Settings(discount=0.8, step_size=Harmonic(), epsilon=0.1), episodes=1)
        control(worlds.dyna_maze(), Settings(discount=0.95, step_size=1.0, epsilon=0.1), episodes=1)  # no noise
        control(random_model(0), Settings(algorithm="sarsa", step_size=STEPS, epsilon=Harmonic()), episodes=1)
        greedy_target = Settings(algorithm="tree-backup", step_size=Harmonic(), epsilon=0.1, target_epsilon=0.0)
        control(random_model(0), greedy_target, episodes=1)
        epsilon_greedy(np.zeros((1, 2)), steps=2)


@quiet
def test_errors_say_what_to_change():
    mdp = random_model(0)
    for wrong, words in (
        ({"algorithm": "dqn"}, "no tabular algorithm is named 'dqn'"),
        ({"step_size": 1.5}, "step_size is 1.5"),
        ({"epsilon": -0.1}, "epsilon is -0.1"),
        ({"discount": 1.1}, "discount is 1.1"),
        ({"algorithm": "n-step-sarsa", "n": 0}, "n is 0"),
        ({"algorithm": "q-sigma", "sigma": 2.0}, "sigma is 2.0"),
        ({"algorithm": "sarsa-lambda", "lam": -1.0}, "lam is -1.0"),
        ({"step_size": Polynomial(0.0, 1.0)}, "c of the schedule"),
    ):
        with pytest.raises(ConfigError, match=words):
            control(mdp, Settings(**wrong), episodes=1)
    with pytest.raises(ConfigError, match="episodes is 0"):
        q_learning(mdp, episodes=0)
    with pytest.raises(ConfigError, match="exact has shape"):
        q_learning(mdp, episodes=1, exact=[1.0])
    with pytest.raises(ModelError, match="the behaviour never takes action 0 in state 0"):
        off_policy_prediction(mdp, uniform(mdp), np.tile([0.0, 0.5, 0.5], 4), episodes=1)
    with pytest.raises(ConfigError, match="bounded box"):
        TileCoder([0.0], [np.inf])
    learner = Learner(3, 2, Settings(), np.random.default_rng(0))
    with pytest.raises(ConfigError, match=r"no array table\.q"):
        learner.load({"next": np.zeros(2, dtype=np.int64)})


@quiet
def test_a_cut_episode_is_told_and_still_learned_from():
    """Nothing ends here; episodes are cut, values bootstrap across the cut, and the truth is 1 / (1 - γ)."""
    mdp = MDP(np.ones((1, 1, 1)), np.ones((1, 1)), 0.9, start=0)
    found = q_learning(mdp, step_size=0.5, episodes=50, max_steps=10)
    assert found.truncated.all()
    assert found.lengths.sum() == found.steps == 500
    assert found.rows[0, 0] == pytest.approx(10.0, abs=1e-6)
    assert set(found.returns[0]) == {10.0}
