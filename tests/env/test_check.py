"""Environments broken in one way each, and the words each is met with."""

from __future__ import annotations

import random

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from operant.env import Problem, check_env


class Sound(gymnasium.Env):
    """A noisy line of 20 steps that keeps its contract; every broken one below differs from it in one thing."""

    def __init__(self):
        self.observation_space = spaces.Box(-10, 10, (2,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)

    def observe(self):
        return np.array([self.place, self.time / 20], dtype=np.float32)

    def start(self):
        return self.np_random.uniform(-1, 1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.place = 0, self.start()
        return self.observe(), {}

    def step(self, action):
        self.time += 1
        self.place = float(np.clip(self.place + 0.1 * action[0], -10, 10))
        return self.observe(), -abs(self.place), False, self.time >= 20, {}


def found(env, **kwargs):
    problems = check_env(env, **kwargs)
    assert all(isinstance(p, Problem) and p.what and p.where and p.fix for p in problems)
    return problems


BROKEN = {}


def broken(severity, words, where):
    """Register a class whose one fault must be met with exactly one problem of these words."""

    def register(cls):
        BROKEN[cls.__name__] = (cls, severity, words, where)
        return cls

    return register


def changed(**replacements):
    """A step that answers like a sound one, with these parts replaced."""
    names = ("obs", "reward", "terminated", "truncated", "info")

    def step(self, action):
        answer = dict(zip(names, Sound.step(self, action), strict=True))
        answer |= {name: make(self, answer[name]) for name, make in replacements.items()}
        return tuple(answer[name] for name in names)

    return step


@broken("error", "there is no observation_space", "observation_space")
class NoObservationSpace(Sound):
    def __init__(self):
        super().__init__()
        del self.observation_space


@broken("error", "there is no action_space", "action_space")
class NoActionSpace(Sound):
    def __init__(self):
        super().__init__()
        self.action_space = None


@broken("error", "action_space is a int, not a gymnasium.Space", "action_space")
class ActionSpaceIsANumber(Sound):
    def __init__(self):
        super().__init__()
        self.action_space = 2


@broken("error", "the observation space is a Sequence, which has no fixed length", "observation_space")
class Speaks(Sound):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Sequence(spaces.Discrete(8))


@broken("error", "the action space at ['a'] is a Text", "action_space")
class SpokenActions(Sound):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Dict({"a": spaces.Text(2)})


@broken("warning", "the action space is unbounded", "action_space")
class UnboundedActions(Sound):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)


@broken("warning", "the action space is not symmetric", "action_space")
class AsymmetricActions(Sound):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(0, 1, (1,), np.float32)


@broken("warning", "not on the scale of [-1, 1]", "action_space")
class LargeActions(Sound):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-30, 30, (1,), np.float32)


@broken("error", "making it raised RuntimeError: no licence", "making it")
class CannotBeMade(Sound):
    def __init__(self):
        raise RuntimeError("no licence")


@broken("error", "reset(seed=0) raised TypeError", "reset()")
class ResetTakesNoSeed(Sound):
    def reset(self):
        return super().reset()


@broken("error", "reset(seed=0) raised KeyError: 'map'", "reset()")
class ResetRaises(Sound):
    def start(self):
        raise KeyError("map")


