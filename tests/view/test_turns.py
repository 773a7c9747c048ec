"""Films of episodes of many turns: a picture a turn, with what is done next."""

import asyncio
import io

import av
import numpy as np
import pytest
from PIL import Image

from operant.agents.watch import Pictured, Step, draws
from operant.config.errors import OperantError
from operant.language.episodes.world import Observation, Scenario
from operant.view.turns import FPS, HELD, film_turns


def png(level, used=200):
    page = np.full((900, 400, 3), 255, np.uint8)
    page[:used, :, 0] = level
    out = io.BytesIO()
    Image.fromarray(page).save(out, "PNG")
    return out.getvalue()


def step(number, **seen):
    return Step(number=number, thought="so" if number else "", action=f"click [{number}]" if number else "",
                seen=Observation(text="", **seen))  # fmt: skip


def test_a_turn_is_seen_for_two_seconds_and_what_is_empty_below_is_left_out(tmp_path):
    turns = [(step(0), png(0)), (step(1, error="COVERED"), png(80)), (step(2, reward=1.0), png(160))]
    path = film_turns(turns, tmp_path / "film.mp4", name="web/shop", asked="buy it")
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 3 * HELD
    assert HELD / FPS == 2
    assert 400 <= frames[0].shape[0] < 700
    levels = [frame[50, 200, 0] for frame in frames[::HELD]]
    assert np.allclose(levels, (0, 80, 160), atol=6)
    with pytest.raises(OperantError, match="no frames"):
        film_turns([], tmp_path / "none.mp4", name="web/shop")


class Counting:
    """A world whose pictures count what was seen."""

    name, system, turns, splits, draws = "counting", "", 3, ("train",), True

    def open(self, scenario):
        return self

    async def reset(self):
        self.seen = 0
        return Observation(text="begin")

    async def step(self, action):
        self.seen += 1
        return Observation(text=action)

    async def picture(self):
        return bytes([self.seen])

    async def close(self):
        pass


def test_pictures_go_with_what_was_seen_and_a_tool_shows_the_page_as_it_was():
    world = Pictured(Counting())
    assert draws(world.world)

    async def play():
        session = world.open(Scenario(id=0, template="", seed=0, instruction=""))
        return [await session.reset(), await session.step("a"), await session.step("b")]

    seen = asyncio.run(play())
    steps = [Step(number=k, thought="", action="", seen=one) for k, one in enumerate(seen)]
    steps.insert(2, Step(number=9, thought="", action="a tool's", seen=Observation(text="told")))
    assert [picture[0] for _, picture in world.turns_of(steps)] == [0, 1, 1, 2]
