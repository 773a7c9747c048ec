"""Train with operant once, as a case of `on_policy.py` says, and print its throughput."""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

import operant
from _on_policy_cases import CASES
from operant.env import make

ATARI = ("atari",)
"""The wrappers of Atari games, those of the other side; ale-py's own vector form plays them."""
HERE = Path(__file__).parent / "_on_policy_cases.py"


def settings(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """The setting of a case, every key that matters, whatever a preset says."""
    found: dict[str, Any] = {
        "env.num": case["num"],
        "policy.hidden": (case["width"],) * 2,
        "policy.activation": "tanh",
        "policy.log_std_init": 0.0,
        "policy.normalize_obs": False,
        "policy.normalize_reward": False,
        "algo.horizon": case["horizon"],
        "algo.discount": 0.99,
        "algo.lr": case["lr"],
        "algo.lr_schedule": "constant",
        "algo.value_coef": 1.0,  # of half the squared error, against 0.5 of the whole
        "algo.entropy_coef": 0.0,
        "algo.max_grad_norm": 0.5,
        "eval.episodes": 1,
        "save.videos": False,
        "save.report": False,
    }
    if name == "a2c-cartpole":
        return found | {"algo.lam": 1.0, "algo.optimizer": "rmsprop", "algo.whiten": False}
    found |= {
        "algo.batch": case["batch"],
        "algo.epochs": case["epochs"],
        "algo.lam": 0.95,
        "algo.adam_eps": 1e-5,
        "algo.clip": 0.2,
        "algo.clip_schedule": "constant",
        "algo.whiten": True,
    }
    if "lstm" in case:
        found |= {"policy.memory": "lstm", "policy.memory_size": case["lstm"]}
    if name == "masked":
        found |= {"env.action_mask": "info"}
    if name == "pixels":
        found |= {"env.wrappers": ATARI, "policy.network": "nature-cnn"}
        found |= {"algo.clip": 0.1, "algo.entropy_coef": 0.01}
    return found


def environment(case: dict[str, Any]) -> str:
    """Its name."""
    return f"{HERE}:{case['env']}" if case["env"] in ("unseen", "masked") else case["env"]


def stepped(case: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
    """The environments alone, at random."""
    env, rng = make(environment(case), case["num"], wrappers=ATARI), np.random.default_rng(seed)
    env.reset(seed)
    actions = rng.integers(0, env.action_space.n, (steps // case["num"], case["num"]))  # type: ignore[attr-defined]
    for action in actions[:20]:
        env.step(action)
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    return {"value": actions.size / (time.perf_counter() - start), "return": None}


def trained(name: str, case: dict[str, Any], steps: int, threads: int, seed: int) -> dict[str, Any]:
    """A short training to warm up, and the one that is timed."""
    algorithm = "a2c" if name.startswith("a2c") else "ppo"
    setting = settings(name, case) | {"threads": threads, "seed": seed, "quiet": True}
    with tempfile.TemporaryDirectory() as runs:
        warm_up = max(2_048, 2 * case["num"] * case["horizon"])
        operant.train(algorithm, environment(case), total_steps=warm_up, runs=runs, **setting)
        run = operant.train(algorithm, environment(case), total_steps=steps, runs=runs, **setting)
        info, metrics = run.folder.info(), run.metrics
    ended = metrics["train/episodes"].diff().fillna(metrics["train/episodes"])
    late = (metrics["step"] > 0.75 * steps) & (ended > 0)
    mean = (metrics["train/return"] * ended)[late].sum() / ended[late].sum() if late.any() else None
    return {"value": info["steps"] / info["seconds"], "return": None if mean is None else float(mean)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--core", action="store_true", help="keep to one core")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--num", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    if given.core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    case = dict(CASES[given.case])
    if given.num:  # as many steps between updates, whatever the number of copies
        case |= {"num": given.num, "horizon": case["num"] * case["horizon"] // given.num}
    case |= {"width": given.width or case["width"]}
    if given.case == "pixels-env":
        result = stepped(case, given.steps, given.seed)
    else:
        result = trained(given.case, case, given.steps, given.threads, given.seed)
    packages = ("operant", "gymnasium", "torch", "numpy", "numba", "ale-py")
    result |= {
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "versions": {name: version(name) for name in packages if find_spec(name.replace("-", "_"))}
        | {"python": python_version()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
