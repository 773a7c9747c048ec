"""A walk with random ends that breaks in the ways it is told; worker processes import it from this file."""

import os
import signal
import struct
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces


class Faulty(gymnasium.Env):
    """Breaks as `how` says once copy `copy` has made `at` steps, the first time only where `once` names a file.

    Episodes end at random, or after `length` steps. The observation is (seed of the copy, number of its episode, time
    in it, a random number).
    """

    observation_space = spaces.Box(-1e9, 1e9, (4,), np.float64)
    action_space = spaces.Discrete(3, start=-1)

    def __init__(self, how="", copy=1, at=5, once="", where="step", length=None):
        if how and where == "make" and not (once and Path(once).exists()):
            self.break_down(how, once)
        self.how, self.copy, self.at, self.once, self.where = how, copy, at, once, where
        self.length, self.number, self.episode, self.steps = length, None, -1, 0

    def observe(self):
        return np.array([self.number, self.episode, self.time, self.np_random.normal()])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.number, self.episode = seed, -1
        self.maybe("reset")
        self.time = 0
        self.episode += 1
        return self.observe(), {}

    def step(self, action):
        assert action in (-1, 0, 1)
        self.steps += 1
        self.maybe("step")
        self.time += 1
        draw = self.np_random.random() if self.length is None else 0.5 - (self.time == self.length)
        return self.observe(), float(action) + self.time, bool(draw < 0.1), bool(draw > 0.9), {"cost": draw}

    def maybe(self, where):
        mine = self.how and where == self.where and self.number % 100 == self.copy and self.steps >= self.at
        if mine and not (self.once and Path(self.once).exists()):
            self.break_down(self.how, self.once)

    @staticmethod
    def break_down(how, once):
        if once:
            Path(once).touch()
        if how == "raise":
            raise RuntimeError("the map is gone")
        if how == "hang":
            time.sleep(3600)
        if how == "spin":  # in C, without letting go of the interpreter
            sum(range(10**13))
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "exit":
            os._exit(7)
        if how == "leave":
            raise SystemExit(9)
        if how == "abort":
            os.abort()
        if how == "print":
            print("the map speaks", flush=True)
        if how == "write":  # what it said first, once more
            os.write(int(sys.argv[1]), struct.pack("<c7xqQ", b"d", 1, 2) + b"{}")
        if how == "fork" and os.fork() == 0:  # both come back
            time.sleep(0.2)


class SlowlyDrawn(Faulty):
    """Takes a second for a picture."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012  as Gymnasium has it
    render_mode = "rgb_array"

    def render(self):
        time.sleep(1.0)
        return np.zeros((2, 3, 3), np.uint8)


def pictured(render_mode=None):
    """Make CartPole, which draws."""
    return gymnasium.make("CartPole-v1", render_mode=render_mode)
