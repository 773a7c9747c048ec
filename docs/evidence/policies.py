"""Make the policies that ship with the library again: trained as the evidence is, and written as `operant export` does.

    python docs/evidence/policies.py [--runs DIR]

Of five seeds the one is taken whose return is the largest over 100 episodes from seed 2,000,003 on; the figures of its
card are of other episodes, those of `operant eval`. A run that is in DIR already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import operant
from operant.cli.export import KEPT, export, without_paths
from operant.run import exported
from operant.run.find import list_runs
from operant.run.folder import write_json
from operant.run.shipped import POLICIES

CASES = {
    "CartPole-v1": ("ppo", 100_000),
    "Acrobot-v1": ("ppo", 500_000),
    "Pendulum-v1": ("ppo", 300_000),
    "CliffWalking-v1": ("q-learning", None),
}
SEEDS, CHOICE, EPISODES = range(1, 6), 2_000_003, 100
CHOSEN = """
## How it was chosen

Trained with the settings of the evidence, seeds 1 to 5. This is seed {seed}: the largest mean return over {episodes}
episodes that begin at seed {first:,}, which are not those measured above. In order of the seeds they returned
{returns}.
"""
CARD = """---
library_name: operant
license: mit
tags: ["reinforcement-learning", "grpo", "arithmetic"]
---

# A small language model that adds

A decoder of {parameters:,} parameters that was made here and trained by `operant train grpo arithmetic`, seed {seed},
for {steps} steps: it writes the sum of two numbers. It can do nothing else.

## Measured accuracy

| held-out prompts right, greedy | sampled at temperature 1 | prompts |
|--:|--:|--:|
| {greedy:.1f} % | {sampled:.1f} % | {episodes} |

Before the reinforcement: {before:.1f} % greedy. The prompts were in no training, and the task scores completions.

## Use

```bash
operant sample arithmetic "12+34="
operant eval arithmetic
operant train grpo arithmetic --from operant/arithmetic
```

`model.safetensors`, `config.json` and the tokenizer are a folder that transformers reads. All settings are in
`config.toml`.
"""


def trained(algorithm: str, env: str, seed: int, steps: int | None, runs: Path) -> operant.Run:
    """The finished run of a seed, trained now unless it is there."""
    for row in list_runs(runs):
        if (row["algorithm"], row["env"], row["seed"], row["status"]) == (algorithm, env, seed, "finished"):
            return operant.Run(row["path"])
    return operant.train(algorithm, env, seed=seed, total_steps=steps, runs=runs)


def control(env: str, runs: Path) -> None:
    """Train five seeds, take one, and export it."""
    algorithm, steps = CASES[env]
    five = [trained(algorithm, env, seed, steps, runs) for seed in SEEDS]
    returns = [run.evaluate(EPISODES, seed=CHOICE)["mean"] for run in five]
    best = five[returns.index(max(returns))]
    folder = export(best.path, out=POLICIES / env)
    told = ", ".join(f"{x:.1f}" for x in returns)
    with (folder / "README.md").open("a", encoding="utf-8") as card:
        card.write(CHOSEN.format(seed=best.config.seed, episodes=EPISODES, first=CHOICE, returns=told))
    exported.seal(folder)


def language(runs: Path) -> None:
    """Train the small base by reward, and put its last model beside its card."""
    run = trained("grpo", "arithmetic", 1, None, runs)
    folder, latest = POLICIES / "arithmetic", run.path / "checkpoints" / "latest"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(latest, folder, ignore=shutil.ignore_patterns("optim*", "state.json", "MANIFEST.json"))
    shutil.copy2(run.path / "config.toml", folder)
    shutil.copytree(run.path / "metrics", folder / "metrics", ignore=shutil.ignore_patterns("live.jsonl"))
    found, info = run.evaluate(), run.folder.info()
    write_json(folder / "evaluation.json", {"env": "arithmetic", "step": run.step, **found})
    about: dict[str, Any] = {key: value for key, value in info.items() if key in KEPT and key != "sources"}
    about |= {"argv": without_paths(info["argv"]), "export": {"step": run.step, "checkpoint": "latest"}}
    write_json(folder / "run.json", about)
    card = CARD.format(
        parameters=info["parameters"], seed=run.config.seed, steps=run.step, greedy=100 * found["accuracy_greedy"],
        sampled=100 * found["accuracy_sampled"], episodes=found["episodes"],
        before=100 * info["evaluation_before"]["accuracy_greedy"],
    )  # fmt: skip
    (folder / "README.md").write_text(card, encoding="utf-8")
    exported.seal(folder)


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="where the runs are kept")
    with tempfile.TemporaryDirectory() as folder:
        runs = parser.parse_args().runs or Path(folder)
        for env in CASES:
            control(env, runs)
        language(runs)
    size = sum(file.stat().st_size for file in POLICIES.rglob("*") if file.is_file())
    print(json.dumps({"bytes": size, "policies": sorted(p.name for p in POLICIES.iterdir())}))


if __name__ == "__main__":
    main()
