"""More than a hundred wrong definitions of an environment: each ends in one clear message, and never in a traceback."""

import textwrap

import pytest

from operant.cli.main import main

SOUND = """
import gymnasium
import numpy as np
from gymnasium import spaces

class Env(gymnasium.Env):
    def __init__(self):
        self.observation_space = spaces.Box(-2.0, 2.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.time = 0

    def state(self):
        return np.full(2, self.time / 10, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.state(), {}

    def step(self, action):
        self.time += 1
        return self.state(), 1.0, self.time >= 9, False, {}
"""
STEP, RESET = "return self.state(), 1.0, self.time >= 9, False, {}", "return self.state(), {}"
OBSERVED, ACTED = "spaces.Box(-2.0, 2.0, (2,), np.float32)", "spaces.Discrete(2)"
BEGIN = "class Env(gymnasium.Env):"

RAISED = (
    "ValueError('a sensor is missing')", "KeyError('lidar')", "RuntimeError('first line\\nsecond line')",
    "ZeroDivisionError('division by zero')", "AssertionError", "AttributeError('no attribute')", "NotImplementedError",
    "RecursionError('too deep')", "MemoryError('no room')", "OSError(2, 'No such file')", "TypeError('wrong type')",
    "SystemExit(0)", "StopIteration", "UnicodeError('bad text')", "Exception({'a': 1})",
)  # fmt: skip
STEPS = {
    "none": "None", "empty": "()", "obs alone": "self.state()", "four": "self.state(), 1.0, False, {}",
    "six": "self.state(), 1.0, False, False, {}, 1", "a text": "'abcde'", "a number": "3", "a dict": "{}",
    "obs none": "None, 1.0, False, False, {}", "obs short": "self.state()[:1], 1.0, False, False, {}",
    "obs long": "np.zeros(3), 1.0, False, False, {}", "obs nan": "self.state() * np.nan, 1.0, False, False, {}",
    "obs inf": "self.state() + np.inf, 1.0, False, False, {}", "obs text": "'up', 1.0, False, False, {}",
    "obs ragged": "[[1, 2], [3]], 1.0, False, False, {}", "obs object": "object(), 1.0, False, False, {}",
    "obs complex": "self.state() + 1j, 1.0, False, False, {}", "obs list": "['a', 'b'], 1.0, False, False, {}",
    "obs scalar": "0.5, 1.0, False, False, {}", "obs deep": "self.state()[None], 1.0, False, False, {}",
    "obs dict": "{'a': 1}, 1.0, False, False, {}", "obs later nan": "[np.nan, 0], 1.0, self.time >= 9, False, {}",
    "reward none": "self.state(), None, False, False, {}", "reward nan": "self.state(), np.nan, False, False, {}",
    "reward inf": "self.state(), -np.inf, False, False, {}", "reward text": "self.state(), 'high', False, False, {}",
    "reward array": "self.state(), np.ones(2), False, False, {}", "reward dict": "self.state(), {}, False, False, {}",
    "reward complex": "self.state(), 1j, False, False, {}", "reward huge": "self.state(), 1e39, False, False, {}",
    "end array": "self.state(), 1.0, np.array([True, False]), False, {}",
    "limit array": "self.state(), 1.0, False, np.zeros(3, bool), {}",
}  # fmt: skip
RESETS = {
    "none": "None", "obs alone": "self.state()", "three": "self.state(), {}, 1", "obs none": "None, {}",
    "obs nan": "self.state() * np.nan, {}", "obs short": "self.state()[:1], {}", "obs text": "'start', {}",
    "a text": "'ab'", "a number": "1",
}  # fmt: skip
SPACES = {
    "none": "None", "a text": "'Box(2)'", "a list": "[0, 1]", "a number": "2", "the class": "spaces.Box",
    "text": "spaces.Text(5)", "graph": "spaces.Graph(spaces.Box(-1, 1, (2,)), None)",
    "sequence": "spaces.Sequence(spaces.Discrete(3))", "a call that fails": "spaces.Box(1, 0, (2,), 'no')",
    "none at all": "spaces.Discrete(0)",
}  # fmt: skip
MODULES = {
    "syntax": BEGIN + "\n    def (", "indent": "  x = 1\n" + BEGIN, "import": "import no_such_package_at_all\n" + BEGIN,
    "from": "from gymnasium import nothing_like_it\n" + BEGIN, "raises": "raise RuntimeError('at import')\n" + BEGIN,
    "exits": "raise SystemExit(0)\n" + BEGIN, "name": "undefined_name\n" + BEGIN, "no base": "class Env:",
    "another name": "class Other(gymnasium.Env):", "not callable": "Env = 3\n\nclass Other(gymnasium.Env):",
    "returns none": "def Env():\n    return None\n\nclass Other(gymnasium.Env):",
    "returns a class": "def Env():\n    return Other\n\nclass Other(gymnasium.Env):",
    "wants more": "def Env(size):\n    return Other()\n\nclass Other(gymnasium.Env):",
    "null": "x = '\\0'\n" + BEGIN.replace(":", "\0:"),
}  # fmt: skip
IDS = (
    "", ":", "no_such_module_here:Env", "math:pi", "os:", ":Env", "nothing.py:Env", "a b:c", "..:x", "CartPole-v9",
    "cartpole-v1", "CartPole", "json:loads", "operant.env.probe:nothing", "ALE/Nothing-v5", "x" * 300, "a:b:c",
    "../../etc/passwd", "operant..env:x", "é-v0",
)  # fmt: skip


