"""Measure the on-policy methods: every case, every seed; each row is kept as soon as it is there.

    python docs/evidence/on_policy.py [--case NAME ...] [--runs DIR] [--again]

Writes docs/evidence/on_policy.jsonl, a line for each case and seed with its protocol, and the table beside it,
on_policy.md. What is in the file is not measured again, so the script may be stopped at any time; `--again` begins
anew. A case whose rows are not all there stands as "not yet run".
"""

from __future__ import annotations

from typing import Any

from measured import Case, main

MULTIROOM = {  # the bonus has a critic of its own; nothing else differs
    "policy.network": "minatar-cnn", "env.wrappers": ["key image", "one-hot 11 6 3"], "env.num": 16,
    "algo.horizon": 128, "algo.entropy_coef": 0.01, "algo.epochs": 4,
}  # fmt: skip
RND = {"explore.bonus": "rnd", "explore.critic": "own", "explore.coef": 1.0}
ROOMS, PAST = "MiniGrid-MultiRoom-N4-S5-v0", "rl-zoo3 PPO: 0.0 at 10 M"
NORMALISED = {"policy.normalize_obs": True, "policy.normalize_reward": True}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {  # table 1 and figure 3 of the PPO paper, at 300 k steps
    "reinforce": ("reinforce", {}), "a2c": ("a2c", {}), "trpo": ("trpo", {}),
    "clip.1": ("ppo", {"algo.clip": 0.1}), "clip.2": ("ppo", {"algo.clip": 0.2}), "clip.3": ("ppo", {"algo.clip": 0.3}),
    "none": ("ppo", {"algo.objective": "none"}),
    "kl-fixed": ("ppo", {"algo.objective": "kl-fixed", "algo.kl_coef": 3.0}),
    "kl-adaptive": ("ppo", {"algo.objective": "kl-adaptive", "algo.kl_target": 0.01}),
}  # fmt: skip
COMPARED = [
    Case(f"{arm}-{env}", algorithm, f"{env}-v5", 300_000, None, (1, 2, 3), NORMALISED | settings)
    for env in ("InvertedDoublePendulum", "Swimmer", "Hopper")
    for arm, (algorithm, settings) in ARMS.items()
]

WORLD = "operant.env.memory:"
HIDDEN = {  # rl-zoo3's for CartPole without velocities
    "algo.horizon": 32, "algo.batch": 256, "algo.epochs": 20, "algo.lam": 0.8, "algo.discount": 0.98, "algo.lr": 1e-3,
    "algo.clip_schedule": "linear", "policy.normalize_obs": True,
}  # fmt: skip
REMEMBERING = [  # the same settings with an LSTM, a GRU and without memory, which cannot solve two of them
    Case(f"{memory}-{env}", "ppo", WORLD + env, steps, bar if memory != "none" else None, (1, 2, 3),
         HIDDEN | more | {"policy.memory": memory, "policy.memory_size": 64}
         | ({"policy.memory_span": 20.0} if env == "t_maze" and memory != "none" else {}))
    for env, steps, bar, more in (
        ("cartpole_positions", 200_000, 475, {}),
        ("repeat_previous", 300_000, 0.9, {"algo.horizon": 64}),
        ("t_maze", 100_000, 3.8, {  # who always goes one way has 1.95, the best is 4
            "algo.horizon": 128, "algo.entropy_coef": 0.01, "algo.epochs": 10, "algo.lam": 0.95, "algo.discount": 0.99,
        }),
    )
    for memory in ("lstm", "gru", "none")
]  # fmt: skip
UNSPANNED = [  # gates that begin with biases of zero, all else equal
    Case(case.name.replace("lstm", "lstm-unspanned"), "ppo", case.env, case.total_steps, None, case.seeds,
         {name: its for name, its in case.settings.items() if name != "policy.memory_span"})
    for case in REMEMBERING if case.name == "lstm-t_maze"
]  # fmt: skip
THEIRS = NORMALISED | {  # CleanRL's ppo_continuous_action.py
    "env.num": 1, "algo.horizon": 2048, "algo.batch": 64, "algo.epochs": 10, "algo.discount": 0.99, "algo.lam": 0.95,
    "algo.lr": 3e-4, "algo.lr_schedule": "linear", "algo.clip": 0.2, "algo.value_clip": 0.2, "algo.value_coef": 0.5,
    "algo.entropy_coef": 0.0, "algo.max_grad_norm": 0.5, "policy.hidden": (64, 64), "policy.activation": "tanh",
}  # fmt: skip
CLEANRL = [
    Case(f"ppo-{env}-v4", "ppo", f"{env}-v4", 1_000_000, None, (1, 2, 3), THEIRS, published=f"CleanRL: {theirs}")
    for env, theirs in (("HalfCheetah", "1443 ± 46"), ("Hopper", "2383 ± 272"), ("Walker2d", "2288 ± 572"))
]

CASES = {
    case.name: case
    for case in (
        Case("reinforce-CartPole", "reinforce", "CartPole-v1", 200_000, 475),
        Case("a2c-Pendulum", "a2c", "Pendulum-v1", 300_000, -250, published="SLM-Lab 2026: -821"),
        Case("a2c-LunarLander", "a2c", "LunarLander-v3", 300_000, 150, published="SLM-Lab 2026: 27"),
        Case("trpo-CartPole", "trpo", "CartPole-v1", 100_000, 500, published="rl-zoo3: 500"),
        Case("trpo-Pendulum", "trpo", "Pendulum-v1", 100_000, -190, published="rl-zoo3: -174.6"),
        Case("ppo-MultiRoom", "ppo", ROOMS, 1_000_000, None, (1, 2, 3), MULTIROOM, published=PAST),
        Case("ppo-rnd-MultiRoom", "ppo", ROOMS, 1_000_000, None, (1, 2, 3), MULTIROOM | RND, published=PAST),
        Case("ppo-DoorKey-5x5", "ppo", "MiniGrid-DoorKey-5x5-v0", 100_000, 0.95, (1, 2, 3)),
        Case("ppo-LunarLander", "ppo", "LunarLander-v3", 1_000_000, 230, (1, 2, 3)),
        *REMEMBERING,
        *UNSPANNED,
        *CLEANRL,
        *COMPARED,
    )
}
"""By name; every method adds its own."""


if __name__ == "__main__":
    main("on_policy", "On-policy methods: evidence", CASES)
