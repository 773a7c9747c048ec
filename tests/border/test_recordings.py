"""Data sets as they are recorded: environments that answer nonsense, policies of another, places that are taken"""

import pytest

from operant.cli.main import main

ENV = """
import gymnasium as gym, numpy as np
class Walk(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Discrete(2)
    reset_to, closed = "(np.zeros(2, np.float32), {})", "0"
    step_to = "(np.zeros(2, np.float32), 1.0, self.t > 3, False, {})"
    t = 0
    def __init__(self, render_mode=None, **answers):
        vars(self).update(answers)
    def reset(self, *, seed=None, options=None):
        self.t = 0
        return eval(self.reset_to)
    def step(self, action):
        self.t += 1
        return eval(self.step_to)
    def close(self):
        return eval(self.closed)
def act(obs):
    return 0
"""
SEEN = "np.zeros(2, np.float32)"
NONSENSE = {
    "reset_to": ["(None)", SEEN, f"({SEEN}, None)", f"({SEEN}, 1, 2)", "(object(), {})"],
    "step_to": ["(None)", f"({SEEN}, 1.0, False, {{}})", f"({SEEN}, 'a', True, False, {{}})",
                f"({SEEN}, None, True, False, {{}})",
                f"({SEEN}, 1.0, True, False, None)", f"({SEEN}, [1, 2], True, False, {{}})",
                "(np.zeros(3, np.float32), 1.0, True, False, {})", "('x', 1.0, True, False, {})"],
}  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walk.py").write_text(ENV)
    return tmp_path


def recorded(*more, env="walk.py:Walk"):
    return main(["record", env, "--episodes", "2", "--out", "made", *more])


@pytest.mark.parametrize(("what", "answer"), [(what, answer) for what in NONSENSE for answer in NONSENSE[what]])
def test_an_environment_that_answers_nonsense_is_told_and_nothing_is_written(what, answer, home, capsys):
    assert recorded("--script", "walk.py:act", f"--env.kwargs.{what}", answer) == 3
    assert "error: walk.py:Walk: " in capsys.readouterr().err
    assert not (home / "made").exists()


def test_an_environment_that_fails_as_it_closes_loses_nothing(home):
    assert recorded("--script", "walk.py:act", "--env.kwargs.closed", "1 / 0") == 0
    assert (home / "made" / "data" / "metadata.json").is_file()


def test_a_policy_of_another_environment_is_told(home, capsys):
    assert recorded("--policy", "operant/Pendulum-v1", env="CartPole-v1") == 2
    assert "operant/Pendulum-v1 does not fit CartPole-v1" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--keys", "a=0"], ["--fps", "3"], ["--stochastic"]])
def test_a_flag_that_nobody_heeds_is_refused(more, home, capsys):
    assert recorded("--script", "walk.py:act", *more) == 2
    assert "leave" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["taken", "taken/inside", ".", "x" * 300])
def test_a_place_that_cannot_be_written_is_seen_before_anything_is_played(out, home, capsys):
    (home / "taken").write_text("precious")
    (home / "never.py").write_text("def act(obs):\n    raise AssertionError('played')\n")
    assert main(["record", "walk.py:Walk", "--script", "never.py:act", "--out", out]) == 2
    assert "name another" in capsys.readouterr().err
    assert (home / "taken").read_text() == "precious"


def test_rewards_too_large_for_what_is_learnt_from_are_an_error_and_commands_are_quoted(home, capsys):
    big = f"({SEEN}, 1e300, self.t > 3, False, {{}})"
    assert recorded("--script", "walk.py:act", "--env.kwargs.step_to", big) == 0
    assert main(["data", "show", "made"]) == 2
    assert "the reward is 1e+300, too large for float32" in capsys.readouterr().out


@pytest.mark.parametrize(("named", "told"), [("x; rm -rf y", "'x; rm -rf y'"), ("evil.py:make", "train bc ENV ")])
def test_what_a_data_set_calls_its_environment_is_no_command(named, told, home, capsys):
    import json

    assert recorded("--script", "walk.py:act") == 0
    about = home / "made" / "data" / "metadata.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"env_id": named}))
    assert main(["data", "show", "made"]) == 0
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--out", "walk.py"], ["--film", "walk.py", "--env", "walk.py:Walk"]])
def test_a_page_or_film_is_written_over_nothing_else(more, home, capsys):
    assert recorded("--script", "walk.py:act") == 0
    assert main(["data", "show", "made", *more]) == 2
    assert (home / "walk.py").read_text() == ENV
