"""Automatic domain randomisation: bounds that widen and narrow, their log, and runs that go on bit for bit."""

import math

import gymnasium
import numpy as np
import pytest

import operant
from operant.config.errors import ConfigError
from operant.data.jsonl import lines
from operant.robots import ADRConfig, Bounds, Pin, replay
from operant.robots.adr import ADR
from reference.resumed import assert_resumes

CFG = ADRConfig(limits="mass 0.5 3 latency 0 4", high=20.0, low=5.0, buffer=3, step=0.25)
SMALL = {
    "env.num": 2, "algo.horizon": 64, "algo.batch": 32, "algo.epochs": 2, "policy.hidden": [8], "eval.episodes": 1,
    "algo.lr_schedule": "constant", "seed": 101,
    "adr.limits": "mass 0.5 3 latency 0 4 noise 0 0.1", "adr.high": 8.0, "adr.low": 7.0, "adr.buffer": 2,
}  # fmt: skip


def told(bounds, pin, *totals):
    return [bounds.record(pin, x) for x in totals][-1]


def test_bounds_begin_at_the_calibrated_values_and_are_moved_by_means_of_m_returns():
    bounds, high, low = Bounds(CFG), Pin(0, 1), Pin(0, 0)
    assert bounds.at.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert told(bounds, high, 19.0, 20.0) is None
    row = told(bounds, high, 21.0)  # the mean is t_H
    assert (row["move"], row["mean"], row["high"]) == ("widened", 20.0, 1.5)
    assert bounds.at.tolist() == [[1.0, 1.5], [0.0, 0.0]]  # one bound of one parameter: equal ones are others
    assert told(bounds, low, 30.0, 30.0, 30.0)["low"] == 0.875
    assert told(bounds, high, 10.0, 19.0, 6.0)["move"] == "kept"
    assert told(bounds, high, 5.0, 5.0, 5.0)["move"] == "narrowed"
    assert bounds.at.tolist() == [[0.875, 1.0], [0.0, 0.0]]
    told(bounds, high, 0.0, 0.0, 0.0)
    assert bounds.at[high] == 1.0  # never beyond the calibrated value
    for _ in range(9):
        told(bounds, low, 99.0, 99.0, 99.0)
    assert bounds.at[low] == 0.5  # nor beyond the limit


