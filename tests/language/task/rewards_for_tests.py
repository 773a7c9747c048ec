"""Rewards that misbehave, importable by worker processes."""

import os
import re
import time
from dataclasses import dataclass

from operant.language.reward.trace import Reward, Trace


def length(trace: Trace) -> float:
    return float(len(trace.completion))


def hangs_on_h(trace: Trace) -> float:
    if trace.completion == "h":
        time.sleep(60)
    return 1.0


def backtracks(trace: Trace) -> float:
    return float(bool(re.fullmatch(r"(a+)+b", "a" * 60)))  # holds the interpreter lock


def dies(trace: Trace) -> float:
    if trace.completion == "d":
        os.kill(os.getpid(), 9)
    return 2.0


def raises(trace: Trace) -> float:
    raise ValueError(f"no {trace.gold}")


def prints(trace: Trace) -> float:
    print("a reward that talks")
    return 3.0


def nan(trace: Trace) -> float:
    return float("nan")


@dataclass(frozen=True)
class Scaled:
    inner: Reward
    by: float
    words: tuple[str, ...] = ()

    def __call__(self, trace: Trace) -> float:
        assert isinstance(self.words, tuple)
        return self.by * self.inner(trace) + len(self.words)
