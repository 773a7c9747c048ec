"""What every bench shares: two commands run in turn, and the one JSON line that compares them.

A command is a program that takes `--seed N`, measures itself and prints one JSON object as its last line, with the
measurement under "value" (more is better). Each measurement is a fresh process, so that memory is its own and nothing
is warm but what the program warms; the sides alternate (A B A B …), so that a slow minute of the machine meets both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

Measurement = dict[str, Any]


def measure(command: Sequence[str], seed: int, python: str = sys.executable) -> Measurement:
    """Run a command once, by the Python of whichever environment; its last line, parsed.

    Raises:
        SystemExit: if it failed; with what it wrote.
    """
    done = subprocess.run([python, *command, "--seed", str(seed)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def calibrate(candidates: dict[str, Sequence[str]], python: str = sys.executable) -> str:
    """The name of the fastest of several commands, each run once; every result is told on stderr."""
    found = {name: measure(command, 0, python)["value"] for name, command in candidates.items()}
    for name, value in found.items():
        say(f"  calibration: {name}: {value:,.0f}")
    return max(found, key=lambda name: found[name])


def interleave(
    ours: Sequence[str], peer: Sequence[str], rounds: int, peer_python: str = sys.executable
) -> tuple[list[Measurement], list[Measurement]]:
    """Measure both `rounds` times in turn, with the round as seed; the results are told on stderr."""
    results: tuple[list[Measurement], list[Measurement]] = ([], [])
    for seed in range(1, rounds + 1):
        sides = (ours, sys.executable), (peer, peer_python)
        for side, (command, python) in zip(results, sides, strict=True):
            side.append(measure(command, seed, python))
        say(f"  round {seed}: ours {results[0][-1]['value']:,.0f}, peer {results[1][-1]['value']:,.0f}")
    return results


def emit(
    case: str, ours: list[Measurement], peer: list[Measurement], *, peer_name: str, peer_version: str, unit: str,
    **detail: Any,
) -> None:  # fmt: skip
    """Print the line: medians of both sides, their ratio, and whatever else is worth knowing."""
    median = [statistics.median(m["value"] for m in side) for side in (ours, peer)]
    line = {
        "case": case,
        "ours": round(median[0], 1),
        "peer": round(median[1], 1),
        "peer_name": peer_name,
        "peer_version": peer_version,
        "unit": unit,
        "ratio": round(median[0] / median[1], 2),
        "rounds": len(ours),
        "ours_rounds": [round(m["value"], 1) for m in ours],
        "peer_rounds": [round(m["value"], 1) for m in peer],
    }
    print(json.dumps(line | detail), flush=True)


def quiet(most: float = 0.5, patience: float = 300.0) -> None:
    """Wait until the machine does nothing else; the load is told on stderr.

    Raises:
        SystemExit: if the load of the last minute is above `most` after `patience` seconds.
    """
    end = time.monotonic() + patience
    while (load := os.getloadavg()[0]) > most and time.monotonic() < end:
        time.sleep(5.0)
    say(f"load {load:.2f}")
    if load > most:
        raise SystemExit(f"the machine is busy: its load is {load:.2f}, above {most}. Measure when nothing else runs.")


def say(text: str) -> None:
    """Tell a person; the JSON line alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)
