"""The adapter to PETSc: on one rank and on two, where petsc4py is installed; a plain word where it is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from operant.mdp.io.mapped import save_mapped
from operant.mdp.model import MDP
from operant.mdp.rows import ModelError
from operant.mdp.solvers.petsc import solve_petsc
from operant.mdp.solvers.solve import solve
from reference.scale_models import ragged


def model(seed: int, *, leak: bool = False, discount: float = 0.95) -> MDP:
    """300 states with 1 to 5 actions, some terminal."""
    rows = ragged(np.random.default_rng(seed), 300, most_actions=5, most_outcomes=4, leak=leak)
    return MDP.from_rows(rows, discount, leak=leak)


def test_without_petsc4py_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "petsc4py", None)
    with pytest.raises(ModelError, match="pip install petsc petsc4py"):
        solve_petsc(model(1))


@pytest.mark.parametrize("leak", [False, True])
@pytest.mark.parametrize("discount", [0.9, 0.999])
def test_one_rank_gives_the_answer(leak: bool, discount: float) -> None:
    pytest.importorskip("petsc4py")
    mdp = model(2, leak=leak, discount=discount)
    exact = solve(mdp, 1e-8)
    found = solve_petsc(mdp, epsilon=1e-5)
    assert (found.first, found.last) == (0, 300)
    assert 0 < found.gap <= 1e-5
    assert np.abs(found.values - exact.values).max() <= found.gap / 2 + 1e-8
    best = exact.ties(1e-4)
    for s in range(300):
        assert (found.policy[s] < 0) == mdp.rows.terminal[s]
        assert found.policy[s] < 0 or best[mdp.row(s, int(found.policy[s]))]
    assert found.iterations < 40
    assert found.inner_iterations > found.iterations


def test_it_stops_where_it_should() -> None:
    pytest.importorskip("petsc4py")
    exact = solve(model(3), 1e-10).values
    early = solve_petsc(model(3), max_iterations=2)
    assert early.iterations == 2
    assert early.gap > 1e-6
    assert np.abs(early.values - exact).max() <= early.gap / 2 + 1e-10
    with pytest.raises(ModelError, match="cannot be certified"):
        solve_petsc(model(3), epsilon=1e-17)
    seen: list[float] = []
    found = solve_petsc(model(3), watch=lambda i, gap, v: seen.append(gap))
    assert tuple(enumerate(seen, start=1)) == found.history


RANK = """
import sys
import numpy as np
from operant.mdp.io.mapped import open_mapped
from operant.mdp.solvers.petsc import solve_petsc
found = solve_petsc(open_mapped(sys.argv[1]), epsilon=1e-6)
np.savez(f"{sys.argv[2]}/{found.first}.npz", values=found.values, policy=found.policy, gap=found.gap)
"""


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_a_mapped_model(tmp_path: Path, ranks: int) -> None:
    pytest.importorskip("petsc4py")
    if shutil.which("mpirun") is None:
        pytest.skip("no mpirun here")
    mdp = model(4)
    save_mapped(mdp, tmp_path / "m")
    (tmp_path / "out").mkdir()
    command = ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, "-c", RANK]
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "m"), str(tmp_path / "out")],
        env=os.environ | allowed, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    parts = [np.load(file) for file in sorted((tmp_path / "out").glob("*.npz"), key=lambda file: int(file.stem))]
    assert len(parts) == ranks
    values = np.concatenate([part["values"] for part in parts])
    policy = np.concatenate([part["policy"] for part in parts])
    exact = solve(mdp, 1e-10)
    assert len({float(part["gap"]) for part in parts}) == 1
    assert np.abs(values - exact.values).max() <= float(parts[0]["gap"]) / 2 + 1e-10
    best = exact.ties(1e-4)
    assert all(policy[s] < 0 or best[mdp.row(s, int(policy[s]))] for s in range(300))
