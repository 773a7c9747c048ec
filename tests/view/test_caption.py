"""What stands below a film's pictures: texts as they were read, the words that were looked at brighter."""

import numpy as np
import pytest

from operant.env import make
from operant.grounded import Messenger, prepared
from operant.view.caption import DIM, INK, Said, Script
from operant.view.play import Episode

MESSENGER = "operant.grounded:Messenger"


def test_what_was_looked_at_is_bright_and_the_rest_is_dim():
    words = ["left ", "right "]
    script = Script(320, [Said(words)])
    plain, first, last = (script.draw([Said(words, looked)]) for looked in (None, (0.8, 0.0), (0.0, 0.1)))
    halves = [picture[:, :25].max() for picture in (plain, first, last)]
    assert halves[:2] == [max(INK)] * 2
    assert halves[2] == max(DIM)
    assert last[:, 40:].max() == max(INK)


@pytest.mark.parametrize("many", [3, 4_000])
def test_a_text_that_has_no_room_is_cut_and_the_height_stays(many):
    script = Script(200, [Said(["word "] * 5)])
    assert script.draw([Said(["word "] * many)]).shape == (script.height, 200, 3)
    assert Script(200, [Said(["word "] * many)]).lines <= 12


def test_an_episode_tells_what_was_read_before_each_action_and_what_was_looked_at():
    settings = {"policy.network": "grid-cnn", "policy.join": "cross-attention", "policy.text_size": 8}
    agent = prepared(MESSENGER, seed=1, total_steps=1, settings=settings).agent
    env = make(MESSENGER, 1, render_mode="rgb_array")
    episode = Episode(env, agent.decide, "a game", 3)
    with agent.attention() as episode.looked:
        pictures = [(frame.shape, *episode.reads(0)) for frame in episode.frames()]
    env.close()
    told = Messenger(1).reset(seed=3)[0]["manual"][0]
    assert len(pictures) == episode.length
    for shape, said in pictures:
        assert shape == (480, 480, 3)
        assert "".join(said.pieces).strip() == told
        assert sum(said.looked) == pytest.approx(1.0, abs=1e-5)


def test_a_policy_that_attends_to_nothing_tells_nothing():
    agent = prepared(MESSENGER, seed=1, total_steps=1, settings={"policy.network": "grid-cnn"}).agent
    with agent.attention() as looked:
        agent.decide(np.zeros((1, agent.spec.obs_dim), np.float32))
        assert looked() is None
