"""pass@k against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from operant.search.pass_at_k import pass_at_k


@pytest.mark.parametrize("correct", [0, 1, 3, 6])
@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_it_is_the_share_of_choices_with_a_right_one(correct: int, k: int) -> None:
    right = [True] * correct + [False] * (6 - correct)
    share = np.mean([any(chosen) for chosen in itertools.combinations(right, k)])
    assert pass_at_k(6, correct, k) == pytest.approx(share)


def test_it_has_no_bias_and_the_plug_in_has() -> None:
    rng, p, n, k = np.random.default_rng(0), 0.2, 8, 4
    truth = 1 - (1 - p) ** k
    counts = rng.binomial(n, p, size=20_000)
    own = np.array([pass_at_k(n, int(c), k) for c in range(n + 1)])[counts]
    plugged = 1 - (1 - counts / n) ** k
    error = own.std() / np.sqrt(len(own))
    assert abs(own.mean() - truth) < 4 * error
    assert plugged.mean() < truth - 8 * error


def test_it_is_stable_for_many_samples_and_refuses_nonsense() -> None:
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5)
    for bad in ((5, 6, 1), (5, -1, 1), (5, 1, 6), (5, 1, 0)):
        with pytest.raises(ValueError, match="need"):
            pass_at_k(*bad)
