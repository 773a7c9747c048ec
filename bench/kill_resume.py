"""Kill training with SIGKILL at random moments, resume it, and compare with the run that was never stopped.

    python bench/kill_resume.py --kills 200 [--case NAME ...] [--seed N]

A trial trains a run that is killed once or several times: at a random time, or inside a random rename, flush to disk,
metrics line, directory removal, or file or link of a replay. It is resumed until it finishes. Then the parameters, the
optimiser's state, the replay and every metric row (without wall times) must equal, bit for bit, those of the
uninterrupted run. Prints one JSON line: case counts, kills, where they fell, mismatches.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from operant.config.errors import ConfigError
from operant.config.resolve import resolve
from operant.control import replay_files

QUIET = {"save.videos": False, "save.report": False, "eval.episodes": 2, "eval.during": 2}
SMALL = {"env.num": 4, "algo.horizon": 32, "algo.batch": 64, "algo.epochs": 2, "total_steps": 4000, "save.every": 700}
NORMALISED = {"policy.normalize_obs": True, "policy.normalize_reward": True}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("CartPole-v1", {"eval.every": 900}),
    "normalised": ("CartPole-v1", {"env.backend": "inprocess", "algo.fused": "off", **NORMALISED}),
    "continuous": ("Pendulum-v1", {"algo.target_kl": 0.01, **NORMALISED}),
    "mujoco": ("HalfCheetah-v5", NORMALISED),
    "envpool": ("HalfCheetah-v5", {"env.backend": "envpool", **NORMALISED}),
    "replay": ("Pendulum-v1", {}),
}
REPLAY = {
    "env.num": 4, "algo.capacity": 2000, "algo.learning_starts": 100, "algo.batch": 32, "algo.n": 3,
    "algo.priority": "proportional", "algo.updates": 16, "policy.hidden": (16,), "total_steps": 4000, "save.every": 500,
}  # fmt: skip
ALGORITHMS: dict[str, tuple[str, dict[str, Any]]] = {"replay": ("td3", REPLAY)}
"""Of the cases that are not of PPO, the algorithm and its settings; pieces of a replay have 256 rows here."""
NEEDS = {"mujoco": "mujoco", "envpool": "envpool"}
INSIDE = {
    "os.fsync": 30,
    "pathlib.Path.replace": 30,
    "pathlib.Path.write_text": 2,
    "operant MetricsWriter.write": 28,
    "shutil.rmtree": 8,
}
"""Functions inside which a kill may fall, and up to which of their calls."""
OF_A_REPLAY = {"operant replay_files.save_tensors": 30, "pathlib.Path.hardlink_to": 40}
"""Those of a replay's files besides."""


def available() -> list[str]:
    """The cases whose simulators are installed."""
    return [name for name in CASES if name not in NEEDS or find_spec(NEEDS[name])]


def train(case: str, runs: Path, **more: Any) -> None:
    """Start the case's run, or go on with the one that is there; one killed before its first checkpoint starts anew."""
    from operant.api import resume, start
    from operant.run.checkpoint import newest
    from operant.run.folder import RunFolder

    there = sorted(runs.glob("*/run.json"))
    if there:
        if RunFolder(there[0].parent).info()["status"] == "finished":
            return  # killed after its last word
        try:
            newest(there[0].parent)
        except ConfigError:
            shutil.rmtree(there[0].parent)
        else:
            resume(there[0].parent, quiet=True)
            return
    (env, settings), (algorithm, small) = CASES[case], ALGORITHMS.get(case, ("ppo", SMALL))
    start(resolve(algorithm, env, overrides=small | QUIET | settings | more, source="argument"), runs=runs, quiet=True)


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a fork of this process, which has everything imported; returns its wait status."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            torch.set_num_threads(1)
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def kill_at(where: str, count: int) -> None:
    """Make this process kill itself at the start or the end of the `count`-th call of a function."""
    from operant.run.folder import MetricsWriter

    owners: dict[str, Any] = {
        "save_tensors": replay_files,
        "hardlink_to": Path,
        "fsync": os,
        "replace": Path,
        "write_text": Path,
        "write": MetricsWriter,
        "rmtree": shutil,
    }
    name = where.rpartition(".")[2]
    owner, calls = owners[name], iter(range(1, 1 << 30))
    original = getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        mine = next(calls) == count
        if mine and count % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, watched)


