"""Levels of MiniGrid: steps a second of random actions, compiled by us and stepped by the package, laying included.

    python bench/grids.py [--case MultiRoom-N4-S5 …] [--rounds 3]
    python bench/grids.py --rooms

Both sides see the same episodes, 16 copies of a level with the wrappers that training has; the digest of what was seen
is compared. Each prints one JSON line. With --rooms it is our own rooms of things, which have no peer: by processor
time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from importlib.metadata import version

import numpy as np

from _interleave import emit, interleave, quiet

CASES = ("Empty-16x16", "DoorKey-8x8", "FourRooms", "MultiRoom-N4-S5")
COPIES, STEPS, WRAPPERS = 16, 500, ("key image", "one-hot 11 6 3")
BACKENDS = {"ours": "compiled", "peer": "inprocess"}


def side(case: str, backend: str, seed: int) -> dict[str, float | str]:
    """Steps a second of one side, after a warm-up that compiles, and a digest of what it saw."""
    from operant.env import make

    env, rng = make(f"MiniGrid-{case}-v0", COPIES, backend=backend, wrappers=WRAPPERS), np.random.default_rng(seed)
    env.reset(seed)
    env.step(np.zeros(COPIES, np.int64))
    seen, actions, took = hashlib.sha256(env.reset(seed).tobytes()), rng.integers(0, 7, (STEPS, COPIES)), 0.0
    for action in actions:
        began = time.perf_counter()
        step = env.step(action)
        took += time.perf_counter() - began
        seen.update(step.obs.tobytes() + step.reward.tobytes())
    return {"value": STEPS * COPIES / took, "digest": seen.hexdigest()[:16]}


def rooms(copies: int, rounds: int) -> float:
    """Steps a second of rooms with instructions, the best of the rounds."""
    from operant.env import make

    env, actions = make("operant.grounded:room", copies), np.random.default_rng(0).integers(0, 3, (STEPS, copies))
    env.reset(0)
    env.step(actions[0])
    best = 0.0
    for _ in range(rounds):
        began = time.process_time()
        for action in actions:
            env.step(action)
        best = max(best, STEPS * copies / (time.process_time() - began))
    return best


def main() -> None:
    """The comparison, or with --side one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rooms", action="store_true")
    parser.add_argument("--side", choices=BACKENDS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side is not None:
        print(json.dumps(side(args.case[0], BACKENDS[args.side], args.seed)))
        return
    if args.rooms:
        for copies in (COPIES, 4 * COPIES):
            print(
                json.dumps({"case": "rooms", "copies": copies, "steps_per_second": round(rooms(copies, args.rounds))})
            )
        return
    quiet()
    for case in args.case:
        ours, peer = interleave(*([__file__, "--case", case, "--side", name] for name in BACKENDS), rounds=args.rounds)
        same = all(a["digest"] == b["digest"] for a, b in zip(ours, peer, strict=True))
        emit(
            f"minigrid_{case}", ours, peer, peer_name="minigrid", peer_version=version("minigrid"), unit="steps/s",
            copies=COPIES, same_episodes=same,
        )  # fmt: skip


if __name__ == "__main__":
    main()
