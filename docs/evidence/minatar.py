"""Measure methods on MinAtar's five games: every case, every seed; each row is kept as soon as it is there.

    python docs/evidence/minatar.py [--case NAME ...] [--runs DIR] [--again]

Seven methods, five games, three seeds, half a million frames of `operant.env.minatar` with the package's own rules:
sticky actions of 0.1, games that get harder, the actions that do something. Writes docs/evidence/minatar.jsonl, a line
for each case and seed with its protocol, and minatar.md: games down, methods across. What is in the file is not
measured again, so the script may be stopped at any time; `--again` begins anew. A case whose rows are not all there
stands as "not yet run".

Settings are one set a method for all games, none of them tuned here: DQN's and its kin's are those of Young and Tian
(2019), examples/dqn.py, with Adam and a gradient step at every fourth frame; PQN's those of purejaxql with fewer
copies; PPO's those of gymnax-blines with fewer copies.
"""

from __future__ import annotations

from typing import Any

from measured import Case, main

from operant.data.stats import bootstrap_ci, iqm

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
FRAMES, SEEDS = 500_000, (1, 2, 3)
CNN: dict[str, Any] = {"policy.network": "minatar-cnn"}
STORED: dict[str, Any] = CNN | {
    "algo.lr": 2.5e-4, "algo.batch": 32, "algo.capacity": 100_000, "algo.learning_starts": 5_000,
    "algo.discount": 0.99, "algo.target_every": 1_000, "algo.train_freq": 4, "algo.exploration_share": 0.2,
    "algo.epsilon_end": 0.1, "algo.updates": 1_000,
}  # fmt: skip
FRESH: dict[str, Any] = CNN | {
    "env.num": 32, "algo.horizon": 128, "algo.batch": 512, "algo.epochs": 4, "algo.lr": 5e-4,
    "algo.lr_schedule": "linear", "algo.discount": 0.99, "algo.lam": 0.95, "algo.clip": 0.2, "algo.entropy_coef": 0.01,
    "algo.value_coef": 0.5, "algo.max_grad_norm": 0.5,
}  # fmt: skip
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "dqn": ("dqn", STORED),
    "double-dqn": ("dqn", STORED | {"algo.double": True}),
    "qr-dqn": ("qr-dqn", STORED),
    "rainbow": ("rainbow", {k: x for k, x in STORED.items() if "psilon" not in k and "exploration" not in k}
                | {"policy.value_min": 0.0, "policy.value_max": 100.0, "algo.n": 3}),
    "pqn": ("pqn", CNN | {
        "env.num": 32, "algo.horizon": 32, "algo.batch": 64, "algo.epochs": 2, "algo.discount": 0.99, "algo.lam": 0.65,
        "algo.lr": 5e-4, "algo.exploration_share": 0.1, "algo.epsilon_end": 0.05,
    }),
    "ppo": ("ppo", FRESH),
    "recurrent-ppo": ("ppo", FRESH | {"policy.memory": "gru", "policy.memory_size": 128}),
}  # fmt: skip
"""Each method: its algorithm, and its settings in every game."""
CASES = {
    case.name: case
    for method, (algorithm, settings) in METHODS.items()
    for game in GAMES
    for case in [
        Case(f"{method}-{game}", algorithm, f"operant.env.minatar:{game}", FRAMES, None, SEEDS, settings)
    ]
}  # fmt: skip
"""By name."""


def page(rows: list[dict[str, Any]]) -> list[str]:
    """The table that is meant to be quoted: games down, methods across."""
    head = "| game | " + " | ".join(METHODS) + " |"
    lines = ["", "## Games down, methods across", "", head, "|---|" + "--:|" * len(METHODS)]
    for game in GAMES:
        said = [_said([r["score"] for r in rows if r["case"] == f"{method}-{game}"]) for method in METHODS]
        lines.append(f"| {game} | " + " | ".join(said) + " |")
    return lines


def _said(scores: list[float]) -> str:
    if len(scores) < len(SEEDS):
        return "–"
    low, high = bootstrap_ci(scores)
    return f"{iqm(scores):.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main("minatar", "MinAtar: evidence", CASES, more=page)
