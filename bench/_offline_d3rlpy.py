"""Learn from fixed data with d3rlpy once, as a case of `offline.py` says, and print its gradient steps a second.

Run in an environment of its own; `offline.py` says how that is made. One learner trains: first long enough to warm,
then for the steps that are timed. `--compile` lets torch compile its graph, as d3rlpy offers.
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


def learner(name: str, case: dict[str, Any], compiled: bool) -> Any:
    """What is not named is the default of d3rlpy, and is set alike in ours."""
    import d3rlpy

    encoder = d3rlpy.models.VectorEncoderFactory(hidden_units=[*case["hidden"]], activation="relu")
    common = {
        "batch_size": case["batch"], "gamma": case["discount"], "tau": case["tau"], "actor_encoder_factory": encoder,
        "critic_encoder_factory": encoder, "actor_learning_rate": case["lr"], "critic_learning_rate": case["critic_lr"],
        "observation_scaler": d3rlpy.preprocessing.StandardObservationScaler(), "compile_graph": compiled,
    }  # fmt: skip
    if name == "td3-bc":
        made = d3rlpy.algos.TD3PlusBCConfig
        common |= {"alpha": case["alpha"], "update_actor_interval": case["policy_every"]}
    elif name == "iql":
        made = d3rlpy.algos.IQLConfig
        common |= {"expectile": case["expectile"], "weight_temp": case["inverse_temperature"]}
        common |= {"value_encoder_factory": encoder}
    else:
        made = d3rlpy.algos.CQLConfig
        common |= {"n_action_samples": case["samples"], "alpha_learning_rate": 0.0, "temp_learning_rate": case["lr"]}
    return made(**common).create(device=False)


def trained(name: str, steps: int, seed: int, compiled: bool) -> dict[str, Any]:
    """The steps that are timed."""
    import d3rlpy
    import numpy as np

    from _offline_cases import CASES, data

    d3rlpy.seed(seed)
    its = data()
    timeouts = np.zeros(its["rewards"].shape, np.float32)
    timeouts[:, -1] = 1.0
    dataset = d3rlpy.dataset.MDPDataset(
        observations=its["observations"][:, :-1].reshape(-1, its["observations"].shape[-1]).astype(np.float32),
        actions=its["actions"].reshape(-1, its["actions"].shape[-1]),
        rewards=its["rewards"].reshape(-1).astype(np.float32),
        terminals=np.zeros(its["rewards"].size, np.float32),
        timeouts=timeouts.reshape(-1),
    )
    algo = learner(name, CASES[name], compiled)
    silent: dict[str, Any] = {"logger_adapter": d3rlpy.logging.NoopAdapterFactory(), "show_progress": False}
    algo.fit(dataset, n_steps=WARM_UP, n_steps_per_epoch=WARM_UP, **silent)
    start = time.perf_counter()
    algo.fit(dataset, n_steps=steps, n_steps_per_epoch=steps, **silent)
    return {"value": steps / (time.perf_counter() - start)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    import torch

    torch.set_num_threads(given.threads)
    result = trained(given.case, given.steps, given.seed, given.compile)
    result |= {"peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    known = {name: version(name) for name in ("d3rlpy", "gymnasium", "torch", "numpy")}
    result |= {"versions": known | {"python": python_version()}}
    print(json.dumps(result))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
