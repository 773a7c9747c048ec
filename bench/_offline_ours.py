"""Learn from fixed data with operant once, as a case of `offline.py` says, and print its gradient steps a second."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import gymnasium
import numpy as np

import operant
from _offline_cases import CASES, data
from operant.env import DataSet, Episode, write_data

WARM_UP = 200
"""Steps of the run whose time is taken off: reading the data, compiling, and the evaluation at its end."""


def written(case: dict[str, Any], out: Path) -> Path:
    """The data as a data set of the environment."""
    env, its = gymnasium.make(case["env"]), data()
    never = np.zeros(its["rewards"].shape[1], np.bool_)
    cut = never.copy()
    cut[-1] = True
    columns = zip(its["observations"], its["actions"], its["rewards"], strict=True)
    episodes = [
        Episode(observations=o, actions=a, rewards=r, terminations=never, truncations=cut) for o, a, r in columns
    ]
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    return write_data(DataSet(episodes=episodes, env_id=case["env"], **spaces), out)


def settings(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """The setting of a case, every key that matters."""
    found: dict[str, Any] = {"policy.hidden": case["hidden"], "policy.activation": case.get("activation", "relu")}
    found |= {"policy.normalize_obs": name != "bc"}
    if name == "bc":
        found |= {"data.test_share": 0.0, "algo.likelihood": "gaussian"}
    found |= {f"algo.{key}": case[key] for key in ("batch", "discount", "tau", "lr", "critic_lr") if key in case}
    if name == "td3-bc":
        found |= {"algo.alpha": case["alpha"], "algo.delay": case["policy_every"]}
    found |= {f"algo.{key}": case[key] for key in ("expectile", "inverse_temperature", "samples") if key in case}
    return found | {"eval.episodes": 1, "eval.max_steps": 10, "save.videos": False, "save.report": False, "quiet": True}


def trained(name: str, steps: int, threads: int, seed: int) -> dict[str, Any]:
    """A training that compiles, one whose time is taken off, and the one that goes `steps` further."""
    case, seconds = CASES[name], list[float]()
    with tempfile.TemporaryDirectory() as aside:
        given = settings(name, case) | {"data.path": str(written(case, Path(aside) / "data"))}
        for total in (WARM_UP, WARM_UP, WARM_UP + steps):
            run = operant.train(
                name, case["env"], total_steps=total, runs=Path(aside) / "runs", threads=threads, seed=seed, **given
            )
            seconds.append(run.folder.info()["seconds"])
    return {"value": steps / (seconds[2] - seconds[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    result = trained(given.case, given.steps, given.threads, given.seed)
    result |= {
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "versions": {name: version(name) for name in ("operant", "gymnasium", "torch", "numpy", "numba")}
        | {"python": python_version()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
