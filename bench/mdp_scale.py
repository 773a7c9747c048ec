"""How large a model can be, and what it costs: in memory, without a matrix, on disk.

    python bench/mdp_scale.py solve --states 10_000_000       # enumerate and solve in memory, certified
    python bench/mdp_scale.py largest --states 70_000_000     # the same, as large as the memory at hand allows
    python bench/mdp_scale.py matrix-free --states 100_000_000
    python bench/mdp_scale.py mapped --states 2_000_000 --folder /path/on/the/disk
    python bench/mdp_scale.py device --states 1_000_000 --device cuda

The model is a square grid: a move succeeds with .8 and slips to either side with .1, each step has a cost of .5 to 1.5,
one corner ends the episode; 4 actions, 3 successors, γ = .99. Each command prints one JSON line and nothing else to
standard output. Peak memory is that of the process (ru_maxrss), less what it held just
before the model was begun.
"""

from __future__ import annotations

import argparse
import json
import math
import mmap
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from _interleave import quiet, say
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.build.enumerate import enumerate_compiled
from operant.mdp.build.forecast import available, memory
from operant.mdp.io.mapped import MappedWriter, check_mapped, open_mapped
from operant.mdp.model import MDP
from operant.mdp.rows import Rows
from operant.mdp.solvers.matrix_free import MatrixFree, solve_matrix_free
from operant.mdp.solvers.solve import solve

ACTIONS, SUCCESSORS, DISCOUNT = 4, 3, 0.99
MARGIN = 1.5e9
"""Bytes left to the system by `largest`, besides what is forecast."""


