"""Learning in worlds through the run folder: clone, then learn by reward; resuming, measuring, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.run.checkpoint import newest as newest_checkpoint

SMALL = {
    "base.width": 64, "base.layers": 1, "base.positions": 128, "sampling.max_tokens": 8, "threads": 1,
    "eval.episodes": 6, "save.report": False,
}  # fmt: skip
LOOP = {"algo.scenarios": 3, "algo.samples": 3, "algo.batch": 4, "save.every": 2, "algo.lr": 1e-3}


def newest(run: Any) -> dict[str, bytes]:
    """The files of its newest checkpoint; policy.json is its counters."""
    folder, _ = newest_checkpoint(run.path)
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.suffix == ".safetensors" or f.name == "policy.json"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    (folder / "mine.py").write_text("from reference.tiny_worlds import make\n")
    return folder


@pytest.fixture(scope="module")
def clone(place: Path) -> Any:
    said: list[str] = []
    run = operant.train(
        "clone", f"{place / 'mine.py'}:make", runs=place / "runs", total_steps=2_560, quiet=True, **SMALL,
        **{"algo.lr": 3e-3, "algo.length": 128},
    )  # fmt: skip
    assert not said
    return run


def learnt(place: Path, clone: Any, algorithm: str, steps: int, **more: Any) -> Any:
    return operant.train(
        algorithm, f"{place / 'mine.py'}:make", runs=place / "runs", total_steps=steps, quiet=True,
        **{**SMALL, "model.path": str(clone.path), **more},
    )  # fmt: skip


def test_a_clone_says_what_the_oracle_would(clone):
    found = clone.evaluate(20, seed=3)
    assert found["mean"] > 0.0
    table = json.loads((clone.path / "evals" / "success-step-00002560.json").read_text())["greedy"]
    assert set(table) == {"all", "carry", "plain"}
    assert table["all"]["low"] < table["all"]["success"] <= table["all"]["high"]
    assert sum(table["all"]["ended"].values()) == table["all"]["episodes"] == 20
    assert any("train loop" in line for line in clone.advice())


@pytest.mark.parametrize(
    ("algorithm", "more"),
    [
        ("loop", LOOP),
        ("turn-ppo", {"algo.scenarios": 4, "algo.batch": 5, "save.every": 2}),
        ("filtered-clone", {"algo.prompts": 4, "algo.samples": 3, "save.every": 2}),
    ],
    ids=str,
)
def test_a_resumed_run_is_the_run_that_was_never_stopped(place, clone, algorithm, more):
    whole, part = learnt(place, clone, algorithm, 4, **more), learnt(place, clone, algorithm, 2, **more)
    assert newest(operant.resume(part.path, to=4, quiet=True)) == newest(whole)


def test_the_folder_has_the_episodes_turn_by_turn_and_the_first_step_proves_its_masks(place, clone, capsys):
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in {**SMALL, **LOOP}.items() if not isinstance(v, bool)]
    words = ["train", "loop", f"{place / 'mine.py'}:make", "--total-steps=1", "--no-save.report", *flags]
    assert main([*words, "--model", str(clone.path), "--runs", str(place / "proof")]) == 0
    said = capsys.readouterr().err
    assert "Masks: 9 episodes in 9 rows" in said
    assert "none besides; each ratio before it within 1 ±" in said
    assert "above 1e-05" not in said
    (run,) = (place / "proof").iterdir()
    rows = pq.ParquetFile(run / "rollouts" / "step-00000001.parquet").read().to_pylist()
    assert len(rows) == 9
    for row in rows:
        turns = json.loads(row["turns"])
        assert sum(t["tokens"] for t in turns) == sum(row["sampled"])
        assert len(row["tokens"]) == len(row["logp"]) == len(row["sampled"]) == len(row["row"])
        assert row["cause"] in ("success", "fail", "turns")
        assert row["advantage"] is not None
    assert main(["eval", str(run), "--episodes", "4", "--env", f"{place / 'mine.py'}:make"]) == 0
    assert main(["report", str(run)]) == 0
    assert ">add" in (run / "report.html").read_text()


def test_a_small_base_is_made_once_where_no_model_is_named(place, monkeypatch):
    monkeypatch.setenv("OPERANT_CACHE", str(place / "cache"))
    told = []
    for _ in range(2):
        run = learnt(place, type("", (), {"path": ""}), "loop", 1, **LOOP, **{"base.examples": 64})
        told.append(newest(run))
    assert told[0] == told[1]
    assert len([*(place / "cache").iterdir()]) == 1


def test_the_small_base_is_the_clone_of_equal_settings(place, monkeypatch):
    """What a preset says of both is said of one model."""
    monkeypatch.setenv("OPERANT_CACHE", str(place / "same"))
    base = {"batch": 4, "lr": 2e-3, "traces": 9, "learn": "all"}
    of = {"seed": 5, "base.seed": 5}
    learnt(place, type("", (), {"path": ""}), "loop", 1, **LOOP, **of, **{f"base.{k}": v for k, v in base.items()},
           **{"base.examples": 24})  # fmt: skip
    made = learnt(place, type("", (), {"path": ""}), "clone", 24, **of, **{f"algo.{k}": v for k, v in base.items()},
                  **{"algo.length": 128, "algo.warmup": 0.05})  # fmt: skip
    (folder,) = (place / "same").iterdir()
    one, other = (load_file(f / "model.safetensors") for f in (folder, newest_checkpoint(made.path)[0]))
    assert all(torch.equal(x, other[name]) for name, x in one.items())
    assert one.keys() == other.keys()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"algo.samples": 1}, "samples = 1 leaves nobody to compare with"),
        ({"algo.credit": "turns"}, "credit = turns is normalised over the step"),
        ({"episode.rows": "append", "episode.history": "lines"}, "does not extend the one before"),
        ({"eval.split": "dev"}, "has no split 'dev': there is train, test"),
        ({"sampling.max_tokens": 128}, "leaves a prompt no room in 128 tokens"),
        ({"task.options": {"digit": 3}}, "has no option 'digit'; nearest: digits"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_in_words(place, clone, more, words):
    with pytest.raises(ConfigError, match=words):
        learnt(place, clone, "loop", 1, **{**LOOP, **more})


def test_a_world_without_an_oracle_asks_for_a_model(place, tmp_path, monkeypatch):
    monkeypatch.setenv("OPERANT_CACHE", str(tmp_path))
    (tmp_path / "none.py").write_text(
        "from reference.tiny_worlds import Sum\n\nclass No(Sum):\n    def oracle(self, scenario): return None\n\n"
        "def make(): return No()\n"
    )
    with pytest.raises(ConfigError, match=r"has no oracle to clone: name a model, as in --model DIR"):
        operant.train("loop", f"{tmp_path / 'none.py'}:make", runs=tmp_path, quiet=True, **SMALL)
