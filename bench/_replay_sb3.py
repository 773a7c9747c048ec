"""Fill a replay of Stable-Baselines3 as a case of `replay.py` says, and print how many transitions a second are drawn.

Run in an environment of its own, with stable-baselines3; `on_policy.py --make-peers` makes it.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from _replay_cases import CASES, EPISODE, SINGLE, frames, resident


def made(name: str, case: dict[str, Any], size: int) -> ReplayBuffer:
    """The buffer that suits the case best; it has no priorities, so there it draws uniformly."""
    shape, dtype = case["shape"], case["dtype"]
    seen = spaces.Box(0, 255, shape, np.uint8) if dtype == "uint8" else spaces.Box(-10, 10, shape, np.float32)
    acts = spaces.Box(-1, 1, (case["action"],), np.float32) if case["action"] else spaces.Discrete(2)
    if dtype == "uint8":
        return ReplayBuffer(
            size, seen, acts, device="cpu", optimize_memory_usage=True, handle_timeout_termination=False
        )  # fmt: skip
    if name.endswith("n-step"):
        return NStepReplayBuffer(size, seen, acts, device="cpu", n_steps=3)
    return ReplayBuffer(size, seen, acts, device="cpu")


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--size", type=int)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    np.random.seed(args.seed)
    case = CASES[args.case]
    size, batch = args.size or case["size"], case["batch"]
    states = frames(args.seed, 4096, case["shape"], case["dtype"])
    action, reward = np.zeros((1, case["action"] or 1)), np.ones(1)

    def seen(t: int) -> np.ndarray:
        at = t + np.arange(4 if case["dtype"] == "uint8" else 1)
        return states[at % len(states)].reshape(1, *case["shape"])

    def store(t: int) -> None:
        cut = t % EPISODE == EPISODE - 1
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": cut}]
        buffer.add(seen(t), seen(t + 1), action, reward, np.array([float(cut)]), infos)

    before = resident()
    buffer = made(args.case, case, size)
    for t in range(size):
        store(t)
    memory = resident() - before
    inputs = [(seen(t), seen(t + 1), action, reward, np.zeros(1), [{}]) for t in range(SINGLE)]
    clock = time.perf_counter()
    for one in inputs:
        buffer.add(*one)
    stored = SINGLE / (time.perf_counter() - clock)
    drawn, end = 0, time.perf_counter() + args.seconds
    clock = time.perf_counter()
    while time.perf_counter() < end:
        for _ in range(20):
            buffer.sample(batch)
        drawn += 20 * batch
    value = drawn / (time.perf_counter() - clock)
    versions = {name: version(name) for name in ("stable-baselines3", "torch", "numpy")}
    print(json.dumps({"value": value, "stored": stored, "memory": memory, "size": size, "versions": versions}))


if __name__ == "__main__":
    main()
