"""Train with operant once, as a case of `off_policy.py` says, and print its throughput."""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
from importlib.metadata import version
from platform import python_version
from typing import Any

import operant
from _off_policy_cases import CASES

WARM_UP = 2_000
"""Steps of the run whose time is taken off: the first ones fill the replay, and no update follows them."""


def settings(case: dict[str, Any]) -> dict[str, Any]:
    """The setting of a case, every key that matters, whatever a preset says."""
    found: dict[str, Any] = {
        "env.num": 1,
        "policy.hidden": case["hidden"],
        "policy.activation": "relu",
        "policy.normalize_obs": False,
        "policy.normalize_reward": False,
        "algo.gradient_steps": 1,
        "algo.n": 1,
        "algo.priority": "none",
        "algo.max_grad_norm": 10.0 if "dqn" in case["method"] else None,
        "eval.episodes": 1,
        "save.videos": False,
        "save.report": False,
    }
    found |= {
        f"algo.{key}": case[key] for key in ("lr", "batch", "discount", "train_freq", "capacity", "learning_starts")
    }
    if "dqn" in case["method"]:
        found |= {"algo.epsilon": 1.0, "algo.epsilon_end": case["final_epsilon"], "algo.target": "hard"}
        found |= {"algo.exploration_share": case["fraction"], "algo.target_every": case["target_every"]}
        return found | ({"policy.atoms": case["quantiles"]} if "quantiles" in case else {})
    found |= {"algo.tau": case["tau"]}
    if case["method"] == "td3":
        found |= {"algo.noise": "gaussian", "algo.noise_std": case["noise"], "algo.delay": case["policy_every"]}
    return found


def trained(case: dict[str, Any], steps: int, threads: int, seed: int) -> dict[str, Any]:
    """A training that compiles, one whose time is taken off, and the one that goes `steps` further."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as runs:
        for total in (WARM_UP, WARM_UP, WARM_UP + steps):
            given = settings(case) | {"threads": threads, "seed": seed, "quiet": True}
            run = operant.train(case["method"], case["env"], total_steps=total, runs=runs, **given)
            seconds.append(run.folder.info()["seconds"])
        info, metrics = run.folder.info(), run.metrics
    ended = metrics["train/episodes"].diff().fillna(metrics["train/episodes"])
    late = (metrics["step"] > WARM_UP + 0.75 * steps) & (ended > 0)
    mean = (metrics["train/return"] * ended)[late].sum() / ended[late].sum() if late.any() else None
    done = info["steps"] - WARM_UP
    return {"value": done / (seconds[2] - seconds[1]), "return": None if mean is None else float(mean)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--core", action="store_true", help="keep to one core")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    if given.core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    result = trained(CASES[given.case], given.steps, given.threads, given.seed)
    result |= {
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "versions": {name: version(name) for name in ("operant", "gymnasium", "torch", "numpy", "numba")}
        | {"python": python_version()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
