"""Code of a person's own that ends, lies or changes the process: an error with its line, and nothing is lost or left"""

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError, EnvError, OperantError

CODE = """import os, random, signal, sys, warnings
import gymnasium as g, numpy as np, torch
from torch import nn
class Own(BaseException):
    def __str__(self): raise KeyError("no words")
def end(how):
    if how == "exit": sys.exit(0)
    if how == "generator": raise GeneratorExit
    if how == "keyboard": raise KeyboardInterrupt
    if how == "own": raise Own
    if how == "signal": signal.raise_signal(signal.SIGINT)
class Odd:
    def __getattribute__(self, name): raise Own
    for name in ("float", "int", "index", "len", "bool", "eq", "ne", "repr", "array", "iter", "getitem"):
        exec(f"def __{name}__(self, *a, **k): raise ZeroDivisionError('odd {name}')")
def change(what):
    if what == "dtype": torch.set_default_dtype(torch.float64)
    if what == "device": torch.set_default_device("meta")
    if what == "gradients": torch.set_grad_enabled(False)
    if what == "threads": torch.set_num_threads(2)
    if what == "reactions": np.seterr(all="raise")
    if what == "signals": [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]
    if what == "warnings": warnings.simplefilter("error")
    if what == "streams": sys.stdout = sys.stderr = open(os.devnull, "w"); sys.stdout.close()
    if what == "generators": random.seed(0); np.random.seed(0); torch.manual_seed(0)
    if what == "folder": os.makedirs("elsewhere", exist_ok=True); os.chdir("elsewhere")
    if what == "variables": [os.environ.pop(name) for name in list(os.environ) if name not in ("PATH", "PYTHONPATH")]
    if what == "prints": print("a simulator speaks"); os.write(1, b"past Python\\n"); os.system("echo a child")
class E(g.Env):
    action_space = g.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    def __init__(self, where="", how="", table=False, answer="", render_mode=None):
        self.where, self.how, self.table, self.answer, self.render_mode = where, how, table, answer, render_mode
        self.observation_space = g.spaces.Discrete(3) if table else g.spaces.Box(-1, 1, (2,), np.float32)
        self.at("make")
    def at(self, place):
        if self.where == place: end(self.how); change(self.how)
    def obs(self): return 1 if self.table else self.np_random.uniform(-1, 1, 2).astype(np.float32)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed); self.t = 0; self.at("reset"); return self.obs(), {}
    def step(self, a):
        self.t += 1
        if self.t > 3: self.at("step")
        answer = [self.obs(), 1.0, self.t > 9, False, {}]
        if self.answer and self.t > 3:
            part, _, what = self.answer.partition(" ")
            if part == "all": return Odd()
            index = ("obs", "reward", "over", "cut", "info").index(part)
            answer[index] = 10**400 if what == "huge" else Odd()
        return tuple(answer)
    def render(self): self.at("render"); return np.zeros((32, 32, 3), np.uint8)
    def close(self): self.at("close")
def vector(num_envs, **options):
    return g.vector.SyncVectorEnv([lambda: E(**options)] * num_envs)
"""
PPO = ["--env.num=2", "--algo.horizon=32", "--algo.batch=32", "--algo.epochs=1", "--policy.hidden=8"]
SHORT = ["--total-steps=64", "--eval.episodes=2", "--no-save.videos", "--no-save.report"]
TRAINED = {
    "ppo": ("ppo", "E", PPO),
    "workers": ("ppo", "E", [*PPO, "--env.backend=process", "--env.workers=1", "--env.restarts=0"]),
    "vector": ("ppo", "vector", PPO),
    "q-learning": ("q-learning", "E", ["--env.kwargs.table=true"]),
}
SAID = {"exit": "SystemExit", "generator": "GeneratorExit", "keyboard": "KeyboardInterrupt", "own": "Own"}


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch, tmp_path):
    """What these files leave behind on purpose is put back for the other tests."""
    folder, environ = Path.cwd(), dict(os.environ)
    monkeypatch.chdir(tmp_path)
    yield
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)


