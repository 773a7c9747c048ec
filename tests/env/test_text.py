"""Texts as rows of codes, and back; what tells its words; missions beside grids that are stepped compiled."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gymnasium import spaces

from operant.config.errors import ConfigError, EnvError
from operant.env import make, make_one
from operant.env.dataset import raw_observations
from operant.env.encoded import decode_space, encode_space
from operant.env.inprocess import InProcess
from operant.env.minigrid import MiniGrid
from operant.env.spaces import Observations
from operant.env.text import BABYAI, UNKNOWN, Codes, Words, words_in, words_of

SENTENCE = Words(("go", "to", "the", "red", "ball", ","), 6)
EYE = spaces.Box(0, 255, (9, 9, 3), np.uint8)
SPACE = spaces.Dict({"said": SENTENCE, "note": spaces.Text(4, charset="ab"), "speed": spaces.Box(-1, 1, (2,))})
STATE = {"said": "Go to the ball, dear", "note": "abz", "speed": np.array([0.5, -1.0], np.float32)}


def test_words_have_codes_and_what_is_unknown_has_one_of_its_own():
    codes = Codes(SENTENCE)
    assert codes.count == 8
    assert codes.of("Go to the ball, dear").tolist() == [2, 3, 4, 6, 7, UNKNOWN]
    assert codes.of("").tolist() == [0] * 6
    assert codes.text(codes.of("go TO it")) == "go to ?"
    letters = Codes(spaces.Text(4, charset="ba"))
    assert letters.of("abz").tolist() == [2, 3, UNKNOWN, 0]
    assert letters.text(letters.of("ab")) == "ab"


@pytest.mark.parametrize("eye", [None, EYE], ids=["numbers", "bytes"])
def test_a_row_holds_codes_beside_numbers_and_bytes(eye):
    space = SPACE if eye is None else spaces.Dict({**SPACE.spaces, "eye": eye})
    state = STATE if eye is None else STATE | {"eye": np.full((9, 9, 3), 200, np.uint8)}
    seen = Observations(space)
    rows, one = seen.read(state)
    assert one
    numbers = seen.floats(rows)[0]
    assert len(numbers) == seen.numbers
    tail = [2, 3, UNKNOWN, 0, 2, 3, 4, 6, 7, UNKNOWN, 0.5, -1.0]  # note, said, speed
    np.testing.assert_array_equal(numbers[-12:], tail)
    batch = {
        key: tuple([value] * 3) if isinstance(value, str) else np.stack([value] * 3) for key, value in state.items()
    }
    np.testing.assert_array_equal(seen.batch(batch, 3), np.repeat(rows, 3, axis=0))
    again = raw_observations(seen, rows)[0]
    assert (again["said"], again["note"]) == ("go to the ball , ?", "ab?")
    assert seen.finite(rows).all()


def test_what_does_not_fit_is_told():
    seen = Observations(SPACE)
    for wrong, words in (
        (
            STATE | {"said": "go to the red ball , now"},
            r"\['said'\] is 'go to.* of 7 words, the observation space says",
        ),
        (STATE | {"note": "aaaaa"}, r"\['note'\] is 'aaaaa', of 5 characters"),
        (STATE | {"said": 3}, r"\['said'\] is of type int64"),
        (STATE | {"said": b"go"}, r"is of type \|S2"),
    ):
        with pytest.raises(ValueError, match=words):
            seen.read(wrong)
    for words, length in ((("a", "a"), 3), (("Red",), 3), (("red ball",), 3), ((), 3), (("a",), 0)):
        with pytest.raises(ValueError, match=r"give at least one|holds each once"):
            Words(words, length)


def test_a_text_without_an_end_in_sight_is_refused():
    with pytest.raises(EnvError, match="of up to 10,000,000 codes is observed, at most 16,384"):
        Observations(spaces.Dict(mission=spaces.Text(10_000_000)))


def test_the_table_is_part_of_the_space_wherever_it_is_written():
    for space in (SPACE, spaces.Text(7, min_length=0)):
        assert decode_space(json.loads(json.dumps(encode_space(space)))) == space
    for wrong in (
        {"is": "words", "words": [3], "length": 2}, {"is": "words", "words": ["a"], "length": 10**9},
        {"is": "words", "words": ["a"], "length": "2"}, {"is": "text", "least": 0, "most": 10**12, "characters": "a"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            decode_space(wrong)
    assert SENTENCE.contains(SENTENCE.sample())
    assert not SENTENCE.contains("a " * 9)


def test_levels_tell_their_words():
    pytest.importorskip("minigrid")
    fetch = words_in(make_one("MiniGrid-Fetch-5x5-N2-v0").observation_space["mission"])
    assert fetch is not None
    assert {"fetch", "purple", "key"} <= {*fetch.words}
    baby = make_one("BabyAI-BossLevel-v0")
    told = words_in(baby.observation_space["mission"])
    assert told is not None
    for seed in range(60):
        mission = baby.reset(seed=seed)[0]["mission"]
        assert {*words_of(mission)} <= {*BABYAI}, mission
        assert told.contains(mission)


def test_wrappers_strip_the_mission_or_keep_it():
    pytest.importorskip("minigrid")
    level, kept = "BabyAI-GoToLocal-v0", ["key image mission", "words mission 9", "one-hot 11 6 3"]
    assert make_one(level, wrappers=["key image"]).reset(seed=0)[0].shape == (7, 7, 3)
    env = make_one(level, wrappers=kept)
    obs, _ = env.reset(seed=0)
    assert {*obs} == {"image", "mission"}
    assert obs["image"].shape == (7, 7, 20)
    assert env.observation_space.contains(obs)
    assert env.observation_space["mission"] == Words(BABYAI, 9)
    named = make_one(level, wrappers=["words mission 5 go red"]).observation_space["mission"]
    assert named == Words(("go", "red"), 5)
    for wrappers, words in (
        (["key image said"], "needs an observation with a key 'said'"),
        (["words image"], "a text at a key 'image'"),
        (["words"], "words takes a key"),
        (["words mission red"], "how many words"),
        (["key image mission", "one-hot 2 2"], "one part of whole numbers"),
    ):
        with pytest.raises(ConfigError, match=words):
            make_one(level, wrappers=wrappers)
    with pytest.raises(EnvError, match=r"'mission'.* is a BabyAIMissionSpace.*words"):
        make(level, 1)


@pytest.mark.parametrize("more", [[], ["one-hot 11 6 3"]])
@pytest.mark.parametrize("level", ["DoorKey-6x6", "MultiRoom-N2-S4"])
def test_a_mission_stands_beside_a_grid_that_is_stepped_compiled(level, more):
    pytest.importorskip("minigrid")
    wrappers = ["key image mission", "words mission", *more]
    ours, theirs = (make(f"MiniGrid-{level}-v0", 3, wrappers=wrappers, backend=b) for b in ("auto", "inprocess"))
    assert isinstance(ours, MiniGrid)
    assert isinstance(theirs, InProcess)
    np.testing.assert_array_equal(ours.reset(3), theirs.reset(3))
    rng = np.random.default_rng(0)
    for _ in range(150):
        actions = rng.integers(0, 6, 3)
        a, b = ours.step(actions), theirs.step(actions)
        np.testing.assert_array_equal(a.obs, b.obs)
        assert (a.final_obs is None) == (b.final_obs is None)
        if a.final_obs is not None:
            np.testing.assert_array_equal(a.final_obs, b.final_obs)
