"""The recipe of scaling laws: its text has the entropy that it says, and its models are counted without tables."""

import numpy as np
import pytest

from operant.data.scaling import fit_scaling_law
from operant.recipes import Trial, scaling_law
from operant.recipes.scaling_law import LETTERS, Source, trained, trial


def test_the_entropy_rate_is_what_the_source_itself_scores():
    source = Source(101)
    a, b, c = (np.asarray([w.tokens[i - 2 : i + 1] for w in source.windows(np.random.default_rng(1), 2_000)
                           for i in range(2, 62, 20)]) - 2).T  # fmt: skip
    scored = -np.log(source.after[a, b, c])
    assert scored.mean() == pytest.approx(source.entropy, abs=4 * scored.std() / len(scored) ** 0.5)
    assert np.einsum("ab,abc->bc", source.pair, source.after) == pytest.approx(source.pair, abs=1e-12)
    assert 0.5 < source.entropy < 0.7 * np.log(LETTERS)
    assert Source(101).entropy == source.entropy != Source(102).entropy


def test_a_model_is_counted_without_its_table_and_is_above_the_floor():
    source = Source(101)
    size, loss = trained(source, 8, 8, 101, miniature=True)
    assert size == 2 * (4 * 8 * 8 + 3 * 8 * 16 + 2 * 8) + 8
    assert source.entropy < loss < np.log(300)


def test_without_a_floor_the_largest_is_foretold_otherwise(tmp_path, monkeypatch):
    """The mechanism: of losses that have a floor, the arms with it and without foretell different ones."""
    size, data = (x.ravel() for x in np.meshgrid(1e3 * 4.0 ** np.arange(4), 4e3 * 4.0 ** np.arange(4)))
    loss = 2.5 + (2e3 / size) ** 0.4 + (4e3 / data) ** 0.5
    monkeypatch.setattr(scaling_law, "grid", lambda t, source: np.stack([size, data, loss]))
    told = {arm: trial(Trial(arm=arm, seed=1, folder=tmp_path, miniature=True)) for arm in ("floor", "sum", "shuffled")}
    assert told["floor"]["held out"] < 1e-3 < told["sum"]["held out"]
    assert told["shuffled"]["held out"] > 0.02
    assert told["floor"]["floor"] == pytest.approx(2.5, rel=1e-3)
    assert fit_scaling_law("sum", size, data, loss, starts=2).floor == told["sum"]["floor"] == 0.0


def test_models_that_are_trained_serve_every_arm(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(scaling_law, "trained", lambda _, w, c, __, miniature: told.append((w, c)) or (100 * w, 3.0))
    for arm in ("floor", "sum"):
        table = scaling_law.grid(Trial(arm=arm, seed=1, folder=tmp_path / arm, miniature=True), Source(1))
    assert len(told) == 4
    assert table[:, 0].tolist() == [800.0, 32 * 62, 3.0]
