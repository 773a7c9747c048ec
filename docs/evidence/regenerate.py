"""Measure PPO again: every case, every seed, from scratch; about 20 minutes on two cores.

    python docs/evidence/regenerate.py [--case NAME ...] [--runs DIR]

Writes docs/evidence/ppo.json (all numbers with their protocol), docs/evidence/ppo.md (the table) and a picture a case.
Run folders go to a temporary directory unless --runs keeps them.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Case:
    """One claim: an environment, a budget of steps, a bar."""

    name: str
    env: str
    total_steps: int
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    bar: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    protocol: str = "mean return of 100 episodes of the policy's mode after training, on seeds not trained on"
    published: str = ""
    training: bool = False  # score by the last 100 training episodes instead


CLEANRL = {
    "env.num": 4,
    "algo.horizon": 128,
    "algo.batch": 128,
    "algo.epochs": 4,
    "algo.lr": 2.5e-4,
    "algo.lr_schedule": "linear",
    "algo.discount": 0.99,
    "algo.lam": 0.95,
    "algo.clip": 0.2,
    "algo.clip_schedule": "constant",
    "algo.value_clip": 0.2,
    "algo.value_coef": 0.5,
    "algo.entropy_coef": 0.01,
    "algo.fidelity": "baselines",
    "policy.normalize_obs": False,
    "policy.normalize_reward": False,
}
AS_CLEANRL = "hyper-parameters of CleanRL's ppo.py; mean return of the last 100 training episodes, actions sampled"

CASES = (
    Case("CartPole-v1", "CartPole-v1", 100_000, bar=475),
    Case("Acrobot-v1", "Acrobot-v1", 500_000, bar=-90),
    Case("Pendulum-v1", "Pendulum-v1", 300_000, tuple(range(11, 21)), bar=-200),  # its preset was tuned on 1 to 5
    Case("CartPole-v1 as CleanRL", "CartPole-v1", 500_000, (1, 2, 3), None, CLEANRL, AS_CLEANRL, "490.0 ± 6.1", True),
    Case("Acrobot-v1 as CleanRL", "Acrobot-v1", 500_000, (1, 2, 3), None, CLEANRL, AS_CLEANRL, "-86.4 ± 1.3", True),
)


def measure(case: Case, seed: int, runs: str) -> dict[str, Any]:
    """Train one seed; returns its score, speed and run folder."""
    import operant

    quiet = {"save.videos": False, "save.report": False}
    run = operant.train(
        "ppo", case.env, seed=seed, total_steps=case.total_steps, runs=runs, quiet=True, **case.settings, **quiet
    )
    info, frame = run.folder.info(), run.metrics
    score = info["evaluation"]["mean"]
    if case.training:
        rows = frame.dropna(subset=["train/return"])
        counts = rows["train/episodes"].diff().fillna(rows["train/episodes"])
        recent = counts[::-1].cumsum()[::-1] - counts < 100
        score = float((rows["train/return"] * counts)[recent].sum() / counts[recent].sum())
    seconds = sum(info["phases"].values())
    return {"seed": seed, "score": score, "steps": info["steps"], "seconds": seconds, "path": str(run.path)}


def summarise(case: Case, results: list[dict[str, Any]], host: dict[str, Any]) -> dict[str, Any]:
    """IQM over seeds with its bootstrap interval, and everything needed to read it."""
    from operant.data.stats import bootstrap_ci, iqm

    scores = [r["score"] for r in results]
    low, high = bootstrap_ci(scores)
    kept = [{k: v for k, v in r.items() if k != "path"} for r in results]
    return asdict(case) | {"iqm": iqm(scores), "low": low, "high": high, "runs": kept, **host}


def table(rows: list[dict[str, Any]]) -> str:
    """The page that a person reads."""
    lines = [
        "# PPO: evidence",
        "",
        "Made by `make evidence`; every number with its protocol, every seed, is in [ppo.json](ppo.json). IQM is the",
        "interquartile mean over seeds, with a 95 % bootstrap interval over seeds. The presets are those that",
        "`operant train ppo ENV` uses.",
        "",
        "| case | steps | seeds | IQM [95 %] | worst seed | bar | published | protocol |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for r in rows:
        worst = min(x["score"] for x in r["runs"])
        bar = "" if r["bar"] is None else f"≥ {r['bar']:g}"
        interval = f"{r['iqm']:.1f} [{r['low']:.1f}, {r['high']:.1f}]"
        lines.append(
            f"| {r['name']} | {r['total_steps']:,} | {len(r['seeds'])} | {interval} "
            f"| {worst:.1f} | {bar} | {r['published']} | {r['protocol']} |"
        )
    lines += [
        "",
        "Published: CleanRL's documentation, `docs/rl-algorithms/ppo.md`, 3 seeds, mean ± deviation over seeds.",
        "",
        *(f"![{r['name']}]({picture(r['name'])})" for r in rows if not r["training"]),
        "",
    ]
    return "\n".join(lines)


def picture(name: str) -> str:
    """The file name of a case's picture."""
    return f"ppo-{name.split('-')[0].lower()}.png"


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--case", nargs="+", choices=[c.name for c in CASES], help="only these; others keep their numbers"
    )
    parser.add_argument("--runs", help="keep the run folders here")
    args = parser.parse_args()
    from operant.run.folder import RunFolder, provenance
    from operant.view.curves import learning_curves

    known = {r["name"]: r for r in json.loads((HERE / "ppo.json").read_text())} if (HERE / "ppo.json").is_file() else {}
    about = provenance()
    host = {"cpu": about["host"]["cpu"], "python": platform.python_version(), "packages": about["packages"]}
    with tempfile.TemporaryDirectory() as temporary, ProcessPoolExecutor(2) as pool:
        for case in CASES:
            if args.case and case.name not in args.case:
                continue
            jobs = [pool.submit(measure, case, seed, args.runs or temporary) for seed in case.seeds]
            results = [job.result() for job in jobs]
            known[case.name] = row = summarise(case, results, host)
            print(f"{case.name}: IQM {row['iqm']:.1f} [{row['low']:.1f}, {row['high']:.1f}]", row["runs"], flush=True)
            if not case.training:
                frames = [RunFolder(r["path"]).metrics() for r in results]
                learning_curves({"PPO": frames}, HERE / picture(case.name), title=f"PPO on {case.env}", target=case.bar)
    rows = [known[case.name] for case in CASES if case.name in known]
    (HERE / "ppo.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "ppo.md").write_text(table(rows))


if __name__ == "__main__":
    main()
