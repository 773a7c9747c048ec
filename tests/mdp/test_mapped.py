"""Memory-mapped models: equal to memory bit by bit, complete or absent, and refused when damaged."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from operant.config.errors import DiskError
from operant.mdp import METHODS, solve
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.io import mapped
from operant.mdp.io.mapped import MappedWriter, check_mapped, open_mapped, save_mapped
from operant.mdp.kernels.bellman import backup
from operant.mdp.model import MDP
from operant.mdp.rows import Grid, ModelError, Rows
from reference.scale_models import ragged


def sweep(mdp: MDP, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One Jacobi sweep by the kernel."""
    out, choice = np.empty_like(v), np.empty(len(v), dtype=np.int64)
    Sweeps(mdp, 2).backup(v, out, choice)
    return out, choice


def same_rows(a: Rows, b: Rows) -> None:
    """Every array equal in dtype and bits."""
    for field in dataclasses.fields(Rows):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if left is None or right is None:
            assert left is right
        else:
            assert left.dtype == right.dtype, field.name
            assert left.tobytes() == right.tobytes(), field.name


@pytest.fixture
def model() -> MDP:
    """57 states, ragged, leaking, with names and a map."""
    rows = ragged(np.random.default_rng(1), 57, leak=True)
    grid = Grid(lines=("a" * 57,), cell=np.arange(57), moves=((0, 1), (0, -1), (0, 0), (0, 2)))
    start = np.full(57, 1 / 57)
    return MDP.from_rows(rows, 0.9, leak=True, start=start, states=[f"s{i}" for i in range(57)], grid=grid)


