"""Exact solvers against QuantEcon, mdpsolver and Storm, to the same certified ε.

    python bench/mdp.py              # all cases, three rounds
    python bench/mdp.py --quick      # one round of the cases with up to 200,000 states
    python bench/mdp.py --cases grid-100k-.99 first-solve

Peers run on one thread, ours on one and on two, each measurement in a fresh process, the sides in turn (A B C A B C …).
A time counts only if a certificate proves the answer: every value within ε of v*. QuantEcon solves by modified policy
iteration, its fastest method here; mdpsolver likewise; Storm by its sound methods on the equivalent model whose
episodes end with chance 1 - γ. What a peer cannot do, or not in the time and memory there is, is printed as such.

One JSON line per case goes to standard output, the table to standard error. `bytes/s` is what the sweeps read and
write (12 bytes an entry, 12 a row, 24 a state) over the time of the whole solve, to be compared with the read bandwidth
of the machine, which is measured first; small models stay in a cache that is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np

from _interleave import Measurement, measure, quiet, say
from _mdp_cases import CASES

HERE = Path(__file__).parent
SIDES = {
    "operant, 1 thread": ("operant", 1),
    "operant, 2 threads": ("operant", 2),
    "quantecon": ("quantecon", 1),
    "mdpsolver": ("mdpsolver", 1),
    "stormpy": ("stormpy", 1),
}
QUICK = [name for name in CASES if "1m" not in name]
ONCE = ("mdpsolver", "stormpy")
"""Sides that are slow enough for one round."""
LIMIT = 100.0
"""Seconds that one process may take, with the making of its model."""


def left_out(case: str, side: str) -> str | None:
    """Why a peer does not take part, where that is known beforehand."""
    if side == "mdpsolver" and "1m" in case:
        return "takes nested lists: some 2 GB of Python objects, and minutes"
    if side == "stormpy" and "1m" in case:
        return "its model is read from text: gigabytes, and minutes"
    return None


@numba.njit(fastmath=True)
def _sum(values: Any) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def bandwidth() -> float:
    """Bytes that one core reads in a second, one after the other, from memory."""
    values = np.ones(64_000_000)
    _sum(values[:10])
    best = np.inf
    for _ in range(5):
        begun = time.perf_counter()
        _sum(values)
        best = min(best, time.perf_counter() - begun)
    return values.nbytes / best


def compare(case: str, rounds: int, read: float) -> None:
    """Measure all sides in turn, print the line and the table of one case."""
    found: dict[str, list[Measurement]] = {name: [] for name in SIDES}
    reasons: dict[str, str] = {}
    for seed in range(1, rounds + 1):
        for name, (side, threads) in SIDES.items():
            reason = left_out(case, side) or reasons.get(name)
            if reason is None and not (seed > 1 and side in ONCE):
                outcome = one(case, side, threads, seed)
                if isinstance(outcome, str):
                    reason = outcome
                else:
                    found[name].append(outcome)
            if reason is not None:
                reasons[name] = reason
    epsilon = CASES[case]().epsilon
    report(case, epsilon, found, reasons, read)


def one(case: str, side: str, threads: int, seed: int) -> Measurement | str:
    """One measurement, or why there is none."""
    command = [str(HERE / "_mdp_side.py"), "--case", case, "--side", side, "--threads", str(threads)]
    if side == "operant":
        return measure(command, seed)
    try:
        done = subprocess.run(
            [sys.executable, *command, "--seed", str(seed)], capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT:.0f} s"
    if done.returncode != 0:
        return f"failed: {done.stderr.strip().splitlines()[-1][:120] if done.stderr.strip() else done.returncode}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(
    case: str, epsilon: float, found: dict[str, list[Measurement]], reasons: dict[str, str], read: float
) -> None:
    """The JSON line, and the table."""
    line: dict[str, Any] = {"case": case, "epsilon": epsilon, "read_bandwidth": round(read), "sides": {}}
    say(f"{case} (ε = {epsilon:g})")
    times: dict[str, float] = {}
    for name, results in found.items():
        if not results:
            line["sides"][name] = {"reason": reasons[name]}
            say(f"  {name:20} {reasons[name]}")
            continue
        seconds = [value for result in results for value in result["seconds"]]
        error = max(result["error"] for result in results)
        side: dict[str, Any] = {
            "seconds_median": round(statistics.median(seconds), 5),
            "seconds_min": round(min(seconds), 5),
            "iterations": results[0]["iterations"],
            "error": error,
            "counts": error <= epsilon * 1.05,
            "peak_memory_mb": round(statistics.median(r["peak_memory"] for r in results) / 2**20),
            "version": results[0]["version"],
        }
        text = f"  {name:20} median {side['seconds_median']:9.4f} s  min {side['seconds_min']:9.4f} s"
        text += f"  error {error:.1e}  {side['peak_memory_mb']:5} MB"
        if results[0].get("entries"):
            side["nonzeros_per_second"] = round(results[0]["entries"] / side["seconds_median"])
            side["bytes_per_second"] = round(results[0]["bytes"] / side["seconds_median"])
            text += f"  {side['nonzeros_per_second'] / 1e9:.2f} Gnnz/s  {side['bytes_per_second'] / read:.0%} of read"
        if "why" in results[0]:
            side["why"] = results[0]["why"]
        if side["counts"]:
            times[name] = side["seconds_median"]
        else:
            text += "  NOT within ε: its time does not count"
        line["sides"][name] = side
        say(text)
    for ours in ("operant, 1 thread", "operant, 2 threads"):
        ratios = {
            peer: round(times[peer] / times[ours], 2)
            for peer in times
            if ours in times and not peer.startswith("operant")
        }
        line[f"ratio, {ours}"] = ratios
        say(f"  {ours} is " + ", ".join(f"{ratio}× as fast as {peer}" for peer, ratio in ratios.items()))
    print(json.dumps(line), flush=True)


def first_solve() -> None:
    """Seconds of the first solve after an installation, compiling included, and of the first of a later process."""
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from _mdp_cases import CASES\nfrom _mdp_side import ours\nfrom operant.mdp import solve\n"
        "mdp = ours(CASES[sys.argv[2]]()); begun = time.perf_counter()\n"
        "solve(mdp, 1e-3, threads=int(sys.argv[3])); print(time.perf_counter() - begun)\n"
    )
    line: dict[str, Any] = {"case": "first-solve"}
    for case, threads in (("frozen-lake-8x8", 1), ("grid-100k-.99", 1), ("grid-100k-.99", 2), ("chain-200k-.999", 1)):
        with tempfile.TemporaryDirectory() as cache:
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            seconds = [
                float(
                    subprocess.run(
                        [sys.executable, "-c", program, str(HERE), case, str(threads)],
                        capture_output=True, text=True, env=environment, check=True,
                    ).stdout
                )
                for _ in range(2)
            ]  # fmt: skip
        line[f"{case}, threads {threads}"] = {"first": round(seconds[0], 2), "later": round(seconds[1], 3)}
        say(f"first solve of {case}, {threads} thread(s): {seconds[0]:.1f} s, in a later process {seconds[1]:.3f} s")
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, without the models of a million states")
    parser.add_argument("--cases", nargs="+", choices=[*CASES, "first-solve"])
    parser.add_argument("--rounds", type=int, help="3, or 1 with --quick")
    given = parser.parse_args()
    quiet()
    rounds = given.rounds or (1 if given.quick else 3)
    read = bandwidth()
    say(f"one core reads {read / 1e9:.1f} GB/s")
    for case in given.cases or [*(QUICK if given.quick else CASES), "first-solve"]:
        if case == "first-solve":
            first_solve()
        else:
            compare(case, rounds, read)


if __name__ == "__main__":
    main()