@broken(
    "error", "reset() returned an array of shape (2,), not (observation, info): the form of Gym before 0.26", "reset()"
)
class OldReset(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


@broken("error", "the info of reset() is None, not a dict", "reset()")
class ResetWithoutInfo(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], None


@broken(
    "error",
    "step() returned a tuple of 4, not (observation, reward, terminated, truncated, info): the form of",
    "step() 1",
)
class OldStep(Sound):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated or truncated, info


@broken("error", "step() returned None, not (observation,", "step() 1")
class StepReturnsNothing(Sound):
    def step(self, action):
        super().step(action)


@broken("error", "raised IndexError: list index out of range", "step() 3")
class StepRaises(Sound):
    def step(self, action):
        [0, 1][self.time]
        return super().step(action)


@broken("error", "one seed gave another first observation a second copy of the environment", "reset()")
class OwnGenerator(Sound):
    def start(self):
        return np.random.default_rng().uniform(-1, 1)


@broken("error", "it draws from the global generator of numpy", "reset() or step()")
class GlobalNumpy(Sound):
    def step(self, action):
        np.random.rand()
        return super().step(action)


@broken("error", "it draws from the global generator of random", "reset() or step()")
class GlobalRandom(Sound):
    def step(self, action):
        random.random()
        return super().step(action)


@broken("error", "the same seed and actions gave another reward a second copy of the environment", "step() 1")
class NoisyReward(Sound):
    step = changed(reward=lambda self, reward: reward + float(np.random.default_rng().normal()))


@broken("warning", "the same seed and actions gave another observation the second time", "step() 1")
class Remembers(Sound):
    total = 0

    def step(self, action):
        self.total += 1
        obs, *rest = super().step(action)
        return obs + np.float32(self.total / 1e5), *rest


@broken("error", "every reset() without a seed begins the same episode again", "reset()")
class SeedsEveryReset(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed or 0)


@broken("warning", "reset() has the default seed 0", "reset()")
class DefaultSeed(Sound):
    def start(self):
        return 0.5

    def reset(self, *, seed=0, options=None):
        return super().reset(seed=seed)


@broken("error", "the observation, component 0, is outside the space [-10.0, 10.0]: 11.0", "step() 1")
class OutsideTheSpace(Sound):
    step = changed(obs=lambda self, obs: np.array([11, 0], dtype=np.float32))


@broken("error", "the observation, component 1, is NaN", "step() 1")
class NotANumber(Sound):
    step = changed(obs=lambda self, obs: np.array([0, np.nan], dtype=np.float32))


@broken("error", "the observation, component 1, is infinite", "step() 1")
class Infinite(Sound):
    step = changed(obs=lambda self, obs: np.array([0, np.inf], dtype=np.float32))


@broken("error", "the observation has shape (1,); the space says (2,)", "step() 1")
class WrongShape(Sound):
    step = changed(obs=lambda self, obs: obs[:1])


@broken("warning", "the observation is of type float64; the space says float32", "step() 1")
class WrongType(Sound):
    step = changed(obs=lambda self, obs: obs.astype(np.float64))


@broken("error", "the observation is a list of 2, not a NumPy array", "step() 1")
class ListObservation(Sound):
    step = changed(obs=lambda self, obs: obs.tolist())


@broken("error", "the observation is of type object", "step() 1")
class ObjectObservation(Sound):
    step = changed(obs=lambda self, obs: obs.astype(object))


@broken("error", "the observation at ['x'] is 5, outside its space Discrete(3)", "step() 1")
class OutsideInside(Sound):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Dict({"x": spaces.Discrete(3)})

    def observe(self):
        return {"x": np.int64(0)}

    step = changed(obs=lambda self, obs: {"x": 5})


@broken("error", "the observation: has the keys ['y']; the space says ['x']", "step() 1")
class OtherKeys(OutsideInside):
    step = changed(obs=lambda self, obs: {"y": 1})


@broken("error", "the observation is a tuple of 1; the space says a tuple of 2", "step() 1")
class ShortTuple(Sound):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Tuple([spaces.Discrete(3), spaces.Discrete(3)])

    def observe(self):
        return (1, 1)

    step = changed(obs=lambda self, obs: (1,))


@broken("error", "the reward is nan", "step() 1")
class NaNReward(Sound):
    step = changed(reward=lambda self, reward: float("nan"))


@broken("error", "the reward is inf", "step() 1")
class InfiniteReward(Sound):
    step = changed(reward=lambda self, reward: np.float64("inf"))


@broken("error", "the reward is an array of shape (1,), not one number", "step() 1")
class ArrayReward(Sound):
    step = changed(reward=lambda self, reward: np.array([reward]))


@broken("error", "the reward is None, not one number", "step() 1")
class NoReward(Sound):
    step = changed(reward=lambda self, reward: None)


@broken("error", "terminated is a int, not a bool", "step() 1")
class NumberForTerminated(Sound):
    step = changed(terminated=lambda self, flag: int(flag))


@broken("error", "truncated is an array of shape (2,), not a bool", "step() 1")
class ArrayForTruncated(Sound):
    step = changed(truncated=lambda self, flag: np.array([flag, flag]))


@broken("warning", "terminated and truncated are both True", "step() 20")
class BothEnds(Sound):
    step = changed(terminated=lambda self, flag: self.time >= 20)


@broken("error", "the info of step() is a list of 0, not a dict", "step() 1")
class ListInfo(Sound):
    step = changed(info=lambda self, info: [])


@broken("warning", "no episode ended within 200 random steps and there is no time limit", "step()")
class NeverEnds(Sound):
    step = changed(truncated=lambda self, flag: False)


@broken("error", "an observation changed after it had been returned", "step() 1")
class OneArray(Sound):
    def __init__(self):
        super().__init__()
        self.array = np.zeros(2, dtype=np.float32)

    def observe(self):
        self.array[:] = super().observe()
        return self.array


@broken("error", "an observation changed after it had been returned", "step() 20")
class OneArrayForStarts(Sound):
    """The last state of an episode is overwritten by the first of the next."""

    def __init__(self):
        super().__init__()
        self.arrays = np.zeros((2, 2), dtype=np.float32)

    def observe(self):
        array = self.arrays[self.time % 2]
        array[:] = super().observe()
        return array


@broken("error", "step() changed the action it was given", "step() 1")
class ChangesTheAction(Sound):
    def step(self, action):
        answer = super().step(action)
        action *= 0.5
        return answer


@broken("warning", "observations reach 5000 in size", "the observation")
class LargeObservations(Sound):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(-1e4, 1e4, (2,), np.float32)

    step = changed(obs=lambda self, obs: np.array([5000, 0], dtype=np.float32))


@broken("warning", "close() raised OSError: gone", "close()")
class CannotBeClosed(Sound):
    def close(self):
        raise OSError("gone")


@broken("warning", "Gymnasium's checker says:", "gymnasium.utils.env_checker")
class NoOptions(Sound):
    def reset(self, *, seed=None):
        return super().reset(seed=seed)


@pytest.mark.parametrize("name", BROKEN)
def test_each_fault_is_met_with_its_own_words(name):
    cls, severity, words, where = BROKEN[name]
    problems = found(cls, steps=200)
    assert [p.severity for p in problems if words in p.what] == [severity], problems
    problem = next(p for p in problems if words in p.what)
    assert problem.where == where
    assert len(problems) == 1, problems
    assert str(problem) == f"{severity}: {where}: {problem.what}. Fix: {problem.fix}."


def test_no_two_faults_share_their_words():
    assert len(BROKEN) >= 20
    words = [words for _, _, words, _ in BROKEN.values()]
    assert len(set(words)) >= len(words) - 1  # the two reused arrays differ in where


def test_a_sound_environment_has_no_problems():
    assert found(Sound) == []
    assert found("CartPole-v1") == []
    assert found("FrozenLake-v1") == []


def test_an_instance_is_checked_and_left_open():
    class Counts(Sound):
        closed = 0

        def close(self):
            self.closed += 1

    env = Counts()
    assert found(env) == []
    assert env.closed == 0
    assert [p.severity for p in found(Remembers())] == ["error"]  # no second copy tells memory from chance
    assert [p.what for p in found(OwnGenerator())] == ["one seed gave another first observation the second time"]


def test_a_time_limit_around_it_is_seen():
    assert found(lambda: gymnasium.wrappers.TimeLimit(NeverEnds(), 1000), steps=200) == []


def test_what_is_no_environment_is_said():
    class OldGym:
        def reset(self):
            return 0

    assert "a OldGym is not an environment" in found(OldGym())[0].what
    assert "not a gymnasium.Env" in found(OldGym)[0].what
    assert "nearest: CartPole-v1" in found("CartPol-v1")[0].what


def test_what_the_checker_itself_cannot_bear_becomes_a_problem():
    class Trap(Sound):
        @property
        def observation_space(self):
            raise LookupError("trap")

        @observation_space.setter
        def observation_space(self, space):
            pass

    assert ["LookupError: trap" in p.what for p in found(Trap)] == [True]
