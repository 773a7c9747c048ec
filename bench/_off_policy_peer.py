"""Train with Stable-Baselines3, sb3-contrib or SBX once, as a case of `off_policy.py` says, and print its throughput.

Run in an environment of its own; `off_policy.py` says how that is made. One model trains: first long enough to compile
and to fill its first batches, then for the steps that are timed, each with its share of updates.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from platform import python_version
from typing import Any

PACKAGES = ("stable-baselines3", "sb3-contrib", "sbx-rl", "jax", "gymnasium", "torch", "numpy")
WARM_UP = 2_000
MODULES = {"stable-baselines3": "stable_baselines3", "sb3-contrib": "sb3_contrib", "sbx-rl": "sbx", "jax": "jax"}


def model(package: str, case: dict[str, Any], seed: int) -> Any:
    """What is not named is the default of the package, and is set alike in ours."""
    import numpy as np
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.noise import NormalActionNoise

    common = {k: case[k] for k in ("train_freq", "learning_starts")}
    common |= {"learning_rate": case["lr"], "buffer_size": case["capacity"], "batch_size": case["batch"]}
    common |= {"gamma": case["discount"], "gradient_steps": 1, "stats_window_size": 1_000_000, "seed": seed}
    if package == "sbx":
        from flax import linen

        rectified: Any = linen.relu
    else:
        from torch import nn

        rectified = nn.ReLU
        common["device"] = "cpu"
    policy = {"net_arch": [*case["hidden"]], "activation_fn": rectified}
    env = make_vec_env(case["env"], 1, seed=seed)
    if case["method"] in ("dqn", "qr-dqn"):
        where = "sb3_contrib" if case["method"] == "qr-dqn" else {"sb3": "stable_baselines3", "sbx": "sbx"}[package]
        common |= {"target_update_interval": case["target_every"], "exploration_fraction": case["fraction"]}
        common |= {"exploration_final_eps": case["final_epsilon"]}
        if "quantiles" in case:
            policy["n_quantiles"] = case["quantiles"]
        made = getattr(importlib.import_module(where), {"dqn": "DQN", "qr-dqn": "QRDQN"}[case["method"]])
    else:
        made = getattr(
            importlib.import_module({"sb3": "stable_baselines3", "sbx": "sbx"}[package]), case["method"].upper()
        )
        common["tau"] = case["tau"]
        if case["method"] == "td3":
            zeros = np.zeros(env.action_space.shape or 1)
            common |= {"policy_delay": case["policy_every"]}
            common |= {"action_noise": NormalActionNoise(zeros, zeros + case["noise"])}
    return made("MlpPolicy", env, policy_kwargs=policy, **common)


def trained(package: str, case: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
    """The steps that are timed, and the mean return of the episodes that ended in the last quarter of them."""
    learner = model(package, case, seed)
    learner.learn(WARM_UP)
    start = time.perf_counter()
    learner.learn(steps, reset_num_timesteps=False)
    seconds = time.perf_counter() - start
    episodes, at, late = list(learner.ep_info_buffer), 0, []
    for episode in episodes:
        at += episode["l"]
        if at > WARM_UP + 0.75 * steps:
            late.append(episode["r"])
    learner.env.close()
    return {"value": steps / seconds, "return": sum(late) / len(late) if late else None}


def judged(package: str, case: dict[str, Any], steps: int, seed: int, episodes: int) -> dict[str, Any]:
    """The mean return of the last policy's mode, over episodes of seeds not trained on: those of `operant train`."""
    import gymnasium

    learner = model(package, case, seed)
    start = time.perf_counter()
    learner.learn(steps)
    seconds = time.perf_counter() - start
    env, returns = gymnasium.make(case["env"]), [0.0] * episodes
    for episode in range(episodes):
        obs, _ = env.reset(seed=1_000_003 + episode)
        done = False
        while not done:
            action, _ = learner.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(action)
            returns[episode] += float(reward)
            done = terminated or truncated
    return {"score": sum(returns) / episodes, "steps": steps, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", choices=["sb3", "sbx"], required=True)
    parser.add_argument("--case", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--core", action="store_true", help="keep to one core")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--episodes", type=int, default=0, help="tell the return of so many at the end, not the speed")
    given = parser.parse_args()
    if given.core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ |= {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": str(given.threads)}
    if given.threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import torch

    from _off_policy_cases import CASES

    torch.set_num_threads(given.threads)
    its = given.package, CASES[given.case], given.steps, given.seed
    result = judged(*its, given.episodes) if given.episodes else trained(*its)
    result |= {"peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    known = {name: version(name) for name in PACKAGES if find_spec(MODULES.get(name, name))}
    result |= {"versions": known | {"python": python_version()}}
    print(json.dumps(result))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
