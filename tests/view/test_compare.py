"""Runs held against each other: groups, numbers, what is said, and the page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from operant.cli.main import main
from operant.data.stats import bootstrap_ci, iqm
from operant.run.metrics import Column
from operant.view.bands import band, moving_average
from operant.view.compare import Comparison, compare
from operant.view.compare_page import render
from view.synthetic import CONFIG, rows, write_run


def run(
    root: Path,
    seed: int,
    *,
    env: str = "LunarLander-v3",
    lr: float = 0.001,
    mean: float | None = None,
    status: str = "finished",
    count: int = 20,
    bad: int | None = None,
    evaluated: bool = True,
    **info: Any,
) -> Path:
    metrics = rows(count, seed=seed)
    for k in range(4, count, 5) if evaluated else ():
        metrics[k]["eval/return_mean"] = float(k + seed)
    if bad is not None:
        metrics[bad]["train/return"] = math.nan
    text = (
        CONFIG.replace("LunarLander-v3", env).replace("lr = 0.001", f"lr = {lr}").replace("seed = 3", f"seed = {seed}")
    )
    path = root / f"{env}-s{seed}-{lr}-{len(list(root.glob('*')))}"
    final = {"mean": 10.0 * seed if mean is None else mean, "episodes": 100, "deterministic": True, "seed": 7}
    told = {"id": path.name, "env": env, "seed": seed, "status": status, "evaluation": final, "steps": 0} | info
    return write_run(path, metrics=metrics, sealed=count // 2, config=text, info=told)


def five(root: Path, **rest: Any) -> list[Path]:
    return [run(root, seed, **rest) for seed in range(1, 6)]


def said(comparison: Comparison, *words: str) -> bool:
    return any(all(word in note for word in words) for note in comparison.notes)


def test_runs_are_grouped_by_everything_but_the_seed(tmp_path: Path) -> None:
    found = compare([*five(tmp_path), *five(tmp_path, lr=0.003)])
    (world,) = found.worlds
    assert [g.name for g in world.groups] == ["lr 0.001", "lr 0.003"]
    assert [[m.seed for m in g.group.members] for g in world.groups] == [[1, 2, 3, 4, 5]] * 2
    assert world.differences == [("algo.lr", ["0.001", "0.003"])]
    assert found.notes == []


def test_the_final_score_is_the_iqm_over_seeds_with_its_bootstrap_interval(tmp_path: Path) -> None:
    (world,) = compare(five(tmp_path)).worlds
    score = world.groups[0].score
    assert score is not None
    values = [10.0, 20.0, 30.0, 40.0, 50.0]
    assert score.values == values
    assert (score.iqm, score.mean, score.median, score.interval) == (iqm(values), 30.0, 30.0, bootstrap_ci(values))


def test_improvement_between_groups_over_and_in_environments(tmp_path: Path) -> None:
    paths = [*five(tmp_path), *five(tmp_path, lr=0.003, mean=100.0)]
    paths += [*five(tmp_path, env="A-v0"), *five(tmp_path, env="A-v0", lr=0.003, mean=-100.0)]
    found = compare(paths).improvements
    assert [(i.first, i.environments, i.probability) for i in found] == [
        ("lr 0.001", ["LunarLander-v3", "A-v0"], 0.5),
        ("lr 0.003", ["LunarLander-v3"], 1.0),
        ("lr 0.001", ["A-v0"], 1.0),
    ]
    assert found[1].interval == (1.0, 1.0)


def test_nothing_is_dropped_in_silence(tmp_path: Path) -> None:
    paths = five(tmp_path)
    paths.append(run(tmp_path, 6, status="failed", count=9, error="grad/norm became non-finite."))
    paths.append(run(tmp_path, 7, status="started", count=9))
    paths.append(run(tmp_path, 8, evaluation=None))
    paths.append(run(tmp_path, 9, bad=5))
    paths.append(run(tmp_path, 2, mean=0.0, started="2027-01-01T00:00:00Z"))
    paths.append(run(tmp_path, 10, packages={"operant": "0.0.9"}))
    (world,) = (found := compare(paths)).worlds
    assert len(found.members) == len(paths)
    assert said(found, "s6", "failed at step 18,432 of 100,000: grad/norm became non-finite.", "no final score")
    assert said(found, "s7", "still going, or was killed")
    assert said(found, "s8", "without a final evaluation")
    assert said(found, "s9", "train/return was not finite at step 12,288")
    assert said(found, "another run of seed 2")
    assert said(found, "different versions of operant (0.0.9, 0.1.0)")
    group = world.groups[0]
    assert group.score is not None
    assert group.score.values == [10.0, 0.0, 30.0, 40.0, 50.0, 90.0, 100.0]  # seeds 1, 2 (the later), 3, 4, 5, 9, 10
    assert group.train is not None
    assert group.train.bad.tolist() == [12288]


def test_a_score_that_is_not_finite_hides_nothing(tmp_path: Path) -> None:
    found = compare([*five(tmp_path), run(tmp_path, 6, mean=math.nan)])
    score = found.worlds[0].groups[0].score
    assert score is not None
    assert all(map(math.isnan, (score.iqm, score.mean, *score.interval)))
    assert said(found, "s6", "nan", "no interquartile mean")


def test_different_protocols_are_said(tmp_path: Path) -> None:
    final = {"mean": 1.0, "episodes": 10, "deterministic": False, "seed": 7}
    found = compare([*five(tmp_path), run(tmp_path, 6, evaluation=final)])
    assert said(found, "not all made alike", "100 episodes, deterministic", "10 episodes, sampled")


def test_averages_on_the_grid_are_exact() -> None:
    draw = np.random.default_rng(0)
    step = np.sort(draw.choice(10_000, 500, replace=False)).astype(float)
    column = Column(step=step, value=draw.normal(size=500))
    grid = np.linspace(0, 12_000, 40)
    found, alive = moving_average(column, grid, 400.0)
    for at, value, here in zip(grid, found, alive, strict=True):
        near = column.value[np.abs(step - at) <= 200]
        assert here == (len(near) > 0 or step[0] <= at <= step[-1])
        if len(near):
            assert value == pytest.approx(near.mean())
        elif here:
            assert value == pytest.approx(np.interp(at, step, column.value))
        else:
            assert math.isnan(value)


def test_the_band_ends_with_the_shortest_seed_and_the_middle_goes_on() -> None:
    step = np.arange(0.0, 101.0)
    columns = [
        Column(step=step[: 51 if k == 2 else 101], value=np.full(51 if k == 2 else 101, float(k))) for k in range(3)
    ]
    found = band(columns, np.asarray([0.0, 50.0, 100.0]), 0.0)
    assert found.all_alive.tolist() == [True, True, False]
    assert found.middle.tolist() == [1.0, 1.0, 0.5]
    assert (found.low[1], found.high[1]) == bootstrap_ci([0.0, 1.0, 2.0])
    assert math.isnan(found.low[2])


def test_a_value_that_is_not_finite_is_a_gap_and_a_mark() -> None:
    step = np.arange(0.0, 101.0)
    values = np.zeros((3, 101))
    values[1, 50] = math.inf
    found = band([Column(step=step, value=v) for v in values], np.asarray([0.0, 50.0, 100.0]), 10.0)
    assert np.isnan(found.middle).tolist() == [False, True, False]
    assert found.bad.tolist() == [50.0]


def test_the_page_is_whole_and_says_what_it_must(tmp_path: Path) -> None:
    paths = [
        *five(tmp_path),
        *five(tmp_path, lr=0.003)[:4],
        run(tmp_path, 5, lr=0.004, env="<evil>", status="failed", error="x<y"),
    ]
    page = render(compare(paths))
    for words in (
        "lr 0.001, n = 5",
        "lr 0.003, n = 4",
        "Probability of improvement",
        "algo.lr",
        "&lt;evil&gt;",
        "x&lt;y",
    ):
        assert words in page, words
    for never in ("<evil>", "http://", "https://", 'src="', "NaN or"):
        assert never not in page, never
    assert page.count('class="seed c0"') + page.count('class="seed c1"') == 18  # thin lines, training and evaluation


def test_the_command_writes_a_page_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    paths = five(runs)
    out = tmp_path / "out"
    assert main(["compare", *map(str, paths[:4]), "last", "--runs", str(runs), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "P(" not in told.out
    assert "ppo" in told.out
    assert "compare.html" in told.err
    assert "<html" in (out / "compare.html").read_text()
    with Image.open(out / "compare.png") as image:
        assert image.size[0] > 1000


def test_json_holds_the_numbers_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [*five(tmp_path), run(tmp_path, 6, mean=math.inf, lr=0.003), run(tmp_path, 7, lr=0.003)]
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["compare", *map(str, paths), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["environments"][0]["groups"]
    assert first["final"]["iqm"] == 30.0
    assert first["final"]["interval"] == list(bootstrap_ci([10.0, 20.0, 30.0, 40.0, 50.0]))
    assert second["final"]["values"] == [None, 70.0]
    assert len(first["train"]["step"]) == len(first["train"]["iqm"])
    assert list(Path().iterdir()) == []


def test_a_single_run_has_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run(tmp_path, 1, evaluated=False)
    assert main(["compare", str(path), "--out", str(tmp_path / "out")]) == 0
    score = compare([path, path]).worlds[0].groups[0].score
    assert score is not None
    assert math.isnan(score.interval[0])


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, 1)
    assert main(["compare", "LunarLandr", "--runs", str(tmp_path)]) == 2
    assert "Did you mean 'LunarLander-v3" in capsys.readouterr().err
