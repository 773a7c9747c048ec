"""Reading the metrics: nothing measured is lost, nothing is read twice."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from operant.config.errors import OperantError
from operant.run.folder import MetricsWriter
from operant.view.rows import read_series
from view.synthetic import rows, write_run


@pytest.mark.parametrize("sealed", [0, 3, 6])
def test_a_measured_nan_is_kept_apart_from_a_metric_that_is_absent(tmp_path: Path, sealed: int) -> None:
    written = rows(6)
    written[1]["policy/kl"], written[2]["policy/kl"], written[4]["policy/kl"] = math.nan, math.inf, -math.inf
    del written[3]["policy/kl"]
    series = read_series(write_run(tmp_path / "run", metrics=written, sealed=sealed))
    kl = series["policy/kl"]
    assert kl.step.tolist() == [2048, 4096, 6144, 10240, 12288]
    assert np.isnan(kl.value[1])
    assert kl.value[[2, 3]].tolist() == [math.inf, -math.inf]
    assert np.isfinite(kl.value[[0, 4]]).all()
    assert len(series["train/return"].step) == 5
    assert "step" not in series


def test_what_the_training_room_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "run.json").write_text("{}")
    writer = MetricsWriter(tmp_path / "metrics", attempt=1)
    writer.write(1, 0.5, {"policy/kl": math.nan, "loss/value": 1.0})
    writer.write(2, 0.6, {"loss/value": math.inf})
    live = read_series(tmp_path)
    writer.close()
    sealed = read_series(tmp_path)
    for series in (live, sealed):
        assert np.isnan(series["policy/kl"].value).tolist() == [True]
        assert series["loss/value"].value.tolist() == [1.0, math.inf]


def test_rows_that_are_sealed_and_still_live_count_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", metrics=rows(4) + rows(4), sealed=4)
    assert len(read_series(run)["policy/kl"].step) == 4


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", metrics=rows(4))
    live = run / "metrics" / "live.jsonl"
    live.write_text(live.read_text()[:-40])
    assert read_series(run)["loss/policy"].step.tolist() == [2048, 4096, 6144]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", metrics=rows(4), sealed=4)
    (run / "metrics" / "part-0000.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(OperantError, match=r"part-0000\.parquet"):
        read_series(run)


def test_steps_done_again_by_a_resumed_attempt_are_superseded(tmp_path: Path) -> None:
    metrics = rows(6) + rows(3, attempt=2, begin=4 * 2048)
    kl = read_series(write_run(tmp_path / "run", metrics=metrics))["policy/kl"]
    redone = kl.where(kl.redone)
    assert redone.attempt.tolist() == [1, 1]
    assert redone.step.tolist() == [5 * 2048, 6 * 2048]
    assert kl.where(~kl.redone).step.tolist() == [2048 * k for k in range(1, 8)]


def test_a_later_attempt_begins_at_its_first_row_whatever_that_row_holds(tmp_path: Path) -> None:
    metrics = rows(6) + rows(3, attempt=2, begin=4 * 2048)  # the first row of an attempt has no train/return
    returns = read_series(write_run(tmp_path / "run", metrics=metrics))["train/return"]
    assert returns.where(returns.redone).step.tolist() == [5 * 2048, 6 * 2048]
