"""States and actions are numbered from 0, episodes counted and cut, and what an environment did is said in words."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from operant.config.errors import EnvError
from operant.tabular.discrete_env import DiscreteEnv


class Corridor(gymnasium.Env):
    """States 5 … 8; action 3 goes right, action 2 left; the right end ends it with reward 1."""

    def __init__(self, answer=None):
        self.observation_space, self.action_space = Discrete(4, start=5), Discrete(2, start=2)
        self.answer, self.seeds = answer, []

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.at = 5
        return self.at, {}

    def step(self, action):
        if self.answer is not None:
            return self.answer
        self.at = min(8, self.at + 1) if action == 3 else max(5, self.at - 1)
        return np.int64(self.at), float(self.at == 8), self.at == 8, False, {}


def test_states_and_actions_begin_at_zero_and_episodes_are_counted():
    walk = DiscreteEnv(Corridor(), "corridor", max_steps=10, seed=3)
    assert (walk.states, walk.actions) == (4, 2)
    assert walk.reset() == 0
    assert [walk.step(1) for _ in range(3)] == [(1, 0.0, False, False), (2, 0.0, False, False), (3, 1.0, True, False)]
    assert walk.stats() == {"train/episodes": 1.0, "train/return": 1.0, "train/length": 3.0}
    assert walk.stats() == {"train/episodes": 1.0}  # nothing new
    walk.reset()
    assert walk.env.seeds == [3, None]  # the second episode goes on from the first's generator


def test_a_long_episode_is_cut_and_not_terminated():
    walk = DiscreteEnv(Corridor(), "corridor", max_steps=2, seed=0)
    walk.reset()
    walk.step(0)
    assert walk.step(0) == (0, 0.0, False, True)
    assert walk.episodes == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((99, 0.0, False, False, {}), "state 99 is not in Discrete"),
        ((4, 0.0, False, False, {}), "state 4 is not in Discrete"),
        ((5, None, False, False, {}), "a tuple of 5"),
        ((5, 0.0, False), "a tuple of 3"),
        (("x", 0.0, False, False, {}), "a tuple of 5"),
    ],
)
def test_a_wrong_answer_is_told_with_the_step(answer, said):
    walk = DiscreteEnv(Corridor(answer), "corridor", max_steps=9, seed=0)
    walk.reset()
    with pytest.raises(EnvError, match=rf"corridor, step 0: .*{said}"):
        walk.step(0)


def test_an_environment_without_numbers_is_refused_with_what_to_do():
    env = Corridor()
    env.observation_space = Box(0.0, 1.0, (2,))
    with pytest.raises(EnvError, match=r"Discrete, but its states are Box.*operant train ppo corridor"):
        DiscreteEnv(env, "corridor", max_steps=9, seed=0)
    env = Corridor()
    env.action_space = Box(0.0, 1.0, (2,))
    with pytest.raises(EnvError, match=r"numbered actions.*Box"):
        DiscreteEnv(env, "corridor", max_steps=9, seed=0)
