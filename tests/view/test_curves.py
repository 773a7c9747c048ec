"""Seed bands as a picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from operant.config.errors import OperantError
from operant.data.stats import bootstrap_ci, iqm
from operant.run.metrics import Column
from operant.view.bands import band
from operant.view.curves import COLOURS, learning_curves
from view.synthetic import rows


def runs(count: int, begin: int = 0) -> list[pd.DataFrame]:
    return [pd.DataFrame(rows(20, seed=begin + seed)) for seed in range(count)]


def pixels(path: Path, colour: str, tolerance: int = 12) -> int:
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return int((np.abs(image - wanted).max(axis=2) <= tolerance).sum())


def test_a_picture_of_two_groups(tmp_path: Path) -> None:
    path = learning_curves({"PPO": runs(5), "other": runs(3, begin=9)}, tmp_path / "a" / "b.png", title="Lander")
    with Image.open(path) as image:
        assert image.size == (1600, 840)
    assert pixels(path, COLOURS[0]) > 500
    assert pixels(path, COLOURS[1]) > 500
    assert pixels(path, "#c4281c") == 0


def test_the_band_is_the_bootstrap_interval_of_the_iqm() -> None:
    draw = np.random.default_rng(1)
    seeds = [Column(np.arange(begin, begin + 100.0), draw.normal(size=100)) for begin in (0, 5, 10, 15, 20)]
    grid = np.linspace(0.0, 119.0, 81)
    found = band(seeds, grid, 0.0)
    at = 40  # a grid point between two rows
    values = [float(np.interp(grid[at], seed.step, seed.value)) for seed in seeds]
    assert found.middle[at] == pytest.approx(iqm(values))
    assert (found.low[at], found.high[at]) == pytest.approx(bootstrap_ci(values))
    np.testing.assert_array_equal(found.all_alive, (grid >= 20.0) & (grid <= 99.0))
    np.testing.assert_array_equal(np.isfinite(found.low), found.all_alive)
    assert found.any_alive.all()


def test_where_a_seed_has_ended_the_thick_line_goes_on_dashed_and_without_a_band(tmp_path: Path) -> None:
    def level(value: float, last: int) -> pd.DataFrame:
        return pd.DataFrame({"step": range(0, last + 1, 10), "train/return": value})

    path = learning_curves(
        {"PPO": [level(v, 50 if v == 50.0 else 100) for v in (0.0, 50.0, 100.0)]}, tmp_path / "e.png"
    )
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    tinted = (np.abs(image - [220, 228, 248]).max(axis=2) < 6).sum(axis=0) > 30  # [W]
    thick = (np.abs(image - [36, 86, 214]).max(axis=2) < 12)[:740, :1400].any(axis=0)  # left of the names
    assert np.flatnonzero(tinted).max() < np.flatnonzero(thick).max() - 300


def test_thick_line_and_band_are_on_the_picture(tmp_path: Path) -> None:
    returns = (0.0, 50.0, 50.0, 50.0, 100.0)
    level = [pd.DataFrame({"step": [0, 100], "train/return": [value, value]}) for value in returns]
    path = learning_curves({"PPO": level}, tmp_path / "level.png")
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    column = image[:, 700]
    blue = np.flatnonzero(np.abs(column - [36, 86, 214]).max(axis=1) < 12)
    tinted = np.flatnonzero(np.abs(column - [220, 228, 248]).max(axis=1) < 6)
    assert len(blue) >= 4  # the thick line, at 50
    assert len(tinted) > 50  # the band around it
    assert min(tinted) < min(blue) < max(blue) < max(tinted)
    assert abs((min(tinted) + max(tinted)) / 2 - blue.mean()) < 12


def test_names_and_numbers_of_seeds_are_written(tmp_path: Path) -> None:
    path = learning_curves({"PPO": runs(4), "other": runs(1)}, tmp_path / "b.svg", title="Lander", target=100.0)
    text = path.read_text()
    for words in ("PPO", "n = 4", "n = 1", "Lander", "target 100", "bootstrap interval", "Environment steps"):
        assert f"<!-- {words}" in text or words in text, words


def test_an_infinite_value_is_a_red_mark(tmp_path: Path) -> None:
    seeds = runs(3)
    seeds[1].loc[7, "train/return"] = math.inf
    path = learning_curves({"PPO": seeds}, tmp_path / "c.png")
    assert pixels(path, "#c4281c", tolerance=60) > 100


def test_the_same_runs_make_the_same_picture(tmp_path: Path) -> None:
    first = learning_curves({"PPO": runs(3)}, tmp_path / "d.png").read_bytes()
    assert learning_curves({"PPO": runs(3)}, tmp_path / "e.png").read_bytes() == first


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({}, "no seeds to draw"),
        ({"PPO": []}, "no seeds to draw in PPO"),
        ({"PPO": [pd.DataFrame({"step": [1, 2]})]}, "a run of PPO has no train/return"),
    ],
)
def test_nothing_to_draw_is_said(tmp_path: Path, groups: dict[str, list[pd.DataFrame]], words: str) -> None:
    with pytest.raises(OperantError, match=words):
        learning_curves(groups, tmp_path / "f.png")


def test_an_unknown_kind_of_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(OperantError, match=r"end the name in \.png"):
        learning_curves({"PPO": runs(1)}, tmp_path / "f.docx")