def test_half_of_the_episodes_are_at_one_bound_of_one_parameter():
    bounds, generator = Bounds(CFG), np.random.default_rng(1)
    bounds.at[:] = [[0.75, 2.0], [0.0, 2.0]]
    pins = []
    for _ in range(4000):
        values, pin = bounds.draw(generator)
        x = np.array([*values.values()])
        assert (x >= bounds.at[:, 0]).all()
        assert (x <= bounds.at[:, 1]).all()
        at = {Pin(k, s) for k in range(2) for s in range(2) if x[k] == bounds.at[k, s]}
        assert at == ({pin} if pin else set())
        pins.append(pin)
    free = [Pin(0, 0), Pin(0, 1), Pin(1, 1)]  # the low bound of the latency stands at its limit
    counts = np.array([pins.count(pin) for pin in (None, *free)]) / 4000
    assert set(pins) == {None, *free}
    assert np.allclose(counts, [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=0.03)


def test_bounds_at_their_limit_are_narrowed_again_unless_they_are_not_measured():
    again = Bounds(CFG)
    again.at[:] = [[0.5, 3.0], [0.0, 2.0]]
    assert again.movable() == [Pin(0, 0), Pin(0, 1), Pin(1, 1)]  # the latency's low one can never be moved
    told(again, Pin(0, 1), 0.0, 0.0, 0.0)
    assert again.at[0, 1] == 2.5
    bounds = Bounds(CFG.model_copy(update={"capped": False}))
    bounds.at[:] = [[0.5, 3.0], [0.0, 2.0]]
    assert bounds.movable() == [Pin(1, 1)]
    bounds.at[1, 1] = 4.0
    assert {bounds.draw(np.random.default_rng(k))[1] for k in range(20)} == {None}


def test_entropy_is_the_mean_logarithm_of_the_widths():
    bounds = Bounds(CFG)
    assert bounds.entropy == -math.inf
    bounds.at[:] = [[0.75, 2.0], [0.0, 2.0]]
    assert bounds.entropy == pytest.approx((math.log(1.25) + math.log(2.0)) / 2)
    assert bounds.share == pytest.approx((1.25 / 2.5 + 2.0 / 4.0) / 2)
    hook = ADR(CFG, np.random.default_rng(1))
    assert "adr/entropy" not in hook.settle()  # a row holds no infinity
    hook.bounds.at[:] = bounds.at
    assert float(hook.settle()["adr/entropy"]) == bounds.entropy
    assert float(hook.settle()["adr/mass/high"]) == 2.0


def played(policy, episodes, bounds=None, seed=1):
    """Episodes of a policy whose return depends on what was drawn, and the rows of the log."""
    bounds, generator, rows = bounds or Bounds(CFG), np.random.default_rng(seed), []
    for _ in range(episodes):
        values, pin = bounds.draw(generator)
        if pin is not None and (row := bounds.record(pin, policy(values) + generator.normal())) is not None:
            rows.append(row)
    return bounds, rows


def good(values):
    return 25.0 - 8.0 * values["latency"] - 4.0 * abs(values["mass"] - 1.0)


def test_bounds_widen_with_a_good_policy_and_narrow_with_a_degraded_one():
    bounds, rows = played(good, 1000)
    wide = bounds.at.copy()
    assert {row["move"] for row in rows} == {"widened", "kept"} or bounds.entropy > -math.inf
    assert wide[1, 1] in (1.0, 2.0)  # 17 at one step of latency is kept, 25 at none is widened
    assert wide[0, 0] == 0.5
    bounds, _ = played(lambda values: 0.0, 1000, bounds)
    assert bounds.at[1].tolist() == [0.0, 0.0]
    assert bounds.at[0, 1] == 1.0 or wide[0, 1] == 3.0
    bounds, _ = played(good, 1000, bounds)
    assert bounds.at[1, 1] > 0.0


def test_the_rows_of_the_log_lead_to_the_bounds():
    bounds, rows = played(good, 1500)
    _, more = played(lambda values: 12.0 * (values["mass"] < 1.5), 500, bounds, seed=2)
    assert {row["move"] for row in more} >= {"narrowed", "kept"}
    assert np.array_equal(replay(CFG, rows + more).at, bounds.at)


def test_what_is_kept_is_taken_over():
    hook, other = (ADR(CFG, np.random.default_rng(1)) for _ in range(2))
    for pin, total in [(Pin(0, 1), 30.0)] * 4 + [(Pin(1, 1), 3.0)] * 2:
        hook.record(pin, total)
    other.prepared(hook.tensors(), None)()
    assert np.array_equal(other.bounds.at, hook.bounds.at)
    assert other.bounds.returns == hook.bounds.returns
    assert other.decided == hook.decided == 1
    with pytest.raises(ConfigError, match="its bounds are of other limits"):
        ADR(CFG.model_copy(update={"limits": "mass 0.5 3"}), np.random.default_rng(1)).prepared(hook.tensors(), "f")


def test_a_run_that_is_resumed_is_the_one_that_was_not_stopped_and_its_log_is_replayed(tmp_path, monkeypatch):
    resume = operant.resume

    def after_a_kill(path, **more):
        """Of the iterations behind the checkpoint the log knows, and nothing else does."""
        with (path / "adr.jsonl").open("a") as log:
            log.write('{"decision": 1000, "parameter": "mass", "side": "high", "returns": [99.0, 99.0]}\n')
        return resume(path, **more)

    monkeypatch.setattr(operant, "resume", after_a_kill)
    whole = assert_resumes(tmp_path, "adr", "InvertedPendulum-v5", every=512, **SMALL)
    (part,) = (tmp_path / "part").iterdir()
    logs = [[row for _, row in lines(path / "adr.jsonl")] for path in (whole.path, part)]
    assert logs[0] == logs[1]
    assert [row["decision"] for row in logs[0]] == [*range(len(logs[0]))]
    assert {row["step"] <= 512 for row in logs[0]} == {True, False}
    assert {row["move"] for row in logs[0]} >= {"widened", "narrowed"}
    bounds, last = replay(whole.config.adr, logs[0]), whole.metrics.iloc[-1]
    for name, x in bounds.named().items():
        assert last[f"adr/{name}"] == x


def pendulum():
    """By this name it has no preset of PPO's."""
    return gymnasium.make("InvertedPendulum-v5")


def test_with_bounds_that_are_never_moved_it_is_ppo():
    """In the world as it was made, each episode of which has a seed of its own: bit for bit."""
    never = SMALL | {"adr.high": 1e9, "adr.low": -1e9}
    mine, _ = operant.loop("adr", pendulum, **never)
    plain = {k: x for k, x in SMALL.items() if not k.startswith("adr.")}
    theirs, _ = operant.loop("ppo", pendulum, **plain, **{"env.wrappers": ["randomise noise 0 0"]})
    for _ in range(3):
        ours, others = next(mine), next(theirs)
        assert float(ours["adr/share"]) == 0.0
        same = [name for name in others if not name.startswith("phase/")]
        assert [name for name in same if float(ours[name]) != float(others[name])] == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"adr.limits": ""}, "adr.limits is empty: say what is drawn"),
        ({"adr.limits": "mess 1 2"}, "there is no parameter 'mess'"),
        ({"adr.limits": "mass 2 3"}, "the limits of mass, 2 and 3, must lie apart and hold 1"),
        ({"adr.limits": "mass:leg 0.5 2"}, "a body that is called 'leg'"),
        ({"adr.low": 9.0}, "adr.low is 9.0 and adr.high 8.0: give two returns"),
        ({"env.backend": "process"}, "env.backend is process: leave it out"),
        ({"env.wrappers": ["randomise mass 1 2"]}, "take randomise out of env.wrappers"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(settings, words):
    with pytest.raises(ConfigError, match=words):
        operant.loop("adr", "InvertedPendulum-v5", **SMALL | settings)
