"""The recipe of the linear-quadratic regulator: without the Riccati recursion decisions are others."""

import numpy as np
from gymnasium.utils.env_checker import check_env

from operant.recipes.lqr import ARMS, HORIZON, PointMass
from operant.recipes.recipe import Trial


def test_its_world_is_sound():
    check_env(PointMass(), skip_render_check=True)


def test_the_gain_of_the_horizon_falls_to_nothing_and_that_of_an_endless_one_does_not(tmp_path):
    trial, x = Trial(arm="lqr", seed=1, folder=tmp_path), np.ones(4)
    exact, endless = ARMS["lqr"](trial), ARMS["lqr-endless"](trial)
    assert np.abs(exact(x, HORIZON - 1)).max() < 1e-9  # the last push moves nothing that is still looked at
    assert np.abs(endless(x, HORIZON - 1)).max() > 0.5
