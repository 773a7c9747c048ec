"""Budgets over a whole run: what fails now and then, for ever, ends no run; what fails all the time ends it soon.

Restarts of worker processes count as a rate; a step in which nothing could be judged is passed over and told.
"""

import json
import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest

import operant
from operant.cli.main import main
from operant.config.errors import EnvError, OperantError
from operant.env import make
from operant.env.process import Supervisor
from operant.language.reward.trace import Trace
from operant.language.task.pool import Pool
from reference.tiny_language import tiny_folder

DIES = """
import os
def reward(trace):
    if trace.completion == "die": os._exit(3)
    return float(len(trace.completion))
"""
ENV = """
import os
import gymnasium as gym, numpy as np
class Dies(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def __init__(self, every=5): self.every, self.t = every, 0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}
    def step(self, action):
        self.t += 1
        if self.t == self.every: os._exit(3)
        return np.zeros(2, np.float32), 1.0, False, self.t % 4 == 0, {}
"""
TASK = """
from pathlib import Path
from operant.reward import reward
from operant.task import Example, Task
CALLS = [0]
@reward(best=None, pure=True)
def judge(trace):
    if trace.completion in ("", " \\n"): return -1.0
    if trace.completion == trace.gold: return 1.0
    if trace.completion in map(str, range(40)): return 0.0
    CALLS[0] += 1
    if BROKEN: raise ValueError("the judge is away")
    return float(CALLS[0] % 2)
def task():
    of = [Example(prompt=f"{i} is ", gold=str(i), solution=str(i)) for i in range(40)]
    return Task(name="t", train=of[10:], test=of[:10], rewards={"judge": judge}, max_tokens=4)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("budgets")
    tiny_folder(folder / "m")
    (folder / "dies_now_and_then.py").write_text(DIES)
    (folder / "env_that_dies.py").write_text(ENV)
    return folder


@pytest.fixture
def reward(home, monkeypatch):
    monkeypatch.syspath_prepend(str(home))
    from dies_now_and_then import reward

    return reward


def judged(pool, reward, *texts):
    return pool.run([(reward, Trace(prompt="p", completion=text)) for text in texts])


@pytest.mark.parametrize("entry", ["rewards", "environments"])
def test_what_dies_now_and_then_ends_nothing(entry, reward, home, capfd):
    """Five times the restarts of a window, one a window."""
    if entry == "rewards":
        with Pool(1, restarts=1, window=4) as pool:
            for _ in range(5):
                *fine, died = judged(pool, reward, "a", "bb", "ccc", "dddd", "die")
                assert fine == [1.0, 2.0, 3.0, 4.0]
                assert "exited with code 3" in died
            assert pool.restarted == 5
        return
    limits = Supervisor(workers=1, timeout=20.0, restarts=1, window=4)
    env = make(f"{home / 'env_that_dies.py'}:Dies", 1, backend="process", supervisor=limits)
    try:
        env.reset(0)
        for _ in range(23):
            env.step(np.zeros(1, np.int64))
    finally:
        env.close()
    assert limits.restarted == 4
    assert "restarting an environment (1 of 1)" in capfd.readouterr().err


@pytest.mark.parametrize("entry", ["rewards", "environments"])
def test_what_dies_all_the_time_is_told_with_the_setting(entry, reward, home):
    if entry == "rewards":
        with Pool(1, restarts=2, window=10) as pool, pytest.raises(OperantError, match=r"task\.restarts") as told:
            judged(pool, reward, "die", "a", "die", "die")
        assert "and so did 2 of the 10 calls before: mend it" in str(told.value)
        return
    limits = Supervisor(workers=1, timeout=20.0, restarts=2, window=1_000)
    env = make(f"{home / 'env_that_dies.py'}:Dies", 1, kwargs={"every": 1}, backend="process", supervisor=limits)
    env.reset(0)
    for _ in range(2):
        env.step(np.zeros(1, np.int64))
    with pytest.raises(EnvError, match=r"All 2 restarts that 1,000 steps may take are used up \(env\.restarts"):
        env.step(np.zeros(1, np.int64))


ALGORITHMS = {
    "grpo": ["--algo.prompts", "2", "--algo.samples", "2"],
    "rlhf": ["--algo.prompts", "4", "--algo.batch", "4"],
    "expert-iteration": ["--algo.prompts", "2", "--algo.samples", "2"],
}


@pytest.fixture
def train(home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(algorithm, text, *flags):
        (tmp_path / "judged.py").write_text(text)
        words = ["train", algorithm, "judged.py", "--model", str(home / "m"), "--runs", "runs", "--threads", "1"]
        words += ["--no-save.report", "--total-steps", "4", "--eval.episodes", "2", *ALGORITHMS[algorithm], *flags]
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            code = main(words)
        (folder,) = (tmp_path / "runs").glob("*")
        return code, " ".join(capsys.readouterr().err.split()), folder

    return run


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", sorted(ALGORITHMS))
def test_a_step_in_which_nothing_is_judged_is_passed_over_and_told(entry, train):
    """The judge is away for some of the calls between."""
    code, said, run = train(entry, TASK.replace("if BROKEN:", "if 12 < CALLS[0] < 26:"))
    assert code == 0
    assert "completions was judged, so these are passed over and others drawn: reward judge raised ValueError" in said
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    metrics = operant.Run(run).metrics
    assert metrics["reward/skipped"].max() >= 1
    assert metrics["step"].max() == 4


@pytest.mark.parametrize("entry", sorted(ALGORITHMS))
def test_where_nothing_is_judged_any_more_the_run_ends_and_keeps_what_it_learnt(entry, train):
    code, said, run = train(entry, TASK.replace("if BROKEN:", "if CALLS[0] > 12:"))
    assert code == 1
    assert "and so it was 10 times in a row, so there is nothing to learn from: reward judge raised ValueError" in said
    assert "operant resume" in said
    assert json.loads((run / "run.json").read_text())["status"] == "failed"
    assert (run / "checkpoints" / "latest").exists()


@pytest.mark.parametrize("entry", ["task.timeout", "task.restarts", "task.restart_window", "env.restart_window"])
def test_the_limits_are_settings(entry, capsys):
    algorithm, wrong = ("ppo" if entry.startswith("env") else "grpo"), "0" if entry != "task.restarts" else "-1"
    assert main(["train", algorithm, "CartPole-v1" if algorithm == "ppo" else "arithmetic", f"--{entry}", wrong]) == 2
    assert entry in capsys.readouterr().err
