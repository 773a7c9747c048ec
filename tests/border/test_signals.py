"""Signals at the worst moment: a truthful status, nothing learnt lost, the way on said, exit codes 130, 143 and 129"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reference.forked import Forks, text, until

SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def one(entries, entry, shift=0):
    """A signal and its code: another for each entry, so that each meets every mechanism."""
    return [*SIGNALS.items()][(list(entries).index(entry) + shift) % 3]


WORLD = """
import gymnasium as g, os, subprocess, time
class E(g.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    observation_space = action_space = g.spaces.Discrete(2)
    def __init__(self, render_mode=None, slow=0.0, pids="", deaf=False):
        self.render_mode, self.slow, self.pids, self.deaf = render_mode, slow, pids, deaf
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed); self.t = 0
        if self.pids and not os.path.exists(self.pids):
            pid = subprocess.Popen(["sleep", "600"]).pid
            with open(self.pids, "w") as file: file.write(f"{pid} {os.getpid()}")
        return 0, {}
    def step(self, a):
        self.t += 1; time.sleep(self.slow)
        return int(self.np_random.integers(2)), 1.0, self.t >= 8, False, {}
    def render(self):
        import numpy as np
        return np.zeros((16, 16, 3), np.uint8)
def make(render_mode=None, **kwargs): return E(render_mode, **kwargs)
"""
MODEL = """
import time, pathlib
def make():
    pathlib.Path("there").touch()
    time.sleep(60)
