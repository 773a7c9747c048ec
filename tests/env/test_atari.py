"""The wrappers "atari", step by step against ale-py's own vector form of them."""

from __future__ import annotations

import numpy as np
import pytest

from operant.config.errors import ConfigError
from operant.config.wrappers import PRESETS
from operant.env import atari, make

pytest.importorskip("ale_py")
BARE = {"repeat_action_probability": 0.0}


def pair(game, monkeypatch, **kwargs):
    """The vector form and single copies, both without no-ops at the start, which each draws by itself."""
    plain = tuple(text for text in PRESETS["atari"] if not text.startswith("noop"))
    monkeypatch.setattr(atari, "NOOPS", 0)
    vector = make(game, 2, wrappers=["atari"], kwargs=BARE | kwargs)
    assert isinstance(vector, atari.AtariVector)
    return vector, make(game, 2, backend="inprocess", wrappers=plain, kwargs=BARE | atari.BENEATH | kwargs)


@pytest.mark.parametrize(
    ("game", "steps", "kwargs"),
    [
        ("ALE/Breakout-v5", 330, {}),
        ("ALE/Pong-v5", 230, {"max_num_frames_per_episode": 400}),
    ],
)
def test_the_vector_form_is_the_wrapped_game(game, steps, kwargs, monkeypatch):
    vector, single = pair(game, monkeypatch, **kwargs)
    assert vector.observation_space == single.observation_space
    assert vector.action_space == single.action_space
    np.testing.assert_array_equal(vector.reset(3), single.reset(3))
    rng, ends = np.random.default_rng(0), 0
    for t in range(steps):
        action = np.where(t % 5 == 0, 1, rng.integers(vector.action_space.n, size=2))
        ours, theirs = vector.step(action), single.step(action)
        for name in ("reward", "terminated", "truncated", "acted"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        gap = np.abs(ours.obs.astype(int) - theirs.obs)
        assert gap.max() <= 1  # the resizing's rounding
        assert (gap > 0).mean() < 1e-3
        for row in np.flatnonzero(ours.terminated | ours.truncated):
            ends += 1
            whole = ours.final_obs[row].reshape(4, -1).astype(int) - theirs.final_obs[row].reshape(4, -1)
            assert np.abs(whole[:3]).max() <= 1
            went_on = np.array_equal(theirs.final_obs[row], theirs.obs[row])
            # of a game that ends amid a step ale-py's last frame is the maximum of other frames
            assert (np.abs(whole[3]) > 1).mean() < (1e-9 if went_on else 0.05)
    assert ends >= 4


def test_measured_copies_drawn_ones_and_other_wrappers_are_single_games():
    def backend(**kwargs):
        env = make("ALE/Pong-v5", 1, **kwargs)
        env.close()
        return env.backend

    assert backend(wrappers=["atari"]) == "native"
    assert backend(wrappers=["atari"], kwargs={"full_action_space": True}) == "native"
    assert backend(wrappers=["atari"], measured=True) == "inprocess"
    assert backend(wrappers=["atari"], render_mode="rgb_array") == "inprocess"
    assert backend(wrappers=["atari"], kwargs={"mode": 0}) == "inprocess"
    assert backend(wrappers=["atari", "time-limit 9"]) == "inprocess"
    assert backend() == "inprocess"  # its own vector form observes and is paid otherwise


def test_measured_games_are_seen_as_in_training():
    seen = [make("ALE/Pong-v5", 1, wrappers=["atari"], measured=m).observation_space for m in (False, True)]
    assert seen[0] == seen[1]


def test_a_game_that_skips_frames_itself_is_refused():
    with pytest.raises(ConfigError, match=r"env\.kwargs\.frameskip is 4, and the wrappers atari skip frames"):
        make("ALE/Pong-v5", 1, wrappers=["atari"], kwargs={"frameskip": 4})
    assert make("ALE/Pong-v5", 1, wrappers=["atari"], kwargs={"frameskip": 1}).num == 1
