"""The recipe of randomisation: what its arms are told, and that its mechanism changes what is drawn."""

import numpy as np
import pytest

from operant.config.randomise import ranges
from operant.recipes.adr import HIGH, LIMITS, LOW, WIDTHS, arm, uniform
from operant.recipes.sim_to_sim import MODEL, REAL
from operant.robots import ADRConfig, Bounds, Pin


def test_widths_are_shares_of_the_way_to_the_limits():
    assert all(one.low == one.calibrated == one.high for one in ranges(uniform(0.0)))
    assert ranges(uniform(1.0)) == ranges(LIMITS)
    assert ranges(uniform(0.5))[0] == pytest.approx(("mass:pole", 0.65, 2.0))
    assert arm("none")[1] == {"env.wrappers": [f"randomise {uniform(0.0)}"]}
    assert len({arm(name)[1]["env.wrappers"][0] for name in WIDTHS}) == 5


@pytest.mark.parametrize("moves", [True, False])
def test_without_returns_that_move_bounds_all_episodes_are_alike(moves):
    cfg = ADRConfig(limits=LIMITS, high=HIGH if moves else 1e9, low=LOW if moves else -1e9)
    bounds = Bounds(cfg)
    for _ in range(10):
        bounds.record(Pin(0, 1), 1000.0)
    drawn = [bounds.draw(np.random.default_rng(k))[0]["mass:pole"] for k in range(9)]
    assert (len(set(drawn)) > 1) == moves


def test_the_other_world_lies_within_the_limits_but_for_what_no_arm_is_told_of():
    limits = {one.name: one for one in ranges(LIMITS)}
    for one in ranges(REAL):
        assert one.name == "bias" or limits[one.name].low <= one.low == one.high <= limits[one.name].high
    assert {one.name for one in ranges(MODEL)} < limits.keys()
