"""Break the worker processes of a training collector at random moments, for as long as is asked.

    python bench/env_kills.py --seconds 1800 [--workers 2] [--copies 8] [--seed 0]

Workers are killed (SIGKILL) or stopped (SIGSTOP, which looks like a hang) every half second on average. The record is
checked after every segment: a broken step is no decision, has reward 0 and is truncated at the last state seen. Prints
one JSON line: kills, restarts, hangs (segments that took longer than every restart in them may), whether it finished,
and the throughput lost against the same collector without kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from operant.control.collector import Collector
from operant.data.trajectory import Trajectory
from operant.env import Processes, Supervisor

TIMEOUT, MARGIN, HORIZON = 1.0, 10.0, 64


@dataclass
class Killer(threading.Thread):
    """Breaks one worker now and then until it is told to stop."""

    env: Processes
    seed: int
    kills: dict[str, int] = field(default_factory=lambda: {"SIGKILL": 0, "SIGSTOP": 0})
    done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        """Break, wait, and again."""
        rng = random.Random(self.seed)
        while not self.done.wait(rng.expovariate(2.0)):
            process = rng.choice(self.env.workers).process  # pyright: ignore[reportPrivateUsage]
            name = rng.choice(("SIGKILL", "SIGKILL", "SIGSTOP"))
            if process.poll() is None:
                os.kill(process.pid, getattr(signal, name))
                self.kills[name] += 1

    __hash__ = threading.Thread.__hash__


def act(obs: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random pushes."""
    return generator.integers(0, 2, len(obs)), np.full(len(obs), -0.69, np.float32)


def wrong(traj: Trajectory) -> int:
    """How many steps of a record break its contract."""
    assert isinstance(traj.obs, torch.Tensor)
    idle, broke = ~traj.acted, traj.truncated & ~traj.acted
    moved = (traj.obs[:, :-1] != traj.obs[:, 1:]).any(-1) & broke
    return int(moved.sum() + ((traj.reward != 0) & idle).sum() + (traj.terminated & idle).sum())


def collect_for(seconds: float, env: Processes) -> tuple[float, int, int]:
    """Steps per second, segments that hung, and wrong steps."""
    collect, hangs, bad = Collector(env, act, np.random.default_rng(0), seed=0), 0, 0
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        called, before = time.monotonic(), env.supervisor.restarted
        bad += wrong(collect(HORIZON))
        broke = env.supervisor.restarted - before
        hangs += time.monotonic() - called > MARGIN + broke * (TIMEOUT + MARGIN)
    return collect.steps / (time.monotonic() - begun), hangs, bad


def main() -> int:
    """Measure without kills, then with them, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long workers are broken [1800]")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    args = parser.parse_args()
    env = Processes("CartPole-v1", args.copies, {}, Supervisor(args.workers, TIMEOUT, restarts=1_000_000))
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  a line for every restart
    calm, _, _ = collect_for(min(10.0, args.seconds), env)
    killer = Killer(env, args.seed)
    killer.start()
    begun = time.monotonic()
    speed, hangs, bad = collect_for(args.seconds, env)
    killer.done.set()
    killer.join()
    env.close()
    line = {
        "case": "env_kills",
        "seconds": round(time.monotonic() - begun, 1),
        "kills": sum(killer.kills.values()),
        "how": killer.kills,
        "restarts": env.supervisor.restarted,
        "hangs": hangs,
        "wrong_steps": bad,
        "finished": True,
        "steps_per_second": round(speed),
        "steps_per_second_without": round(calm),
        "throughput_loss": round(1 - speed / calm, 3),
    }
    print(json.dumps(line), flush=True)
    return 1 if hangs or bad else 0


if __name__ == "__main__":
    sys.exit(main())
