"""Plans by drawing them."""

import numpy as np
import pytest
import torch

from operant.search.trajectory import cross_entropy, path_integral, truncated_normal

GOAL = torch.tensor([[0.5, -0.25, 1.0], [-1.0, 0.0, 0.75]])  # [N, H], one number an action


def near(plans):
    """−‖plan − goal‖²; concave, best at the goal."""
    return -(plans.squeeze(-1) - GOAL.unsqueeze(1)).square().sum(-1)


WAYS = {
    "cross-entropy": lambda f, x, g: cross_entropy(f, x, g, population=200, elites=20, iterations=12),
    "path-integral": lambda f, x, g: path_integral(f, x, g, population=400, iterations=40, deviation=0.2),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_best_plan_of_each_start_is_found(way):
    found = WAYS[way](near, torch.zeros(2, 3, 1), np.random.default_rng(1)).squeeze(-1)
    assert (found - GOAL).abs().max() < 0.08  # the mean of what is clipped at a bound lies within it
    assert found.abs().max() <= 1.0


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_finite_is_the_worst(way):
    def broken(plans):
        scores = near(plans)
        return torch.where(plans[:, :, 0, 0] > 0.6, torch.nan, torch.where(plans[:, :, 1, 0] > 0.5, torch.inf, scores))

    found = WAYS[way](broken, torch.zeros(2, 3, 1), np.random.default_rng(1)).squeeze(-1)
    assert (found - GOAL).abs().max() < 0.08
    nothing = WAYS[way](lambda p: torch.full(p.shape[:2], torch.nan), torch.zeros(2, 3, 1), np.random.default_rng(1))
    assert torch.isfinite(nothing).all()
    assert nothing.abs().max() <= 1.0


def test_elites_are_what_the_mean_is_refitted_to():
    seen = []

    def kept(plans):
        seen.append(plans)
        return near(plans)

    found = cross_entropy(
        kept, torch.zeros(2, 3, 1), np.random.default_rng(1), population=50, elites=5, iterations=1, smoothing=0.25
    )
    for n in range(2):
        best = sorted(range(50), key=lambda k: -float(near(seen[0])[n, k]))[:5]
        assert torch.allclose(found[n], 0.75 * torch.stack([seen[0][n, k] for k in best]).mean(0), atol=1e-6)


def test_path_integrals_weigh_by_the_exponential_of_the_return():
    seen = []

    def kept(plans):
        seen.append(plans)
        return near(plans)

    found = path_integral(
        kept, torch.zeros(2, 3, 1), np.random.default_rng(1), population=50, iterations=1, temperature=0.5
    )
    for n in range(2):
        scores = near(seen[0])[n].numpy()
        weight = np.exp((scores - scores.mean()) / scores.std() / 0.5)
        slow = sum(w * seen[0][n, k].numpy() for k, w in enumerate(weight / weight.sum()))
        assert np.allclose(found[n].numpy(), slow, atol=1e-5)


def test_truncated_normal_numbers_are_those_of_a_normal_that_were_kept():
    x = truncated_normal((200_000,), np.random.default_rng(1), torch.device("cpu")).numpy()
    assert np.abs(x).max() <= 2.0
    kept = np.random.default_rng(2).standard_normal(400_000)
    kept = kept[np.abs(kept) <= 2.0]
    assert np.allclose(np.quantile(x, [0.1, 0.5, 0.9]), np.quantile(kept, [0.1, 0.5, 0.9]), atol=0.02)
    assert abs(x.std() - kept.std()) < 0.01
