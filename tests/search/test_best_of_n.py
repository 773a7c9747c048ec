"""Best of n against enumeration of all choices, and its divergence against the published bound."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from operant.search.best_of_n import best_of_n, best_of_n_policy, best_of_n_value, kl_bound, kl_exact


def test_the_first_of_the_highest_is_chosen() -> None:
    assert best_of_n(torch.tensor([[1.0, 3.0, 3.0], [5.0, 3.0, 3.0]])).tolist() == [1, 0]


@pytest.mark.parametrize("n", [1, 2, 4, 7])
def test_the_value_is_the_mean_over_all_choices(n: int) -> None:
    rng = np.random.default_rng(0)
    score, value = rng.integers(0, 4, size=7).astype(float), rng.normal(size=7)  # with equal scores
    found = []
    for chosen in map(list, itertools.combinations(range(7), n)):
        top = [i for i in chosen if score[i] == score[chosen].max()]
        found.append(value[top].mean())
    exact = best_of_n_value(torch.tensor(score), torch.tensor(value), n)
    assert float(exact) == pytest.approx(np.mean(found), abs=1e-9)


def test_the_value_of_large_sets_is_finite() -> None:
    score = torch.arange(10_000.0)
    assert float(best_of_n_value(score, score, 10_000)) == pytest.approx(9_999.0)
    assert float(best_of_n_value(score, score, 99)) == pytest.approx(99 / 100 * 10_001 - 1, rel=1e-6)
    with pytest.raises(ValueError, match="1 to 10000"):
        best_of_n_value(score, score, 10_001)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_policy_is_that_of_n_draws(n: int) -> None:
    p, score = torch.tensor([0.1, 0.2, 0.4, 0.3]), torch.tensor([2.0, 1.0, 1.0, 3.0])
    exact = torch.zeros(4, dtype=torch.float64)
    for drawn in itertools.product(range(4), repeat=n):
        top = max(float(score[i]) for i in drawn)
        winners = [i for i in drawn if float(score[i]) == top]
        for i in winners:
            exact[i] += math.prod(float(p[j]) for j in drawn) / len(winners)
    assert torch.allclose(best_of_n_policy(p, score, n), exact, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_the_divergence_stays_below_its_bound_and_reaches_it_without_atoms(n: int) -> None:
    rng = np.random.default_rng(1)
    for size in (3, 20):
        p = torch.tensor(rng.dirichlet(np.ones(size)))
        score = torch.tensor(rng.integers(0, 5, size=size).astype(float))
        assert -1e-9 <= float(kl_exact(p, score, n)) <= kl_bound(n) + 1e-9
    even = torch.full((20_000,), 1 / 20_000, dtype=torch.float64)
    assert float(kl_exact(even, torch.arange(20_000.0), n)) == pytest.approx(kl_bound(n), abs=2e-2 * n / 64 + 1e-4)
    assert kl_bound(1) == 0.0


def test_what_is_no_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match="distribution"):
        kl_exact(torch.tensor([0.5, 0.6]), torch.tensor([1.0, 2.0]), 2)
    with pytest.raises(ValueError, match="at least 1"):
        kl_bound(0)
