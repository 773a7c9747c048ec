"""Observations become float32 vectors, actions become what the space says."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from operant.config.errors import EnvError
from operant.env.spaces import Actions, Observations, action_kind

SPACES = [
    spaces.Box(-1, 1, (4,), np.float32),
    spaces.Box(-1, 1, (4,), np.float64),
    spaces.Box(-1, 1, (), np.float32),
    spaces.Box(0, 255, (3, 2, 2), np.uint8),
    spaces.Discrete(5),
    spaces.Discrete(5, start=-2),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[1, 1], [0, -3]]),
    spaces.MultiBinary(4),
    spaces.MultiBinary((2, 2)),
    spaces.Dict({"z": spaces.Box(-1, 1, (2, 2)), "a": spaces.Discrete(3, start=1)}),
    spaces.Tuple([spaces.Discrete(2), spaces.Dict({"x": spaces.MultiBinary(2), "y": spaces.Box(-1, 1, (1,))})]),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_one_and_many_observations_are_gymnasiums_flattening(space):
    space.seed(3)
    samples = [space.sample() for _ in range(6)]
    reader = Observations(space)
    assert reader.dim == flatdim(space)
    expected = np.stack([np.asarray(flatten(space, sample), dtype=np.float32) for sample in samples])
    one = np.full(reader.dim, 7.0, dtype=np.float32)
    for sample, row in zip(samples, expected, strict=True):
        reader.write(sample, one)
        np.testing.assert_array_equal(one, row)
    batched = concatenate(space, samples, create_empty_array(space, 6))
    assert batch_space(space, 6).contains(batched)
    many = reader.batch(batched, 6)
    assert many.dtype == np.float32
    assert many.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(many, expected)


def test_a_batch_is_never_the_array_it_was_given():
    given = np.zeros((2, 4), dtype=np.float32)
    Observations(SPACES[0]).batch(given, 2)[:] = 1
    assert (given == 0).all()


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Sequence(spaces.Discrete(2)), "the observation space is a Sequence"),
        (spaces.Graph(spaces.Box(-1, 1, (2,)), None), "the observation space is a Graph"),
        (spaces.OneOf([spaces.Discrete(2), spaces.Discrete(3)]), "the observation space is a OneOf"),
        (spaces.Dict({"said": spaces.Tuple([spaces.Sequence(spaces.Text(5))])}), "at ['said'][0] is a Sequence"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_observations_without_a_length_are_refused(space, words):
    with pytest.raises(EnvError) as caught:
        Observations(space)
    assert words in str(caught.value)
    assert "TransformObservation" in str(caught.value)


@pytest.mark.parametrize("value", [5, -1])
def test_a_discrete_observation_outside_its_space_is_refused(value):
    with pytest.raises(ValueError, match=f"the observation is {value}"):
        Observations(spaces.Discrete(5)).write(value, np.zeros(5, dtype=np.float32))


def test_discrete_actions_begin_at_start():
    decoded = Actions(spaces.Discrete(3, start=-1)).decode(np.array([0, 1, 2]))
    np.testing.assert_array_equal(decoded, [-1, 0, 1])


def test_multidiscrete_actions_begin_at_start_and_take_the_shape():
    space = spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[1, 1], [0, -3]])
    decoded = Actions(space).decode(np.array([[0, 0, 0, 0], [1, 2, 3, 1]]))
    np.testing.assert_array_equal(decoded, [[[1, 1], [0, -3]], [[2, 3], [3, -2]]])
    assert all(space.contains(row) for row in decoded)


def test_multibinary_actions_are_int8():
    space = spaces.MultiBinary((2, 2))
    decoded = Actions(space).decode(np.array([[0, 1, 1, 0]]))
    assert decoded.dtype == np.int8
    assert space.contains(decoded[0])


def test_box_actions_are_clipped_cast_and_shaped_and_the_given_ones_kept():
    space = spaces.Box(
        np.array([[-1.0, -2.0], [0.0, -np.inf]]), np.array([[1.0, 2.0], [0.5, np.inf]]), dtype=np.float64
    )
    given = np.array([[-5, 5, 5, 5], [0.25, -0.25, -3, -7]], dtype=np.float32)
    kept = given.copy()
    decoded = Actions(space).decode(given)
    np.testing.assert_array_equal(decoded, [[[-1, 2], [0.5, 5]], [[0.25, -0.25], [0, -7]]])
    assert decoded.dtype == np.float64
    assert all(space.contains(row) for row in decoded)
    np.testing.assert_array_equal(given, kept)
    decoded[:] = 9
    np.testing.assert_array_equal(given, kept)


def test_box_bounds_hold_in_the_dtype_of_the_space():
    space = spaces.Box(-0.1, 0.1, (1,), np.float64)
    assert space.contains(Actions(space).decode(np.array([[5.0]], dtype=np.float32))[0])


def test_integer_boxes_are_rounded():
    space = spaces.Box(0, 255, (3,), np.uint8)
    decoded = Actions(space).decode(np.array([[-3.0, 2.6, 300.0]], dtype=np.float32))
    np.testing.assert_array_equal(decoded, [[0, 3, 255]])
    assert decoded.dtype == np.uint8


def test_the_kinds_of_actions():
    assert action_kind(spaces.Discrete(2)) == "discrete"
    assert action_kind(spaces.MultiDiscrete([2, 2])) == "multidiscrete"
    assert action_kind(spaces.MultiBinary(2)) == "multibinary"
    assert action_kind(spaces.Box(-1, 1)) == "box"
    assert action_kind(spaces.Tuple([spaces.Discrete(2), spaces.Dict({"x": spaces.Box(-1, 1)})])) == "composite"