def words_of(entry, folder, *more):
    (folder / "e.py").write_text(CODE)
    algorithm, name, flags = TRAINED[entry]
    return ["train", algorithm, f"{folder / 'e.py'}:{name}", *flags, *SHORT, *more, "--runs", str(folder / "runs")]


def state():
    return {
        "dtype": torch.get_default_dtype(), "device": torch.get_default_device(), "grad": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(), "errors": np.geterr(), "stdout": sys.stdout, "stderr": sys.stderr,
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "refused": [f for f in warnings.filters if f[0] == "error"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    assert main(words_of("ppo", folder)) == 0
    return next((folder / "runs").iterdir())


@pytest.mark.parametrize("entry", [*TRAINED, "ppo, in reset", "q-learning, in reset", "ppo, in make"])
@pytest.mark.parametrize("how", SAID)
def test_what_would_end_the_process_is_an_error_with_its_line(entry, how, tmp_path, capfd):
    name, _, where = entry.partition(", in ")
    flags = [f"--env.kwargs.where={where or 'step'}", f"--env.kwargs.how={how}"]
    assert main(words_of(name, tmp_path, *flags)) == 3
    said = capfd.readouterr().err
    assert re.search(rf"raised {SAID[how]}: .*\(.*e\.py:\d+\)", said), said
    assert "Traceback (" not in said
    for run in (tmp_path / "runs").glob("*/run.json"):
        assert json.loads(run.read_text())["status"] == "failed"


@pytest.mark.parametrize("entry", ["eval", "play", "export", "resume"])
@pytest.mark.parametrize("how", SAID)
def test_it_is_an_error_later_too(entry, how, trained, tmp_path, capfd):
    where = "render" if entry == "play" else "reset"
    (tmp_path / "other.py").write_text(CODE + f"def make(render_mode=None): return E({where!r}, {how!r}, "
                                       "render_mode=render_mode)\n")  # fmt: skip
    more = {"export": ["--out", str(tmp_path / "x")], "resume": ["--to", "128", "--fork"]}.get(entry, [])
    code = main([entry, str(trained), "--env", f"{tmp_path / 'other.py'}:make", *more])
    said = capfd.readouterr().err
    assert code == 3, said
    assert re.search(rf"raised {SAID[how]}: .*\(.*other\.py:\d+\)", said), said


@pytest.mark.parametrize("entry", ["environment", "algorithm", "network", "check"])
@pytest.mark.parametrize("how", SAID)
def test_importing_a_file_does_not_end_the_process(entry, how, tmp_path, capfd):
    (tmp_path / "e.py").write_text(CODE + f"end({how!r})\n")
    file = f"{tmp_path / 'e.py'}:E"
    words = {
        "environment": ["train", "ppo", file, *PPO, *SHORT],
        "algorithm": ["train", file, "CartPole-v1"],
        "network": ["train", "ppo", "CartPole-v1", "--policy.network", file, *PPO, *SHORT],
        "check": ["env", "check", file],
    }[entry]
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    told = capfd.readouterr()
    assert code in (2, 3), told.err
    assert re.search(rf"raised {SAID[how]}.*\(.*e\.py:\d+\)", told.err + told.out), told.err


@pytest.mark.parametrize("entry", ["network, made", "network, called", "algorithm, built", "algorithm, stepped"])
@pytest.mark.parametrize("how", SAID)
def test_networks_and_algorithms_do_not_end_the_process(entry, how, tmp_path, capfd):
    (tmp_path / "mine.py").write_text(
        CODE
        + f"""
from operant.control import ControlRun, Job, Networks, on_policy
class Net(nn.Linear):
    calls = 0
    def forward(self, x):
        Net.calls += 1
        if Net.calls > 8: end({how!r})
        return super().forward(x)
def make(obs_dim): end({how!r})
def called(obs_dim): return Net(obs_dim, 4)
def build(cfg: ControlRun, env, say) -> Job: end({how!r})
def stepped(cfg: ControlRun, env, say) -> Job:
    parts = on_policy(cfg, env)
    def loop():
        parts.collect(8)
        yield {{"loss/policy": 1.0}}
        end({how!r})
    optimizer = torch.optim.Adam(parts.agent.parameters())
    return Job(algorithm=loop(), learned=Networks(parts.agent, optimizer), counter=parts.collect, begin=parts.begin,
               evaluate=parts.evaluate, total_steps=cfg.total_steps, eval=cfg.eval, save=cfg.save)
"""
    )
    kind, _, when = entry.partition(", ")
    name = {"made": "make", "called": "called", "built": "build", "stepped": "stepped"}[when]
    file, runs = f"{tmp_path / 'mine.py'}:{name}", ["--runs", str(tmp_path / "runs")]
    if kind == "network":
        words = ["train", "ppo", "CartPole-v1", "--policy.network", file, *PPO, *SHORT, *runs]
    else:
        words = ["train", file, "CartPole-v1", "--env.num=2", *SHORT, *runs]
    code = main(words)
    said = capfd.readouterr().err
    assert code in (1, 2), said
    assert re.search(rf"raised {SAID[how]}: .*\(.*mine\.py:\d+\)", said), said
    assert "Traceback (" not in said


@pytest.mark.spread(3)
@pytest.mark.parametrize("entry", [*TRAINED, "check"])
@pytest.mark.parametrize("answer", ["reward huge", "reward odd", "obs odd", "over odd", "cut odd", "all"])
def test_answers_that_cannot_be_read_are_told_with_their_line(entry, answer, tmp_path, capfd):
    if entry == "vector" and answer in ("over odd", "cut odd", "reward odd", "reward huge"):
        pytest.skip("Gymnasium's own vector form takes them apart first")
    if entry == "check":
        (tmp_path / "e.py").write_text(CODE + f"def make(): return E(answer={answer!r})\n")
        code = main(["env", "check", f"{tmp_path / 'e.py'}:make"])
    else:
        code = main(words_of(entry, tmp_path, f"--env.kwargs.answer={answer}"))
    told = capfd.readouterr()
    said = told.out + told.err
    assert code == 3, said
    assert "Traceback (" not in said
    assert re.search(r"step\(\)|step 3|step 4", said), said


@pytest.mark.parametrize("entry", ["ppo", "vector", "q-learning"])
@pytest.mark.parametrize("where", ["make", "reset", "step"])
def test_a_ctrl_c_still_interrupts(entry, where, tmp_path, capfd):
    flags = [f"--env.kwargs.where={where}", "--env.kwargs.how=signal"]
    assert main(words_of(entry, tmp_path, *flags)) == 130


@pytest.mark.parametrize(
    "entry",
    ["dtype", "device", "gradients", "threads", "reactions", "signals", "warnings", "streams", "generators", "folder",
     "variables", "prints"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["make", "reset", "step", "close"])
def test_what_it_changes_in_the_process_changes_no_run(entry, where, trained, tmp_path, monkeypatch, capfd):
    before = state()
    (tmp_path / "e.py").write_text(CODE)
    flags = [f"--env.kwargs.where={where}", f"--env.kwargs.how={entry}"]
    words = words_of("ppo", tmp_path, *flags)
    assert main([*words[:-1], "runs"]) == 0, capfd.readouterr().err
    assert state() == before
    (run,) = (tmp_path / "runs").iterdir()
    one, other = (json.loads((folder / "run.json").read_text()) for folder in (trained, run))
    assert one["evaluation"] == other["evaluation"]
    a, b = (operant.Run(folder, trust=True).policy.policy.state_dict() for folder in (trained, run.absolute()))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("entry", ["import of an environment", "network"])
def test_what_a_module_sets_is_put_back(entry, tmp_path, capfd):
    changes = "".join(f"change({w!r})\n" for w in ("dtype", "device", "gradients", "reactions", "signals", "warnings"))
    before = state()
    (tmp_path / "e.py").write_text(CODE + "def make(obs_dim): return nn.Linear(obs_dim, 4)\n" + changes)
    file = f"{tmp_path / 'e.py'}"
    words = ["train", "ppo", f"{file}:E", *PPO, *SHORT]
    if entry == "network":
        words = ["train", "ppo", "CartPole-v1", "--policy.network", f"{file}:make", *PPO, *SHORT]
    assert main([*words, "--runs", str(tmp_path / "runs")]) == 0, capfd.readouterr().err
    assert state() == before


@pytest.mark.spread(2)
@pytest.mark.parametrize("entry", ["eval", "env check", "play", "train"])
def test_what_it_prints_stands_apart_from_results(entry, trained, tmp_path):
    (tmp_path / "e.py").write_text(CODE + "def make(render_mode=None): return E('reset', 'prints', "
                                   "render_mode=render_mode)\n")  # fmt: skip
    file = f"{tmp_path / 'e.py'}:make"
    words = {
        "eval": ["eval", str(trained), "--env", file, "--episodes", "2", "--json"],
        "env check": ["env", "check", file, "--json"],
        "play": ["play", str(trained), "--env", file],
        "train": ["train", "ppo", file, *PPO, *SHORT, "--runs", str(tmp_path / "runs")],
    }[entry]
    done = subprocess.run([sys.executable, "-m", "operant", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in ("a simulator speaks", "past Python", "a child"):
        assert line in done.stderr
        assert line not in done.stdout
    if "--json" in words:
        json.loads(done.stdout)
    else:
        assert len(done.stdout.splitlines()) == (entry == "play")


@pytest.mark.parametrize("entry", ["None", "{'render_fps': 'fast'}", "{'render_fps': 0}", "{'render_fps': 10**400}",
                                   "property(lambda self: {}['x'])"])  # fmt: skip
def test_metadata_that_say_nothing_cost_no_film(entry, tmp_path, capfd):
    source = CODE.replace('metadata = {"render_modes": ["rgb_array"], "render_fps": 30}', f"metadata = {entry}")
    (tmp_path / "e.py").write_text(source)
    words = ["train", "ppo", f"{tmp_path / 'e.py'}:E", *PPO, *[w for w in SHORT if "videos" not in w]]
    assert main([*words, "--runs", str(tmp_path / "runs")]) == 0
    said = capfd.readouterr().err
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    (film,) = (run / "videos").glob("*.json")
    assert json.loads(film.read_text())["fps"] == 30, said


@pytest.mark.parametrize("entry", ["train", "eval", "resume", "check", "workers", "network", "algorithm"])
def test_a_file_finds_what_lies_beside_it(entry, trained, tmp_path, monkeypatch, capfd):
    folder = tmp_path / "some where"
    folder.mkdir()
    (folder / "beside_it.py").write_text(CODE + "def net(obs_dim): return nn.Linear(obs_dim, 4)\n")
    (folder / "late.py").write_text("")
    (folder / "e.py").write_text(
        "import beside_it\nfrom operant.control.ppo import build as ppo\nfrom operant.control import PPORun, Job\n"
        "def make(): import late; return beside_it.E()\nnet = beside_it.net\n"
        "def build(cfg: PPORun, env, say) -> Job: return ppo(cfg, env, say)\n"
    )
    monkeypatch.delitem(sys.modules, "beside_it", raising=False)
    file, runs = f"{folder / 'e.py'}:make", ["--runs", str(tmp_path / "runs")]
    words = {
        "train": ["train", "ppo", file, *PPO, *SHORT, *runs],
        "workers": ["train", "ppo", file, *PPO, *SHORT, *runs, "--env.backend=process", "--env.workers=1"],
        "network": ["train", "ppo", "CartPole-v1", f"--policy.network={folder / 'e.py'}:net", *PPO, *SHORT, *runs],
        "algorithm": ["train", f"{folder / 'e.py'}:build", "CartPole-v1", *PPO, *SHORT, *runs],
        "eval": ["eval", str(trained), "--env", file],
        "resume": ["resume", str(trained), "--to", "128", "--fork", "--env", file],
        "check": ["env", "check", file],
    }[entry]
    assert main(words) == 0, capfd.readouterr().err


def test_what_lies_beside_a_file_hides_no_module_of_python(tmp_path):
    from operant.workers.resolve import load

    (tmp_path / "random.py").write_text("raise RuntimeError('mine')\n")
    (tmp_path / "e.py").write_text("import sys; sys.modules.pop('random'); import random\ndef make(): pass\n")
    kept = sys.modules["random"]
    try:
        assert callable(load(f"{tmp_path / 'e.py'}:make")[0])
    finally:
        sys.modules["random"] = kept


@pytest.mark.spread(2)
@pytest.mark.parametrize("entry", ["ppo", "q-learning", "monte-carlo", "own"])
def test_a_loop_that_is_left_says_nothing_when_python_ends(entry, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from operant.control.ppo import build as ppo\nfrom operant.control import PPORun, Job\n"
        "def build(cfg: PPORun, env, say) -> Job: return ppo(cfg, env, say)\n"
    )
    name, env = ("mine.py:build", "CartPole-v1") if entry == "own" else (entry, "CartPole-v1")
    env = env if entry in ("ppo", "own") else "FrozenLake-v1"
    code = f"import operant\nloop, agent = operant.loop({name!r}, {env!r})\nfor metrics in loop:\n    break\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


LIVE = {"env.num": 2, "algo.horizon": 32, "algo.batch": 32, "algo.epochs": 1, "eval.episodes": 2, "save.report": False,
        "save.videos": False, "policy.hidden": (8,)}  # fmt: skip


def given(kind):
    import gymnasium as g

    if kind == "plain":
        return g.make("CartPole-v1")
    if kind == "arguments":
        return g.make("Pendulum-v1", g=5.0)
    if kind == "limit":
        return g.make("CartPole-v1", max_episode_steps=7)
    if kind == "vector":
        return g.make_vec("CartPole-v1", num_envs=2)
    return type("Shaped", (g.RewardWrapper,), {"reward": lambda self, r: 2 * r})(g.make("CartPole-v1"))


@pytest.mark.parametrize("entry", ["train", "loop", "Run", "resume"])
@pytest.mark.parametrize("kind", ["plain", "arguments", "limit", "vector", "wrapped", "none"])
def test_an_environment_that_is_made_is_copied_or_told_what_to_give(entry, kind, trained, tmp_path):
    env = 3 if kind == "none" else given(kind)

    def call():
        if entry == "train":
            return operant.train("ppo", env, total_steps=64, runs=tmp_path, quiet=True, **LIVE)
        if entry == "loop":
            return operant.loop("ppo", env, **LIVE)
        if entry == "Run":
            return operant.Run(trained, env=env, trust=True)
        return operant.resume(trained, env=env, fork=True, to=128, trust=True, quiet=True)

    if kind in ("wrapped", "none"):
        words = "lambda: Shaped" if kind == "wrapped" else "3 names no environment"
        with pytest.raises(EnvError, match=words):
            call()
    elif entry == "resume":
        with pytest.raises(OperantError):  # CartPole observes four numbers, the run's own environment two
            call()
    else:
        made = call()
        if entry == "train":
            want = {"arguments": {"g": 5.0}}.get(kind, {})
            assert made.config.env.kwargs == want
            assert made.config.env.num == 2
            if kind == "limit":
                assert made.evaluate(2)["lengths"] == [7, 7]


@pytest.mark.parametrize("entry", ["train", "loop"])
def test_an_algorithm_that_does_not_exist_is_told_alike(entry):
    call = operant.train if entry == "train" else operant.loop
    with pytest.raises(ConfigError, match=r"unknown algorithm 'efficientzero'\. See `operant list algorithms`\."):
        call("efficientzero", "CartPole-v1")
