"""Pictures of the worlds: what happens in them is seen."""

import numpy as np
import pytest

from operant import grounded
from operant.grounded.asked import Asked
from operant.grounded.pictures import PAINT, Mark, drawn
from operant.grounded.quest import Manual
from operant.grounded.tidy import Errand, Tidied

WORLDS = (Asked, grounded.Blocks, grounded.Field, grounded.Messenger, grounded.Moves, Manual, grounded.Screens, Errand,
          Tidied, grounded.room)  # fmt: skip


@pytest.mark.parametrize("world", WORLDS)
def test_every_world_draws_the_first_of_its_copies(world):
    its = world(2, render_mode="rgb_array")
    its.reset(seed=1)
    rng, pictures = np.random.default_rng(2), set()
    for _ in range(12):
        (picture,) = its.render()
        assert picture.dtype == np.uint8
        assert picture.shape[0] == picture.shape[1] > 320
        pictures.add(picture.tobytes())
        its.step(rng.integers(0, its.single_action_space.n, 2))
    assert len(pictures) > 1
    assert world().render() is None


def test_a_thing_stands_where_it_is_in_its_colour_and_names_have_room():
    picture = drawn(4, [Mark((1, 2), "a very long name", "square", "blue"), Mark((3, 0), kind="me", looks=0)])
    assert (picture[130, 250] == PAINT["blue"]).all()
    inside = picture[120:240, 240:360]
    outside = np.delete(picture, np.s_[120:240], 0)
    assert (inside == 255).all(-1).any()
    assert not (outside == 255).all(-1).any()
    black = np.argwhere((picture < 40).all(-1))
    assert (black.min(0) >= (360, 0)).all()
    assert black[:, 1].max() > 90  # it points to the east
