"""PPO against GRPO on one task: for each row of the usual table of the two, what is measured and whether it holds.

    python bench/ppo_vs_grpo.py [--rounds 3] [--steps 60] [--threads 1] [--clock wall]

Both begin with one base, made once, and see as many answers: 32 prompts of `arithmetic` a step, 8 answers each, one
AdamW at the same rate, no reference. GRPO takes one step on them; PPO, with a critic of its own body, as many passes as
`--epochs` says. Sides take turns, each in a process of its own; accuracy is on 200 problems held out. One line of JSON,
with a verdict a row. On a machine with neighbours `--clock cpu` counts the time of these processes alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from _interleave import interleave, quiet
from _steps import CLOCKS

SAME: dict[str, Any] = {
    "task.options": {"forgets_carry": 0.65}, "eval.every": 10, "eval.during": 200,
    "algo.prompts": 32, "algo.samples": 8, "algo.lr_schedule": "linear", "algo.beta": 0.0, "save.rollouts": 0,
    "save.report": False, "quiet": True,
}  # fmt: skip
METHODS: dict[str, tuple[str, dict[str, Any]]] = {"grpo": ("grpo", {}), "ppo": ("rlhf", {})}
REACHED = 0.8
"""The greedy accuracy whose first time is told."""


def trained(method: str, given: argparse.Namespace) -> dict[str, Any]:
    """A training, seen step by step."""
    import operant

    clock, rows, times = CLOCKS[given.clock], list[dict[str, Any]](), list[float]()

    def watch(row: Any) -> None:
        rows.append(dict(row))
        times.append(clock())

    algorithm, own = METHODS[method]
    setting = {"total_steps": given.steps} | SAME | own | {"algo.lr": given.lr, "threads": given.threads}
    setting |= {"algo.epochs": given.epochs} if method == "ppo" else {}
    with tempfile.TemporaryDirectory() as runs:
        run = operant.train(algorithm, "arithmetic", runs=runs, seed=given.seed, on_metrics=watch, **setting)
        last = run.path / "checkpoints" / "latest"
        held = {path.stem: _numbers(path) for path in last.glob("*.safetensors") if path.stem != "optim"}
        info = run.folder.info()
    judged = [(int(r["step"]), r["eval/accuracy_greedy"]) for r in rows if r.get("eval/accuracy_greedy") is not None]
    judged = [(step, x) for step, x in judged if x == x]
    between = [b - a for a, b, r in zip(times, times[1:], rows[1:], strict=False) if r["step"] not in dict(judged)]
    step = statistics.median(between[1:])
    return {
        "value": 1.0 / step, "seconds": step, "trained": sum(held.values()), "models": len(held),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "greedy": info["evaluation"]["accuracy_greedy"], "sampled": info["evaluation"]["accuracy_sampled"],
        "reached": next((step for step, x in judged if x >= REACHED), None),
    }  # fmt: skip


def _numbers(path: Path) -> int:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118


def verdicts(ppo: list[dict[str, Any]], grpo: list[dict[str, Any]]) -> dict[str, str]:
    """Of each row, in words with numbers, whether it holds here."""
    from operant.data.stats import bootstrap_ci

    def middle(side: list[dict[str, Any]], name: str) -> float:
        return statistics.median(m[name] for m in side)

    slower = middle(ppo, "seconds") / middle(grpo, "seconds")
    larger = middle(ppo, "peak_memory_mb") / middle(grpo, "peak_memory_mb")
    gained = [g["greedy"] - p["greedy"] for p, g in zip(ppo, grpo, strict=True)]
    low, high = bootstrap_ci(gained)
    better = "holds" if low > 0 else "does not hold" if high < 0 else "null"
    first = {name: [m["reached"] for m in side] for name, side in (("PPO", ppo), ("GRPO", grpo))}
    return {
        "models trained": f"holds: PPO {ppo[0]['models']} ({ppo[0]['trained']:,} numbers), GRPO {grpo[0]['models']} "
        f"({grpo[0]['trained']:,})",
        "training method": "holds by construction: an answer is weighed by a critic, or against its group",
        "computational cost": f"{_word(slower)}: a step of PPO takes {slower:.2f} times as long and {larger:.2f} times "
        "the peak memory of the process",
        "training speed": f"{REACHED:.0%} greedy at step " + "; ".join(f"{n} {x}" for n, x in first.items()),
        "self-verification": f"{better}, as accuracy at equal samples: GRPO less PPO, greedy, "
        f"{100 * statistics.mean(gained):.1f} points [{100 * low:.1f}, {100 * high:.1f}]",
    }


def _word(ratio: float) -> str:
    return "holds" if ratio > 1.05 else "does not hold" if ratio < 0.95 else "null"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=4, help="passes of PPO over the answers of a step")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--side", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side is not None:
        print(json.dumps(trained(given.side, given)))
        return
    if given.clock == "wall":
        quiet()
    words = [f"--{name}={getattr(given, name)}" for name in ("steps", "lr", "epochs", "threads", "clock")]
    command = [__file__, *words, "--side"]
    ppo, grpo = interleave([*command, "ppo"], [*command, "grpo"], given.rounds)
    setting = {"clock": given.clock, "threads": given.threads, "epochs": given.epochs, "lr": given.lr}
    packages = {name: version(name) for name in ("operant", "torch", "transformers")}
    line = {"case": "ppo_vs_grpo", "ppo": ppo, "grpo": grpo, "verdicts": verdicts(ppo, grpo)}
    print(json.dumps(line | setting | {"versions": packages | {"python": python_version()}}), flush=True)


if __name__ == "__main__":
    main()
