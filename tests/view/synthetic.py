"""Run folders written by hand, after the layout that the training room writes: plain files, no training."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from operant.view.video import record

INFO: dict[str, Any] = {
    "schema_version": 1,
    "id": "LunarLander-v3-ppo-s3-260105-101500-a1b2",
    "status": "finished",
    "algorithm": "ppo",
    "env": "LunarLander-v3",
    "seed": 3,
    "total_steps": 100_000,
    "steps": 100_352,
    "started": "2026-01-05T10:15:00Z",
    "ended": "2026-01-05T10:15:24Z",
    "seconds": 24.31,
    "argv": ["operant", "train", "ppo", "LunarLander-v3", "--algo.lr", "0.001", "--seed", "3"],
    "git": {"sha": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
    "host": {"platform": "Linux-6.1-x86_64", "cpu": "A processor", "cores": 2, "python": "3.11.9"},
    "packages": {"operant": "0.1.0", "torch": "2.10.0", "gymnasium": "1.1.1", "numpy": "2.1.0"},
    "preset": "lunarlander",
    "phases": {"collect": 9.4, "learn": 11.2, "evaluate": 2.7, "save": 0.4},
    "parameters": 9_094,
    "error": None,
    "attempts": [{"attempt": 1, "started": "2026-01-05T10:15:00Z", "ended": "2026-01-05T10:15:24Z"}],
    "evaluation": {"mean": 231.4, "std": 60.2, "iqm": 250.0, "episodes": 100, "deterministic": True, "seed": 1_000_003},
}

CONFIG = """\
algorithm = "ppo"  # command line
seed = 3  # command line
total_steps = 100000  # default

[env]
id = "LunarLander-v3"  # command line
num = 8  # preset lunarlander
kwargs = {}  # default

[algo]
lr = 0.001  # command line
horizon = 256  # default
hidden = [64, 64]  # settings/mine.toml:7
whiten = true  # default
anneal = false  # command line
"""


def rows(count: int = 49, per: int = 2048, attempt: int = 1, begin: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    """Metric rows of a run that learns: one for each iteration of `per` steps."""
    draw = np.random.default_rng(seed)
    written: list[dict[str, Any]] = []
    for index in range(count):
        done = (begin + (index + 1) * per) / (49 * 2048)
        climb = 1 / (1 + math.exp(-9 * (done - 0.45)))
        row: dict[str, Any] = {
            "attempt": attempt,
            "step": begin + (index + 1) * per,
            "time": round(0.5 * (index + 1), 3),
            "train/return": -220 + 470 * climb + draw.normal() * 32,
            "train/length": 120 + 200 * climb,
            "train/episodes": 20.0 * (index + 1),
            "loss/policy": -0.01 + 0.004 * draw.normal(),
            "loss/value": 400 * math.exp(-4 * done) + 30 * draw.random(),
            "policy/entropy": 1.38 - 0.9 * done + 0.02 * draw.normal(),
            "policy/kl": abs(0.009 + 0.003 * draw.normal()),
            "policy/clip_fraction": 0.11 + 0.03 * draw.normal(),
            "value/explained_variance": 1 - math.exp(-5 * done) - 0.08 * draw.random(),
            "grad/norm": 1.8 + 0.5 * draw.random(),
            "schedule/lr": 1e-3 * (1 - done + 0.02),
            "speed/steps_per_second": 4600 + 180 * draw.normal(),
        }
        if index == 0:
            del row["train/return"]  # no episode had ended
        written.append(row)
    return written


def write_run(
    path: Path,
    *,
    info: dict[str, Any] | None = None,
    metrics: list[dict[str, Any]] | None = None,
    sealed: int = 0,
    evals: dict[int, list[float]] | None = None,
    config: str | None = CONFIG,
    films: int = 0,
) -> Path:
    """A run folder at `path`; of its metric rows the first `sealed` are in a parquet part, the rest are live."""
    for name in ("metrics", "checkpoints", "videos", "evals", "logs"):
        (path / name).mkdir(parents=True)
    (path / "run.json").write_text(json.dumps(INFO | (info or {})))
    if config is not None:
        (path / "config.toml").write_text(config)
    metrics = metrics or []
    if sealed:
        names = list(dict.fromkeys(name for row in metrics[:sealed] for name in row))
        table = pa.table({name: [row.get(name) for row in metrics[:sealed]] for name in names})
        pq.write_table(table, path / "metrics" / "part-0000.parquet")
    live = "".join(json.dumps({k: _plain(v) for k, v in row.items()}) + "\n" for row in metrics[sealed:])
    (path / "metrics" / "live.jsonl").write_text(live)
    for step, returns in (evals or {}).items():
        entry = {
            "step": step,
            "episodes": len(returns),
            "deterministic": True,
            "seed": 1_000_003,
            "mean": float(np.mean(returns)),
            "std": float(np.std(returns)),
            "iqm": float(np.mean(returns)),
            "returns": returns,
            "lengths": [200] * len(returns),
        }
        (path / "evals" / f"step-{step:08d}.json").write_text(json.dumps(entry))
    for index in range(films):
        step = 50_000 * (index + 1)
        name = f"step-{step:08d}-ep0-ret231"
        shades = (np.full((400, 600, 3), 40 + 2 * k, np.uint8) for k in range(40))
        record(shades, path / "videos" / f"{name}.mp4", fps=30, overlay=lambda k: f"LunarLander-v3 · seed 3 · step {k}")
        facts = {"step": step, "seed": 1_000_003, "return": 231.4, "length": 40, "fps": 30}
        (path / "videos" / f"{name}.json").write_text(json.dumps(facts))
    return path


def _plain(value: Any) -> Any:
    return {"nf": str(value)} if isinstance(value, float) and not math.isfinite(value) else value
