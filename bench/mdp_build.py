"""How fast a model is built: transitions a second from a Gymnasium table, compiled and Python functions, and arrays.

The model is a square grid with slip: four actions, three successors. Each builder is timed `--repeat` times on the CPU
clock of this process (user and system time, so that neighbours on the machine do not count) and the best is told; what
a user pays for once in a process (Numba's compilation of the transition function) is told apart. Peak memory is that
of a fresh process for each builder, less the peak before it (0 where preparing its input took more). Prints one JSON
line.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from _interleave import quiet
from operant.mdp import MDP, enumerate_compiled, enumerate_mdp, from_gymnasium

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
SLIP = ((0, 0.8), (1, 0.1), (3, 0.1))


def reached(side: int, state: int, way: int) -> int:
    """Where a move leads."""
    y, x = divmod(state, side)
    return min(max(y + MOVES[way][0], 0), side - 1) * side + min(max(x + MOVES[way][1], 0), side - 1)


def outcomes(side: int, state: int, action: int) -> list[tuple[float, int, float]]:
    """[(probability, successor, reward)] of a move."""
    return [(p, reached(side, state, (action + turn) % 4), -1.0) for turn, p in SLIP]


def compiled(side: int) -> Any:
    """The same as a Numba function."""

    @numba.njit
    def transition(s, a, successor, probability, reward):
        y, x = s // side, s % side
        for k in range(3):
            way = (a + (0, 1, 3)[k]) % 4
            to_y = min(max(y + (way == 2) - (way == 0), 0), side - 1)
            to_x = min(max(x + (way == 1) - (way == 3), 0), side - 1)
            successor[k], reward[k] = to_y * side + to_x, -1.0
            probability[k] = 0.8 if k == 0 else 0.1
        return 3

    return transition


def prepared(kind: str, side: int) -> tuple[Callable[[], MDP], int]:
    """A builder with its input at hand, and how many transitions it reads."""
    states = side * side
    if kind == "compiled":
        function = compiled(side)
        return lambda: enumerate_compiled(function, states=states, actions=4, successors=3, discount=0.99), 12 * states
    if kind == "python":
        return (
            lambda: enumerate_mdp(lambda s, a: outcomes(side, s, a), 0, discount=0.99, actions=range(4)),
            12 * states,
        )
    table = {s: {a: [(p, t, r, False) for p, t, r in outcomes(side, s, a)] for a in range(4)} for s in range(states)}
    if kind == "env.P":
        return lambda: from_gymnasium(table, discount=0.99), 12 * states
    entries = [(s, 4 * s + a, p, t) for s in range(states) for a in range(4) for p, t, _, _ in table[s][a]]
    row, p, t = (np.array(column) for column in list(zip(*entries, strict=True))[1:])
    pairs = np.repeat(np.arange(states), 4), np.tile(np.arange(4), states)
    matrix = sp.csr_array((p, t.astype(np.int32), np.arange(0, len(p) + 1, 3, dtype=np.int32)))
    if kind == "arrays (COO)":
        coo = sp.coo_array((p, (row, t)), shape=matrix.shape)
        return lambda: MDP(coo, np.full(4 * states, -1.0), 0.99, pairs=pairs), 12 * states
    return lambda: MDP(matrix, np.full(4 * states, -1.0), 0.99, pairs=pairs), 12 * states


SIDES = {"env.P": 300, "compiled": 1500, "python": 150, "arrays (CSR)": 500, "arrays (COO)": 500}
"""States along an edge of each builder's grid, so that each takes about a second."""


def measure(kind: str, side: int, repeat: int) -> dict[str, Any]:
    """One builder's speed and memory."""
    build, transitions = prepared(kind, side)
    seconds: list[float] = []
    peak = size = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(repeat + 1):
        began = time.process_time()
        mdp = build()
        seconds.append(time.process_time() - began)
        if len(seconds) == 1:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            size = mdp.rows.nbytes
        del mdp
    return {
        "transitions": transitions,
        "transitions_per_second": round(transitions / min(seconds[1:])),
        "first_call_extra_seconds": round(max(0.0, seconds[0] - min(seconds[1:])), 2),
        "model_mb": round(size / 1e6, 1),
        "peak_growth_mb": round(peak * 1024 / 1e6, 1),
    }


def main() -> None:
    """Measure every builder in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=SIDES, help="measure one builder, in this process")
    given = parser.parse_args()
    if given.only is None:
        quiet()
    if given.only:
        print(json.dumps(measure(given.only, SIDES[given.only], given.repeat)))
        return
    found = {}
    for kind in SIDES:
        command = [sys.executable, __file__, "--only", kind, "--repeat", str(given.repeat)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{kind} failed:\n{done.stderr[-3000:]}")
        found[kind] = json.loads(done.stdout.splitlines()[-1])
        print(f"  {kind}: {found[kind]['transitions_per_second']:,} transitions/s", file=sys.stderr, flush=True)
    print(json.dumps({"case": "build", "unit": "transitions per CPU second, one thread", "builders": found}))


if __name__ == "__main__":
    main()
