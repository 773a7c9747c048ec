"""Train with Stable-Baselines3 or sb3-contrib once, as a case of `on_policy.py` says, and print its throughput.

Run in an environment of its own, with stable-baselines3, sb3-contrib and ale-py; `on_policy.py` says how that is made.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from functools import partial
from importlib.metadata import version
from platform import python_version
from typing import Any

import gymnasium
import numpy as np
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

from _on_policy_cases import CASES, masked, unseen

PACKAGES = ("stable-baselines3", "sb3-contrib", "gymnasium", "torch", "numpy", "ale-py")


def game(name: str) -> Any:
    """An Atari game by its old name, in this process or one that it starts: each has to hear of the games."""
    import ale_py

    gymnasium.register_envs(ale_py)
    return gymnasium.make(name, render_mode="rgb_array")


def environments(case: dict[str, Any], backend: str, seed: int) -> Any:
    """The copies, monitored."""
    kind = {"dummy": DummyVecEnv, "subproc": SubprocVecEnv}[backend]
    if case["env"].startswith("ALE/"):
        name = case["env"].removeprefix("ALE/").removesuffix("-v5") + "NoFrameskip-v4"
        return VecFrameStack(make_atari_env(partial(game, name), case["num"], seed=seed, vec_env_cls=kind), 4)
    made = {"unseen": unseen, "masked": masked}.get(case["env"], case["env"])
    return make_vec_env(made, case["num"], seed=seed, vec_env_cls=kind)


def model(name: str, case: dict[str, Any], backend: str, seed: int) -> Any:
    """What is not named is the default of Stable-Baselines3, and is set alike in the other."""
    env, width = environments(case, backend, seed), [case["width"]] * 2
    policy: dict[str, Any] = {"net_arch": {"pi": width, "vf": width}, "activation_fn": torch.nn.Tanh}
    given = {"n_steps": case["horizon"], "learning_rate": case["lr"], "stats_window_size": 1_000_000}
    given |= {"device": "cpu", "seed": seed, "policy_kwargs": policy}
    if name == "a2c-cartpole":
        return A2C("MlpPolicy", env, **given)
    given |= {"batch_size": case["batch"], "n_epochs": case["epochs"]}
    if "lstm" in case:
        policy |= {"lstm_hidden_size": case["lstm"]}
        return RecurrentPPO("MlpLstmPolicy", env, **given)
    if name == "masked":
        return MaskablePPO("MlpPolicy", env, **given)
    if name == "pixels":
        given["policy_kwargs"] = {}
        return PPO("CnnPolicy", env, clip_range=0.1, ent_coef=0.01, **given)
    return PPO("MlpPolicy", env, **given)


def stepped(case: dict[str, Any], backend: str, steps: int, seed: int) -> dict[str, Any]:
    """The environments alone, at random."""
    env, rng = environments(case, backend, seed), np.random.default_rng(seed)
    env.reset()
    actions = rng.integers(0, env.action_space.n, (steps // case["num"], case["num"]))
    for action in actions[:20]:
        env.step(action)
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    seconds = time.perf_counter() - start
    env.close()
    return {"value": actions.size / seconds, "return": None}


def trained(name: str, case: dict[str, Any], backend: str, steps: int, seed: int) -> dict[str, Any]:
    """A short training to warm up, and the one that is timed."""
    warm = model(name, case, backend, seed)
    warm.learn(2 * case["num"] * case["horizon"])
    warm.env.close()
    learner = model(name, case, backend, seed)
    start = time.perf_counter()
    learner.learn(steps)
    seconds = time.perf_counter() - start
    learner.env.close()
    episodes = list(learner.ep_info_buffer)
    ended_at = np.cumsum([episode["l"] for episode in episodes])
    late = [episode["r"] for episode, at in zip(episodes, ended_at, strict=True) if at > 0.75 * steps]
    return {"value": learner.num_timesteps / seconds, "return": float(np.mean(late)) if late else None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--backend", choices=["dummy", "subproc"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--num", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    case = dict(CASES[given.case])
    if given.num:  # as many steps between updates, whatever the number of copies
        case |= {"num": given.num, "horizon": case["num"] * case["horizon"] // given.num}
    case |= {"width": given.width or case["width"]}
    work = (case, given.backend, given.steps, given.seed)
    result = stepped(*work) if given.case == "pixels-env" else trained(given.case, *work)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if given.backend == "subproc":
        memory += case["num"] * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    result |= {"peak_memory_mb": round(memory / 1024, 1)}
    result |= {"versions": {name: version(name) for name in PACKAGES} | {"python": python_version()}}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
