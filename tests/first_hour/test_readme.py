"""A newcomer's hour at the terminal: every command of the README, in its order, on a screen of eighty columns."""

import os
import re
import shlex
from pathlib import Path

import pytest

from first_hour.terminal import shown

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## (.*?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = {
    title: [
        line.split(" #")[0].strip()
        for block in SHELL.findall(text)
        for line in block.splitlines()
        if line.startswith("operant ")
    ]
    for title, text in SECTION.findall(README)
}
SHORT = {
    "train ppo CartPole-v1": "--total-steps 20000 --eval.episodes 10",
    "train sac Pendulum-v1": "--total-steps 1200 --eval.episodes 2 --no-save.videos",
    "train ppo LunarLander-v3": "--total-steps 2048 --eval.episodes 2 --no-save.videos",
    "train ppo CartPole-v1 --seeds 5": "--seeds 2 --total-steps 1024 --eval.episodes 2 --no-save.videos",
    "train ppo CartPole-v1 Acrobot-v1": "--seeds 1 --total-steps 1024 --eval.episodes 2 --no-save.videos",
    "train ppo CartPole-v1 --stop-at": "--total-steps 4096 --eval.episodes 2 --no-save.videos",
    "train ppo CartPole-v1 --from": "--total-steps 1024 --eval.episodes 2 --no-save.videos",
    "train ppo robot.py:Robot": "--total-steps 512 --algo.horizon 32 --algo.epochs 1 --eval.episodes 2",
    "record LunarLander-v3": "--script pilot.py:fly --episodes 3",
    "train bc LunarLander-v3": "--total-steps 60 --eval.episodes 2 --no-save.videos",
    "train dagger LunarLander-v3": "--total-steps 600 --eval.episodes 2 --no-save.videos",
    "train grpo larger.py --algo.lr": "--total-steps 1 --base.examples 64",
    "train loop desk/tiny": "--total-steps 1 --algo.scenarios 2 --sampling.max_tokens 8 --eval.episodes 2 "
    "--base.examples 16 --base.traces 16 --base.width 32 --base.layers 1",
    "recipe run lqr": "--miniature --seeds 1 --arm lqr",
    "resume last": "--to 22000",
    "sweep": "--trials 2 --seeds 1",
    "reproduce": "",
}
"""What is said of a command so that it ends in seconds; the rest runs as it stands."""
NOT_HERE = {"--model DIR": "a model of the reader's own"}


ROBOT = """
import gymnasium
import numpy as np
from gymnasium import spaces


class Robot(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.observation_space, self.action_space = spaces.Box(0, 255, (36, 36, 1), np.uint8), spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = 1, 0
        return self._seen(), self._info()

    def step(self, action):
        self.place, self.steps = self.place + int(action) - 1, self.steps + 1
        return self._seen(), float(self.place == 2), self.place == 3, self.steps == 20 and self.place != 3, self._info()

    def render(self):
        return self._seen().repeat(3, 2)

    def _seen(self):
        seen = np.zeros((36, 36, 1), np.uint8)
        seen[:, 9 * self.place : 9 * self.place + 9] = 255
        return seen

    def _info(self):
        return {"action_mask": np.array([self.place > 0, 1, 1], np.int8)}
"""


PILOT = """
def fly(obs):
    x, y, vx, vy, angle, spin, left, right = (float(v) for v in obs)
    turn = 0.5 * (min(max(0.5 * x + vx, -0.4), 0.4) - angle) - spin
    lift = 0.5 * (0.55 * abs(x) - y) - 0.5 * vy
    if left or right:
        turn, lift = 0.0, -0.5 * vy
    if lift > max(abs(turn), 0.05):
        return 2
    return 3 if turn < -0.05 else 1 if turn > 0.05 else 0
"""


def shortened(command: str) -> str:
    """A command with what makes it short; settings given twice are given once, the shorter."""
    more = max((key for key in SHORT if command.startswith(f"operant {key}")), key=len, default="")
    words = shlex.split(SHORT.get(more, ""))
    for flag in (word for word in words if word.startswith("--")):
        command = re.sub(rf" {re.escape(flag)} \S+", "", command)
    return f"{command} {SHORT[more]}".strip() if more else command


@pytest.fixture
def desk(tmp_path):
    """The folder that the README's reader works in, with the files of their own that it speaks of."""
    where = tmp_path
    (where / "mine.toml").write_text("[algo]\nlr = 1e-3\n")
    (where / "space.toml").write_text(
        "[space]\n'algo.lr' = { low = 1e-4, high = 1e-2, log = true }\n[fixed]\ntotal_steps = 1024\n"
    )
    (where / "robot.py").write_text(ROBOT)
    (where / "pilot.py").write_text(PILOT)
    (where / "maze.txt").write_text("S..#\n.#..\n...G\n")
    package = where / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "envs.py").write_text("import gymnasium as gym\n\n\ndef make():\n    return gym.make('CartPole-v1')\n")
    (larger,) = (block for block in PYTHON.findall(README) if 'name="larger"' in block)
    (where / "larger.py").write_text(larger)
    return where


LONG = {"Train": pytest.mark.spread(0)}  # minutes


@pytest.mark.parametrize("section", [pytest.param(k, marks=LONG.get(k, ())) for k, its in COMMANDS.items() if its])
def test_every_command_ends_well(desk, section):
    path = os.pathsep.join((str(desk), os.environ.get("PYTHONPATH", "")))
    for command in COMMANDS[section]:
        if any(words in command for words in NOT_HERE):
            continue
        seen = shown(shortened(command), desk, PYTHONPATH=path)
        assert seen.code == 0, f"{command}\n{seen}"
        assert "Traceback" not in seen, f"{command}\n{seen}"
        assert "Warning" not in seen, f"{command}\n{seen}"
        assert seen.lines, command


def test_the_loop_by_hand_leaves_a_clean_screen(desk):
    (loop,) = (block for block in PYTHON.findall(README) if "for metrics in loop" in block)
    (desk / "loop.py").write_text(loop)
    seen = shown("python loop.py", desk)
    assert seen.code == 0, str(seen)
    assert len(seen.lines) == 1, str(seen)
    assert re.fullmatch(r"\d+ after \d+ episodes", seen.lines[0]), str(seen)