def kill_after(seconds: float) -> None:
    """Have the kernel kill this process, by a watcher that shares nothing with it but its number."""
    target = os.getpid()
    if os.fork() == 0:
        time.sleep(seconds)
        if os.getppid() == target:
            os.kill(target, signal.SIGKILL)
        os._exit(0)


def fingerprint(runs: Path) -> dict[str, str]:
    """Hashes of the final parameters, the optimiser's state and the metric rows without wall times."""
    from operant.run.folder import RunFolder

    folder = RunFolder(next(runs.glob("*/run.json")).parent)
    latest = folder.path / "checkpoints" / "latest"
    frame = folder.metrics()
    timed = [c for c in frame.columns if c in ("time", "attempt") or c.split("/")[0] in ("phase", "speed")]
    rows = frame.drop(columns=timed).to_json(orient="records", double_precision=15)
    exact = frame.drop(columns=timed).reindex(sorted(set(frame.columns) - set(timed)), axis=1).to_numpy().tobytes()
    names = ("model.safetensors", "optim.safetensors", "replay.safetensors")
    files = {name: (latest / name).read_bytes() for name in names if (latest / name).exists()}
    best = folder.path / "checkpoints" / "best"
    extra = {
        "rows": exact,
        "readable rows": rows.encode(),
        "best": best.resolve().name.encode() if best.exists() else b"",
    }
    return {name: hashlib.sha256(data).hexdigest() for name, data in (files | extra).items()}


def trial(case: str, runs: Path, rng: random.Random, longest: float) -> Counter[str]:
    """Train a run to its end through one to three kills; returns where they fell."""
    kills: Counter[str] = Counter()
    wanted = rng.randint(1, 3)
    while True:
        inside = INSIDE | (OF_A_REPLAY if case == "replay" else {})
        where = rng.choice([*inside, "at any time", "at any time"]) if kills.total() < wanted else ""
        count, seconds = rng.randint(1, inside.get(where, 1)), rng.uniform(0.05, longest)

        def work(where: str = where, count: int = count, seconds: float = seconds) -> None:
            if where == "at any time":
                kill_after(seconds)
            elif where:
                kill_at(where, count)
            train(case, runs)

        status = in_child(work)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            kills[where] += 1
        elif status:
            raise SystemExit(f"{case}: an attempt failed by itself (status {status}); its folder is {runs}")
        else:
            return kills


def main() -> int:
    """Run the trials and print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many kills at least [200]")
    parser.add_argument(
        "--case", nargs="+", choices=list(CASES), help="only these; all that are installed if not given"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    args = parser.parse_args()
    torch.set_num_threads(1)
    replay_files.PIECE = replay_files.LEAST = 256
    for heavy in filter(find_spec, NEEDS.values()):
        import_module(heavy)
    with tempfile.TemporaryDirectory() as temporary:  # imports and kernels: once, instead of in every fork
        for case in CASES.keys() - NEEDS.keys():
            train(case, Path(temporary) / case, total_steps=256)
    cases = args.case or available()
    rng, kills, mismatches, trials = random.Random(args.seed), Counter[str](), [], Counter[str]()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        want: dict[str, dict[str, str]] = {}
        longest: dict[str, float] = {}
        for case in cases:
            runs, begun = Path(temporary) / case, time.monotonic()
            if in_child(lambda case=case, runs=runs: train(case, runs)):
                raise SystemExit(f"{case}: the uninterrupted run failed")
            want[case], longest[case] = fingerprint(runs), time.monotonic() - begun
        while kills.total() < args.kills:
            case = cases[trials.total() % len(cases)]
            runs = Path(temporary) / f"{case}-{trials.total()}"
            kills += trial(case, runs, rng, longest[case])
            got = fingerprint(runs)
            mismatches += [f"{case}: {name}" for name in got if got[name] != want[case][name]]
            trials[case] += 1
            print(f"{kills.total()} kills, {len(mismatches)} mismatches", file=sys.stderr, flush=True)
            shutil.rmtree(runs)
    line = {
        "case": "kill_resume",
        "kills": kills.total(),
        "where": dict(kills),
        "trials": dict(trials),
        "mismatches": len(mismatches),
        "differing": mismatches,
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(line), flush=True)
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
