"""The metrics of a run: nothing is lost, nothing is read twice, and columns are what a slow loop reads by row."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operant.config.errors import OperantError
from operant.run import folder as folder_module
from operant.run.folder import RunFolder
from operant.run.metrics import KEYS, read_metrics
from view.synthetic import rows, write_run


def new(tmp_path, monkeypatch, seal=3):
    monkeypatch.setattr(folder_module, "SEAL_EVERY", seal)
    return RunFolder.create(tmp_path, env="CartPole-v1", algorithm="ppo", seed=1)


def slow_rows(path):
    """Every row by step, attempt and time, what was not measured left out; and whether each was superseded."""
    raw = [row for part in sorted((path / "metrics").glob("part-*")) for row in pq.read_table(part).to_pylist()]
    for line in (path / "metrics" / "live.jsonl").read_text().splitlines():
        raw.append({k: float(v["nf"]) if isinstance(v, dict) else v for k, v in json.loads(line).items()})
    found, begin = {}, {}
    for row in raw:
        measured = {name: value for name, value in row.items() if value is not None}
        found.setdefault((*(row[key] for key in KEYS), *sorted(measured)), measured)
        begin[row["attempt"]] = min(row["step"], begin.get(row["attempt"], row["step"]))
    ordered = sorted(found.values(), key=lambda row: (row["step"], row["attempt"], row["time"]))
    return [(row, any(row["step"] >= first for a, first in begin.items() if a > row["attempt"])) for row in ordered]


def same(run, *names):
    """The metrics, after all columns and the frame were held against the loop."""
    metrics, slow = read_metrics(run.path), slow_rows(run.path)
    for key in KEYS:
        assert getattr(metrics, key).tolist() == [row[key] for row, _ in slow]
    assert metrics.superseded.tolist() == [over for _, over in slow]
    frame = run.metrics()
    assert frame["step"].tolist() == [row["step"] for row, over in slow if not over]
    for name in (*names, "never"):
        for which in (False, True, None):
            want = [(r["step"], r[name]) for r, over in slow if name in r and which in (None, over)]
            for read in (metrics, read_metrics(run.path, (name, "other"))):
                column = read.column(name, superseded=which)
                got = [] if column is None else [*zip(column.step.tolist(), column.value.tolist(), strict=True)]
                np.testing.assert_array_equal(np.asarray(got), np.asarray(want, dtype=float))
        if name in frame:
            np.testing.assert_array_equal(frame[name], [r.get(name, math.nan) for r, over in slow if not over])
        else:
            assert not any(name in row for row, over in slow if not over)
    return metrics


def test_sealed_and_live_rows_nan_and_absent(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch)
    values = [1.0, None, math.nan, math.inf, None, 2, 3.5]
    for k, value in enumerate(values):
        run.writer.write(10 * (k + 1), k / 10, {"other": 1.0} | ({} if value is None else {"a": value}))
    column = same(run, "a", "other").column("a")
    assert column.step.tolist() == [10, 30, 40, 60, 70]  # a NaN was measured, an absent value was not
    assert math.isnan(column.value[1])
    assert column.value[2] == math.inf


@pytest.mark.parametrize("sealed", [0, 3, 6])
def test_a_measured_nan_is_kept_apart_from_a_metric_that_is_absent(tmp_path, sealed):
    written = rows(6)
    written[1]["policy/kl"], written[2]["policy/kl"], written[4]["policy/kl"] = math.nan, math.inf, -math.inf
    del written[3]["policy/kl"]
    metrics = same(RunFolder(write_run(tmp_path / "run", metrics=written, sealed=sealed)), "policy/kl")
    kl = metrics.column("policy/kl")
    assert kl.step.tolist() == [2048, 4096, 6144, 10240, 12288]
    assert np.isnan(kl.value[1])
    assert kl.value[[2, 3]].tolist() == [math.inf, -math.inf]
    assert len(metrics.column("train/return").step) == 5
    assert metrics.column("step") is None


@pytest.mark.parametrize("seed", range(6))
def test_whatever_was_written_resumed_and_killed_columns_are_what_a_loop_reads(tmp_path, monkeypatch, seed):
    draw = np.random.default_rng(seed)
    run, step = new(tmp_path, monkeypatch, seal=7), 0
    live = run.path / "metrics" / "live.jsonl"
    for attempt in range(1, 5):
        run.writer.attempt, time = attempt, 0.0
        for _ in range(draw.integers(1, 16)):
            step, time = step + int(draw.integers(0, 3)), time + 0.5
            some = [name for name in ("a", "b", "whole") if draw.random() < 0.6]
            values = {"a": float(draw.choice([math.nan, math.inf, 2.5])), "b": draw.normal(), "whole": attempt}
            run.writer.write(step, time, {name: values[name] for name in some})
        kept = live.read_text()
        if draw.random() < 0.5:
            run.writer.seal()
            live.write_text(kept)  # killed after the part was renamed
        step = max(0, step - int(draw.integers(0, 8)))
    same(run, "a", "b", "whole")


def test_the_highest_attempt_counts(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch)
    for attempt, step in [(1, 1), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4), (3, 5)]:
        run.writer.attempt = attempt
        run.writer.write(step, step / 10, {"a": float(10 * attempt + step)})
    metrics = same(run, "a")
    assert metrics.column("a").value.tolist() == [11, 12, 23, 34, 35]
    assert metrics.resumed.tolist() == [3, 4]


def test_an_attempt_that_only_redid_the_step_counts_too(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch)
    for attempt, step, row in [(1, 1, {"a": 1.0}), (1, 2, {"a": 2.0}), (2, 2, {"b": 0.0}), (2, 3, {"a": 3.0})]:
        run.writer.attempt = attempt
        run.writer.write(step, step / 10, row)
    assert same(run, "a", "b").column("a").value.tolist() == [1, 3]


def test_rows_both_sealed_and_live_count_once(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch, seal=2)
    for k in range(4):
        run.writer.write(k, k / 10, {"a": float(k)})
    row = {"attempt": 1, "step": 3, "time": 0.3, "a": 3.0}
    (run.path / "metrics" / "live.jsonl").write_text(json.dumps(row) + "\n")
    assert same(run, "a").column("a").value.tolist() == [0, 1, 2, 3]


def test_two_rows_of_one_moment_that_measured_different_things_are_both_there(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch, seal=9)
    for row in ({"a": 1.0}, {"b": 2.0}, {"a": 1.0}):
        run.writer.write(5, 0.5, row)
    assert len(same(run, "a", "b").step) == 2


def test_a_torn_line_is_left_out(tmp_path):
    run = write_run(tmp_path / "run", metrics=rows(4))
    live = run / "metrics" / "live.jsonl"
    live.write_text(live.read_text()[:-40])
    assert read_metrics(run).column("loss/policy").step.tolist() == [2048, 4096, 6144]


def test_whole_numbers_stay_whole_in_the_frame(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch, seal=2)
    for k in range(3):
        run.writer.write(k, k / 10, {"count": k, "loss": 0.5} | ({"rare": k} if k else {}))
    frame = run.metrics()
    assert [*frame] == ["attempt", "step", "time", "count", "loss", "rare"]
    assert frame.dtypes.astype(str).tolist() == ["int64", "int64", "float64", "int64", "float64", "float64"]


def test_no_rows(tmp_path, monkeypatch):
    run = new(tmp_path, monkeypatch)
    metrics = read_metrics(run.path)
    assert metrics.column("a") is None
    assert len(metrics.step) == len(metrics.resumed) == len(run.metrics()) == 0
    assert [*run.metrics()] == [*KEYS]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, "cannot be read"),
        ({"attempt": [1], "time": [0.0]}, "the column step is missing"),
        ({"attempt": [1], "step": [1.5], "time": [0.0]}, "step is double"),
        ({"attempt": [1, None], "step": [1, 2], "time": [0.0, 0.1]}, "attempt is int64 with gaps"),
        ({"attempt": [1], "step": [2**60], "time": [0.0]}, "step is too large"),
        ({"attempt": [1], "step": [-(2**63)], "time": [0.0]}, "step is too large"),
        ({"attempt": [1], "step": [1], "time": [0.0], "a": ["1.5"]}, "a is string"),
        ({"attempt": [1], "step": [1], "time": [0.0], "a": [[1.5]]}, "a is list"),
    ],
)
def test_a_damaged_part_is_named(tmp_path, monkeypatch, table, said):
    run = new(tmp_path, monkeypatch)
    part = run.path / "metrics" / "part-0000.parquet"
    part.write_bytes(b"PAR1nonsense") if table is None else pq.write_table(pa.table(table), part)
    for read in (lambda: read_metrics(run.path), lambda: read_metrics(run.path, ("a",)), run.metrics):
        with pytest.raises(OperantError, match=rf"part-0000\.parquet.*{said}"):
            read()


@pytest.mark.parametrize(
    "line", ['{"attempt": 1, "step": 2.5, "time": 0}', '{"attempt": 1, "step": 1, "time": null}', "[]"]
)
def test_a_whole_line_that_is_no_row_is_named(tmp_path, monkeypatch, line):
    run = new(tmp_path, monkeypatch)
    (run.path / "metrics" / "live.jsonl").write_text(line + "\n")
    with pytest.raises(OperantError, match=r"live\.jsonl:1 is no row of metrics"):
        read_metrics(run.path)
