"""Measure learning from demonstrations: every case, every seed; each row is kept as soon as it is there.

    python docs/evidence/imitation.py [--case NAME ...] [--runs DIR] [--again]

Writes docs/evidence/imitation.jsonl, a line for each case and seed with its protocol, and the table beside it,
imitation.md. What is in the file is not measured again, so the script may be stopped at any time; `--again` begins
anew. A case whose rows are not all there stands as "not yet run".

The experts are trained here, or ship with the library, and their demonstrations are recorded, each once, into
docs/evidence/demonstrations/.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from measured import HERE, Case, main

from on_policy import THEIRS

LANE, DRIVER = "operant.env.imitated:lane", "operant.env.imitated:driver"
SHOWN = Path("demonstrations")
"""Where demonstrations and experts lie, relative to this folder: a machine's own paths are no part of a protocol."""

SWINGS: dict[str, Any] = {
    "env.num": 8, "algo.horizon": 256, "algo.batch": 256, "algo.lr": 1e-3, "algo.lr_schedule": "linear",
    "algo.lam": 0.9, "algo.discount": 0.98, "algo.clip": 0.2, "algo.entropy_coef": 0.0, "algo.value_coef": 1.0,
}  # fmt: skip
"""PPO on InvertedDoublePendulum, of the expert and of GAIL."""

HOPS: dict[str, Any] = THEIRS | {"policy.log_std_init": 0.0}
"""PPO on Hopper, of the expert: CleanRL's."""

EXPERTS: dict[str, tuple[str, int, dict[str, Any], float]] = {
    "LunarLander-v3": ("dqn", 300_000, {"algo.lr": 3e-4, "algo.lr_schedule": "constant"}, 200.0),  # the rest: preset
    "Hopper-v5": ("ppo", 1_000_000, HOPS, 1_500.0),  # of the preset one stands still for 980
    "InvertedDoublePendulum-v5": ("ppo", 250_000, SWINGS, 9_000.0),
}
"""Who is trained to be an expert, on seed 100, where none ships: algorithm, steps, settings, and the mean return that
makes it one."""


def demonstrations(env: str, episodes: int) -> str:
    """The data set of so many episodes of the expert's, by its path; its spelling is what `prepared` reads."""
    return str(SHOWN / f"{env.rpartition(':')[2]}-{episodes}")


def expert(env: str) -> str:
    """The expert of an environment, as a setting names it."""
    return str(SHOWN / f"{env}-expert") if env in EXPERTS else f"operant/{env}"


def prepared(env: str, episodes: int) -> None:
    """Train the expert and record its episodes, where that was not done."""
    import operant
    from operant.api import Run
    from operant.env import imitated, record_data, write_data

    out = Path(demonstrations(env, episodes))
    if env in EXPERTS and not Path(expert(env)).is_dir():
        algorithm, steps, settings, least = EXPERTS[env]
        quiet: dict[str, Any] = {"save.videos": False, "save.report": False, **settings}
        run = operant.train(algorithm, env, seed=100, total_steps=steps, runs=SHOWN, quiet=True, **quiet)
        mean = float(run.folder.info()["evaluation"]["mean"])
        if mean < least:
            raise SystemExit(f"no expert of {env}: {algorithm} came to {mean:.1f}, and {least:g} is asked for")
        run.path.rename(expert(env))
    if out.exists() or not episodes:
        return
    SHOWN.mkdir(exist_ok=True)
    if env == LANE:
        data = record_data(env, imitated.driver, episodes=episodes, seed=1)
    else:
        policy = Run(expert(env)).policy
        data = record_data(env, policy.act, episodes=episodes, seed=1)
    print(f"{out}: {len(data)} episodes, mean return {data.returns.mean():.1f}", flush=True)
    write_data(data, out)


def shown(env: str, episodes: int, **more: Any) -> dict[str, Any]:
    """The settings that name demonstrations, all of which are learnt from."""
    return {"data.path": demonstrations(env, episodes), "data.test_share": 0.0} | more


CORRECTED = {"algo.expert": DRIVER, "algo.round_steps": 500, "algo.gradient_steps": 400, "algo.lr": 3e-3}
FEW = {"algo.expert": expert("LunarLander-v3")}


def four(env: str, **more: Any) -> dict[str, Any]:
    """Four episodes of the expert, for a method that acts."""
    return {"data.path": demonstrations(env, 4)} | more


NORMED = {"policy.normalize_obs": True, "policy.normalize_reward": True}

# bars: nine tenths of the way from a random player to the expert
ADVERSARIAL = (
    Case("gail-CartPole-4", "gail", "CartPole-v1", 100_000, 452, settings=four("CartPole-v1")),
    Case("gail-Pendulum-4", "gail", "Pendulum-v1", 200_000, -260, settings=four("Pendulum-v1")),
    Case("gail-Acrobot-4", "gail", "Acrobot-v1", 200_000, -123, settings=four("Acrobot-v1")),
    Case(
        "gail-Acrobot-4-no-end", "gail", "Acrobot-v1", 200_000, None,
        settings=four("Acrobot-v1", **{"discriminator.absorbing": False}),
    ),
    Case(
        "gail-InvertedDoublePendulum-4", "gail", "InvertedDoublePendulum-v5", 300_000, 8_300,
        settings=four("InvertedDoublePendulum-v5", **SWINGS, **NORMED),
    ),
)  # fmt: skip

CASES = {
    case.name: case
    for case in (
        *ADVERSARIAL,
        Case("bc-CartPole-20", "bc", "CartPole-v1", 3_000, 475, settings=shown("CartPole-v1", 20)),
        Case("bc-LunarLander-20", "bc", "LunarLander-v3", 10_000, 200, settings=shown("LunarLander-v3", 20)),
        Case("bc-Hopper-20", "bc", "Hopper-v5", 20_000, None, settings=shown("Hopper-v5", 20)),
        # the same number of labels, 3,000: a return of −T of T steps is beside the lane all the time
        Case("bc-lane", "bc", LANE, 2_400, None, settings=shown(LANE, 30, **{"algo.lr": 3e-3})),
        Case("dagger-lane", "dagger", LANE, 3_000, -3, settings=CORRECTED),
        # two episodes of the expert, and what it says of the learner's own
        Case("bc-LunarLander-2", "bc", "LunarLander-v3", 10_000, None, settings=shown("LunarLander-v3", 2)),
        Case(
            "dagger-LunarLander-2",
            "dagger",
            "LunarLander-v3",
            20_000,
            200,
            settings=FEW | {"data.path": demonstrations("LunarLander-v3", 2)},
        ),
    )
}
"""By name."""


if __name__ == "__main__":
    os.chdir(HERE)
    asked = [name for name in CASES if name in sys.argv] or [*CASES]
    for name in asked:
        found = CASES[name].settings.get("data.path", "")
        count = int(found.rpartition("-")[2]) if found else 0
        prepared(CASES[name].env, count)
    main("imitation", "Learning from demonstrations: evidence", CASES)
