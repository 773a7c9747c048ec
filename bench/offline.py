"""Gradient steps a second, drawing and learning together: from fixed data against d3rlpy, cloning against imitation.

    python bench/offline.py --make-peers                 # once: an environment of its own for each peer, by pip
    python bench/offline.py [--case td3-bc …] [--rounds 3] [--peers FOLDER]

Both sides do the same work: 50,000 transitions of Hopper-v5's shape, networks, batches, rates, targets
(`_offline_cases.py`). Reading the data, imports and compiling are left out of the time on both sides; ours includes
writing metrics and the last checkpoint. Peers: d3rlpy 2.8, and of cloning imitation 1.0, with the threads, and d3rlpy's
graph compiled by torch or not, as serves it best in one short calibration, told on stderr; ours likewise with the
threads.

One line of JSON a case, with both figures, their ratio and its goal, the load before it, versions. It refuses to begin
where the load of the last minute is above 0.5.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from _interleave import calibrate, emit, interleave, quiet, say
from _offline_cases import CASES
from _peers import PEERS, make_peers, python_of
from ppo_vs_sb3 import memory

HERE = Path(__file__).parent
NEEDED = {"d3rlpy": ["d3rlpy==2.8.*"], "imitation": ["imitation==1.0.*"]}
"""What the environments of the peers hold, with our torch; they want an older gymnasium than ours."""
PEER = {"bc": "imitation"}
"""Of the cases whose peer is not d3rlpy."""
STEPS = {"td3-bc": 10_000, "iql": 5_000, "cql": 300, "bc": 20_000}
GOALS = {"td3-bc": 1.5, "bc": 3.0}
CALIBRATION = 0.1
"""The share of the steps that a calibration takes."""


def chosen(side: str, case: str, steps: int, python: str, compiled: bool) -> tuple[str, list[str]]:
    """The setting of a side that is the fastest, and its command."""
    program = [str(HERE / f"_offline_{side}.py"), "--case", case]
    settings = {f"{n} thread{'s' * (n > 1)}": ["--threads", str(n)] for n in (1, 2)}
    if side == "d3rlpy" and compiled:
        settings |= {f"{name}, compiled": [*words, "--compile"] for name, words in settings.items()}
    brief = max(100, int(CALIBRATION * steps))
    name = calibrate({name: [*program, *words, "--steps", str(brief)] for name, words in settings.items()}, python)
    return name, [*program, *settings[name], "--steps", str(steps)]


def compare(case: str, rounds: int, steps: int, peers: Path, compiled: bool) -> None:
    """Choose the settings, measure in turn, print the line."""
    name = PEER.get(case, "d3rlpy")
    load, python = os.getloadavg()[0], python_of(peers, name)
    say(f"{case} against {name}: {rounds} rounds of {steps:,} gradient steps")
    (ours, command), (peer, other) = (
        chosen("ours", case, steps, sys.executable, compiled), chosen(name, case, steps, python, compiled)
    )  # fmt: skip
    results = interleave(command, other, rounds, python)
    emit(
        case, *results, peer_name=name, peer_version=results[1][0]["versions"][name], unit="gradient steps/s",
        peak_memory_mb={"ours": memory(results[0]), "peer": memory(results[1])},
        versions={"ours": results[0][0]["versions"], "peer": results[1][0]["versions"]}, steps=steps, load=load,
        setting={"ours": ours, "peer": peer}, goal=GOALS.get(case),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="in place of each case's own")
    parser.add_argument("--no-compile", action="store_true", help="leave out the peer's compiled graph")
    parser.add_argument("--peers", type=Path, default=PEERS, help="the folder of the peers' environments")
    parser.add_argument("--make-peers", action="store_true", help="make this environment, and end")
    given = parser.parse_args()
    if given.make_peers:
        return make_peers(given.peers, NEEDED, ours=tuple(NEEDED))  # our torch; they then take a gymnasium of their own
    for case in given.case:
        quiet()
        compare(case, given.rounds, given.steps or STEPS[case], given.peers, not given.no_compile)


if __name__ == "__main__":
    main()
