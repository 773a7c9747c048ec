"""How fast a tabular algorithm trains in a Gymnasium environment, step by step, and what share the environment has.

The loop is that of `operant train`: act, step, learn, count. Told are steps a second by the clock of the process, the
best and the median of `--repeat` stretches of 20,000 steps, and the share of the environment's own `step()`, timed on
every sixteenth. Prints one JSON line for each pair of algorithm and environment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from operant.config.registry import builder_of
from operant.config.resolve import resolve

STEPS = 20_000


def measure(algorithm: str, env: str, repeat: int) -> dict[str, object]:
    """One line of the result."""
    settings = {"algo.every": STEPS, "total_steps": STEPS * (repeat + 1)}
    job = builder_of(algorithm)(resolve(algorithm, env, overrides=settings, source="bench").config, env)
    next(job.algorithm)  # compiles
    speeds: list[float] = []
    before, start = job.counter.seconds, time.perf_counter()
    for _ in range(repeat):
        began = time.process_time()
        next(job.algorithm)
        speeds.append(STEPS / (time.process_time() - began))
    share = (job.counter.seconds - before) / (time.perf_counter() - start)
    return {
        "algorithm": algorithm,
        "env": env,
        "steps_per_second": round(max(speeds)),
        "median": round(statistics.median(speeds)),
        "environment_share": round(share, 2),
    }


def main() -> None:
    """Measure the pairs that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", default=["q-learning", "sarsa", "sarsa-lambda", "dyna-q"])
    parser.add_argument("--envs", nargs="+", default=["CliffWalking-v1", "FrozenLake-v1", "Taxi-v4"])
    parser.add_argument("--repeat", type=int, default=10)
    args = parser.parse_args()
    for env in args.envs:
        for algorithm in args.algorithms:
            print(json.dumps(measure(algorithm, env, args.repeat)), flush=True)


if __name__ == "__main__":
    main()
