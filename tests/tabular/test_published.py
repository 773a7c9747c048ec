"""Published numbers of tabular learning, with many seeds.

The reference values are themselves means of R earlier runs: their error is taken from our spread, so that a value must
lie within four standard errors σ √(1/ours + 1/R), with R = 200 where it is not known. Half a unit of the last digit
printed is added.
"""

import numpy as np
import pytest

from operant.mdp import worlds
from operant.mdp.analyse.sampler import Recorded, simulate
from operant.mdp.policies import uniform
from operant.tabular import (
    Harmonic,
    batch_monte_carlo,
    batch_td,
    double_q_learning,
    dyna_q,
    expected_sarsa,
    monte_carlo_prediction,
    n_step_td,
    offline_lambda_return,
    q_learning,
    sarsa,
    td,
    td_lambda,
    true_online_td,
)
from operant.tabular.bandits import epsilon_greedy, gradient_bandit, ten_armed, thompson, upper_confidence

pytestmark = pytest.mark.filterwarnings("ignore::operant.tabular.ConvergenceWarning")
R = 200


def near(runs, published, digits, *, published_runs=R):
    """`runs` is one number per independent run."""
    spread, mean = runs.std(ddof=1), runs.mean()
    error = spread * np.sqrt(1 / len(runs) + 1 / published_runs)
    assert abs(mean - published) <= 4 * error + 0.5 * 10.0**-digits, f"{mean} ± {error}, published {published}"


WALK5, WALK19 = worlds.random_walk(), worlds.random_walk(19, left=-1.0)
EXACT5, EXACT19 = np.append(np.arange(6) / 6, 0.0), np.append(np.arange(20) / 10 - 1, 0.0)


@pytest.mark.parametrize(
    ("alpha", "early", "late"), [(0.15, 0.0949, 0.0702), (0.1, 0.1284, 0.0552), (0.05, 0.1746, 0.0355)]
)
def test_example_6_2_td(alpha, early, late):
    runs = td(WALK5, uniform(WALK5), step_size=alpha, initial=0.5, seeds=1000, episodes=100, exact=EXACT5)
    near(runs.errors[:, 9], early, 4)
    near(runs.errors[:, 99], late, 4)


@pytest.mark.parametrize(("alpha", "late"), [(0.01, 0.0971), (0.02, 0.0820), (0.03, 0.0937), (0.04, 0.1075)])
def test_example_6_2_monte_carlo(alpha, late):
    runs = monte_carlo_prediction(
        WALK5, uniform(WALK5), visits="every", step_size=alpha, initial=0.5, seeds=1000, episodes=100, exact=EXACT5
    )
    near(runs.errors[:, 99], late, 4)


def test_figure_6_2_batch():
    until = (10, 25, 50, 100)
    td_error, mc_error = np.zeros((150, 4)), np.zeros((150, 4))
    for run in range(150):
        record = simulate(WALK5, uniform(WALK5), steps=2000, seed=run)
        ends = np.flatnonzero(record.terminated)
        for k, episodes in enumerate(until):
            part = Recorded(**{n: getattr(record, n)[: ends[episodes - 1] + 1] for n in record.__dataclass_fields__})
            for out, batch in ((td_error, batch_td), (mc_error, batch_monte_carlo)):
                difference = batch(WALK5, part, initial=0.5)[1:-1] - EXACT5[1:-1]
                out[run, k] = np.sqrt(np.mean(difference**2))
    for k, (of_td, of_mc) in enumerate(
        zip((0.1209, 0.0742, 0.0525, 0.0369), (0.1752, 0.1109, 0.0795, 0.0561), strict=True)
    ):
        near(td_error[:, k], of_td, 4)
        near(mc_error[:, k], of_mc, 4)
        assert td_error[:, k].mean() < mc_error[:, k].mean()


@pytest.mark.parametrize(
    ("algorithm", "late", "early"),
    [(sarsa, -26.9, -71.5), (q_learning, -50.5, -80.9), (expected_sarsa, -20.8, -56.4)],
)
def test_figure_6_4_cliff_walking(algorithm, late, early):
    runs = algorithm(worlds.cliff_walking(), step_size=0.5, epsilon=0.1, seeds=300, episodes=500)
    near(runs.returns[:, 400:].mean(axis=1), late, 1)
    near(runs.returns[:, :100].mean(axis=1), early, 1)


def test_figure_6_3_windy_grid():
    runs = sarsa(worlds.windy_grid(), step_size=0.5, epsilon=0.1, seeds=300, episodes=300)
    steps = np.cumsum(runs.lengths, axis=1)
    near((steps <= 8000).sum(axis=1).astype(float), 160, 0)
    near(steps[:, 169].astype(float), 8212, 0)
    near(runs.lengths[:, 280:].mean(axis=1), 21.2, 1)


