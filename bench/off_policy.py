"""Off-policy training against its peers: environment steps a second, acting, storing and learning together.

    python bench/off_policy.py --make-peers                 # once: environments of their own for the peers, by pip
    python bench/off_policy.py [--case sac-pendulum …] [--rounds 3] [--peers FOLDER]

Both sides do the same work: one copy, network, batches, updates a step, rates, targets (`_off_policy_cases.py`). Steps
that no update follows (the first ones, that fill the memory) are left out of the time on both sides, as are imports and
compiling; ours includes writing metrics and the last checkpoint. Peers: Stable-Baselines3 and sb3-contrib 2.9, and SBX
0.28, which is Stable-Baselines3 on JAX. DQN and QR-DQN get the threads that serve each side best in one short
calibration, told on stderr; SAC and TD3 run on two threads on both sides, and with `-core` on one core.

What a replay costs alone is in `replay.py`.

One line of JSON a case and peer, with both figures, their ratio and its goal, the load before it, returns, versions. It
refuses to begin where the load of the last minute is above 0.5.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from _interleave import Measurement, calibrate, emit, interleave, quiet, say
from _peers import PEERS, SB3, make_peers, python_of
from ppo_vs_sb3 import agree, memory, rounded

HERE = Path(__file__).parent
NEEDED = {
    "sb3": SB3,
    "sbx": ["sbx-rl==0.28.*"],
}
"""What each environment of a peer holds, with our torch and our gymnasium."""

STEPS = {"dqn-cartpole": 50_000, "qr-dqn-cartpole": 20_000, "sac-pendulum": 5_000, "td3-pendulum": 5_000}
CORE = {f"{case}-core": case for case in ("sac-pendulum", "td3-pendulum")}
AGAINST = {case: ("sb3",) if "dqn" in case else ("sbx", "sb3") for case in (*STEPS, *CORE)}
GOALS = {
    ("dqn-cartpole", "sb3"): 4.0, ("qr-dqn-cartpole", "sb3"): 3.0, ("sac-pendulum", "sbx"): 1.1,
    ("td3-pendulum", "sbx"): 1.1,
}  # fmt: skip
CALIBRATION = 0.1
"""The share of the steps that a calibration takes."""


def program(side: str, *words: object) -> list[str]:
    """The command of a side."""
    name = "ours" if side == "ours" else "peer"
    return [str(HERE / f"_off_policy_{name}.py"), *(() if side == "ours" else ("--package", side)), *map(str, words)]


def chosen(side: str, case: str, steps: int, python: str) -> tuple[str, list[str]]:
    """The setting of a side and its command: the faster number of threads, or that of the case."""
    if case in CORE:
        return "one core", program(side, "--case", CORE[case], "--threads", 1, "--core", "--steps", steps)
    if "dqn" not in case:
        return "2 threads", program(side, "--case", case, "--threads", 2, "--steps", steps)
    both: dict[str, list[list[str]]] = {}
    for n in (1, 2):
        given = ("--case", case, "--threads", n, "--steps")
        both[f"{n} thread{'s' * (n > 1)}"] = [program(side, *given, k) for k in (int(CALIBRATION * steps), steps)]
    name = calibrate({name: brief for name, (brief, _) in both.items()}, python)
    return name, both[name][1]


def compare(case: str, side: str, rounds: int, steps: int, peers: Path) -> None:
    """Choose the settings, measure in turn, print the line."""
    load, python = os.getloadavg()[0], python_of(peers, side)
    say(f"{case} against {side}: {rounds} rounds of {steps:,} steps")
    (ours, command), (peer, other) = chosen("ours", case, steps, sys.executable), chosen(side, case, steps, python)
    results = interleave(command, other, rounds, python)
    setting = {"ours": ours, "peer": peer}
    line(case, side, results, steps=steps, load=load, setting=setting, goal=GOALS.get((case, side)))


def line(case: str, side: str, results: tuple[list[Measurement], list[Measurement]], **detail: Any) -> None:
    """Print what was measured."""
    name = "sbx-rl" if side == "sbx" else "sb3-contrib" if case.startswith("qr-dqn") else "stable-baselines3"
    returns = [[m["return"] for m in measured if m.get("return") is not None] for measured in results]
    emit(
        case,
        *results,
        peer_name=name,
        peer_version=results[1][0]["versions"][name],
        unit="env steps/s",
        peak_memory_mb={"ours": memory(results[0]), "peer": memory(results[1])},
        returns={"ours": rounded(returns[0]), "peer": rounded(returns[1])},
        returns_agree=agree(*returns),
        versions={"ours": results[0][0]["versions"], "peer": results[1][0]["versions"]},
        **detail,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=list(AGAINST), default=list(AGAINST))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="in place of each case's own")
    parser.add_argument("--peers", type=Path, default=PEERS, help="the folder of the peers' environments")
    parser.add_argument("--make-peers", action="store_true", help="make these environments, and end")
    given = parser.parse_args()
    if given.make_peers:
        return make_peers(given.peers, NEEDED, ours=tuple(NEEDED))
    for case in given.case:
        for side in AGAINST[case]:
            quiet()
            steps = given.steps or STEPS[CORE.get(case, case)]
            compare(case, side, given.rounds, steps, given.peers)


if __name__ == "__main__":
    main()
