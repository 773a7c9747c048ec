"""Snapshots of simulators whose copies are made anew: what follows is what followed, or it is refused."""

import gymnasium
import numpy as np
import pytest

from operant.config.errors import EnvError
from operant.env.snapshot import restore, save


@pytest.mark.parametrize("name", ["Reacher-v5", "Hopper-v5", "Pendulum-v1"])
def test_what_follows_a_snapshot_is_what_followed_it(name):
    env = gymnasium.make(name)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = [env.action_space.low + rng.random(env.action_space.shape) * np.ptp([-1.0, 1.0]) for _ in range(9)]
    actions = [np.clip(a, env.action_space.low, env.action_space.high).astype(np.float32) for a in actions]
    for a in actions[:4]:
        env.step(a)
    kept = save(env, name)
    first = [env.step(a)[0] for a in actions[4:]]
    env = restore(env, kept, name)
    np.testing.assert_array_equal([env.step(a)[0] for a in actions[4:]], first)
    env = restore(env, kept, name)
    assert env._elapsed_steps == 4


class Pickled(gymnasium.Env, gymnasium.utils.EzPickle):
    observation_space = gymnasium.spaces.Box(0, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        gymnasium.utils.EzPickle.__init__(self)


def test_a_copy_that_would_be_a_new_one_is_refused():
    with pytest.raises(EnvError, match="nothing of where it stands"):
        save(Pickled(), "pickled")
