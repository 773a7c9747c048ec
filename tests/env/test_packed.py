"""Pictures stay bytes: rows of a space that holds one are uint8, and every other part stands in them as its float32."""

from __future__ import annotations

import copy

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from gymnasium.vector import SyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from operant.env import make
from operant.env.interface import pixels
from operant.env.spaces import Observations

PICTURE = spaces.Box(0, 255, (9, 8, 3), np.uint8)
PACKED = [
    PICTURE,
    spaces.Box(0, 255, (8, 9), np.uint8),
    spaces.Box(0, 255, (2, 8, 9, 1), np.uint8),
    spaces.Dict({"v": spaces.Box(-1, 1, (3,)), "eye": PICTURE, "n": spaces.Discrete(4, start=-1)}),
    spaces.Tuple([spaces.MultiBinary(3), spaces.Dict({"eye": PICTURE, "m": spaces.MultiDiscrete([2, 3])})]),
]
PLAIN = [
    spaces.Box(0, 255, (7, 7, 3), np.uint8),  # a small grid
    spaces.Box(0, 254, (9, 9), np.uint8),
    spaces.Box(0, 255, (64,), np.uint8),
    spaces.Box(0, 255, (1, 1, 1, 9, 9), np.uint8),
    spaces.Box(0, 255, (9, 9), np.int16),
    spaces.Box(0.0, 1.0, (9, 9, 3), np.float32),
]


class Seeing(gymnasium.Env):
    """Observes samples of its space; ends after four steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, which: int = 0) -> None:
        self.observation_space = copy.deepcopy(PACKED[which])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t % 4 == 0, False, {}


@pytest.mark.parametrize("space", PACKED, ids=lambda s: type(s).__name__)
def test_packed_rows_hold_the_numbers_of_gymnasiums_flattening(space):
    space.seed(5)
    samples = [space.sample() for _ in range(6)]
    reader = Observations(space)
    expected = np.stack([np.asarray(flatten(space, sample), np.float32) for sample in samples])
    assert reader.dtype is np.uint8
    assert reader.numbers == flatdim(space)
    assert reader.features == reader.dim == sum(flatdim(p.space) * (1 if p.picture else 4) for p in reader.parts)
    one = np.full((6, reader.dim), 77, np.uint8)
    for sample, row in zip(samples, one, strict=True):
        reader.write(sample, row)
    many = reader.batch(concatenate(space, samples, create_empty_array(space, 6)), 6)
    listed = reader.rows(samples, 6)
    for rows in (one, many, listed):
        assert rows.dtype == np.uint8
        assert rows.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(reader.floats(rows), expected)
    np.testing.assert_array_equal(one, many)
    np.testing.assert_array_equal(reader.floats(one.reshape(2, 3, -1)), expected.reshape(2, 3, -1))


@pytest.mark.parametrize("space", PACKED, ids=lambda s: type(s).__name__)
def test_parts_say_how_a_row_is_cut(space):
    space.seed(6)
    sample, reader = space.sample(), Observations(space)
    row = np.zeros(reader.dim, np.uint8)
    reader.write(sample, row)
    at = 0
    for part in reader.parts:
        assert part.columns.start == at
        at, value = part.columns.stop, sample
        for key in part.keys:
            value = value[key]
        found = row[part.columns] if part.picture else np.frombuffer(row[part.columns].tobytes(), "<f4")
        np.testing.assert_array_equal(found, np.asarray(flatten(part.space, value), np.float32))
    assert at == reader.features


@pytest.mark.parametrize("space", PLAIN, ids=str)
def test_what_is_no_picture_stays_float32(space):
    reader = Observations(space)
    assert reader.dtype is np.float32
    assert reader.features == reader.dim == reader.numbers == flatdim(space)
    assert not any(part.picture for part in reader.parts)


def test_packed_spaces_are_those_that_are_said_to_be_pictures():
    assert all(pixels(space) for space in PACKED)
    assert not any(pixels(space) for space in PLAIN[:3])
    assert pixels(PLAIN[3])
    assert pixels(spaces.Box(0.0, 1.0, (32, 32, 3), np.float32))


def test_a_number_that_is_not_finite_is_found_behind_the_bytes():
    space = PACKED[3]
    reader = Observations(space)
    sample = space.sample()
    rows = np.repeat(reader.rows([sample], 1), 4, axis=0)
    reader.write(sample | {"v": np.array([0, np.nan, 0], np.float32)}, rows[1])
    reader.write(sample | {"v": np.array([np.inf, 0, 0], np.float32)}, rows[3])
    np.testing.assert_array_equal(reader.finite(rows), [True, False, True, False])
    np.testing.assert_array_equal(reader.finite(rows.reshape(2, 2, -1)), [[True, False], [True, False]])
    assert Observations(PICTURE).finite(np.full((2, 216), 255, np.uint8)).all()
    plain = np.array([[0, 1], [np.nan, 0]], np.float32)
    np.testing.assert_array_equal(Observations(spaces.Box(-1, 1, (2,))).finite(plain), [True, False])


@pytest.mark.parametrize("value", [0.5, -1, 256, np.nan])
def test_what_a_byte_cannot_hold_is_refused_and_whole_numbers_pass(value):
    reader, row = Observations(PICTURE), np.zeros(216, np.uint8)
    wrong = np.full((9, 8, 3), value)
    with pytest.raises(ValueError, match="the observation is"):
        reader.write(wrong, row)
    with pytest.raises(ValueError, match="the observation is"):
        reader.batch(wrong[None], 1)
    for whole in (np.full((9, 8, 3), 3.0), np.full((9, 8, 3), 3, np.int64)):
        reader.write(whole, row)
        assert (row == 3).all()
        assert (reader.batch(whole[None], 1) == 3).all()


@pytest.mark.parametrize("which", [0, 3])
def test_every_backend_gives_the_same_bytes(which):
    name = f"{__file__}:Seeing"
    ours = make(name, 3, kwargs={"which": which})
    theirs = make(name, 3, kwargs={"which": which}, backend="process")
    vector = make(lambda: SyncVectorEnv([lambda: Seeing(which)] * 3, autoreset_mode="SameStep"))
    try:
        for env in (ours, theirs):
            assert env.observations.dtype is np.uint8
            assert env.obs_dim == env.observations.dim
        np.testing.assert_array_equal(ours.reset(3), theirs.reset(3))
        assert vector.reset(3).dtype == np.uint8
        ended = 0
        for _ in range(9):
            a, b, c = (env.step(np.zeros(3, np.int64)) for env in (ours, theirs, vector))
            for x in (a, b, c):
                assert x.obs.dtype == np.uint8
            np.testing.assert_array_equal(a.obs, b.obs)
            if a.final_obs is not None:
                ended += 1
                assert a.final_obs.dtype == b.final_obs.dtype == c.final_obs.dtype == np.uint8
                np.testing.assert_array_equal(a.final_obs, b.final_obs)
        assert ended == 2
    finally:
        theirs.close()


def test_bytes_are_little_endian():
    reader = Observations(PACKED[3])
    row = reader.rows([{"v": np.array([1, 0, 0], np.float32), "eye": PICTURE.sample(), "n": 0}], 1)[0]
    at = next(part.columns.start for part in reader.parts if part.keys == ("v",))
    assert row[at : at + 4].tolist() == [0, 0, 0x80, 0x3F]
