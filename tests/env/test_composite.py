"""Several actions at once: Dict and Tuple of plain spaces, nested too, as one row of float32."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from gymnasium.vector.utils import batch_space

from operant.config.errors import EnvError
from operant.env import make
from operant.env.spaces import Actions, action_dtype, action_kind

NESTED = spaces.Dict(
    {
        "move": spaces.Box(-1, 1, (2,), np.float64),
        "tool": spaces.Discrete(3, start=5),
        "more": spaces.Tuple(
            [spaces.MultiDiscrete([2, 3], start=[1, -1]), spaces.MultiBinary((1, 2)), spaces.Box(0, 9, (1,), np.uint8)]
        ),
    }
)
HYBRID = spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (1,))])


def test_a_row_is_its_parts_one_after_the_other():
    actions = Actions(NESTED)
    assert (actions.kind, actions.width, action_dtype(NESTED)) == ("composite", (8,), np.float32)
    assert [(p.keys, p.columns.start, p.columns.stop) for p in actions.parts] == [
        (("more", 0), 0, 2),
        (("more", 1), 2, 4),
        (("more", 2), 4, 5),
        (("move",), 5, 7),
        (("tool",), 7, 8),
    ]
    rows = np.array([[1, 2, 0, 1, 2.6, -7, 0.25, 2], [0, 0, 1, 1, -3, 0, 9, 0]], np.float32)
    kept = rows.copy()
    first, second = actions.decode(rows)
    assert NESTED.contains(first)
    assert NESTED.contains(second)
    np.testing.assert_array_equal(first["more"][0], [2, 1])
    np.testing.assert_array_equal(first["more"][1], [[0, 1]])
    np.testing.assert_array_equal(first["more"][2], [3])
    np.testing.assert_array_equal(first["move"], [-1, 0.25])
    assert first["tool"] == 7
    np.testing.assert_array_equal(second["move"], [0, 1])
    batched = actions.decode_batch(rows)
    assert batch_space(NESTED, 2).contains(batched)
    for row, one in enumerate((first, second)):
        np.testing.assert_array_equal(batched["more"][0][row], one["more"][0])
        assert batched["tool"][row] == one["tool"]
    np.testing.assert_array_equal(rows, kept)


@pytest.mark.parametrize("wrong", [2.0, -1.0, 0.5, np.nan, np.inf])
def test_a_number_that_is_no_choice_is_refused(wrong):
    with pytest.raises(EnvError, match=r"an action holds .* where a choice of Discrete\(2\) belongs"):
        Actions(HYBRID).decode(np.array([[wrong, 0.0]], np.float32))
    assert Actions(HYBRID).decode(np.array([[1, 5.0]], np.float32))[0][1] == 1


def test_choices_beyond_what_float32_counts_are_refused_beside_others_and_not_alone():
    with pytest.raises(EnvError, match=r"at \[0\] has 16,777,217 choices"):
        Actions(spaces.Tuple([spaces.Discrete(2**24 + 1), spaces.Discrete(2)]))
    assert Actions(spaces.Discrete(2**24 + 1)).kind == "discrete"
    last = Actions(spaces.Tuple([spaces.Discrete(2**24)])).decode(np.array([[2**24 - 1]], np.float32))
    assert last[0][0] == 2**24 - 1


@pytest.mark.parametrize(
    "inner", [spaces.Sequence(spaces.Discrete(2)), spaces.Text(3), spaces.OneOf([spaces.Discrete(2)])], ids=str
)
def test_what_has_no_fixed_length_is_refused_wherever_it_lies(inner):
    for space in (inner, spaces.Tuple([spaces.Discrete(2), spaces.Dict({"x": inner})])):
        with pytest.raises(EnvError, match=f"is a {type(inner).__name__}; actions may be"):
            action_kind(space)
    with pytest.raises(EnvError, match="holds no action"):
        Actions(spaces.Tuple([]))


class Hybrid(gymnasium.Env):
    """Observes what it was told to do."""

    observation_space = spaces.Box(-10, 10, (4,))

    def __init__(self, named: bool = True) -> None:
        two = {"a": spaces.Discrete(3, start=1), "b": spaces.Box(-1, 1, (2,)), "c": spaces.MultiBinary(1)}
        self.action_space = spaces.Dict(two) if named else spaces.Tuple([*two.values()])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(4, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        a, b, c = action.values() if isinstance(action, dict) else action
        return np.array([a, *b, *c], np.float32), 1.0, False, False, {}


@pytest.mark.parametrize("named", [True, False])
def test_every_backend_takes_several_actions_at_once(named):
    made = [
        make(f"{__file__}:Hybrid", 2, kwargs={"named": named}),
        make(f"{__file__}:Hybrid", 2, kwargs={"named": named}, backend="process"),
        *(
            make(lambda m=mode: SyncVectorEnv([lambda: Hybrid(named)] * 2, autoreset_mode=m))
            for mode in ("NextStep", "SameStep")
        ),
    ]
    for env in made:
        env.reset(0)
        obs = env.step(np.array([[0, 5, 0.5, 1], [2, -0.25, -9, 0]], np.float32)).obs
        np.testing.assert_array_equal(obs, [[1, 1, 0.5, 1], [3, -0.25, -1, 0]])
        env.close()
