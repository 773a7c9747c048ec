"""Fill a replay of ours as a case of `replay.py` says, and print how many transitions a second are drawn of it."""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version

import numpy as np
import torch

from _replay_cases import CASES, EPISODE, SINGLE, frames, resident
from operant.data.replay import Replay
from operant.data.trajectory import Trajectory


def segment(states: np.ndarray, case: dict[str, object], start: int, steps: int) -> Trajectory:
    """Steps from `start` on, in episodes of `EPISODE` that are cut; of frames one that goes on."""
    time_ = start + np.arange(steps)
    at = start + np.arange(steps + 1)[:, None] + np.arange(4 if case["dtype"] == "uint8" else 1)
    obs = states[at % len(states)].reshape(1, steps + 1, -1)
    width = int(str(case["action"]))
    action = torch.zeros(1, steps, width) if width else torch.zeros(1, steps, dtype=torch.int64)
    none = torch.zeros(1, steps, dtype=torch.bool)
    cut = torch.from_numpy(time_ % EPISODE == EPISODE - 1)[None] if case["dtype"] != "uint8" else none
    return Trajectory(
        obs=torch.from_numpy(obs), action=action, logp=torch.zeros(1, steps), reward=torch.ones(1, steps),
        terminated=none, truncated=cut, acted=~none, group=torch.zeros(1, dtype=torch.int64),
    )  # fmt: skip


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--size", type=int)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    case = CASES[args.case]
    size, batch = args.size or case["size"], case["batch"]
    states, rng = frames(args.seed, 4096, case["shape"], case["dtype"]), np.random.default_rng(args.seed)
    stack, frame = (4, 84 * 84) if case["dtype"] == "uint8" else (1, 0)
    before = resident()
    alpha = 0.6 if args.case.endswith("priority") else None
    replay = Replay(size, 1, alpha=alpha, stack=stack, frame=frame)
    for start in range(0, size + 1, 500):
        replay.extend(segment(states, case, start, 500))
    memory = resident() - before
    singles = [segment(states, case, size + k, 1) for k in range(SINGLE)]
    clock = time.perf_counter()
    for one in singles:
        replay.extend(one)
    stored = SINGLE / (time.perf_counter() - clock)
    n, errors = 3 if args.case.endswith("n-step") else 1, torch.rand(batch)
    drawn, end = 0, time.perf_counter() + args.seconds
    clock = time.perf_counter()
    while time.perf_counter() < end:
        for _ in range(20):
            found = replay.sample(batch, rng, n=n)
            replay.prioritise(found.index, errors)
        drawn += 20 * batch
    value = drawn / (time.perf_counter() - clock)
    versions = {name: version(name) for name in ("torch", "numpy")}
    print(json.dumps({"value": value, "stored": stored, "memory": memory, "size": size, "versions": versions}))


if __name__ == "__main__":
    main()
