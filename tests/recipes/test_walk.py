"""The recipe of the gait: its mechanism moves the gait up a slope, and without it nothing moves."""

import numpy as np

from operant.recipes.walk_1k_trials import HAND_MADE, NEAR, SEARCHES, targets


def test_neighbours_show_the_way_and_luck_does_not():
    slope = np.linspace(-1.0, 1.0, len(NEAR))
    moved = {}
    for arm in ("finite-differences", "random"):
        search = SEARCHES[arm](HAND_MADE, 1)
        for _ in range(20):
            search.tell(search.ask() / NEAR @ slope)
        moved[arm] = (search.mean - HAND_MADE) / NEAR
    assert moved["finite-differences"] @ slope > 10.0
    assert (moved["random"] == 0.0).all()


def test_a_trot_lifts_diagonal_legs_together():
    """Legs of a diagonal are at one place of their cycle, the others half a cycle away."""
    for time in (0.0, 0.07, 0.2):
        hips = targets(HAND_MADE, time)[::2] * [1, 1, -1, -1]
        np.testing.assert_allclose(hips[0], hips[3], atol=1e-12)
        np.testing.assert_allclose(hips[1], hips[2], atol=1e-12)
        np.testing.assert_allclose(hips[0], -hips[1], atol=1e-12)
