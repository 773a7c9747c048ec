"""How long `operant compare` takes for a group of long runs: read, aggregate, page and picture.

Each of `--seeds` synthetic run folders has `--rows` metric rows of twenty columns in sealed parquet parts of 100,000,
with an evaluation every thousandth row. Two times are told, the best and the median of `--repeat`: that of the work
itself in a warm process, and that of the whole command with the start of Python and all imports. The file cache is
warm in both. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from _interleave import quiet
from operant.view.compare import compare
from operant.view.compare_page import write_comparison

PART = 100_000
"""Rows in a part."""


def write_run(path: Path, seed: int, rows: int) -> Path:
    """A finished run of `rows` rows."""
    (path / "metrics").mkdir(parents=True)
    draw = np.random.default_rng(seed)
    step = 64 * np.arange(1, rows + 1)
    value = 300 / (1 + np.exp(-10 * (np.arange(rows) / rows - 0.4))) + 40 * draw.normal(size=rows)
    for number, begin in enumerate(range(0, rows, PART)):
        here = slice(begin, begin + PART)
        size = len(step[here])
        table = {
            "attempt": np.ones(size, dtype=np.int64),
            "step": step[here],
            "time": step[here] / 1e5,
            "train/return": value[here],
            "eval/return_mean": pa.array(value[here] + 20, mask=step[here] % 64_000 != 0),
        }
        table |= {f"other/{k}": draw.normal(size=size) for k in range(15)}
        pq.write_table(pa.table(table), path / "metrics" / f"part-{number:04d}.parquet")
    (path / "metrics" / "live.jsonl").touch()
    info = {"id": path.name, "status": "finished", "algorithm": "ppo", "env": "Synthetic-v0", "seed": seed}
    info |= {"total_steps": int(step[-1]), "steps": int(step[-1])}
    final = {"mean": float(value[-100:].mean()), "episodes": 100, "deterministic": True, "seed": 1_000_003}
    (path / "run.json").write_text(json.dumps(info | {"evaluation": final}))
    (path / "config.toml").write_text(f'algorithm = "ppo"\nseed = {seed}\n\n[env]\nid = "Synthetic-v0"\n')
    return path


def clocked(work: Callable[[], object], repeat: int) -> list[float]:
    """Seconds of each of `repeat` calls."""
    taken: list[float] = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


def main() -> None:
    """Write the runs, compare them, print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        runs = [write_run(Path(folder) / f"s{seed}", seed, args.rows) for seed in range(1, args.seeds + 1)]
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "operant.cli.main", "compare", *map(str, runs), "--out", str(out)]
        write_comparison(compare(runs), out)  # imports and the font cache
        warm = clocked(lambda: write_comparison(compare(runs), out), args.repeat)
        whole = clocked(lambda: subprocess.run(command, check=True, capture_output=True), args.repeat)
    result = {"seeds": args.seeds, "rows": args.rows}
    for name, taken in (("work", warm), ("command", whole)):
        result |= {f"{name}_best_s": round(min(taken), 3), f"{name}_median_s": round(statistics.median(taken), 3)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