@numba.njit
def step_cost(s: int, a: int) -> float:
    """A number in [.5, 1.5) that depends on s and a alone (SplitMix64)."""
    z = np.uint64(4 * s + a) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return 0.5 + float((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def grid_of(side: int) -> Any:
    """The transition function of the grid with side × side cells."""

    @numba.njit
    def transition(s: int, a: int, successor: Any, probability: Any, reward: Any) -> int:
        if s == side * side - 1:
            return 0
        row, column = s // side, s % side
        cost = -step_cost(s, a)
        for k in range(3):
            way = (a + k + 3) & 3
            to = s
            if way == 0:
                to = s - side if row > 0 else s
            elif way == 1:
                to = s + 1 if column < side - 1 else s
            elif way == 2:
                to = s + side if row < side - 1 else s
            else:
                to = s - 1 if column > 0 else s
            successor[k], probability[k], reward[k] = to, 0.8 if k == 1 else 0.1, cost
        return 3

    return transition


def blocks(side: int, size: int) -> Iterator[Rows]:
    """The same model in blocks of `size` states."""
    transition, states = grid_of(side), side * side

    @numba.njit
    def fill(first: int, successor: Any, probability: Any, reward: Any) -> None:
        outcome = np.empty(SUCCESSORS)
        for pair in range(len(reward)):
            s = first + pair // ACTIONS
            transition(s, pair % ACTIONS, successor[pair], probability[pair], outcome)
            reward[pair] = outcome[0]

    for first in range(0, states, size):
        last = min(first + size, states)
        pairs = ACTIONS * (min(last, states - 1) - first)  # the corner has none
        successor, probability, reward = np.empty((pairs, 3), np.int64), np.empty((pairs, 3)), np.empty(pairs)
        fill(first, successor, probability, reward)
        matrix = sp.csr_array(
            (probability.ravel(), successor.ravel(), np.arange(0, 3 * pairs + 1, 3)), shape=(pairs, states)
        )
        matrix.sum_duplicates()
        pointer = np.minimum(np.arange(0, ACTIONS * (last - first) + 1, ACTIONS), pairs)
        yield Rows(
            pointer=pointer.astype(np.uint32),
            action=np.tile(np.arange(ACTIONS, dtype=np.int32), pairs // ACTIONS),
            indptr=matrix.indptr.astype(np.uint32),
            indices=matrix.indices.astype(np.uint32),
            data=matrix.data,
            reward=reward,
            terminal=np.arange(first, last) == states - 1,
            terminal_value=np.zeros(last - first),
        )


def side_of(states: float) -> int:
    """Of the square grid with at most so many states."""
    return math.isqrt(int(states))


def peak() -> int:
    """Bytes that the process has held at once so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def held() -> int:
    """Bytes that the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def clock(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and the result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def sweep_seconds(mdp: MDP, threads: int, repeat: int) -> float:
    """The best of several full sweeps."""
    v, out, choice = np.zeros(mdp.num_states), np.empty(mdp.num_states), np.empty(mdp.num_states, np.int64)
    sweeps = Sweeps(mdp, threads)
    return min(clock(lambda: sweeps.backup(v, out, choice))[0] for _ in range(repeat))


def enumerated(states: float, threads: int) -> MDP:
    """The model in memory."""
    side = side_of(states)
    return enumerate_compiled(
        grid_of(side), states=side * side, actions=ACTIONS, successors=SUCCESSORS, discount=DISCOUNT, threads=threads,
        quiet=True,
    )  # fmt: skip


def in_memory(states: float, epsilon: float, threads: int, method: str, **detail: Any) -> dict[str, Any]:
    """Enumerate, sweep, solve."""
    solve(enumerated(1000, 1), 1.0, method, threads=threads)  # compile
    before = held()
    build, mdp = clock(lambda: enumerated(states, threads))
    built = peak()
    sweep = sweep_seconds(mdp, threads, 3)
    say(f"  {mdp!r} built in {build:.1f} s, {sweep:.2f} s per sweep; solving to {epsilon:g}")
    taken, found = clock(lambda: solve(mdp, epsilon, method, threads=threads))
    forecast = memory(
        mdp.num_states, ACTIONS, mdp.nnz / mdp.num_rows, policy_copy=method == "modified-policy-iteration"
    )
    return detail | {
        "states": mdp.num_states, "pairs": mdp.num_rows, "entries": mdp.nnz, "method": found.method,
        "threads": threads, "epsilon": epsilon, "build_s": round(build, 2),
        "transitions_per_s": round(mdp.nnz / build), "sweep_s": round(sweep, 3),
        "entries_per_s": round(mdp.nnz / sweep), "solve_s": round(taken, 2), "iterations": found.iterations,
        "certified_gap": found.certificate.gap, "forecast_gb": gb(forecast.total),
        "built_peak_gb": gb(built - before), "peak_gb": gb(peak() - before),
        "peak_over_forecast": round((peak() - before) / forecast.total, 3),
    }  # fmt: skip


def largest(states: float, epsilon: float, threads: int, method: str) -> dict[str, Any]:
    """As `in_memory` with the most states that fit by the forecast, at most `states`."""
    free = available() or 4 << 30
    each = memory(1_000_000, ACTIONS, SUCCESSORS, policy_copy=method == "modified-policy-iteration").total / 1e6
    fits = min(states, (free - MARGIN) / each)
    say(f"  {gb(free)} GB at hand, {each:.0f} B per state forecast: {fits:,.0f} states")
    return in_memory(fits, epsilon, threads, method, at_hand_gb=gb(free), wanted_states=int(states))


def matrix_free(states: float, epsilon: float, threads: int, sweeps: int) -> dict[str, Any]:
    """Sweeps without a matrix."""
    side = side_of(states)
    model = MatrixFree(
        transition=grid_of(side), states=side * side, actions=ACTIONS, successors=SUCCESSORS, discount=DISCOUNT
    )
    for kernel, wide in ((0, True), (1, False)):  # compile, on no states
        nothing = np.empty(0), np.empty(0), np.empty(0, np.int8), np.empty(0, np.int64), np.empty(0), np.empty(0)
        model._kernels[kernel](0, 0, *((ACTIONS,) if wide else ()), DISCOUNT, *nothing)
    before = held()
    improve, evaluate = matrix_free_seconds(model, threads)
    taken, found = clock(
        lambda: solve_matrix_free(
            model, epsilon=epsilon, method="value-iteration", threads=threads, max_iterations=sweeps
        )
    )
    return {
        "states": model.states, "threads": threads, "improve_s": round(improve, 2), "evaluate_s": round(evaluate, 2),
        "transitions_per_s": round(model.states * ACTIONS * SUCCESSORS / improve), "epsilon": epsilon,
        "solve_s": round(taken, 2), "iterations": found.iterations, "certified_gap": found.gap,
        "peak_gb": gb(peak() - before), "bytes_per_state": round((peak() - before) / model.states, 2),
    }  # fmt: skip


def matrix_free_seconds(model: MatrixFree, threads: int) -> tuple[float, float]:
    """The better of two sweeps over all actions, and of two sweeps of one policy."""
    v, out, policy = np.ones(model.states), np.empty(model.states), np.empty(model.states, np.int8)
    improve = min(clock(lambda: model.improve(v, out, policy, threads))[0] for _ in range(2))
    return improve, min(clock(lambda: model.evaluate(v, out, policy, threads))[0] for _ in range(2))


def mapped(states: float, epsilon: float, threads: int, folder: Path) -> dict[str, Any]:
    """Write in a stream; sweep with the file cache empty and full, with and without advice; solve."""
    side = side_of(states)
    enumerated(1000, 1)
    before = held()

    def write() -> None:
        with MappedWriter(folder, DISCOUNT) as writer:
            for block in blocks(side, 1 << 18):
                writer.append(block)

    build, _ = clock(write)
    written = peak() - before
    size = sum(file.stat().st_size for file in folder.glob("*.npy"))
    check, _ = clock(lambda: check_mapped(folder))
    result = {"states": side * side, "bytes": size, "write_s": round(build, 2), "write_peak_gb": gb(written)}
    result |= {"check_s": round(check, 2), "threads": threads}
    for advice, code in (("normal", mmap.MADV_NORMAL), ("sequential", mmap.MADV_SEQUENTIAL)):
        cold: list[float] = []
        for _ in range(3):
            forget(folder)
            loaded = read_so_far()
            cold.append(sweep_seconds(advised(folder, code), threads, 1))
            result["read_from_disk_gb"] = gb(read_so_far() - loaded)
        warm = sweep_seconds(advised(folder, code), threads, 3)
        result |= {f"cold_{advice}_s": round(min(cold), 3), f"warm_{advice}_s": round(warm, 3)}
    read = size - 9 * side * side - 4 * ACTIONS * side * side  # a sweep reads neither labels nor terminal states
    result |= {f"{kind}_gb_per_s": round(read / result[f"{kind}_normal_s"] / 1e9, 2) for kind in ("cold", "warm")}
    opened = open_mapped(folder, check=False)
    taken, found = clock(lambda: solve(opened, epsilon, "modified-policy-iteration", threads=threads))
    return result | {
        "epsilon": epsilon, "solve_s": round(taken, 2), "iterations": found.iterations,
        "certified_gap": found.certificate.gap,
    }  # fmt: skip


def advised(folder: Path, code: int) -> MDP:
    """The model, with advice to the system on how its pages will be read."""
    mdp = open_mapped(folder, check=False)
    for name in ("pointer", "indptr", "indices", "data", "reward"):
        getattr(mdp.rows, name).base.obj.madvise(code)
    return mdp


def read_so_far() -> int:
    """Bytes that this process had fetched from a disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def forget(folder: Path) -> None:
    """Ask the system to drop the folder's files from its cache; it does so only where nothing has them mapped."""
    for file in folder.glob("*.npy"):
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def device_seconds(rows: Any) -> float:
    """The best of five full sweeps; each ends with a number on the CPU, so that the device has finished."""
    v = rows.put(np.zeros(len(rows.acts)))

    def sweep() -> float:
        return rows.extremes(rows.best(rows.action_values(v)) - v)[0]

    sweep()
    return min(clock(sweep)[0] for _ in range(5))


def device(states: float, epsilon: float, threads: int, where: str) -> dict[str, Any]:
    """Sweeps and a solve by torch."""
    import torch

    from operant.mdp.solvers.device import DeviceRows, solve_on_device

    torch.set_num_threads(threads)
    mdp = enumerated(states, threads)
    seconds = device_seconds(DeviceRows(mdp, torch.device(where)))
    taken, found = clock(lambda: solve_on_device(mdp, device=where, epsilon=epsilon))
    return {
        "device": torch.cuda.get_device_name() if where.startswith("cuda") else where, "states": mdp.num_states,
        "entries": mdp.nnz, "threads": threads, "sweep_s": round(seconds, 4),
        "entries_per_s": round(mdp.nnz / seconds), "epsilon": epsilon, "solve_s": round(taken, 2),
        "iterations": found.iterations, "certified_gap": found.certificate.gap,
    }  # fmt: skip


def gb(size: float) -> float:
    """Bytes as GB."""
    return round(size / 1e9, 3)


def main() -> None:
    """One case, one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["solve", "largest", "matrix-free", "mapped", "device"])
    parser.add_argument("--states", type=float)
    parser.add_argument("--epsilon", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=int(numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    parser.add_argument("--method", default="modified-policy-iteration", help="of solve and largest")
    parser.add_argument("--sweeps", type=int, default=3, help="of matrix-free: those of value iteration")
    parser.add_argument("--folder", type=Path, help="of mapped: where to write, on the disk that is measured")
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    quiet()
    common = args.epsilon, args.threads
    match args.case:
        case "solve":
            result = in_memory(args.states or 1e7, *common, args.method)
        case "largest":
            result = largest(args.states or 7e7, *common, args.method)
        case "matrix-free":
            result = matrix_free(args.states or 1e8, *common, args.sweeps)
        case "mapped":
            folder = Path(tempfile.mkdtemp(dir=args.folder))
            try:
                result = mapped(args.states or 2e6, *common, folder / "model")
            finally:
                shutil.rmtree(folder)
        case _:
            result = device(args.states or 1e6, *common, args.device)
    print(json.dumps({"case": args.case, **result}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
