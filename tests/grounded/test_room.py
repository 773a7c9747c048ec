"""Rooms of things: what is drawn, seen and paid, held to a slow loop; instructions and what is held out of them."""

from __future__ import annotations

import os

import numpy as np
import pytest

from operant.config.errors import ConfigError, EnvError
from operant.env import make
from operant.env.text import words_of
from operant.grounded import Rooms, room, templates, vizdoom
from operant.grounded.instructions import COLOURS, KINDS, SYNONYMS

DATA = pytest.mark.skipif("OPERANT_DATA" not in os.environ, reason="needs OPERANT_DATA")
LANGUAGES = [pytest.param(templates, id="templates"), pytest.param(vizdoom, id="vizdoom", marks=DATA)]


def seen(its: Rooms, i: int) -> np.ndarray:
    """What copy i sees of its room, cell by cell: coordinates turned by complex numbers."""
    size, side = its.single_observation_space["view"].shape[0], its._cells.shape[1]
    properties = its._seen[0]
    view = np.zeros((size, size, properties.shape[1] + 1), np.float32)
    x, y, looks = its._agent[i]
    for row in range(size):
        for column in range(size):
            offset = complex(size - 1 - row, column - size // 2) * 1j**looks  # ahead, and to the right
            at = complex(x, y) + offset
            px, py = round(at.real), round(at.imag)
            if not (0 <= px < side and 0 <= py < side):
                view[row, column, -1] = 1
            elif its._cells[i, px, py] >= 0:
                view[row, column, :-1] = properties[its._cells[i, px, py]]
    return view


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("view", [5, 0])
def test_a_step_is_that_of_the_slow_loop(language, view):
    its = Rooms(4, language(), things=4, side=5, view=view, limit=12)
    obs, _ = its.reset(seed=3)
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(120):
        before, agent, said = its._cells.copy(), its._agent.copy(), obs["instruction"]
        meant, elapsed = its._meant.copy(), its._elapsed.copy()
        action = rng.choice(3, 4, p=[0.2, 0.2, 0.6])
        obs, reward, terminated, truncated, infos = its.step(action)
        for i in range(4):
            x, y, looks = agent[i]
            if action[i] == 2:
                step = 1j ** int(looks)
                nx, ny = x + round(step.real), y + round(step.imag)
                x, y = (nx, ny) if 0 <= nx < 5 and 0 <= ny < 5 else (x, y)
            moved = action[i] == 2 and (x, y) != tuple(agent[i, :2])
            thing = before[i, x, y] if moved else -1
            assert terminated[i] == (thing >= 0)
            paid = 1.0 if thing == meant[i, 2] else -0.2
            assert reward[i] == np.float32(paid if thing >= 0 else 0.0)
            assert truncated[i] == (thing < 0 and elapsed[i] + 1 == 12)
            if terminated[i] or truncated[i]:
                ends += 1
                assert infos["final_obs"][i]["instruction"] == said[i]
                assert its._elapsed[i] == 0
            else:
                assert (its._agent[i, :2] == (x, y)).all()
                assert obs["instruction"][i] == said[i]
                np.testing.assert_array_equal(its._cells[i], before[i])
            if view:
                np.testing.assert_array_equal(obs["view"][i], seen(its, i))
            else:
                x, y, looks = its._agent[i]
                flat = obs["view"][i]
                assert flat[y, x, -4:].tolist() == [float(k == looks) for k in range(4)]
                assert flat[..., -4:].sum() == 1
                for px, py in np.argwhere(its._cells[i] >= 0):
                    np.testing.assert_array_equal(flat[py, px, :-4], its._seen[0][its._cells[i, px, py]])
    assert ends > 20


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_thing_alone_is_meant_and_it_stands_there(language):
    its = language()
    for split in its.splits:
        rooms = Rooms(64, its, split)
        rooms.reset(seed=5)
        for i in range(64):
            order = its.splits[split][rooms._meant[i, 0]]
            stand = {int(k) for k in rooms._cells[i].ravel() if k >= 0}
            right = int(rooms._meant[i, 2])
            assert right in order.targets
            assert right in stand
            assert len(stand) == 5
            assert rooms._cells[i, rooms._agent[i, 0], rooms._agent[i, 1]] == -1
            alike = [its.things[k].size for k in stand & {*order.alike, *order.targets} - {right}]
            if order.order == 0:
                assert not alike
            assert all(order.order * (its.things[right].size - size) > 0 for size in alike)


def test_a_room_depends_on_its_seed_and_its_number_alone():
    many, one = Rooms(6, templates()), Rooms(1, templates())
    many.reset(seed=10)
    for copy in range(2):
        one.reset(seed=10 + copy)
        np.testing.assert_array_equal(many._cells[copy], one._cells[0])
    first = [one._meant[0].copy()]
    while one._episode[0] < 20:
        one.step(np.array([2 if one._elapsed[0] % 2 else 0]))
        if one._elapsed[0] == 0:
            first.append(one._meant[0].copy())
    assert len({tuple(x) for x in first}) > 10


def test_what_is_held_out_is_in_no_instruction_to_train_on():
    its = templates()
    said = {each.text for each in its.splits["train"]}
    known = {word for text in said for word in words_of(text)}
    pairs = {(colour, kind) for text in said for colour in COLOURS for kind in KINDS if f"{colour} {kind}" in text}
    held = {(colour, kind) for each in its.splits["combinations"] for colour in COLOURS for kind in KINDS
            if f"{colour} {kind}" in each.text}  # fmt: skip
    assert len(held) == len(KINDS)
    assert not held & pairs
    assert {colour for colour, _ in held} <= {colour for colour, _ in pairs}
    assert not {each.text for name in ("combinations", "paraphrases", "words") for each in its.splits[name]} & said
    assert not {*SYNONYMS.values()} & known
    assert all({*SYNONYMS.values()} & {*words_of(each.text)} for each in its.splits["words"])
    assert its.words.words == tuple(sorted(known))
    assert all(its.words.contains(each.text) for split in its.splits.values() for each in split)


@DATA
def test_the_data_means_what_its_words_say():
    its = vizdoom()
    assert {name: len(split) for name, split in its.splits.items()} == {"train": 55, "test": 15}
    assert len(its.things) == 18
    assert not {each.text for each in its.splits["test"]} & {each.text for each in its.splits["train"]} - {""}
    for each in (*its.splits["train"], *its.splits["test"]):
        assert {*each.targets} <= {*each.alike}, each.text
        if each.order == 0:
            assert {*each.targets} == {*each.alike}, each.text
    assert all(word in its.words.words for each in its.splits["test"] for word in words_of(each.text))


def test_it_is_an_environment_like_any_other():
    env = make("operant.grounded:room", 8, kwargs={"side": 5, "misled": True})
    obs = env.reset(0)
    assert env.observation_space["instruction"] == templates().words
    rng, ends = np.random.default_rng(1), 0
    for _ in range(60):
        step = env.step(rng.integers(0, 3, 8))
        assert (step.final_obs is None) == (not step.begun.any())
        ends += int(step.begun.sum())
    assert ends > 0
    assert obs.shape == (8, env.obs_dim)


def test_a_picture_shows_things_and_where_one_looks():
    its = room(side=4, things=3, render_mode="rgb_array")
    its.reset(seed=1)
    pictures = []
    for _ in range(4):
        picture = its.render()[0]
        assert picture.shape == (480, 480, 3)
        pictures.append(picture)
        its.step(np.array([0]))
    assert len({picture.tobytes() for picture in pictures}) == 4
    assert room().render() is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"split": "trai"}, "no split trai.*train"), ({"words": "latin"}, "templates or vizdoom"),
        ({"things": 99}, "need room"), ({"view": 4}, "odd"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(settings, words, tmp_path, monkeypatch):
    with pytest.raises(EnvError, match=words):
        room(**settings)
    monkeypatch.delenv("OPERANT_DATA", raising=False)
    with pytest.raises(ConfigError, match="set OPERANT_DATA"):
        vizdoom()
    with pytest.raises(ConfigError, match="not the instructions"):
        vizdoom(tmp_path)
