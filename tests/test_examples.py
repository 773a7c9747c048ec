"""The scripts and notebooks of `examples/` run as they stand, shortly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SHORT = {
    "train_and_measure.py": ["--steps", "2048"],
    "own_environment.py": ["--steps", "2048"],
    "own_network.py": ["--steps", "1024"],
    "reinforce.py": ["--steps", "2048"],
    "solve_then_learn.py": ["--episodes", "200"],
    "own_task.py": ["--steps", "2", "--examples", "320"],
    "reverse.py": ["--steps", "2", "--examples", "320"],
}


def test_each_script_is_run_here():
    assert sorted(SHORT) == sorted(p.name for p in EXAMPLES.glob("*.py"))


@pytest.mark.spread(3)
@pytest.mark.parametrize("name", SHORT)
def test_script(name, tmp_path):
    if name in ("own_task.py", "reverse.py"):
        pytest.importorskip("transformers")
    command = [sys.executable, str(EXAMPLES / name), *SHORT[name]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.spread(1)
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebook(path, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    if "language" in path.stem:
        pytest.importorskip("transformers")
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert not any(cell.get("outputs") for cell in book.cells), "notebooks are committed without what they printed"
    os.environ.setdefault("IPYTHONDIR", str(tmp_path))
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