def test_figure_6_5_maximisation_bias():
    """An episode of two steps went left."""
    how = {"step_size": 0.1, "epsilon": 0.1, "seeds": 10_000, "episodes": 300}
    left = [
        (algorithm(worlds.maximisation_bias(), **how).lengths == 2) for algorithm in (q_learning, double_q_learning)
    ]
    peak = left[0].mean(axis=0)
    assert 0.9 < peak.max() < 0.95
    assert 14 <= peak.argmax() + 1 <= 24
    near(left[0][:, 18].astype(float), 0.940, 3, published_runs=1000)
    near(left[0][:, 299].astype(float), 0.121, 3, published_runs=1000)
    near(left[1][:, 299].astype(float), 0.068, 3, published_runs=1000)
    assert left[1].mean(axis=0).max() <= 0.507 + 4 * 0.5 / np.sqrt(1000)


def average_error(algorithm, alpha, runs=300, **more):
    how = {"step_size": alpha, "seeds": runs, "episodes": 10, "exact": EXACT19}
    return algorithm(WALK19, uniform(WALK19), **how, **more).errors.mean(axis=1)


@pytest.mark.parametrize(
    ("n", "alpha", "error", "digits"),
    [(1, 0.85, 0.346, 3), (2, 0.6, 0.277, 3), (4, 0.4, 0.2649, 4), (8, 0.25, 0.275, 3), (16, 0.15, 0.311, 3)],
)
def test_figure_7_2(n, alpha, error, digits):
    near(average_error(n_step_td, alpha, n=n), error, digits)


def test_figure_7_2_long_returns_at_their_best_steps():
    for n, alphas, error in ((32, (0.05, 0.1, 0.15), 0.359), (64, (0.03, 0.05, 0.1), 0.417)):
        found = [average_error(n_step_td, alpha, n=n) for alpha in alphas]
        near(min(found, key=np.mean), error, 3)


@pytest.mark.parametrize(
    ("algorithm", "errors"),
    [
        (offline_lambda_return, (0.343, 0.273, 0.261, 0.284)),
        (td_lambda, (0.345, 0.272, 0.255, 0.290)),
        (true_online_td, (0.344, 0.268, 0.254, 0.282)),
    ],
)
def test_figures_12_3_12_6_and_12_8(algorithm, errors):
    """At the best step size of a coarse grid around that of the figure."""
    for lam, around, error in zip((0.0, 0.4, 0.8, 0.9), (0.85, 0.7, 0.35, 0.22), errors, strict=True):
        found = [average_error(algorithm, min(1.0, scale * around), lam=lam) for scale in (0.85, 1.0, 1.15)]
        near(min(found, key=np.mean), error, 3)


@pytest.mark.parametrize(
    ("planning", "lengths"), [(0, (676, 500, 271, 131, 25)), (5, (157, 63, 23, 17, 17)), (50, (40, 18, 17, 17, 17))]
)
def test_figure_8_2_dyna_q(planning, lengths):
    runs = dyna_q(worlds.dyna_maze(), planning=planning, step_size=0.1, epsilon=0.1, seeds=300, episodes=25)
    for episode, length in zip((2, 3, 5, 10, 25), lengths, strict=True):
        near(runs.lengths[:, episode - 1].astype(float), length, 0)


def test_dyna_maze_the_first_episode_is_a_uniform_walk():
    """Nothing is learnt before the goal is reached, so all values tie: 868.725 steps exactly in expectation."""
    first = dyna_q(worlds.dyna_maze(), planning=5, seeds=4000, episodes=1).lengths[:, 0]
    near(first.astype(float), 868.725, 3, published_runs=np.inf)


PROBLEMS = ten_armed(2000, generator=np.random.default_rng(7))
BANDITS = {
    "greedy": (lambda m: epsilon_greedy(m, epsilon=0.0), 1.034, 0.369),
    "epsilon 0.1": (lambda m: epsilon_greedy(m, epsilon=0.1), 1.368, 0.794),
    "epsilon 0.01": (lambda m: epsilon_greedy(m, epsilon=0.01), 1.302, 0.596),
    "upper confidence": (lambda m: upper_confidence(m, c=2.0), 1.496, 0.853),
    "optimistic": (lambda m: epsilon_greedy(m, epsilon=0.0, step_size=0.1, initial=5.0), 1.502, 0.855),
    "gradient": (lambda m: gradient_bandit(m + 4.0, step_size=0.1), None, 0.841),
}


@pytest.mark.parametrize("name", BANDITS)
def test_ten_armed_bandits_last_hundred_of_a_thousand_steps(name):
    play, reward, optimal = BANDITS[name]
    played = play(PROBLEMS)
    if reward is not None:
        near(played.rewards[:, -100:].mean(axis=1), reward, 3, published_runs=1000)
    near(played.optimal[:, -100:].mean(axis=1), optimal, 3, published_runs=1000)


def test_a_baseline_and_a_posterior_help():
    with_one, without = (gradient_bandit(PROBLEMS + 4.0, baseline=b).optimal[:, -100:] for b in (Harmonic(), 0.0))
    assert with_one.mean() > without.mean() + 0.1
    assert thompson(PROBLEMS).regret[:, -1].mean() < epsilon_greedy(PROBLEMS).regret[:, -1].mean()
    coins = np.random.default_rng(8).uniform(size=(300, 10))
    posterior = thompson(coins, rewards="bernoulli")
    assert posterior.optimal[:, -100:].mean() > 0.8
    assert set(np.unique(posterior.rewards)) == {0.0, 1.0}
    assert np.all(np.diff(posterior.regret, axis=1) >= 0)
