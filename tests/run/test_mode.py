"""A policy whose mode falls far behind its samples is told; ordinary runs are not."""

import json

import numpy as np
import pytest

from operant.run.evaluate import Evaluation
from operant.run.mode import falls_behind


def trained(tmp_path, returns):
    (tmp_path / "metrics").mkdir(exist_ok=True)
    rows = [{"attempt": 1, "step": 10 * i, "time": 1.0, "train/return": float(r)} for i, r in enumerate(returns)]
    (tmp_path / "metrics" / "live.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def measured(returns):
    return Evaluation(np.asarray(returns, dtype=np.float64), np.ones(len(returns), np.int64))


RISING = np.linspace(20, 200, 300) + np.random.default_rng(0).normal(0, 10, 300)


@pytest.mark.parametrize("level", [-5.0, 20.0, 100.0])
def test_a_mode_far_below_is_told_with_what_to_do(tmp_path, level):
    said = falls_behind(trained(tmp_path, RISING), measured(np.full(20, level)), {})
    assert said is not None
    assert "far below its samples" in said
    assert f"operant eval {tmp_path} --stochastic" in said


@pytest.mark.parametrize(
    "returns",
    [np.full(20, 190.0), np.full(20, 500.0), np.random.default_rng(1).normal(180, 60, 20), np.full(5, 0.0)],
    ids=["as good", "better", "noisy", "too few"],
)
def test_an_ordinary_one_is_not(tmp_path, returns):
    assert falls_behind(trained(tmp_path, RISING), measured(returns), {}) is None


def test_nothing_is_said_of_a_flat_or_a_short_run(tmp_path):
    assert falls_behind(trained(tmp_path, np.full(300, 200.0)), measured(np.full(20, 200.0)), {}) is None
    assert falls_behind(trained(tmp_path, RISING[:20]), measured(np.full(20, -50.0)), {}) is None


@pytest.mark.parametrize(
    ("greedy", "sampled", "told"), [(0.1, 0.45, True), (0.44, 0.45, False), (0.6, 0.45, False), (0.0, 0.04, False)]
)
def test_accuracies_are_held_against_those_of_samples(tmp_path, greedy, sampled, told):
    more = {"eval/accuracy_greedy": greedy, "eval/accuracy_sampled": sampled}
    said = falls_behind(tmp_path, measured(np.zeros(100)), more)
    assert (said is not None) == told
    assert not told or "Greedy decoding is right on 10.0 % of the prompts" in said
