"""Exceptions of a person's own code: the last line, its file and line, and the whole traceback in the run's logs"""

import json
import re

import pytest

from operant.cli.main import main

SHORT = [
    *(
        "--env.num=2",
        "--algo.horizon=32",
        "--algo.batch=32",
        "--algo.epochs=1",
        "--eval.episodes=2",
        "--total-steps=64",
    ),
    *("--no-save.videos", "--no-save.report"),
]
ENV = """import gymnasium as g, numpy as np
class Odd(Exception):
    def __str__(self): raise TypeError("no words")
def deep(how):
    table = {}
    if how == "key": return table["door"]
    if how == "exit": raise SystemExit(3)
    if how == "odd": raise Odd
    if how == "stop": raise StopIteration
    if how == "generator": raise GeneratorExit
    if how == "recursion": return deep(how)
    return np.linalg.inv(np.zeros((2, 2)))
class E(g.Env):
    observation_space, action_space = g.spaces.Discrete(3), g.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    def __init__(self, where="", how="key", render_mode=None):
        self.where, self.how, self.render_mode = where, how, render_mode
        if where == "make": deep(how)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed); self.t = 0
        if self.where == "reset": deep(self.how)
        return 0, {}
    def step(self, a):
        self.t += 1
        if self.where == "step" and self.t > 3: deep(self.how)
        return 1, 1.0, self.t > 9, False, {}
    def render(self):
        if self.where == "render": deep(self.how)
        return np.zeros((64, 64, 3), np.uint8)
    def close(self):
        if self.where == "close": deep(self.how)
def vector(num_envs, where="", how="key"):
    made = g.vector.SyncVectorEnv([lambda: E(where, how)] * num_envs)
    return made
"""
WORDS = {
    "key": r"raised KeyError: 'door' \(.*e\.py:6\)",
    "exit": r"raised SystemExit: 3 \(.*e\.py:7\)",
    "odd": r"raised Odd: .*\(.*e\.py:8\)",
    "stop": r"raised StopIteration: .*\(.*e\.py:9\)",
    "generator": r"raised GeneratorExit: .*\(.*e\.py:10\)",
    "recursion": r"raised RecursionError: .*\(.*e\.py:11\)",
    "array": r"raised LinAlgError: Singular matrix \(.*e\.py:12\)",
}
TRAINED = {
    "ppo": ("ppo", "E", []),
    "workers": ("ppo", "E", ["--env.backend=process", "--env.workers=1", "--env.restarts=0"]),
    "vector": ("ppo", "vector", []),
    "q-learning": ("q-learning", "E", []),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "e.py"
    path.write_text(ENV)
    return path


def flags_of(entry):
    algorithm, name, more = TRAINED[entry]
    return algorithm, name, [*(SHORT if algorithm == "ppo" else [*SHORT[4:]]), *more]


@pytest.mark.parametrize("entry", TRAINED)
@pytest.mark.parametrize("how", WORDS)
def test_what_an_environment_raises_in_training_is_told_with_its_line(entry, how, file, tmp_path, capfd):
    if how not in ("key", "array") and entry != "ppo":
        pytest.skip("as by ppo")
    algorithm, name, flags = flags_of(entry)
    kwargs = [f"--env.kwargs.where={'reset' if how == 'exit' else 'step'}", f"--env.kwargs.how={how}"]
    code = main(["train", algorithm, f"{file}:{name}", *flags, *kwargs, "--runs", str(tmp_path / "runs")])
    said = capfd.readouterr().err
    assert code == 3, said
    assert re.search(WORDS[how], said), said
    assert "Traceback (" not in said
    runs = list((tmp_path / "runs").glob("*/run.json"))
    if how != "exit":  # an environment that cannot be reset fails before there is a folder
        info = json.loads(runs[0].read_text())
        assert info["status"] == "failed"
        assert re.search(WORDS[how], info["error"])
        (log,) = (runs[0].parent / "logs").iterdir()
        assert str(log) in said
        trace = log.read_text()
        assert "Traceback (most recent call last)" in trace
        assert "e.py" in trace
        assert "in deep" in trace
        assert "in step" in trace


@pytest.mark.parametrize("entry", [*TRAINED, "check"])
@pytest.mark.parametrize("where", ["make", "reset"])
def test_what_it_raises_before_training_is_told_with_its_line(entry, where, file, tmp_path, capfd):
    if entry == "check":
        (tmp_path / "fixed.py").write_text(ENV + f"def make():\n    return E({where!r})\n")
        code = main(["env", "check", f"{tmp_path / 'fixed.py'}:make"])
        told = capfd.readouterr()
        said = told.out + told.err
    else:
        algorithm, name, flags = flags_of(entry)
        kwargs = [f"--env.kwargs.where={where}"]
        code = main(["train", algorithm, f"{file}:{name}", *flags, *kwargs, "--runs", str(tmp_path / "runs")])
        said = capfd.readouterr().err
    assert code == 3, said
    assert re.search(r"raised KeyError: 'door' \(.*\.py:6\)", said), said
    assert "Traceback (" not in said


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "e.py").write_text(ENV)
    assert main(["train", "ppo", f"{folder / 'e.py'}:E", *SHORT, "--runs", str(folder / "runs")]) == 0
    return next((folder / "runs").iterdir())


@pytest.mark.parametrize("entry", ["eval", "play", "resume"])
def test_what_it_raises_later_is_told_and_kept_too(entry, trained, file, capfd):
    other = trained.parent.parent / f"{entry}.py"
    where = "render" if entry == "play" else "step"
    other.write_text(ENV + f"def make(render_mode=None):\n    return E({where!r}, render_mode=render_mode)\n")
    more = ["--to", "128", "--fork"] if entry == "resume" else []
    assert main([entry, str(trained), "--env", f"{other}:make", *more]) == 3
    said = capfd.readouterr().err
    assert re.search(r"raised KeyError: 'door' \(.*\.py:6\)", said), said
    logs = [log for run in trained.parent.iterdir() for log in (run / "logs").iterdir() if str(log) in said]
    assert len(logs) == 1
    assert "in deep" in logs[0].read_text()


@pytest.mark.parametrize("entry", ["ppo", "q-learning"])
def test_what_close_raises_costs_nothing(entry, file, tmp_path, capfd):
    algorithm, name, flags = flags_of(entry)
    code = main(
        ["train", algorithm, f"{file}:{name}", *flags, "--env.kwargs.where=close", "--runs", str(tmp_path / "r")]
    )
    said = capfd.readouterr().err
    assert code == 0, said
    assert json.loads(next((tmp_path / "r").glob("*/run.json")).read_text())["status"] == "finished"


@pytest.mark.parametrize("entry", ["file.py", "module"])
@pytest.mark.parametrize(
    "source", ["x = {}['door']\n", "def f(:\n", "import sys\nsys.exit(3)\n", "import nothing_there_\n"]
)
def test_what_an_import_raises_is_told_with_its_line(entry, source, tmp_path, monkeypatch, capfd):
    (tmp_path / "badly.py").write_text("\n" + source)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"{tmp_path / 'badly.py'}:E" if entry == "file.py" else "badly:E"
    assert main(["train", "ppo", name, *SHORT, "--runs", str(tmp_path / "runs")]) == 3
    said = capfd.readouterr().err
    assert re.search(r"badly\.py:[23]|nothing_there_", said), said
    assert "Traceback (" not in said