@pytest.mark.parametrize("block", [1, 7, 57, 1000])
def test_a_mapped_model_is_the_model_bit_by_bit(model: MDP, tmp_path: Path, block: int) -> None:
    save_mapped(model, tmp_path / "m", block=block)
    loaded = open_mapped(tmp_path / "m")
    same_rows(model.rows, loaded.rows)
    assert (loaded.discount, loaded.leak, loaded.criterion, loaded.horizon) == (0.9, True, "discounted", None)
    assert loaded.states == model.states
    assert loaded.grid is not None
    assert model.grid is not None
    assert (loaded.grid.lines, loaded.grid.moves) == (model.grid.lines, model.grid.moves)
    assert np.array_equal(loaded.grid.cell, model.grid.cell)
    assert np.array_equal(loaded.start, model.start)
    v = np.random.default_rng(2).normal(size=57)
    for mine, theirs in zip(sweep(loaded, v), sweep(model, v), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    check_mapped(tmp_path / "m")
    assert not list(tmp_path.glob(".*"))


def test_the_kernel_reads_the_map_itself_through_one_more_specialisation(model: MDP, tmp_path: Path) -> None:
    save_mapped(model, tmp_path / "m")
    v = np.zeros(57)
    sweep(model, v)
    loaded = open_mapped(tmp_path / "m")
    sweep(loaded, v)
    before = len(backup.signatures)
    sweep(open_mapped(tmp_path / "m"), v)
    assert len(backup.signatures) == before  # a second map costs no compilation
    assert type(loaded.rows.data) is np.ndarray
    assert not loaded.rows.data.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        loaded.rows.data[0] = 0.0


def test_outcome_rewards_and_one_start_state_are_kept(tmp_path: Path) -> None:
    rows = ragged(np.random.default_rng(3), 20)
    outcome = np.random.default_rng(4).normal(size=len(rows.data))
    mean = np.add.reduceat(rows.data * outcome, rows.indptr[:-1].astype(int))
    rows = dataclasses.replace(rows, outcome_reward=outcome, reward=mean)
    save_mapped(MDP.from_rows(rows, 1.0, start=3, criterion="average"), tmp_path / "m", block=6)
    loaded = open_mapped(tmp_path / "m")
    same_rows(rows, loaded.rows)
    assert loaded.criterion == "average"
    assert loaded.start is not None
    assert loaded.start.argmax() == 3


def test_slices_of_a_model_are_its_blocks(model: MDP) -> None:
    block = model.rows.block(10, 30)
    assert block.pointer[0] == block.indptr[0] == 0
    for s in range(10, 30):
        for offset, row in enumerate(range(model.rows.pointer[s], model.rows.pointer[s + 1])):
            local = int(block.pointer[s - 10]) + offset
            mine = slice(int(block.indptr[local]), int(block.indptr[local + 1]))
            theirs = slice(int(model.rows.indptr[row]), int(model.rows.indptr[row + 1]))
            assert np.array_equal(block.indices[mine], model.rows.indices[theirs])
            assert block.reward[local] == model.rows.reward[row]


KILLED = """
import os, signal, sys
import numpy as np
sys.path.insert(0, {tests!r})
from reference.scale_models import ragged
from operant.mdp.io import mapped
from operant.mdp.model import MDP
target, calls = {target!r}, 0
def dying(real):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == {at}:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return call
owner, name = (mapped, target) if hasattr(mapped, target) else (mapped._Stream, target)
setattr(owner, name, dying(getattr(owner, name)))
mapped.save_mapped(MDP.from_rows(ragged(np.random.default_rng(1), 57), 0.9), {folder!r}, block=10)
"""


@pytest.mark.parametrize(
    ("target", "at"), [("write", 30), ("close", 4), ("_narrow", 2), ("_write_synced", 1), ("_sync_folder", 1)]
)
def test_a_kill_in_the_middle_leaves_no_folder_that_loads(tmp_path: Path, target: str, at: int) -> None:
    folder = tmp_path / "m"
    script = KILLED.format(tests=str(Path(__file__).parents[1]), target=target, at=at, folder=str(folder))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert not folder.exists()
    with pytest.raises(ModelError, match="cut short"):
        open_mapped(folder)
    left = list(tmp_path.glob(".m.*.tmp"))
    assert len(left) == 1
    if target != "_sync_folder":  # there the manifest stands already, and only the rename is missing
        with pytest.raises(ModelError, match="cut short"):
            open_mapped(left[0])
    save_mapped(MDP.from_rows(ragged(np.random.default_rng(1), 57), 0.9), folder)  # and the way is free
    check_mapped(folder)


def test_an_error_in_the_builder_leaves_nothing(model: MDP, tmp_path: Path) -> None:
    def build() -> None:
        with MappedWriter(tmp_path / "m", 0.9, leak=True) as writer:
            writer.append(model.rows.block(0, 10))
            raise RuntimeError("the builder's own")

    with pytest.raises(RuntimeError, match="the builder's own"):
        build()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_and_leaves_nothing(model: MDP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapped._Stream, "write", full)
    with pytest.raises(DiskError, match="No space left"):
        save_mapped(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_damage_is_found(model: MDP, tmp_path: Path) -> None:
    save_mapped(model, tmp_path / "m")
    data = tmp_path / "m" / "data.npy"
    raw = bytearray(data.read_bytes())
    raw[mapped.HEADER + 5] ^= 1
    data.write_bytes(raw)
    open_mapped(tmp_path / "m")  # sizes are right
    with pytest.raises(ModelError, match=r"data\.npy is damaged"):
        check_mapped(tmp_path / "m")
    data.write_bytes(raw[:-8])
    with pytest.raises(ModelError, match=r"data\.npy has .* bytes"):
        open_mapped(tmp_path / "m")
    (tmp_path / "m" / "MANIFEST.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        open_mapped(tmp_path / "m")
    (tmp_path / "m" / "MANIFEST.json").write_text(json.dumps({"version": 2, "files": {}}))
    with pytest.raises(ModelError, match="version 2"):
        open_mapped(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {"data": r.data * 0.5}, r"state 12, action \d+: the probabilities sum to 0\.5"),
        (
            lambda r: {"data": np.where(np.arange(len(r.data)) == 0, -r.data, r.data)},
            "state 12, action .* not negative",
        ),
        (lambda r: {"data": np.full_like(r.data, np.nan)}, "state 12, action"),
        (lambda r: {"terminal": np.zeros_like(r.terminal)}, "state 13 has no actions"),
        (lambda r: {"reward": r.reward[:-1]}, r"rows\.reward has shape"),
    ],
)
def test_a_bad_block_names_its_row(tmp_path: Path, change: object, message: str) -> None:
    rows = ragged(np.random.default_rng(0), 40)
    first = 12
    assert rows.terminal[12:15].tolist() == [False, True, False]
    good, bad = rows.block(0, first), rows.block(first, 40)
    bad = dataclasses.replace(bad, **change(bad))

    def build() -> None:
        with MappedWriter(tmp_path / "m", 0.9) as writer:
            writer.append(good)
            writer.append(bad)

    with pytest.raises(ModelError, match=message):
        build()
    assert not list(tmp_path.iterdir())


def test_a_successor_that_never_comes_is_refused(tmp_path: Path) -> None:
    rows = ragged(np.random.default_rng(5), 40)
    with pytest.raises(ModelError, match="append all states"), MappedWriter(tmp_path / "m", 0.9) as writer:
        writer.append(rows.block(0, 5))
    with pytest.raises(ModelError, match="at least one state"), MappedWriter(tmp_path / "m", 0.9):
        pass
    save_mapped(MDP.from_rows(rows, 0.9), tmp_path / "m")
    with pytest.raises(ModelError, match="exists"):
        save_mapped(MDP.from_rows(rows, 0.9), tmp_path / "m")
    with pytest.raises(ModelError, match="neither a string nor an integer"):
        save_mapped(MDP.from_rows(rows, 0.9, states=[(i,) for i in range(40)]), tmp_path / "n")


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if "discounted" in method.fits])
def test_solvers_take_a_mapped_model(model: MDP, tmp_path: Path, method: str) -> None:
    save_mapped(model, tmp_path / "m")
    mine, theirs = (solve(mdp, 1e-9, method) for mdp in (open_mapped(tmp_path / "m"), model))
    assert mine.values.tobytes() == theirs.values.tobytes()
    assert np.array_equal(mine.rows, theirs.rows)
    assert mine.certificate.gap == theirs.certificate.gap
