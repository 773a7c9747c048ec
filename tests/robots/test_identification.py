"""System identification: what was written into a model is found again from what it does."""

import numpy as np
import pytest

from operant.config.randomise import ranges
from operant.env.make import make_one
from operant.robots import identify, windows

PENDULUM = "InvertedPendulum-v5"


def state(obs):
    return obs[:2], obs[2:]


def seen(text, episodes=3):
    env, generator = make_one(PENDULUM, wrappers=[f"randomise {text}"]), np.random.default_rng(1)
    return windows(env, lambda _: generator.uniform(-2, 2, 1), episodes=episodes, length=3, seed=1)


def test_episodes_are_cut_into_windows():
    found = seen("mass 1 1", episodes=1)
    assert all(window.obs.shape == (4, 4) and window.action.shape == (3, 1) for window in found)
    assert (found[1].obs[0] == found[0].obs[-1]).all()


def test_parameters_are_found_again_from_what_a_world_does():
    env = make_one(PENDULUM)
    model = env.unwrapped.model
    before = model.body_mass.copy()
    limits = ranges("mass:pole 0.3 3 gear 0.3 3")
    found = identify(env, limits, seen("mass:pole 1.7 1.7 gear 0.6 0.6"), state, evaluations=250)
    assert found.values == pytest.approx({"mass:pole": 1.7, "gear": 0.6}, rel=0.02)
    assert found.error < 1e-3 * found.as_made
    assert (model.body_mass == before).all()


def test_a_world_as_it_was_made_has_no_error():
    env = make_one(PENDULUM)
    found = identify(env, ranges("gear 0.5 2"), seen("gear 1 1", episodes=1), state, evaluations=4)
    assert found.as_made < 1e-12


def test_what_cannot_be_identified_is_refused_in_words():
    env = make_one(PENDULUM)
    with pytest.raises(ValueError, match="there are no windows"):
        identify(env, ranges("gear 0.5 2"), [], state)
    with pytest.raises(ValueError, match="only factors of more than 0 are identified"):
        identify(env, ranges("latency 0 2"), seen("gear 1 1", episodes=1), state)
