"""Every algorithm on policy trains a masked recurrent policy on pictures, and says so where it cannot."""

import numpy as np
import pytest

import operant
from operant.config.registry import ALGORITHMS, CONTROL, settings_of

FILE = """
import gymnasium
import numpy as np
from gymnasium import spaces


class Doors(gymnasium.Env):
    observation_space, action_space = spaces.Box(0, 255, (8, 8), np.uint8), spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._next()

    def step(self, action):
        assert action != self.shut
        self.steps += 1
        obs, info = self._next()
        return obs, 1.0, False, self.steps == 6, info | {"cost": 0.1}

    def _next(self):
        self.shut = int(self.np_random.integers(3))
        obs = self.np_random.integers(0, 256, (8, 8)).astype(np.uint8)
        return obs, {"action_mask": np.arange(3) != self.shut}
"""
ON_POLICY = [name for name, (settings, _) in ALGORITHMS.items() if settings == CONTROL]


@pytest.mark.parametrize("algorithm", ON_POLICY)
def test_masked_recurrent_on_pictures_of_ones_own(algorithm, tmp_path):
    (tmp_path / "doors.py").write_text(FILE)
    settings = {
        "total_steps": 32, "env.num": 2, "env.action_mask": "info", "policy.network": "minatar-cnn",
        "policy.memory": "gru", "policy.memory_size": 8, "eval.episodes": 1, "save.videos": False, "save.report": False,
    }  # fmt: skip
    if "horizon" in settings_of(algorithm).model_fields["algo"].annotation.model_fields:
        settings["algo.horizon"] = 8
    env = f"{tmp_path / 'doors.py'}:Doors"
    run = operant.train(algorithm, env, runs=tmp_path, quiet=True, **settings)
    mask = np.array([0, 1, 0], np.int8)
    assert operant.Run(run.path, trust=True).policy.act(np.zeros((8, 8), np.uint8), mask=mask) == 1