def changed(old, new):
    assert old in SOUND
    return SOUND.replace(old, new, 1)


def definitions():
    """Name → source."""
    for error in RAISED:
        yield f"__init__ raises {error}", changed("self.time = 0", f"raise {error}")
        yield f"reset raises {error}", changed(RESET, f"raise {error}")
        yield f"step raises {error}", changed(STEP, f"raise {error}")
    for name, answer in STEPS.items():
        yield f"step: {name}", changed(STEP, f"return {answer}")
    for name, answer in RESETS.items():
        yield f"reset: {name}", changed(RESET, f"return {answer}")
    for name, space in SPACES.items():
        yield f"observation space: {name}", changed(OBSERVED, space)
        yield f"action space: {name}", changed(ACTED, space)
    for name, begin in MODULES.items():
        yield (
            f"module: {name}",
            SOUND.replace(BEGIN, begin) if name != "no base" else SOUND.replace(BEGIN, "class Env:"),
        )
    for name in ("observation_space", "action_space"):
        yield f"no {name}", changed(f"self.{name} = ", "unused = ")
    for method in ("reset(self, *, seed=None, options=None)", "step(self, action)"):
        name = method.partition("(")[0]
        yield f"no {name}", changed(f"def {method}", f"def other_{method}")
        yield f"{name} takes nothing", changed(f"def {method}", f"def {name}()")
        yield f"{name} is a number", changed(f"    def {method}", f"    {name} = 3\n\n    def other_{method}")
    yield (
        "reset has no seed",
        changed("reset(self, *, seed=None, options=None)", "reset(self, seed_=None)").replace(
            "reset(seed=seed)", "reset()"
        ),
    )
    yield (
        "the action space is a property that raises",
        changed("    def state", "    action_space = property(lambda self: 1 / 0)\n\n    def state"),
    )
    yield "steps after an end", changed(STEP, "assert self.time < 3; return self.state(), 1.0, False, False, {}")


DEFINITIONS = dict(definitions())
SMALL = ["--total-steps", "64", "--env.num", "2", "--algo.horizon", "16", "--algo.batch", "16", "--algo.epochs", "1"]
SMALL += ["--eval.episodes", "1", "--save.videos", "false", "--save.report", "false", "--policy.hidden", "4"]


def clear(said, *words):
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, said
    assert len(errors[0]) > 30
    for word in words:
        assert word in said, said


def test_there_are_enough():
    assert len(DEFINITIONS) + len(IDS) >= 100
    assert len(set(DEFINITIONS.values())) == len(DEFINITIONS)


def test_the_sound_one_is_sound(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(SOUND)
    assert main(["env", "check", f"{tmp_path / 'mine.py'}:Env"]) == 0
    assert main(["train", "ppo", f"{tmp_path / 'mine.py'}:Env", "--runs", str(tmp_path / "runs"), *SMALL]) == 0
    assert "return 9.00" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # NumPy's remark on a reward of 1e39
@pytest.mark.parametrize("name", DEFINITIONS)
def test_training_ends_in_one_message(name, tmp_path, capfd):
    (tmp_path / "mine.py").write_text(textwrap.dedent(DEFINITIONS[name]))
    code = main(["train", "ppo", f"{tmp_path / 'mine.py'}:Env", "--runs", str(tmp_path / "runs"), *SMALL])
    said = capfd.readouterr().err
    assert code == (4 if " nan" in name or " inf" in name or "huge" in name else 3), said
    if code == 3:
        clear(said, "mine.py:Env")
    else:
        clear(said, "environment copy 0", "is not finite")


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_check_says_what_and_where(name, tmp_path, capfd):
    (tmp_path / "mine.py").write_text(textwrap.dedent(DEFINITIONS[name]))
    code = main(["env", "check", f"{tmp_path / 'mine.py'}:Env"])
    out, err = capfd.readouterr()
    assert code == 3
    assert "Traceback" not in out + err
    assert out.startswith("error: ")
    assert "where: " in out
    assert "fix: " in out


@pytest.mark.parametrize("id", IDS)
def test_names_that_stand_for_nothing(id, tmp_path, capfd):
    code = main(["train", "ppo", id, "--runs", str(tmp_path), *SMALL])
    assert code in (2, 3)
    clear(capfd.readouterr().err)
    assert main(["env", "check", id]) in (2, 3)
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert "error: " in out + err


@pytest.mark.parametrize("name", [*list(DEFINITIONS)[::12], "module: exits", "step raises SystemExit(0)"])
def test_workers_end_in_the_same_message(name, tmp_path, capfd):
    (tmp_path / "mine.py").write_text(textwrap.dedent(DEFINITIONS[name]))
    settings = ["--env.backend", "process", "--env.workers", "1", "--env.restarts", "0", *SMALL]
    code = main(["train", "ppo", f"{tmp_path / 'mine.py'}:Env", "--runs", str(tmp_path / "runs"), *settings])
    assert code in (3, 4)
    clear(capfd.readouterr().err)
