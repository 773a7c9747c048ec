"""Replays: transitions drawn a second, steps stored a second, and memory, beside those of Stable-Baselines3.

    python bench/on_policy.py --make-peers                  # once: an environment of its own for the peer, by pip
    python bench/replay.py [--case vectors …] [--rounds 3] [--peers FOLDER]

Both sides hold as many steps of the same shapes (`_replay_cases.py`), are full when the clock starts, and run on one
thread. Memory is what the process grew by as it was filled. Stable-Baselines3 has no priorities: in `vectors-priority`
it draws uniformly, and ours draws by priority and changes the priorities of what it drew. `frames` are stacks of four
84 × 84 bytes, on its side without a copy of the next ones (`optimize_memory_usage`).

`growth` and `growth-priority` fill 10 k, 100 k and 1 M steps. `atari` fills a million frames on our side alone.

One line of JSON a case, with both figures, their ratio and the load before it. It refuses to begin where the load of
the last minute is above 0.5, unless told to measure at once (--now).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path

from _interleave import Measurement, emit, interleave, measure, quiet, say
from _peers import PEERS, python_of
from _replay_cases import CASES

HERE = Path(__file__).parent
GROWTH = {"growth": "vectors", "growth-priority": "vectors-priority"}
SIZES = (10_000, 100_000, 1_000_000)
ATARI = 1_000_000


def compare(name: str, case: str, size: int, seconds: float, rounds: int, peers: Path) -> None:
    """Measure in turn, print the line."""
    load = os.getloadavg()[0]
    say(f"{name}: {size:,} steps")
    words = ("--case", case, "--size", str(size), "--seconds", str(seconds))
    ours, peer = ([str(HERE / f"_replay_{side}.py"), *words] for side in ("ours", "sb3"))
    results = interleave(ours, peer, rounds, python_of(peers, "sb3"))
    emit(
        name,
        *results,
        peer_name="stable-baselines3",
        peer_version=results[1][0]["versions"]["stable-baselines3"],
        unit="transitions drawn/s",
        size=size,
        batch=CASES[case]["batch"],
        stored_per_second={"ours": median(results[0], "stored"), "peer": median(results[1], "stored")},
        memory_mb={"ours": median(results[0], "memory") // 10**6, "peer": median(results[1], "memory") // 10**6},
        load=load,
        versions={"ours": results[0][0]["versions"], "peer": results[1][0]["versions"]},
    )


def median(side: list[Measurement], key: str) -> int:
    """Of a side's rounds."""
    return round(statistics.median(m[key] for m in side))


def atari(seconds: float) -> None:
    """A million frames: how much memory they take, and how fast they are drawn."""
    words = ["--case", "frames", "--size", str(ATARI), "--seconds", str(seconds)]
    found = measure([str(HERE / "_replay_ours.py"), *words], 1)
    line = {"case": "atari", "ours": round(found["value"], 1), "unit": "transitions drawn/s", "size": ATARI}
    print(json.dumps(line | {"memory_mb": found["memory"] // 10**6, "goal_mb": 8000}), flush=True)


def main() -> None:
    """Measure the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*CASES, *GROWTH, "atari"]
    parser.add_argument("--case", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", type=int, help="steps in place of those of the case, for a trial")
    parser.add_argument("--peers", type=Path, default=PEERS)
    parser.add_argument("--now", action="store_true", help="do not wait until the machine is quiet")
    args = parser.parse_args()
    if not args.now:
        quiet()
    for name in args.case:
        if name == "atari":
            atari(args.seconds)
            continue
        case = GROWTH.get(name, name)
        for size in SIZES if name in GROWTH else (args.size or CASES[case]["size"],):
            label = f"{name}-{size}" if name in GROWTH else name
            compare(label, case, size, args.seconds, args.rounds, args.peers)


if __name__ == "__main__":
    main()
