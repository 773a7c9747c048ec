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
    "dqn": ("CartPole-v1", {}),
    "rainbow": ("CartPole-v1", {}),
    "sac": ("Pendulum-v1", {"policy.normalize_obs": True}),
    "sac-gru": ("Pendulum-v1", {"policy.memory": "gru", "policy.memory_size": 8, "algo.length": 16}),
    "crossq": ("Pendulum-v1", {}),
    "discrete-sac": ("CartPole-v1", {}),
    "pets": ("Pendulum-v1", {"algo.models": 2, "algo.particles": 2, "algo.population": 8, "algo.elites": 2}),
    "her": ("operant.env.reach:point", {"algo.hindsight": "future"}),
    "pqn": ("CartPole-v1", {"env.num": 4, "algo.horizon": 32, "policy.hidden": (16,)}),
    "linear": ("MountainCar-v0", {}),
    "online": ("Pendulum-v1", {"algo.learning_starts": 1}),
    "bc": ("CartPole-v1", {}),
    "flow": ("Pendulum-v1", {"algo.likelihood": "flow", "algo.flow_steps": 4}),
    "dagger": ("CartPole-v1", {"algo.expert": "operant/CartPole-v1", "algo.gradient_steps": 20}),
    "gail": ("CartPole-v1", {"discriminator.hidden": (16,)}),
    "airl": ("CartPole-v1", {"discriminator.hidden": (16,)}),
    "preferences": ("Pendulum-v1", {"preferences.budget": 40, "preferences.initial": 10, "preferences.clip": 10}),
    "td3-bc": ("Pendulum-v1", {}),
    "cql": ("Pendulum-v1", {"algo.samples": 2}),
    "discrete-cql": ("CartPole-v1", {}),
    "iql": ("Pendulum-v1", {}),
    "decision-transformer": ("CartPole-v1", {"algo.context": 5, "algo.layers": 1, "algo.width": 16, "algo.warmup": 50}),
}  # fmt: skip
REPLAY = {
    "env.num": 4, "algo.capacity": 2000, "algo.learning_starts": 100, "algo.batch": 32, "algo.n": 3,
    "algo.priority": "proportional", "algo.updates": 16, "policy.hidden": (16,), "total_steps": 4000, "save.every": 500,
}  # fmt: skip
PLAIN = {k: x for k, x in REPLAY.items() if "priority" not in k and k != "algo.n"}
UPDATES = {"algo.batch": 32, "algo.updates": 20, "total_steps": 600, "save.every": 110}
OFFLINE = UPDATES | {"policy.hidden": (16,), "eval.max_steps": 50}
ALGORITHMS: dict[str, tuple[str, dict[str, Any]]] = {
    "replay": ("td3", REPLAY),
    "dqn": ("dqn", REPLAY),
    "rainbow": ("rainbow", {k: x for k, x in REPLAY.items() if k != "algo.priority"}),
    "sac": ("sac", PLAIN),
    "sac-gru": ("sac", PLAIN | {"total_steps": 1500, "save.every": 400}),
    "crossq": ("crossq", PLAIN | {"total_steps": 2000}),
    "discrete-sac": ("discrete-sac", PLAIN),
    "pets": ("pets", PLAIN | {"algo.horizon": 3, "algo.iterations": 1, "total_steps": 1500, "save.every": 400}),
    "her": ("sac", PLAIN),
    "pqn": ("pqn", {"total_steps": 4000, "save.every": 700}),
    "linear": ("linear-sarsa", {"total_steps": 3000, "save.every": 500}),
    "online": ("td3", PLAIN),
    "bc": ("bc", OFFLINE),
    "flow": ("bc", OFFLINE),
    "dagger": (
        "dagger",
        {"algo.batch": 32, "algo.round_steps": 200, "policy.hidden": (16,), "total_steps": 1200, "save.every": 390},
    ),
    "gail": ("gail", SMALL),
    "airl": ("airl", SMALL),
    "preferences": ("preference-ppo", SMALL | {"preferences.every": 400, "preferences.ask": 5}),
    "td3-bc": ("td3-bc", OFFLINE),
    "cql": ("cql", OFFLINE),
    "discrete-cql": ("discrete-cql", OFFLINE),
    "iql": ("iql", OFFLINE),
    "decision-transformer": ("decision-transformer", UPDATES | {"eval.max_steps": 50}),
}
"""Of the cases that are not of PPO, the algorithm and its settings; pieces of a replay have 256 rows here."""
FROM_DATA = (
    "online", "bc", "flow", "dagger", "gail", "airl", "td3-bc", "cql", "discrete-cql", "iql", "decision-transformer"
)  # fmt: skip
"""Those that begin with a data set, of somebody who acts at random."""
WITH_REPLAY = (
    "replay",
    "dqn",
    "rainbow",
    "sac",
    "sac-gru",
    "crossq",
    "discrete-sac",
    "pets",
    "her",
    "online",
    "dagger",
)
DATA: dict[str, Path] = {}
"""The data sets by their environments."""
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
    settings = settings | ({"data.path": str(DATA[env])} if case in FROM_DATA else {})
    start(resolve(algorithm, env, overrides=small | QUIET | settings | more, source="argument"), runs=runs, quiet=True)


def recorded(folder: Path) -> None:
    """Record a data set of each environment that a case begins with one of."""
    import numpy as np

    from operant.env import make_one, record_data, write_data

    for env in sorted({CASES[case][0] for case in FROM_DATA}):
        space = make_one(env).action_space
        space.seed(0)
        data = record_data(env, lambda obs, space=space: np.asarray(space.sample()), episodes=5, seed=0)
        DATA[env] = folder / env
        write_data(data, DATA[env])


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
    files = {file.name: file.read_bytes() for file in latest.glob("*.safetensors")}
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
        inside = INSIDE | (OF_A_REPLAY if case in WITH_REPLAY else {})
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
    cases = args.case or available()
    home = tempfile.TemporaryDirectory()
    recorded(Path(home.name))
    with tempfile.TemporaryDirectory() as temporary:  # imports and kernels: once, instead of in every fork
        for case in set(cases) - NEEDS.keys():
            train(case, Path(temporary) / case, total_steps=256)
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
