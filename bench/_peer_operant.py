"""Train operant's PPO once and print its throughput; the other side of `ppo_vs_sb3.py`."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from platform import python_version
from typing import Any

import operant

NUM, HORIZON = 8, 256
SETTING: dict[str, Any] = {
    "env.num": NUM,
    "policy.hidden": (64, 64),
    "policy.activation": "tanh",
    "policy.log_std_init": 0.0,
    "policy.normalize_obs": False,
    "policy.normalize_reward": False,
    "algo.horizon": HORIZON,
    "algo.batch": 256,
    "algo.epochs": 10,
    "algo.discount": 0.99,
    "algo.lam": 0.95,
    "algo.lr": 3e-4,
    "algo.lr_schedule": "constant",
    "algo.adam_eps": 1e-5,
    "algo.clip": 0.2,
    "algo.clip_schedule": "constant",
    "algo.value_coef": 1.0,  # of half the squared error, against 0.5 of the whole
    "algo.entropy_coef": 0.0,
    "algo.max_grad_norm": 0.5,
    "algo.whiten": True,
    "eval.episodes": 1,
    "save.videos": False,
    "save.report": False,
}
"""The setting of the comparison, every key that matters, whatever a preset says."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--backend", choices=["compiled", "native", "inprocess", "process", "envpool"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    setting = SETTING | {"env.backend": given.backend, "threads": given.threads, "seed": given.seed}

    with tempfile.TemporaryDirectory() as runs:
        warm_up = 2 * NUM * HORIZON
        operant.train("ppo", given.env, total_steps=warm_up, runs=runs, quiet=True, **setting)
        run = operant.train("ppo", given.env, total_steps=given.steps, runs=runs, quiet=True, **setting)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        info, metrics = run.folder.info(), run.metrics

    ended = metrics["train/episodes"].diff().fillna(metrics["train/episodes"])
    late = (metrics["step"] > 0.75 * given.steps) & (ended > 0)
    mean = (metrics["train/return"] * ended)[late].sum() / ended[late].sum() if late.any() else None
    packages = ("operant", "gymnasium", "torch", "numpy", "numba", "envpool")
    result = {
        "value": info["steps"] / info["seconds"],
        "return": None if mean is None else float(mean),
        "peak_memory_mb": round(memory, 1),
        "versions": {name: version(name) for name in packages if find_spec(name)} | {"python": python_version()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
