"""Search without derivatives: constants, invariance, and functions whose optimum is known."""

from functools import partial

import numpy as np
import pytest

from operant.search.black_box import CMAES, CrossEntropy, FiniteDifferences

WAYS = {"finite differences": FiniteDifferences, "cross-entropy": partial(CrossEntropy, noise=1.0), "cma-es": CMAES}


def sphere(x):
    return -float(((x - 1.0) ** 2).sum())


def ellipsoid(x):
    return -float((10.0 ** (6 * np.arange(len(x)) / (len(x) - 1)) * x**2).sum())


def rosenbrock(x):
    return -float((100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum())


def searched(search, function, most):
    while search.evaluations < most and search.best[1] < -1e-9:
        search.tell([function(x) for x in search.ask()])
    return search


@pytest.mark.parametrize(("function", "most"), [(sphere, 4000), (ellipsoid, 12_000), (rosenbrock, 12_000)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cma_es_takes_as_many_evaluations_as_its_author_s(function, most, seed):
    """In ten dimensions to 1e-9: about 1,900 on the sphere, 6,000 on ellipsoid and Rosenbrock (Hansen 2016)."""
    found = searched(CMAES(np.full(10, 0.2), 0.5, seed=seed), function, most)
    if function is rosenbrock and found.best[1] < -3.9:  # its other minimum, where one run in some ends
        pytest.skip("this seed ended in the local minimum of Rosenbrock's function")
    assert found.best[1] >= -1e-9, found.evaluations


def test_its_constants_are_hansen_s():
    """Of the tutorial's table 1 at n = 10: λ 10, μ 5, μ_eff 3.17, c_σ 0.284, c_c 0.294, c_1 0.0153, c_μ 0.0202."""
    its = CMAES(np.zeros(10), 1.0)
    assert (its.population, its.parents) == (10, 5)
    assert its.mu_eff == pytest.approx(3.167, abs=1e-3)
    assert its.c_sigma == pytest.approx((3.167 + 2) / (10 + 3.167 + 5), abs=1e-3)
    assert its.c_1 == pytest.approx(2 / (11.3**2 + 3.167), abs=1e-5)
    assert its.c_mu == pytest.approx(2 * (3.167 - 2 + 1 / 3.167) / (144 + 3.167), abs=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_only_the_order_of_scores_counts_or_their_differences(way):
    """A shift changes nothing; for those that sort, neither does a monotone change."""
    first, second, third = (WAYS[way](np.zeros(4), 0.5, seed=3) for _ in range(3))
    for _ in range(20):
        points = first.ask()
        np.testing.assert_array_equal(points, third.ask())
        scores = np.array([sphere(x) for x in points])
        first.tell(scores)
        second.ask()
        second.tell(scores * 2.0 + 64.0)
        third.ask()
        third.tell(np.arctan(scores) if way != "finite differences" else scores)
    np.testing.assert_allclose(first.mean, second.mean, rtol=1e-9)
    np.testing.assert_array_equal(first.mean, third.mean)


def test_finite_differences_are_those_of_the_paper():
    """On a plane the step points up it; where standing still is best it does not move."""
    search = FiniteDifferences(np.zeros(2), [0.1, 0.2], step=1.0, population=400, seed=0)
    points = search.ask()
    assert {*np.unique(points[:, 0])} == {-0.1, 0.0, 0.1}
    search.tell(points @ [3.0, 0.0])
    assert search.mean[0] == pytest.approx(0.1, rel=0.02)
    assert abs(search.mean[1]) < 0.03
    flat = FiniteDifferences(np.zeros(2), 0.1, population=400, seed=1)
    flat.tell(-np.abs(flat.ask()).sum(1))
    assert (flat.mean == 0.0).all()


@pytest.mark.parametrize("way", WAYS)
def test_all_of_them_climb(way):
    found = searched(WAYS[way](np.zeros(5), 0.2, seed=1), sphere, 3000)
    assert found.best[1] > -0.05


@pytest.mark.parametrize("way", WAYS)
def test_bounds_hold_and_what_is_no_number_is_the_worst(way):
    search = WAYS[way](np.zeros(3), 0.5, seed=1, low=-1.0, high=0.25)
    for _ in range(30):
        points = search.ask()
        assert ((points >= -1.0) & (points <= 0.25)).all()
        search.tell([np.nan if k == 0 else sphere(x) for k, x in enumerate(points)])
    assert np.isfinite(search.mean).all()
    assert search.best[1] == pytest.approx(-3 * 0.75**2, rel=0.2)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="2 points or more"):
        CrossEntropy([0.0], 1.0, population=1)
    with pytest.raises(ValueError, match="more than 0"):
        CMAES([0.0, 1.0], 0.0)
    search = CMAES([0.0, 1.0], 1.0)
    with pytest.raises(ValueError, match="0 points"):
        search.tell([1.0])
    search.ask()
    with pytest.raises(ValueError, match="scores for 6 points"):
        search.tell([1.0])
