from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from operant.config.errors import ConfigError, OperantError
from operant.language.task.pool import Pool
from operant.language.task.remote import decode_reward, decode_trace, encode_reward, encode_trace
from operant.reward import Exact, MathEquivalence, Trace, reward
from operant.task import score


@pytest.fixture(scope="module", autouse=True)
def bad():
    """The module beside this one, imported by a name that a worker process finds too."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield importlib.import_module("rewards_for_tests")
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def pool(bad):
    with Pool(2, timeout=20.0) as pool:
        yield pool


def traces(*completions: str) -> list[Trace]:
    return [Trace(prompt="p", completion=text, gold="g") for text in completions]


def test_answers_come_back_in_the_order_of_the_calls(pool, bad):
    given = traces(*("x" * n for n in range(30)))
    scores = score(given, {"length": bad.length, "exact": Exact()}, {"length": 2.0}, judge=pool)
    assert scores.values[:, 0].tolist() == list(range(30))
    assert scores.total.tolist() == [2.0 * n for n in range(30)]
    assert scores.judged.all()
    assert not scores.message


def test_a_reward_that_raises_is_missing_and_not_zero(pool, bad):
    scores = score(traces("a", "b"), {"length": bad.length, "raises": bad.raises}, judge=pool)
    assert scores.failed.tolist() == [[False, True]] * 2
    assert not scores.judged.any()
    assert not scores.total.any()
    assert np.isfinite(scores.values).all()
    assert "raises raised ValueError: no g" in scores.message
    assert "completion 0" in scores.message


def test_no_number_is_a_failure_as_well(pool, bad):
    assert score(traces("a"), {"nan": bad.nan}, judge=pool).failed.all()
    assert "not a finite number" in score(traces("a"), {"nan": bad.nan}, judge=pool).message

    for wrong in (None, "1", [1.0], float("inf")):
        mark = reward(pure=True)(lambda trace, wrong=wrong: wrong)  # type: ignore[misc, return-value]
        assert score(traces("a"), {"wrong": mark}).failed.all()
    for value in (1e19, -1e308):
        huge = reward(pure=True)(lambda trace, value=value: value)  # type: ignore[misc]
        assert "too large to train on" in score(traces("a"), {"huge": huge}).message
    yes = reward(pure=True)(lambda trace: True)
    assert score(traces("a"), {"yes": yes}).values.tolist() == [[1.0]]


def test_hanging_and_dying_cost_their_own_call_alone(bad, capfd):
    with Pool(2, timeout=1.5) as pool:
        rewards = {"hangs": bad.hangs_on_h, "dies": bad.dies, "prints": bad.prints}
        scores = score(traces("a", "h", "d", "b"), rewards, judge=pool)
        assert scores.failed.tolist() == [[False] * 3, [True, False, False], [False, True, False], [False] * 3]
        assert scores.values.tolist() == [[1, 2, 3], [0, 2, 3], [1, 0, 3], [1, 2, 3]]
        assert scores.judged.tolist() == [True, False, False, True]
        assert "hangs took longer than 1.5 s" in scores.message
        assert pool.restarted == 2
        assert "killed by signal 9" in score(traces("d"), {"dies": bad.dies}, judge=pool).message
        # the interpreter lock is no way out
        assert "took longer" in score(traces("a"), {"backtracks": bad.backtracks}, judge=pool).message
    assert "talks" not in capfd.readouterr().out


def test_an_expression_that_would_take_for_ever_is_wrong_and_costs_no_process():
    given = [
        Trace(prompt="p", completion=rf"\boxed{{{text}}}", gold="2") for text in (r"9^{9^{9^{9}}}", r"\frac{4}{2}")
    ]
    with Pool(1, timeout=20.0) as pool:
        scores = score(given, {"equal": MathEquivalence()}, judge=pool)
        assert pool.restarted == 0
    assert not scores.failed.any()
    assert scores.values[:, 0].tolist() == [0.0, 1.0]


def test_a_forked_child_that_comes_back_does_not_answer_for_its_parent(bad):
    """It would answer each call a second time, and every later call would get the number of one before."""
    with Pool(1, timeout=20.0) as pool:
        for _ in range(4):
            given = traces(*("x" * n for n in range(10)))
            scores = score(given, {"forks": bad.forks, "slow": bad.takes_its_time}, judge=pool)
            assert scores.values[:, 0].tolist() == list(range(10))
            assert scores.judged.all()
        assert pool.restarted == 0


def test_a_number_that_a_reward_writes_itself_is_refused_and_its_process_replaced(bad):
    with Pool(1, timeout=20.0) as pool:
        scores = score(traces("a", "w", "b"), {"writes": bad.writes}, judge=pool)
        assert scores.failed[:, 0].tolist() == [False, True, False]
        assert scores.values[:, 0].tolist() == [1.0, 0.0, 1.0]
        assert "writes lost its process, which answered request 1 when request 4 was open" in scores.message
        assert pool.restarted == 1


def test_a_reward_that_leaves_is_missing_and_costs_no_process(bad):
    with Pool(1, timeout=20.0) as pool:
        assert "leaves raised SystemExit: 3" in score(traces("a"), {"leaves": bad.leaves}, judge=pool).message
        assert pool.restarted == 0
        leaves = reward(pure=True)(bad.leaves)
        assert "leaves raised SystemExit: 3" in score(traces("a"), {"leaves": leaves}).message


def test_a_reward_that_cannot_be_prepared_says_why(bad):
    with Pool(1) as pool, pytest.raises(ConfigError, match=r"Unprepared raised ImportError: no such weights \("):
        score(traces("a"), {"unprepared": bad.Unprepared()}, judge=pool)


def test_a_reward_that_always_hangs_ends_the_run(bad):
    with Pool(1, timeout=0.2, restarts=1) as pool, pytest.raises(OperantError, match="allow more restarts"):
        score(traces("h", "h", "h"), {"hangs": bad.hangs_on_h}, judge=pool)


def test_workers_end_with_the_pool(bad):
    pool = Pool(1)
    score(traces("a"), {"length": bad.length}, judge=pool)
    (process,) = [worker.process for worker in pool.workers]
    assert process.poll() is None
    del pool
    assert process.poll() is not None


def test_what_may_hang_is_not_run_here(bad):
    with pytest.raises(ConfigError, match="length may hang and needs a worker process"):
        score(traces("a"), {"length": bad.length})
    with pytest.raises(ConfigError):  # a pure reward made of one that is not
        score(traces("a"), {"scaled": bad.Scaled(bad.length, 2.0)})


def test_settings_and_inner_rewards_travel(pool, bad):
    given = bad.Scaled(bad.Scaled(bad.length, 2.0), 10.0, ("a", "b"))
    assert decode_reward(encode_reward(given)) == given
    assert score(traces("xyz"), {"s": given}, judge=pool).values.tolist() == [[62.0]]


def test_what_cannot_travel_is_refused_with_the_way_out(pool):
    def inside(trace: Trace) -> float:
        return 1.0

    with pytest.raises(ConfigError, match="cannot be imported by a worker process: move it to the top"):
        score(traces("a"), {"inside": inside}, judge=pool)
    given = Trace(prompt="p", completion="c", gold={1, 2})
    with pytest.raises(ConfigError, match="must be JSON"):
        encode_trace(given)


def test_traces_travel_unchanged():
    given = Trace(
        prompt=({"role": "user", "content": "é\n"},),
        completion="\ud800 \x00 </s>",
        tokens=(1, 2),
        gold=[1, "a"],
        metadata={"k": [None, 0.1]},
        finish="length",
    )
    assert decode_trace(encode_trace(given)) == given
