"""Train PPO of Stable-Baselines3 once and print its throughput; one side of `ppo_vs_sb3.py`."""

from __future__ import annotations

import argparse
import json
import resource
import time
from platform import python_version

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

NUM, HORIZON = 8, 256


def model(env: str, backend: str, seed: int) -> PPO:
    """The setting of the comparison; what is not named is Stable-Baselines3's default and is set alike in the other."""
    kind = {"dummy": DummyVecEnv, "subproc": SubprocVecEnv}[backend]
    return PPO(
        "MlpPolicy",
        make_vec_env(env, NUM, seed=seed, vec_env_cls=kind),
        n_steps=HORIZON,
        batch_size=256,
        n_epochs=10,
        learning_rate=3e-4,
        policy_kwargs={"net_arch": {"pi": [64, 64], "vf": [64, 64]}, "activation_fn": torch.nn.Tanh},
        stats_window_size=1_000_000,  # keep every episode
        device="cpu",
        seed=seed,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--backend", choices=["dummy", "subproc"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    warm = model(given.env, given.backend, given.seed)
    warm.learn(2 * NUM * HORIZON)
    warm.env.close()
    trained = model(given.env, given.backend, given.seed)
    start = time.perf_counter()
    trained.learn(given.steps)
    seconds = time.perf_counter() - start
    trained.env.close()

    episodes = list(trained.ep_info_buffer)
    ended_at = np.cumsum([episode["l"] for episode in episodes])
    late = [episode["r"] for episode, at in zip(episodes, ended_at, strict=True) if at > 0.75 * given.steps]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if given.backend == "subproc":
        memory += NUM * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    result = {
        "value": trained.num_timesteps / seconds,
        "return": float(np.mean(late)) if late else None,
        "peak_memory_mb": round(memory / 1024, 1),
        "versions": {
            "stable-baselines3": stable_baselines3.__version__,
            "gymnasium": gymnasium.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": python_version(),
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
