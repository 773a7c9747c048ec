"""Metrics read by column are those that `RunFolder.metrics` reads by row."""

import json
import math

import numpy as np
import pytest

from operant.config.errors import OperantError
from operant.run import folder as folder_module
from operant.run.folder import RunFolder
from operant.run.metrics import read_columns


def new(tmp_path, monkeypatch, seal=3):
    monkeypatch.setattr(folder_module, "SEAL_EVERY", seal)
    return RunFolder.create(tmp_path, env="CartPole-v1", algorithm="ppo", seed=1)


def same(run, name):
    """The column, after it was held against the frame."""
    column = read_columns(run.path, (name, "never"))
    assert set(column) == {name}
    rows = [r for r in run.metrics().to_dict("records") if name in r]
    kept = [r for r in rows if not (isinstance(r[name], float) and math.isnan(r[name]))]
    finite = ~np.isnan(column[name].value)
    assert column[name].step[finite].tolist() == [r["step"] for r in kept]
    assert column[name].value[finite].tolist() == [r[name] for r in kept]
    return column[name]


def test_sealed_and_live_rows_nan_and_absent(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch)
    values = [1.0, None, math.nan, math.inf, None, 2, 3.5]
    for k, value in enumerate(values):
        run.writer.write(10 * (k + 1), k / 10, {"other": 1.0} | ({} if value is None else {"a": value}))
    column = same(run, "a")
    assert column.step.tolist() == [10, 30, 40, 60, 70]  # a NaN was measured, an absent value was not
    assert math.isnan(column.value[1])
    assert column.value[2] == math.inf


def test_the_highest_attempt_counts(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch)
    for attempt, step in [(1, 1), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4), (3, 5)]:
        run.writer.attempt = attempt
        run.writer.write(step, step / 10, {"a": float(10 * attempt + step)})
    assert same(run, "a").value.tolist() == [11, 12, 23, 34, 35]


def test_an_attempt_that_only_redid_the_step_counts_too(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch)
    for attempt, step, row in [(1, 1, {"a": 1.0}), (1, 2, {"a": 2.0}), (2, 2, {"b": 0.0}), (2, 3, {"a": 3.0})]:
        run.writer.attempt = attempt
        run.writer.write(step, step / 10, row)
    assert same(run, "a").value.tolist() == [1, 3]


def test_rows_both_sealed_and_live_count_once(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch, seal=2)
    for k in range(4):
        run.writer.write(k, k / 10, {"a": float(k)})
    row = {"attempt": 1, "step": 3, "time": 0.3, "a": 3.0}
    (run.path / "metrics" / "live.jsonl").write_text(json.dumps(row) + "\n")
    assert same(run, "a").value.tolist() == [0, 1, 2, 3]


def test_no_rows_and_a_damaged_part(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch)
    assert read_columns(run.path, ("a",)) == {}
    (run.path / "metrics" / "part-0000.parquet").write_bytes(b"PAR1nonsense")
    with pytest.raises(OperantError, match=r"part-0000\.parquet"):
        read_columns(run.path, ("a",))
