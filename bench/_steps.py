"""What the benches of a training step share: both sides in processes of their own, and a line of JSON a case."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from _interleave import emit, interleave, quiet, say

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Clock = Callable[[], float]
Side = Callable[[str, int, int, Clock], dict[str, Any]]
"""Case, seed, steps and clock to the seconds of each step, of each of its phases, and the mean length of a row."""


def compare_steps(
    file: str, doc: str | None, ours: Side, theirs: Side, *, name: str, peer: str,
    cases: Mapping[str, Mapping[str, Any]], versions: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """The comparison, or with --side one of its processes.

    Args:
        file: the bench.
        doc: what its help says.
        ours, theirs: the two sides.
        name: of the lines, before the case.
        peer: the peer's package.
        cases: what else each line says, by case.
        versions: packages named beside torch and Python.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="measured steps of a process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--case", nargs="+", choices=list(cases), default=list(cases))
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--side", choices=["ours", peer], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side is None and args.clock == "wall":
        quiet()
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    if args.side is not None:
        import torch

        torch.set_num_threads(args.threads)
        side = ours if args.side == "ours" else theirs
        found = side(args.case[0], args.seed, args.steps + 2, CLOCKS[args.clock])
        median = {phase: statistics.median(x[2:]) for phase, x in found["phases"].items()}
        step = statistics.median(found["seconds"][2:])
        print(json.dumps({"value": 1.0 / step, "seconds": step, "length": found["length"]} | median))
        return
    for case in args.case:
        say(f"{case}:")
        command = [file, "--case", case, "--steps", str(args.steps), "--threads", str(args.threads)]
        command += ["--clock", args.clock, "--side"]
        sides = interleave([*command, "ours"], [*command, peer], args.rounds)
        middle = [
            {k: round(statistics.median(m[k] for m in side), 4) for k in ("seconds", "sample", "train", "length")}
            for side in sides
        ]
        emit(
            f"{name}_{case}", *sides, peer_name=peer, peer_version=version(peer), unit="steps/s",
            ours_median=middle[0], peer_median=middle[1], threads=args.threads, clock=args.clock, **cases[case],
            versions={what: version(what) for what in ("torch", *versions)} | {"python": platform.python_version()},
        )  # fmt: skip
