"""Planning anew at each step: plans between their points, the best of what is tried, and a reward that decides it."""

import numpy as np
import pytest

from operant.design import TASKS, Planning, controlled, translate
from operant.design.sampling_control import shifted, spread
from operant.recipes import l2r

CFG = Planning(horizon=7, knots=3, samples=6)


def test_a_plan_is_linear_between_its_points_and_goes_on_when_a_step_is_done():
    points = np.array([[0.0], [3.0], [-3.0]])
    np.testing.assert_allclose(spread(points, CFG)[:, 0], [0, 1, 2, 3, 1, -1, -3])
    np.testing.assert_allclose(shifted(points, CFG)[:, 0], [1, 1, -3])


def spins(words):
    task = TASKS["pendulum"]
    seen = controlled(task, translate(words, task), CFG, steps=12, seed=3, rng=np.random.default_rng(0))
    assert len(seen) == 12
    return np.mean([step["spin"] for step in seen])


def test_the_reward_decides_what_is_done():
    """The mechanism: the same draws, the other sign."""
    assert spins("make spin large") > spins("make spin small") + 0.5


@pytest.mark.parametrize("command", l2r.COMMANDS)
def test_every_sentence_has_a_reward_and_a_correction_changes_one_term(command):
    rng = np.random.default_rng(0)
    made = l2r.meant(command, "l2r", rng)
    assert l2r.meant(command, "blind", rng).text() != l2r.meant(command._replace(then=""), "l2r", rng).text()
    assert l2r.meant(command, "primitives", rng).components
    if command.then:
        first = l2r.meant(command._replace(then=""), "l2r", rng)
        changed = [a.name for a, b in zip(first.components, made.components, strict=True) if a != b]
        assert changed == ["position"]
