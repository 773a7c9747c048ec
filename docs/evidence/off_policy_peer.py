"""Train a peer beside us: Stable-Baselines3 on the same steps, by the settings of our presets, judged alike.

    python bench/off_policy.py --make-peers                                      # once
    python docs/evidence/off_policy_peer.py [--case NAME ...] [--peers FOLDER]

Each seed is a line of off_policy_peer.jsonl, written as soon as it is there; what is there is not trained again. The
page off_policy.md shows them beside ours when `off_policy.py` writes it next.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BENCH = HERE.parents[1] / "bench"
FILE = HERE / "off_policy_peer.jsonl"
STEPS = {"sac-HalfCheetah": 50_000, "td3-HalfCheetah": 50_000}
SEEDS, EPISODES = (1, 2, 3), 100


def rows() -> list[dict[str, Any]]:
    """What was measured."""
    return [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []


def beside(ours: list[dict[str, Any]]) -> list[str]:
    """Lines of the page: each case of the peer's that is whole, and ours."""
    from operant.data.stats import bootstrap_ci, iqm

    def told(scores: list[float]) -> str:
        low, high = bootstrap_ci(scores)
        return f"{iqm(scores):,.1f} [{low:,.1f}, {high:,.1f}]"

    lines: list[str] = []
    for name, steps in STEPS.items():
        mine, its = ([r for r in found if r["case"] == name and r["seed"] in SEEDS] for found in (ours, rows()))
        if len(mine) == len(its) == len(SEEDS):
            a, b = ([r["score"] for r in found] for found in (mine, its))
            speeds = [sum(r["steps"] for r in found) / sum(r["seconds"] for r in found) for found in (mine, its)]
            lines.append(f"| {name} | {steps:,} | {told(a)} | {told(b)} | {speeds[0]:,.0f} | {speeds[1]:,.0f} |")
    if not lines:
        return []
    versions = rows()[-1]["versions"]
    return [
        "", f"## Beside Stable-Baselines3 {versions['stable-baselines3']}", "",
        "Made by `python docs/evidence/off_policy_peer.py`: the same steps and settings, three seeds each, and 100",
        "episodes of the mode after training. Steps a second are of one core each, ours with those episodes in them;",
        "they were not measured in turn, as those of `bench/off_policy.py` are.", "",
        "| case | steps | ours | the peer | steps/s | of the peer |", "|---|--:|--:|--:|--:|--:|", *lines,
    ]  # fmt: skip


def main() -> None:
    """Train what is missing of the cases that the command line names."""
    sys.path.insert(0, str(BENCH))
    from _off_policy_cases import CASES
    from _peers import PEERS, python_of

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=list(STEPS), default=list(STEPS), help="only these")
    parser.add_argument("--peers", type=Path, default=PEERS, help="where the environments of the peers are")
    args = parser.parse_args()
    program = [python_of(args.peers, "sb3"), str(BENCH / "_off_policy_peer.py"), "--package", "sb3", "--threads", "1"]
    for name in args.case:
        for seed in SEEDS:
            if (name, seed) in {(r["case"], r["seed"]) for r in rows()}:
                continue
            its = ["--case", name, "--steps", str(STEPS[name]), "--seed", str(seed), "--episodes", str(EPISODES)]
            said = subprocess.run([*program, *its], capture_output=True, text=True, check=False)
            if said.returncode:
                raise SystemExit(f"{name}, seed {seed}: the peer failed: {said.stderr.strip().splitlines()[-1]}")
            row = {"case": name, "seed": seed, "episodes": EPISODES, "setting": CASES[name]} | json.loads(
                said.stdout.splitlines()[-1]
            )
            with FILE.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(f"{name}, seed {seed}: {row['score']:.2f}", flush=True)


if __name__ == "__main__":
    main()
