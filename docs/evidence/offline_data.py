"""Make the data sets that `offline.py` learns from, by our SAC: medium, replay and expert of each environment.

    python docs/evidence/offline_data.py [--env ID ...] [--out FOLDER] [--steps N]

SAC trains once, and keeps a checkpoint at every evaluation. Its last policy is the expert. The medium policy is the
first one whose mean return over 100 episodes is 30 to 60 % of the expert's; where there is none it is said and nothing
is made.

    medium    so many steps of the medium policy, as it samples
    replay    all that training had done until then
    expert    so many steps of the expert, as it samples

Writes FOLDER/<env>-<set> in Minari's format, and offline_data.json beside this script: what each holds, the expert's
mean return, and that of even actions, between which returns are normalised. What is there is not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import operant
from operant.config.registry import builder_of
from operant.env import DataSet, Episode, record_data, write_data

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / ".offline-data"
ABOUT = HERE / "offline_data.json"
ENVS: dict[str, dict[str, Any]] = {
    "InvertedDoublePendulum-v5": {"total_steps": 16_384, "every": 128, "least": 9_000},  # the last 80 % take 500 steps
    "Hopper-v5": {"total_steps": 200_000, "every": 5_120, "least": 1_500},
}
"""Steps of SAC, between two evaluations and checkpoints (multiples of the 128 of a row of metrics), and the mean return
that makes its last policy an expert."""
SETS = ("medium", "replay", "expert")
MEDIUM = (0.3, 0.6)
SEED = 1
STEPS = 100_000


def trained(env: str, runs: str) -> operant.Run:
    """SAC on an environment, with every checkpoint kept."""
    its = ENVS[env]
    return operant.train(
        "sac", env, seed=SEED, total_steps=its["total_steps"], runs=runs, quiet=True,
        **{
            "policy.hidden": (128, 128), "eval.every": its["every"], "save.every": its["every"], "save.nth": 1,
            "algo.updates": 32,
            "eval.during": 10, "save.videos": False, "save.report": False,
        },
    )  # fmt: skip


def checkpoints(run: operant.Run) -> list[str]:
    """Their names, in order."""
    return sorted(p.name for p in (run.path / "checkpoints").iterdir() if p.name.startswith("step-") and p.is_dir())


def mean_return(run: operant.Run, name: str) -> float:
    """Of the mode over 100 episodes."""
    return float(operant.Run(run.path, name=name).evaluate(100)["mean"])


def medium(run: operant.Run, expert: float) -> tuple[str, float]:
    """The first checkpoint of a medium policy, and its mean return.

    Raises:
        SystemExit: if there is none; says what there was.
    """
    metrics, low, high = run.metrics, *(share * expert for share in MEDIUM)
    rough = dict(zip(metrics["step"], metrics.get("eval/return_mean", []), strict=False))
    seen: dict[str, float] = {}
    for name in checkpoints(run):
        about = rough.get(int(name.removeprefix("step-")), np.nan)
        if np.isfinite(about) and not 0.5 * low <= about <= 1.5 * high:
            continue
        seen[name] = mean_return(run, name)
        if low <= seen[name] <= high:
            return name, seen[name]
    raise SystemExit(f"no policy of {run.config.env.id} has 30 to 60 % of {expert:.1f}: {seen}. Evaluate more often.")


def recorded(run: operant.Run, name: str, steps: int) -> DataSet:
    """So many steps of a policy as it samples, in whole episodes."""
    policy, env, episodes, first = operant.Run(run.path, name=name).policy, run.config.env.id, list[Episode](), 1_000
    while sum(map(len, episodes)) < steps:
        data = record_data(env, lambda obs, generator: policy.act(obs, generator=generator), episodes=10, seed=first)
        episodes, first = [*episodes, *data.episodes], first + 10
    return DataSet(
        episodes=episodes, observation_space=data.observation_space, action_space=data.action_space, env_id=env
    )


def stored(run: operant.Run, name: str, like: DataSet) -> DataSet:
    """All that training had done until a checkpoint, from the replay in it; what was open there is cut."""
    job = builder_of("sac")(run.config, run.config.env.id)
    job.learned.load(run.path / "checkpoints" / name)
    agent: Any = job.agent
    buffer, episodes = agent.beside["replay"].replay, list[Episode]()
    buffer.seam()
    for rows in whole(buffer):
        its = {k: buffer.at(k, np.zeros_like(rows), rows) for k in ("obs", "action", "reward", "flags")}
        action = agent.policy.distribution.scaled(torch.from_numpy(its["action"][:-1])).numpy()
        episodes.append(
            Episode(
                observations=its["obs"].astype(like.observation_space.dtype),
                actions=action.astype(like.action_space.dtype), rewards=its["reward"][:-1].astype(np.float64),
                terminations=(its["flags"][:-1] & 1) > 0, truncations=(its["flags"][:-1] & 2) > 0,
            )
        )  # fmt: skip
    job.close()
    return DataSet(
        episodes=episodes, observation_space=like.observation_space, action_space=like.action_space, env_id=like.env_id
    )


def whole(buffer: Any) -> Iterator[np.ndarray]:
    """The rows of each episode of a replay of one lane, with that of its last observation."""
    rows = np.arange(buffer.oldest[0], buffer.head[0])
    acted = (buffer.at("flags", np.zeros_like(rows), rows) & 4) > 0
    first = 0
    for k in np.flatnonzero(~acted):
        if k > first:
            yield rows[first : k + 1]
        first = k + 1


def even(env: str) -> float:
    """The mean return of actions drawn evenly, over 100 episodes."""
    import gymnasium

    space = gymnasium.make(env).action_space
    space.seed(SEED)
    return float(record_data(env, lambda obs: space.sample(), episodes=100, seed=0).returns.mean())


def make(env: str, out: Path, steps: int) -> dict[str, Any]:
    """Train, choose, record and write the sets of an environment; what they hold."""
    with tempfile.TemporaryDirectory() as runs:
        run = trained(env, runs)
        last = checkpoints(run)[-1]
        expert = mean_return(run, last)
        if expert < ENVS[env]["least"]:
            raise SystemExit(f"no expert of {env}: sac came to {expert:.1f}, and {ENVS[env]['least']} is asked for")
        middle, its = medium(run, expert)
        print(f"{env}: expert {expert:.1f}, medium {its:.1f} at {middle}", flush=True)
        sets = {"medium": recorded(run, middle, steps), "expert": recorded(run, last, steps)}
        sets["replay"] = stored(run, middle, sets["medium"])
    found: dict[str, Any] = {"expert": expert, "even": even(env), "medium": its, "medium_step": middle}
    for name in SETS:
        data = sets[name]
        write_data(data, out / f"{env}-{name}", by="operant sac")
        found[name + "_set"] = {
            "episodes": len(data), "steps": data.steps, "mean": float(data.returns.mean()),
            "best": float(data.returns.max()),
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", choices=list(ENVS), default=list(ENVS))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    about = json.loads(ABOUT.read_text()) if ABOUT.exists() else {}
    for env in args.env:
        if env in about and all((args.out / f"{env}-{name}").exists() for name in SETS):
            continue
        about[env] = make(env, args.out, args.steps)
        ABOUT.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
