"""An environment of your own: check it, then train on it.

python examples/own_environment.py [--steps 40000]
"""

import argparse

import gymnasium
import numpy as np

import operant
from operant.env import check_env


class Thermostat(gymnasium.Env):
    """Keep a room at 20 °C: heat, or do not. The reward is minus the distance in degrees, for 60 minutes."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.inside, self.outside, self.minute = self.np_random.uniform(5, 25), self.np_random.uniform(-5, 10), 0
        return self._obs(), {}

    def step(self, action):
        self.inside += 1.5 * float(action) + 0.05 * (self.outside - self.inside)
        self.minute += 1
        return self._obs(), -abs(self.inside - 20.0) / 10, False, self.minute == 60, {}

    def _obs(self):
        return np.array([(self.inside - 20) / 10, self.outside / 10], np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40_000)
    args = parser.parse_args()

    problems = check_env(Thermostat)
    print("\n".join(f"{p.severity}: {p.what}; {p.fix}" for p in problems) or "nothing wrong with it")
    settings = {"save.videos": False, "policy.normalize_obs": True}  # it draws no pictures
    run = operant.train("ppo", Thermostat, total_steps=args.steps, **settings)
    print(f"mean distance {-run.evaluate(episodes=20)['mean'] * 10 / 60:.2f} °C")
