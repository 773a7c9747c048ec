"""`operant record` and `operant data show`: by a policy, a script, and a person's keys on a screen that is none."""

import json

import numpy as np
import pytest

from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.env.make import make_one
from operant.env.minari import read_data
from operant.view.keyboard import keys_of

pytest.importorskip("h5py")


def test_a_policy_that_ships_is_recorded_and_shown(tmp_path, capsys):
    out = str(tmp_path / "demos")
    assert main(["record", "CartPole-v1", "--policy", "operant/CartPole-v1", "--episodes", "3", "--out", out]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == out
    assert "3 episodes, 1,500 steps, mean return 500.0" in said.err
    data = read_data(out)
    assert data.env_id == "CartPole-v1"
    assert all(e.truncations[-1] and not e.terminations[-1] for e in data.episodes)  # a time limit ended each
    assert [e.seed for e in data.episodes] == [0, 1, 2]
    assert main(["data", "show", out]) == 0
    shown = capsys.readouterr().out
    assert "3 episodes, 1,500 steps" in shown
    assert "observation[0]" in shown
    page = tmp_path / "page.html"
    assert main(["data", "show", out, "--json", "--out", str(page)]) == 0
    assert json.loads(capsys.readouterr().out.partition(str(page))[0])["returns"]["mean"] == 500.0
    assert "<svg" in page.read_text()


def test_a_script_is_recorded_and_the_same_again(tmp_path, capsys):
    words = ["record", "operant.env.imitated:tree", "--script", "operant.env.imitated:skier", "--episodes", "5"]
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    assert main([*words, "--out", str(tmp_path / "two")]) == 0
    one, two = read_data(tmp_path / "one"), read_data(tmp_path / "two")
    assert [e.digest() for e in one.episodes] == [e.digest() for e in two.episodes]
    assert one.returns.tolist() == [1.0] * 5


def test_the_best_episode_is_filmed_from_its_seed(tmp_path, capsys):
    out, film = str(tmp_path / "demos"), tmp_path / "best.mp4"
    assert main(["record", "CartPole-v1", "--script", "operant.env.imitated:driver", "--out", out]) == 3  # no such obs
    (tmp_path / "left.py").write_text("def left(obs):\n    return 0\n")
    script = f"{tmp_path / 'left.py'}:left"
    assert main(["record", "CartPole-v1", "--script", script, "--episodes", "2", "--out", out]) == 0
    assert main(["data", "show", out, "--film", str(film)]) == 2  # which environment, a file does not say
    assert main(["data", "show", out, "--film", str(film), "--env", "CartPole-v1"]) == 0
    assert film.stat().st_size > 1000
    assert main(["data", "show", out, "--film", str(film), "--env", "Acrobot-v1"]) == 2  # of another environment


@pytest.fixture
def screen(monkeypatch):
    """A screen that is none, and a person who presses keys: (frame, name of the key, whether it goes down)."""
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    flip, frame = pygame.display.flip, [0]

    def person(presses):
        def flipped():
            flip()
            for name, down in presses(frame[0]):
                kind = pygame.KEYDOWN if down else pygame.KEYUP
                pygame.event.post(pygame.event.Event(kind, key=pygame.key.key_code(name)))
            frame[0] += 1

        monkeypatch.setattr(pygame.display, "flip", flipped)
        return frame

    return person


def test_a_person_plays_ten_episodes_by_keys(screen, tmp_path, capsys):
    screen(lambda k: [("left", k % 4 < 2), ("right", k % 4 >= 2)])
    out = str(tmp_path / "mine")
    assert main(["record", "CartPole-v1", "--episodes", "10", "--fps", "1000", "--out", out]) == 0
    data = read_data(out)
    assert len(data) == 10
    assert "Escape ends" in capsys.readouterr().err
    actions = np.concatenate([e.actions for e in data.episodes])
    assert 0.3 < actions.mean() < 0.7
    env = make_one("CartPole-v1")
    for episode in data.episodes:  # the actions that were done are those that were kept
        obs, _ = env.reset(seed=episode.seed)
        for t, action in enumerate(episode.actions):
            assert np.array_equal(obs, episode.observations[t])
            obs, *_ = env.step(int(action))


def test_escape_keeps_what_was_played_and_backspace_begins_anew(screen, tmp_path):
    frame = screen(lambda k: {5: [("backspace", True)], 60: [("escape", True)]}.get(k, []))
    out = str(tmp_path / "mine")
    words = ["--episodes", "100", "--fps", "1000", "--keys", "left=0 right=1", "--out", out]
    assert main(["record", "CartPole-v1", *words]) == 0
    data = read_data(out)
    assert 2 <= len(data) < 10
    assert frame[0] <= 62
    assert data.episodes[0].seed == 0  # it was played again


FAILING = """
import gymnasium, os, signal

class Failing(gymnasium.Wrapper):
    def __init__(self, render_mode=None):
        super().__init__(gymnasium.make("CartPole-v1", render_mode=render_mode))
        self.episodes = 0

    def reset(self, **more):
        self.episodes += 1
        return self.env.reset(**more)

    def step(self, action):
        if self.episodes == 3:
            HOW
        return self.env.step(action)
"""
ENDS = {
    "the environment raises": ("raise RuntimeError('the arm fell off')", 3, "the arm fell off"),
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT)", 130, "interrupted"),
}


