"""Processes that are left over: what user code starts ends with its pool, and fleets end with their parent"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

STARTS = """
import os, signal, subprocess, sys, time
def started(how, pids):
    if how == "fork":
        pid = os.fork()
        if pid == 0: time.sleep(600)
    elif how == "session":
        pid = subprocess.Popen(["sleep", "600"], start_new_session=True).pid
    elif how == "daemon":  # forks twice, so that its parent is gone
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            pid = os.fork()
            if pid == 0:
                os.close(read); time.sleep(600)
            os.write(write, str(pid).encode()); os._exit(0)
        pid = int(os.read(read, 32)); os.wait()
    elif how == "deaf":
        code = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15, 29)]; print(1, flush=True)"
        code += "; time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        child.stdout.readline(); pid = child.pid
    with open(pids, "a") as file: file.write(f"{pid}\\n")
"""
WORLD = (
    STARTS
    + """
import gymnasium as g
class E(g.Env):
    observation_space = action_space = g.spaces.Discrete(2)
    def __init__(self, how="", pids="", then=""): self.how, self.pids, self.then = how, pids, then
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed); return 0, {}
    def step(self, a):
        started(self.how, self.pids)
        if self.then == "exit": os._exit(1)
        if self.then == "hang": time.sleep(600)
        return 0, 1.0, False, False, {}
"""
)
REWARD = (
    STARTS
    + """
from operant.reward import reward
import json
@reward(pure=False)
def paid(trace):
    started(*json.loads(str(trace.prompt)))
    return 1.0
"""
)
HOW = ("fork", "session", "daemon", "deaf")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def left(file, seconds=5.0):
    pids = [int(line) for line in file.read_text().split()]
    assert pids
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    living = [pid for pid in pids if alive(pid)]
    for pid in living:
        os.kill(pid, signal.SIGKILL)
    return living


def by_env(how, pids, folder, then=""):
    from operant.config.errors import EnvError
    from operant.env import Supervisor, make

    (folder / "world.py").write_text(WORLD)
    kwargs = {"how": how, "pids": str(pids), "then": then}
    limits = Supervisor(workers=1, timeout=5.0 if then != "hang" else 0.5, restarts=0)
    env = make(f"{folder / 'world.py'}:E", 1, backend="process", kwargs=kwargs, supervisor=limits)
    env.reset(0)
    try:
        env.step(np.zeros(1, np.int64))
    except EnvError:
        assert then
    env.close()


def by_reward(how, pids, folder, then=""):
    import json

    from operant.language.task.pool import Pool
    from operant.reward import Trace

    (folder / "paid.py").write_text(REWARD)
    sys.path.insert(0, str(folder))
    sys.modules.pop("paid", None)
    try:
        import paid

        with Pool(1, timeout=10) as pool:
            assert pool.run([(paid.paid, Trace(prompt=json.dumps([how, str(pids)]), completion=""))]) == [1.0]
    finally:
        sys.path.remove(str(folder))


@pytest.mark.parametrize("entry", [by_env, by_reward])
@pytest.mark.parametrize("how", HOW)
def test_what_user_code_starts_ends_when_its_pool_is_closed(entry, how, tmp_path):
    entry(how, tmp_path / "pids", tmp_path)
    assert left(tmp_path / "pids") == []


@pytest.mark.parametrize("entry", ["exit", "hang"])
@pytest.mark.parametrize("how", HOW)
def test_it_ends_with_a_worker_that_ends_badly(entry, how, tmp_path):
    by_env(how, tmp_path / "pids", tmp_path, entry)
    assert left(tmp_path / "pids") == []


@pytest.mark.parametrize("entry", [by_env])
@pytest.mark.parametrize("how", HOW)
def test_it_ends_when_the_parent_is_killed(entry, how, tmp_path):
    script = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        import operant.env.process as process
        process.Processes.close = lambda self: print("waits", flush=True) or time.sleep(600)
        from test_grandchildren import {entry.__name__} as entry
        entry({how!r}, Path({str(tmp_path / "pids")!r}), Path({str(tmp_path)!r}))
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "waits\n"
    parent.kill()
    parent.wait()
    assert left(tmp_path / "pids") == []


SWEEP = """
[space]
"algo.lr" = {low = 1e-4, high = 1e-2, log = true}
[fixed]
total_steps = 100_000_000
"""


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", ["train --seeds", "sweep"])
def test_a_fleet_ends_when_its_parent_is_killed(entry, tmp_path):
    if entry == "sweep":
        pytest.importorskip("optuna")
        (tmp_path / "space.toml").write_text(SWEEP)
        words = ["sweep", "ppo", "CartPole-v1", "@space.toml", "--seeds", "2", "--dir", "runs"]
    else:
        words = ["train", "ppo", "CartPole-v1", "--total-steps=100_000_000", "--seeds", "2", "--runs", "runs"]
    # a mark in the environment finds all that descend from the fleet, whatever became of their parents
    mark = f"BORDER_MARK={os.getpid()}-{time.monotonic_ns()}"
    name, _, value = mark.partition("=")
    parent = subprocess.Popen(
        [sys.executable, "-m", "operant.cli.main", *words],
        cwd=tmp_path,
        env=os.environ | {name: value},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/**/metrics")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(tmp_path.glob("runs/**/metrics"))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    living = marked(mark)
    for pid in living:
        os.kill(pid, signal.SIGKILL)
    assert living == []


def marked(mark):
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (place / "environ").read_bytes().split(b"\0") and alive(int(place.name)):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def test_a_fork_that_bypasses_python_does_not_answer(tmp_path):
    """fork(2) itself, of which no hook of Python learns: later answers are those of their own steps."""
    from operant.env import Supervisor, make

    (tmp_path / "raw.py").write_text(
        "import ctypes, os, gymnasium as g\n"
        "class E(g.Env):\n"
        "    observation_space, action_space = g.spaces.Discrete(9), g.spaces.Discrete(9)\n"
        "    t = 0\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        super().reset(seed=seed); return 0, {}\n"
        "    def step(self, a):\n"
        "        self.t += 1\n"
        "        if self.t == 3: ctypes.PyDLL(None).fork()\n"
        "        return int(a), float(a), False, False, {}\n"
    )
    env = make(
        f"{tmp_path / 'raw.py'}:E", 1, backend="process", supervisor=Supervisor(workers=1, timeout=10.0, restarts=0)
    )
    try:
        env.reset(0)
        for action in range(8):
            step = env.step(np.array([action]))
            assert step.reward[0] == action
            assert step.obs[0].argmax() == action
    finally:
        env.close()
