"""Clone with the package imitation once, as a case of `offline.py` says, and print its gradient steps a second.

Run in an environment of its own; `offline.py` says how that is made. One trainer trains: first long enough to warm,
then for the steps that are timed. What is not named is its default: a normal distribution of one deviation, and a
bonus of 1e-3 on its entropy, which ours has not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from importlib.metadata import version
from platform import python_version
from typing import Any

WARM_UP = 200


def trained(name: str, steps: int, seed: int) -> dict[str, Any]:
    """The steps that are timed."""
    import gymnasium
    import numpy as np
    import torch
    from imitation.algorithms import bc
    from imitation.data.types import Transitions
    from imitation.util import logger
    from stable_baselines3.common.policies import ActorCriticPolicy

    from _offline_cases import ACTS, CASES, OBS, data

    case, its = CASES[name], data()
    obs, following = (
        x.reshape(-1, OBS).astype(np.float32) for x in (its["observations"][:, :-1], its["observations"][:, 1:])
    )
    acts = its["actions"].reshape(-1, ACTS)
    shown = Transitions(
        obs=obs, acts=acts, infos=np.array([{}] * len(acts)), next_obs=following, dones=np.zeros(len(acts), bool)
    )
    seen = gymnasium.spaces.Box(-np.inf, np.inf, (OBS,), np.float32)
    done = gymnasium.spaces.Box(-1.0, 1.0, (ACTS,), np.float32)
    policy = ActorCriticPolicy(
        seen, done, lambda _: case["lr"], net_arch=[*case["hidden"]], activation_fn=torch.nn.Tanh
    )
    trainer = bc.BC(
        observation_space=seen, action_space=done, rng=np.random.default_rng(seed), policy=policy, demonstrations=shown,
        batch_size=case["batch"], optimizer_kwargs={"lr": case["lr"]}, device="cpu",
        custom_logger=logger.configure(format_strs=[]),
    )  # fmt: skip
    silent: dict[str, Any] = {"progress_bar": False, "log_interval": 10**9}
    trainer.train(n_batches=WARM_UP, **silent)
    start = time.perf_counter()
    trainer.train(n_batches=steps, **silent)
    return {"value": steps / (time.perf_counter() - start)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    import torch

    torch.set_num_threads(given.threads)
    result = trained(given.case, given.steps, given.seed)
    result |= {"peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    known = {name: version(name) for name in ("imitation", "stable-baselines3", "gymnasium", "torch", "numpy")}
    result |= {"versions": known | {"python": python_version()}}
    print(json.dumps(result))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
