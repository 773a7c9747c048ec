"""One side of `bench/mdp.py` on one case: solve it, check the answer, print one JSON object.

The clock runs while a model that is built already is solved; not while it is made, converted or compiled for. The
answer is checked by going on from it to a certificate twenty times as tight: `error` is a bound on |v - v*| of what the
side returned. Peak memory is what building the side's model and solving it add, at most, to the arrays of the case.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from _mdp_cases import CASES, Case
from operant.mdp import MDP, solve
from operant.mdp.rows import Rows, unsigned

Solved = tuple[Any, int, dict[str, Any]]  # values, iterations, what else is worth knowing


def ours(case: Case) -> MDP:
    """The case as our model; the arrays are used as they are."""
    states, actions = case.reward.shape
    kept = np.flatnonzero(np.repeat(~case.terminal, actions))
    matrix = case.matrix[kept]
    counts = np.where(case.terminal, 0, actions)
    rows = Rows(
        pointer=unsigned(np.concatenate(([0], np.cumsum(counts)))),
        action=np.tile(np.arange(actions, dtype=np.int32), states)[kept],
        indptr=unsigned(matrix.indptr),
        indices=unsigned(matrix.indices),
        data=matrix.data,
        reward=case.reward.ravel()[kept],
        terminal=case.terminal,
        terminal_value=np.zeros(states),
    )
    return MDP.from_rows(rows, case.discount)


def absorbing(case: Case) -> Any:
    """The matrix with a loop in place of a terminal state, for peers that know no such states."""
    actions = case.reward.shape[1]
    ends = np.flatnonzero(case.terminal)
    rows = (ends[:, None] * actions + np.arange(actions)).ravel()
    loops = sp.coo_array((np.ones(len(rows)), (rows, np.repeat(ends, actions))), shape=case.matrix.shape)
    return (case.matrix + loops.tocsr()).tocsr()


def by_operant(case: Case, threads: int) -> Callable[[], Solved]:
    mdp = ours(case)
    solve(mdp, case.epsilon, threads=threads, max_iterations=12)  # compiles

    def run() -> Solved:
        found = solve(mdp, case.epsilon, threads=threads)
        swept = mdp.nnz * found.iterations + _policy(mdp) * int(found.extra.get("evaluations", 0))
        touched = _sweep_bytes(mdp, mdp.nnz, mdp.num_rows) * found.iterations
        touched += _sweep_bytes(mdp, _policy(mdp), mdp.num_states) * int(found.extra.get("evaluations", 0))
        if "backups" in found.extra:
            swept = touched = 0  # in cache, component by component: sweeps over the model are not what it does
        return found.values, found.iterations, {"why": found.why, "entries": swept, "bytes": touched}

    return run


def _policy(mdp: MDP) -> int:
    return mdp.nnz * mdp.num_states // max(mdp.num_rows, 1)


def _sweep_bytes(mdp: MDP, entries: int, rows: int) -> int:
    return 12 * entries + 12 * rows + 24 * mdp.num_states


def by_quantecon(case: Case, threads: int) -> Callable[[], Solved]:
    import quantecon

    states, actions = case.reward.shape
    pairs = np.divmod(np.arange(states * actions), actions)
    model = quantecon.markov.DiscreteDP(case.reward.ravel(), sp.csr_matrix(absorbing(case)), case.discount, *pairs)
    model.solve(method="mpi", epsilon=case.epsilon, max_iter=2)

    def run() -> Solved:
        found = model.solve(method="mpi", epsilon=case.epsilon, max_iter=10**6)
        return found.v, found.num_iter, {}

    return run


def by_mdpsolver(case: Case, threads: int) -> Callable[[], Solved]:
    import mdpsolver

    states, actions = case.reward.shape
    matrix = absorbing(case)
    data, columns, start = matrix.data.tolist(), matrix.indices.tolist(), matrix.indptr.tolist()
    rows = [slice(start[i], start[i + 1]) for i in range(states * actions)]
    probability = [[data[rows[s * actions + a]] for a in range(actions)] for s in range(states)]
    rewards = case.reward.tolist()
    column = [[columns[rows[s * actions + a]] for a in range(actions)] for s in range(states)]

    def run() -> Solved:
        model = mdpsolver.model()  # a second solve of one object would start from the first one's answer
        model.mdp(
            discount=case.discount, rewards=rewards, tranMatProbs=probability, tranMatColumns=column,
        )  # fmt: skip
        model.solve(algorithm="mpi", tolerance=case.epsilon, parallel=False)
        return np.array(model.getValueVector()), 0, {"own_seconds": model.getRuntime() / 1000}

    return run


def by_stormpy(case: Case, threads: int) -> Callable[[], Solved]:
    """Discounting as a chance 1 - γ to end at every step, rewards raised to be positive, as Storm needs both."""
    import stormpy
    from stormpy import environments

    raised = float(case.reward.min())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "case.drn"
        file.write_text("\n".join(drn_lines(case, raised)))
        model = stormpy.build_model_from_drn(str(file))
    wanted = stormpy.parse_properties('R{"r"}max=? [F "end"]')[0]
    environment = environments.sound()
    method = environment.solver().min_max()
    method.precision, method.relative_termination_criterion = stormpy.Rational(str(case.epsilon)), False

    def run() -> Solved:
        result = stormpy.model_checking(model, wanted, environment=environment)
        values = np.array(result.get_value_vector()[:-1]) + raised / (1 - case.discount)
        return values, 0, {}

    return run


def drn_lines(case: Case, raised: float) -> Iterator[str]:
    """The case in the text format of Storm, with one more state, in which it ends."""
    states, actions = case.reward.shape
    matrix, reward = absorbing(case), case.reward - raised
    yield f"@type: MDP\n@value_type: double\n@parameters\n\n@reward_models\nr\n@nr_states\n{states + 1}"
    yield f"@nr_choices\n{states * actions + 1}\n@model"
    for s in range(states):
        yield f"state {s} [0]" + " init" * (s == 0)
        for a in range(actions):
            i = s * actions + a
            yield f"\taction {a} [{float(reward[s, a])!r}]"
            chances = case.discount * matrix.data[matrix.indptr[i] : matrix.indptr[i + 1]]
            for t, chance in zip(matrix.indices[matrix.indptr[i] : matrix.indptr[i + 1]], chances, strict=True):
                yield f"\t\t{t} : {float(chance)!r}"
            yield f"\t\t{states} : {1.0 - float(chances.sum())!r}"
    yield f"state {states} [0] end\n\taction 0 [0]\n\t\t{states} : 1\n"


SIDES = {
    "operant": (by_operant, "operant"),
    "quantecon": (by_quantecon, "quantecon"),
    "mdpsolver": (by_mdpsolver, "mdpsolver"),
    "stormpy": (by_stormpy, "stormpy"),
}


def resident(field: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (most so far) of this process; Linux."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def error_of(case: Case, values: Any) -> float:
    """A bound on |v - v*|: the distance to values certified to ε/20, which are found from there, plus their radius."""
    exact = solve(
        ours(case), case.epsilon / 20, "modified-policy-iteration", initial=np.asarray(values, dtype=np.float64)
    )
    return float(np.abs(exact.values - values).max()) + exact.certificate.radius


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--side", choices=SIDES, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="the round; every round solves the same model")
    given = parser.parse_args()
    case = CASES[given.case]()
    make, package = SIDES[given.side]
    Path("/proc/self/clear_refs").write_text("5")  # the most so far begins again
    before = resident("VmRSS")
    run = make(case, given.threads)
    seconds: list[float] = []
    values, iterations, detail = None, 0, {}
    while len(seconds) < 5 and sum(seconds) < 1.5:
        begun = time.perf_counter()
        values, iterations, detail = run()
        seconds.append(time.perf_counter() - begun)
    memory = resident("VmHWM") - before
    line = {"value": 1 / min(seconds), "seconds": seconds, "iterations": iterations, "peak_memory": memory}
    print(json.dumps(line | detail | {"error": error_of(case, values), "version": version(package)}))


if __name__ == "__main__":
    main()
