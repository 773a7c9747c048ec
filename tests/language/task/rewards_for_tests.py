"""Rewards that misbehave, importable by worker processes."""

import os
import re
import struct
import sys
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


def forks(trace: Trace) -> float:
    if os.fork() == 0:  # both come back
        time.sleep(0.1)
    return float(len(trace.completion))


def takes_its_time(trace: Trace) -> float:
    time.sleep(0.02)
    return 1.0


def leaves(trace: Trace) -> float:
    raise SystemExit(3)


def writes(trace: Trace) -> float:
    if trace.completion == "w":
        os.write(int(sys.argv[1]), struct.pack("<c7xqQd", b"d", 1, 8, 7.0))
    return 1.0


@dataclass(frozen=True)
class Unprepared:
    def prepare(self) -> None:
        raise ImportError("no such weights")

    def __call__(self, trace: Trace) -> float:
        return 1.0


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