"""
PPO = ("--env.num", "2", "--threads", "1", "--algo.horizon", "16", "--algo.batch", "16", "--algo.epochs", "1")
SFT = ("--model", "model", "--threads", "1", "--algo.batch", "4", "--eval.before", "false")
SMALL = {"ppo": (*PPO, "--policy.hidden", "8"), "q-learning": (), "sft": SFT}
STEPS = {"ppo": 64, "q-learning": 200, "sft": 8}
BARE = ["--no-save.videos", "--no-save.report"]
BESIDES = ["--eval.episodes", "2", "--save.every", "16"]
STAGES = {
    "evaluation": {"ppo": "operant.run.evaluate:evaluate", "q-learning": "operant.run.evaluate:evaluate",
                   "sft": "operant.language.episodes.evaluate:HeldOutLikelihood.__call__"},
    "film": {"ppo": "operant.view.play:film", "q-learning": "operant.view.play:film"},
    "report": dict.fromkeys(SMALL, "operant.view.report:write_report"),
    "folder": dict.fromkeys(SMALL, "operant.run.launch:provenance"),
    "building": {"ppo": "operant.control.ppo:build", "q-learning": "operant.tabular.online:build",
                 "sft": "operant.language.learn.sft:build"},
}  # fmt: skip


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    names = ["operant.control.ppo", "operant.control.fused", "operant.tabular.online"]
    names += ["operant.run.evaluate", "operant.view.play", "operant.view.video", "matplotlib.figure", "av", "PIL.Image"]
    names += ["operant.language.learn.sft", "transformers", "operant.cli.export", "onnxruntime", "optuna", "onnx"]
    made = Forks(tmp_path_factory.mktemp("forks"), names)
    yield made
    made.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files that commands name."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "e.py").write_text(WORLD)
    (folder / "m.py").write_text(MODEL)
    (folder / "space.toml").write_text('[search]\n"algo.lr" = { low = 1e-4, high = 1e-2, log = true }\n')
    from reference.tiny_language import tiny_language

    tiny_language().save(folder / "model")
    rows = [json.dumps({"prompt": f"yes {i} ", "completion": "good"}) for i in range(16)]
    (folder / "d.jsonl").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def done(forks, place):
    """A finished run of each algorithm, by its name."""
    started = {name: forks.start(*train(name, f"done-{name}"), cwd=place) for name in SMALL}
    for name, command in started.items():
        assert command.code == 0, (name, command.said())
    return {name: only(place / f"done-{name}") for name in SMALL}


def train(name, runs, *more, steps=None, slow=0.0):
    world = {"sft": ["d.jsonl"]}.get(name, ["e.py:make", "--env.kwargs.slow", str(slow)])
    steps = STEPS[name] if steps is None else steps
    return ["train", name, *world, *SMALL[name], *BESIDES, "--runs", runs, "--total-steps", steps, *(more or BARE)]


def only(runs):
    (run,) = [path.parent for path in Path(runs).glob("*/run.json")]
    return run


def info(run):
    return json.loads((run / "run.json").read_text())


def alive(pid):
    return "\nState:\tZ" not in (status := text(Path(f"/proc/{pid}/status"))) and status != ""


def quiet(command):
    said = command.said()
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    return said


def saved(run):
    return any(run.glob("checkpoints/step-*"))


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", SMALL)
def test_in_training_what_was_learnt_is_saved_and_goes_on(entry, forks, place, tmp_path):
    name, code = one(SMALL, entry, 0)
    runs = tmp_path / name
    command = forks.start(*train(entry, runs, steps=1_000_000, slow=0.0005), cwd=place)
    until(lambda: any(saved(path) for path in runs.glob("*")))
    command.signal(getattr(signal, name))
    assert command.code == code
    said, run = quiet(command), only(runs)
    assert info(run)["status"] == "interrupted"
    assert f"operant resume {run}" in said
    assert "training is not done" in said
    state = json.loads((run / "checkpoints" / "latest" / "state.json").read_text())
    assert state["step"] == info(run)["steps"] > 0
    again = forks.start("resume", run, "--to", state["step"] + 8, cwd=place)
    assert again.code == 0, again.said()
    assert info(run)["status"] == "finished"


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", SMALL)
def test_in_the_final_evaluation_training_is_done_and_kept(entry, forks, place, tmp_path):
    name, code = one(SMALL, entry, 1)
    runs, there = tmp_path / name, tmp_path / f"{name}-there"
    stall = (STAGES["evaluation"][entry], there)
    command = forks.start(*train(entry, runs), cwd=place, stall=stall)
    until(there.exists)
    command.signal(getattr(signal, name))
    assert command.code == code
    said, run = quiet(command), only(runs)
    assert info(run)["status"] == "finished"
    assert "evaluation" not in info(run)
    assert "Training is done" in said
    assert f"operant eval {run}" in said
    assert saved(run)
    if entry != "sft":  # which has no task to be measured on again
        again = forks.start("eval", run, cwd=place)
        assert again.code == 0, again.said()
        assert info(run)["evaluation"]["episodes"] == 2
        assert info(run)["error"] is None


@pytest.mark.spread(2)
@pytest.mark.parametrize("stage", ["film", "report"])
@pytest.mark.parametrize("entry", SMALL)
def test_in_what_follows_the_result_stands(entry, stage, forks, place, tmp_path):
    if entry not in STAGES[stage]:
        pytest.skip("it has none")
    name, code = one(SMALL, entry, 2)
    runs, there = tmp_path / name, tmp_path / f"{name}-there"
    words = train(entry, runs, f"--{'no-' * (stage == 'report')}save.videos")
    command = forks.start(*words, cwd=place, stall=(STAGES[stage][entry], there))
    until(there.exists)
    command.signal(getattr(signal, name))
    assert command.code == code
    said, run = quiet(command), only(runs)
    assert info(run)["status"] == "finished"
    assert info(run)["evaluation"]["episodes"] > 0
    assert f"operant report {run}" in said
    assert not [path for path in run.rglob("*") if path.name.startswith(".draft") or ".partial" in path.name]


def stopped(stage, number, entry, forks, place, tmp_path):
    """Send a signal at a stage before training; what was said, and the folder of runs."""
    name, code = one(SMALL, entry, number)
    runs, there = tmp_path / name, tmp_path / f"{name}-there"
    command = forks.start(*train(entry, runs), cwd=place, stall=(STAGES[stage][entry], there))
    until(there.exists)
    command.signal(getattr(signal, name))
    assert command.code == code
    return quiet(command), runs


@pytest.mark.parametrize("entry", SMALL)
def test_while_the_folder_is_made_it_says_how_it_stands(entry, forks, place, tmp_path):
    _, runs = stopped("folder", 0, entry, forks, place, tmp_path)
    assert info(only(runs))["status"] == "interrupted"


@pytest.mark.parametrize("entry", SMALL)
def test_while_it_is_set_up_nothing_is_left_behind(entry, forks, place, tmp_path):
    said, runs = stopped("building", 1, entry, forks, place, tmp_path)
    assert "To do it again: operant train" in said
    assert not runs.exists()


@pytest.mark.parametrize("entry", SMALL)
def test_two_signals_end_at_once(entry, forks, place, tmp_path):
    there, step = tmp_path / "there", "operant.run.drain:_iterate"
    command = forks.start(*train(entry, tmp_path / "runs"), cwd=place, stall=(step, there))
    until(there.exists)
    command.signal(signal.SIGINT)
    time.sleep(0.05)
    assert not command.ended, "the first waits for the iteration"
    begin = time.monotonic()
    command.signal(signal.SIGINT)
    assert command.wait(10) == 130
    assert time.monotonic() - begin < 5
    quiet(command)
    assert info(only(tmp_path / "runs"))["status"] == "interrupted"


COMMANDS = {
    "eval": (["eval", "RUN"], "operant.run.evaluate:evaluate"),
    "play": (["play", "RUN"], "operant.view.play:record"),
    "report": (["report", "RUN"], "operant.view.report:render"),
    "compare": (["compare", "RUN", "RUN"], "operant.view.compare:compare"),
    "export": (["export", "RUN"], "operant.cli.export:_fill"),
    "reproduce": (["reproduce", "RUN", "--runs", "again"], "operant.run.launch:drain"),
    "resume": (["resume", "RUN", "--to", "96", "--fork"], "operant.run.launch:drain"),
    "solve": (["solve", "FrozenLake-v1"], "operant.mdp:solve"),
    "solve FILE": (["solve", "m.py:make"], None),
    "list": (["list", "runs"], "operant.run.find:list_runs"),
    "config": (["config", "show", "ppo", "CartPole-v1"], "operant.config.resolve:dump"),
    "env check": (["env", "check", "e.py:make"], "operant.env:check_env"),
    "doctor": (["doctor"], "operant.cli.doctor:examine"),
    "sample": (["sample", "model", "yes"], "operant.cli.sample:sample"),
    "chat": (["chat", "model"], "operant.cli.chat:_ask"),
    "serve": (["serve", "model", "--port", "0"], "operant.language.serve.http:Server.run"),
}
HALVES = {"list", "config", "doctor", "env check", "report", "solve FILE"}


@pytest.mark.spread(4)
@pytest.mark.parametrize("entry", COMMANDS)
def test_every_command_ends_with_the_code_of_its_signal(entry, forks, place, done, tmp_path):
    words, stall = COMMANDS[entry]
    words = [str(done["ppo"]) if word == "RUN" else word for word in words]
    name, code = one(COMMANDS, entry, 0)
    there = place / "there" if stall is None else tmp_path / f"there-{name}"
    there.unlink(missing_ok=True)
    command = forks.start(*words, cwd=place, stall=stall and (stall, there))
    until(there.exists)
    if entry == "chat" and name == "SIGINT":  # which there throws away what was typed
        name, code = "SIGTERM", 143
    command.signal(getattr(signal, name))
    assert command.code == code, command.said()
    assert quiet(command).strip()
    assert not [path for path in done["ppo"].rglob("*") if path.name.endswith((".tmp", ".partial"))]
    assert info(done["ppo"])["status"] == "finished"


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", ["env.backend process", "--seeds 2", "sweep"])
def test_workers_and_what_they_started_end_too(entry, forks, place, tmp_path):
    if entry == "sweep":
        pytest.importorskip("optuna")
    pids = tmp_path / "pids"
    more = ["--env.kwargs.pids", pids, *BARE]
    words = train("ppo", tmp_path / "runs", *more, steps=1_000_000, slow=0.0005)
    if entry.startswith("env"):
        words += ["--env.backend", "process"]
    elif entry.startswith("--"):
        words += ["--seeds", "2"]
    else:
        space = tmp_path / "s.toml"
        lines = [f"{key} = {value}" for key, value in {'"env.num"': 2, '"threads"': 1, '"algo.horizon"': 16}.items()]
        lines += ['"algo.batch" = 16', f'"env.kwargs" = {{ pids = "{pids}" }}', '"total_steps" = 1000000']
        space.write_text('[space]\n"algo.lr" = { low = 1e-4, high = 1e-2, log = true }\n[fixed]\n' + "\n".join(lines))
        words = ["sweep", "ppo", "e.py:make", f"@{space}", "--dir", tmp_path / "sweep", "--trials", "1"]
    command = forks.start(*words, cwd=place)
    found = [int(pid) for pid in until(lambda: (command.ended and ["0"]) or text(pids).split(), 90)]
    assert found != [0], command.said()
    command.signal(signal.SIGTERM)
    assert command.code == 143, command.said()
    quiet(command)
    until(lambda: not any(map(alive, found)), 10)


@pytest.fixture(scope="module")
def killed(forks, place, tmp_path_factory):
    runs = tmp_path_factory.mktemp("killed")
    words = train("ppo", runs, steps=1_000_000, slow=0.0005)
    command = forks.start(*words, cwd=place)
    until(lambda: any(saved(path) for path in runs.glob("*")))
    command.signal(signal.SIGKILL)
    assert command.code == -9
    run = only(runs)
    assert info(run)["status"] == "started"
    return run


@pytest.mark.spread(2)
@pytest.mark.parametrize("entry", ["list", "report", "compare", "reproduce"])
def test_a_killed_run_is_known_as_one(entry, forks, place, killed, tmp_path):
    words = {"list": ["list", "runs", "--runs", killed.parent], "compare": ["compare", killed, "--out", tmp_path]}
    command = forks.start(*words.get(entry, [entry, killed]), cwd=place)
    assert command.code == (2 if entry == "reproduce" else 0)
    said = text(killed / "report.html") if entry == "report" else quiet(command)
    assert "killed" in said
    assert "still going" not in said


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", ["list", "report"])
def test_one_that_goes_on_is_not_taken_for_killed(entry, forks, place, tmp_path):
    words = train("q-learning", tmp_path, steps=1_000_000, slow=0.0005)
    going = forks.start(*words, cwd=place)
    until(lambda: any(saved(path) for path in tmp_path.glob("*")))
    run = only(tmp_path)
    words = {"list": ["list", "runs", "--json", "--runs", tmp_path], "report": ["report", run]}[entry]
    command = forks.start(*words, cwd=place)
    assert command.code == 0
    assert '"started"' in command.said() if entry == "list" else "still going" in text(run / "report.html")
    going.signal(signal.SIGINT)
    assert going.code == 130


def test_nohup_goes_on(forks, place, tmp_path):
    there = tmp_path / "there"
    stall = (STAGES["report"]["q-learning"], there)
    words = train("q-learning", tmp_path / "runs", "--no-save.videos")
    command = forks.start(*words, cwd=place, stall=stall, ignored=["SIGHUP"])
    until(there.exists)
    command.signal(signal.SIGHUP)
    time.sleep(0.1)
    assert not command.ended
    command.signal(signal.SIGTERM)
    assert command.code == 143


IMPORTS = {"train": "torch", "eval": "gymnasium", "solve": "numba", "list": "pydantic"}


@pytest.mark.parametrize("entry", IMPORTS)
def test_while_it_imports(entry, place, done, tmp_path):
    hook = f"""
import sys, time, pathlib
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {IMPORTS[entry]!r}:
            pathlib.Path({str(tmp_path / "there")!r}).touch()
            end = time.monotonic() + 60
            while time.monotonic() < end: time.sleep(0.01)
sys.meta_path.insert(0, Slow())
"""
    (tmp_path / "sitecustomize.py").write_text(hook)
    words = {"solve": ["solve", "FrozenLake-v1"], "list": ["list", "algorithms"], "eval": ["eval", done["ppo"]]}
    words |= {"train": train("ppo", tmp_path / "runs")}
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "operant", *map(str, words[entry])]
    process = subprocess.Popen(command, cwd=place, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until((tmp_path / "there").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    assert "To do it again: operant" in err
