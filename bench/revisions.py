"""This tree against an older revision of it, on what must not become slower: PPO, GRPO, the sampler, exact solvers.

    python bench/revisions.py 4775408 [--rounds 5] [--case ppo-cartpole grpo-0.8M …]

The older revision is checked out beside this one (`git worktree`); every measurement is a process of its own, runs that
tree's own bench of our side, and the two take turns. Both do the same work with the same settings and seeds. One line
of JSON a case; `ratio` above 1 says that this tree is faster, `ratio_rounds` is by round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _interleave import quiet, say

ROOT = Path(__file__).resolve().parents[1]


PPO = "_peer_operant.py --env {} --backend {} --steps 100000 --threads 2 --seed SEED"
GRPO = "grpo_vs_trl.py --case {} --steps 8 --threads 2 --side ours --seed SEED"
SAMPLER = "sampler.py --one {} {} equal --rounds 1 --threads 2"
SOLVER = "_mdp_side.py --case {} --side operant --threads 2"
SOLVED = ("random-100k-.99", "grid-100k-.99", "grid-100k-.9999", "queue-90k-.999", "chain-200k-.999")
SAMPLED = [(size, batch) for size in ("0.8", "4.7") for batch in (1, 16, 64, 256)]

CASES: dict[str, tuple[str, str, str]] = {
    "ppo-cartpole": (PPO.format("CartPole-v1", "native"), "value", "env steps/s"),
    "ppo-halfcheetah": (PPO.format("HalfCheetah-v5", "envpool"), "value", "env steps/s"),
    "grpo-0.8M": (GRPO.format("0.8M"), "value", "steps/s"),
    "grpo-4.7M": (GRPO.format("4.7M"), "value", "steps/s"),
    **{f"sampler-{size}M-{batch}": (SAMPLER.format(size, batch), "ours", "tokens/s") for size, batch in SAMPLED},
    **{f"mdp-{case}": (SOLVER.format(case), "value", "solves/s") for case in SOLVED},
}
"""By name: the command in `bench/`, under which key of its last line the measurement is (more is better), its unit."""


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """The tree of a revision, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", tree, revision], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def revision() -> str:
    """The commit of this tree, and whether it was changed."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def measure(tree: Path, command: str, seed: int) -> dict[str, Any]:
    """The last line of a tree's bench, parsed."""
    env = os.environ | {"PYTHONPATH": str(tree / "src")}
    words = command.replace("SEED", str(seed)).split()
    done = subprocess.run(
        [sys.executable, *words], cwd=tree / "bench", env=env, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{command} failed in {tree}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Every case, interleaved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    given = parser.parse_args()
    quiet()
    with checked_out(given.revision) as old:
        for case in given.case:
            command, key, unit = CASES[case]
            sides: tuple[list[float], list[float]] = ([], [])
            for seed in range(given.rounds + 1):
                turns = [*zip(sides, (ROOT, old), strict=True)]
                for side, tree in turns[:: 1 if seed % 2 else -1]:
                    side.append(float(measure(tree, command, seed)[key]))
            ours, peer = ([*side][1:] for side in sides)  # the first round compiles and is not counted
            line = {
                "case": case,
                "ours": round(statistics.median(ours), 2),
                "peer": round(statistics.median(peer), 2),
                "peer_name": f"operant {given.revision}",
                "revision": revision(),
                "threads": 2,
                "rounds": given.rounds,
                "unit": unit,
                "ratio": round(statistics.median(ours) / statistics.median(peer), 3),
                "ratio_rounds": sorted(round(a / b, 3) for a, b in zip(ours, peer, strict=True)),
            }
            print(json.dumps(line), flush=True)
            say(f"{case}: {line['ratio']}")


if __name__ == "__main__":
    main()