@pytest.mark.parametrize("who", ["a person", "a script"])
@pytest.mark.parametrize("end", ENDS)
def test_what_was_played_before_is_kept_where_it_fails(end, who, screen, tmp_path, capsys):
    how, code, said = ENDS[end]
    file, out = tmp_path / "failing.py", tmp_path / "mine"
    file.write_text(FAILING.replace("HOW", how) + "\n\ndef left(obs):\n    return 0\n")
    screen(lambda k: [("left", True)])
    words = ["--keys", "left=0 right=1", "--fps", "1000"] if who == "a person" else ["--script", f"{file}:left"]
    assert main(["record", f"{file}:Failing", *words, "--episodes", "10", "--out", str(out)]) == code
    assert len(read_data(out)) == 2
    told = capsys.readouterr()
    assert "Recorded 2 episodes" in told.err
    assert said in told.err
    assert "Traceback" not in told.err


def test_keys_mean_actions():
    lander = keys_of(make_one("CartPole-v1"), "LunarLander-v3", "left=0 right=1 left+up=1 idle=0")
    assert int(lander.action()) == 0
    lander.hear("right", True)
    assert int(lander.action()) == 1
    lander.hear("right", False)
    assert int(lander.action()) == 0
    swing = keys_of(make_one("Pendulum-v1"), "Pendulum-v1")
    assert swing.action().tolist() == [0.0]
    swing.hear("left", True)
    assert swing.action().tolist() == [-2.0]
    swing.hear("right", True)  # both are none
    assert swing.action().tolist() == [0.0]
    assert swing.action().dtype == np.float32
    with pytest.raises(ConfigError, match="KEY=ACTION"):
        keys_of(make_one("CartPole-v1"), "CartPole-v1", "left=7")


WRONG = {
    "both": ["--policy", "a", "--script", "b"],
    "no screen": [],
    "no run": ["--policy", "nobody"],
    "an action of another space": ["--script", "operant.env.imitated:skier"],
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_is_refused_and_nothing_is_written(kind, tmp_path, monkeypatch, capsys):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert main(["record", "CartPole-v1", *WRONG[kind], "--out", str(tmp_path / "x")]) in (2, 3)
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_broken_data_set_is_shown_with_what_is_wrong(tmp_path, capsys):
    import h5py

    out = tmp_path / "demos"
    (tmp_path / "left.py").write_text("def left(obs):\n    return 0\n")
    main(["record", "CartPole-v1", "--script", f"{tmp_path / 'left.py'}:left", "--episodes", "2", "--out", str(out)])
    with h5py.File(out / "data" / "main_data.hdf5", "a") as file:
        file["episode_1/rewards"][3] = np.nan
    assert main(["data", "show", str(out)]) == 2
    said = capsys.readouterr().out
    assert "episode 1, step 3" in said
    assert "the reward is nan" in said
