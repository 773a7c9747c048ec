"""Standard streams that are closed, full, of few letters or gone, dying terminals, homes that nobody may write"""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

from reference.forked import Forks

SMALL = ["--env.num", "2", "--threads", "1", "--algo.horizon", "16", "--algo.batch", "16", "--algo.epochs", "1"]
SMALL += ["--policy.hidden", "8", "--eval.episodes", "2", "--no-save.videos"]
TRAIN = {
    "train ppo": ["train", "ppo", "CartPole-v1", *SMALL, "--total-steps", "64"],
    "train q-learning": ["train", "q-learning", "CliffWalking-v1", "--total-steps", "200", "--eval.episodes", "2"],
    "resume": ["resume", "RUN", "--fork", "--to", "96"],
    "train --seeds": ["train", "ppo", "CartPole-v1", *SMALL, "--total-steps", "64", "--seeds", "1"],
}
TRAIN["train q-learning"] += ["--no-save.videos"]
TELL = {
    "list runs": ["list", "runs"],
    "list algorithms": ["list", "algorithms"],
    "list --json": ["list", "runs", "--json"],
    "report": ["report", "RUN"],
    "compare": ["compare", "RUN", "--out", "c"],
    "compare --json": ["compare", "RUN", "--json"],
    "eval": ["eval", "RUN", "--episodes", "2"],
    "eval --json": ["eval", "RUN", "--episodes", "2", "--json"],
    "solve": ["solve", "FrozenLake-v1"],
    "solve --json": ["solve", "FrozenLake-v1", "--json"],
    "config show": ["config", "show", "ppo", "CartPole-v1"],
    "config schema": ["config", "schema", "ppo"],
    "env check": ["env", "check", "CartPole-v1", "--json"],
    "--help": ["train", "ppo", "--help"],
}


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    names = ["operant.control.ppo", "operant.control.fused", "operant.tabular.online", "operant.run.evaluate"]
    made = Forks(tmp_path_factory.mktemp("forks"), [*names, "matplotlib.figure", "rich.live", "rich.table"])
    yield made
    made.close()


@pytest.fixture
def ask(forks, good, tmp_path):
    """Starts a command of the tables above in a folder of its own; its run is a copy of a good one."""
    import shutil

    def started(entry, **how):
        runs = tmp_path / "runs"
        if not runs.exists():
            shutil.copytree(good, runs / "good", symlinks=True)
        words = [str(runs / "good") if word == "RUN" else word for word in (TRAIN | TELL)[entry]]
        return forks.start(*words, cwd=tmp_path, **how)

    return started


def made(folder):
    """The runs that a command made, and how each stands."""
    files = [file for file in (folder / "runs").glob("*/run.json") if file.parent.name != "good"]
    return [json.loads(file.read_text()) for file in files]


def sound(command):
    said = command.said()
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    return said


CLOSED = {"stdout": ("in", None, "err"), "stderr": ("in", "out", None), "all": (None, None, None)}


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", TRAIN)
def test_a_run_needs_no_streams(entry, ask, tmp_path):
    closed = [*CLOSED][[*TRAIN].index(entry) % 3]
    command = ask(entry, streams=CLOSED[closed])
    assert command.code == 0, (closed, command.said())
    sound(command)
    (info,) = made(tmp_path)
    assert info["status"] == "finished"
    assert info["evaluation"]["episodes"] > 0
    for file in tmp_path.rglob("*.json"):
        json.loads(file.read_text())  # nothing that was said ended up in a file


@pytest.mark.spread(4)
@pytest.mark.parametrize("entry", TELL)
def test_what_is_told_needs_no_streams(entry, ask):
    closed = [*CLOSED][[*TELL].index(entry) % 3]
    command = ask(entry, streams=CLOSED[closed])
    assert command.code == 0, (closed, command.said())
    assert sound(command).strip() or closed == "all"


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", TRAIN)
def test_a_full_standard_error_ends_no_run(entry, ask, tmp_path):
    command = ask(entry, streams=("in", "out", "/dev/full"))
    assert command.code == 0
    (info,) = made(tmp_path)
    assert info["status"] == "finished"
    assert info["evaluation"]["episodes"] > 0


@pytest.mark.spread(4)
@pytest.mark.parametrize("entry", TELL)
def test_a_full_standard_output_is_said(entry, ask):
    command = ask(entry, streams=("in", "/dev/full", "err"))
    assert command.code == 5
    assert "standard output cannot be written: No space left" in sound(command)


@pytest.mark.spread(4)
@pytest.mark.parametrize("entry", [*TRAIN, *TELL])
def test_few_letters_are_enough(entry, ask, tmp_path):
    command = ask(entry, env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert command.code == 0, command.said()
    assert sound(command).isascii()
    if entry in TRAIN:
        assert made(tmp_path)[0]["status"] == "finished"


def real(words, folder, **more):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
    env = {key: value for key, value in (env | more.pop("env", {})).items() if value is not None}
    return subprocess.Popen([sys.executable, "-m", "operant", *words], cwd=folder, env=env, **more)


@pytest.mark.parametrize("entry", ["train", "list"])
def test_a_pipe_whose_reader_has_gone(entry, tmp_path, good):
    reader, writer = os.pipe()
    words = {"train": [*TRAIN["train q-learning"]], "list": ["list", "algorithms"]}[entry]
    process = real(words, tmp_path, stdout=writer, stderr=writer if entry == "train" else subprocess.PIPE)
    os.close(writer)
    os.close(reader)
    err = (process.communicate(timeout=60)[1] or b"").decode()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    if entry == "train":
        assert made(tmp_path)[0]["status"] == "finished"


def screen(process, main, seen):
    """Read what a terminal shows, until nobody writes to it."""

    def read():
        try:
            while data := os.read(main, 65536):
                seen.append(data)
        except OSError:
            pass

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


TERMINALS = {
    "of width 1": ((24, 1), {"TERM": "xterm"}),
    "without a size": ((0, 0), {"TERM": "xterm"}),
    "dumb": ((24, 80), {"TERM": "dumb"}),
    "without colour": ((24, 80), {"TERM": "xterm", "NO_COLOR": "1"}),
    "without a name": ((24, 80), {"TERM": None}),
}


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", TERMINALS)
def test_a_run_in_a_terminal(entry, tmp_path):
    size, env = TERMINALS[entry]
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("4H", *size, 0, 0))
    seen = []
    process = real(TRAIN["train q-learning"], tmp_path, stdin=side, stdout=side, stderr=side, env=env)
    os.close(side)
    thread = screen(process, main, seen)
    assert process.wait(60) == 0, b"".join(seen)
    thread.join(5)
    said = b"".join(seen).decode(errors="replace")
    assert "Traceback" not in said
    assert "Took" in said.replace("\r", "").replace("\n", "")
    if entry in ("dumb", "without colour"):
        assert "\x1b[3" not in said
    assert made(tmp_path)[0]["status"] == "finished"
    os.close(main)


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", ["that is ignored", "that is heard"])
def test_a_terminal_that_dies(entry, tmp_path):
    main, side = pty.openpty()
    seen = []

    def own():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if entry == "that is ignored" else signal.SIG_DFL)

    steps = ["--total-steps", "3000000" if entry == "that is heard" else "30000"]
    words = ["train", "q-learning", "CliffWalking-v1", *steps, "--eval.episodes", "2", "--no-save.videos"]
    process = real(words, tmp_path, stdin=side, stdout=side, stderr=side, preexec_fn=own, env={"TERM": "xterm"})
    os.close(side)
    end = time.monotonic() + 60
    while b"Run folder" not in b"".join(seen) and time.monotonic() < end:
        seen.append(os.read(main, 4096))
    os.close(main)  # the terminal hangs up
    assert process.wait(60) == (0 if entry == "that is ignored" else 129)
    (info,) = made(tmp_path)
    assert info["status"] == ("finished" if entry == "that is ignored" else "interrupted")


FROM_PYTHON = {
    "train": "run = operant.train('ppo', 'CartPole-v1', total_steps=64, **SMALL)\nassert run.step >= 64",
    "resume": "assert operant.resume(GOOD, fork=True, to=96).step >= 96",
    "Run.evaluate": "assert operant.Run(GOOD).evaluate(2)['episodes'] == 2",
    "Run.play": "assert operant.Run(GOOD).play()[0].is_file()",
    "Run.report": "assert operant.Run(GOOD).report().is_file()",
    "mdp.enumerate": "from operant.mdp import solve, worlds\nassert solve(worlds.gambler()).values.size > 0",
}
HEAD = """
import sys
sys.stdout = sys.stderr = sys.stdin = None
import operant
SMALL = {"env.num": 2, "algo.horizon": 16, "algo.batch": 16, "algo.epochs": 1, "eval.episodes": 2, "save.videos": False}
"""


@pytest.mark.parametrize("entry", FROM_PYTHON)
def test_python_without_streams(entry, forks, good, tmp_path):
    import shutil

    shutil.copytree(good, tmp_path / "good", symlinks=True)
    code = f"{HEAD}GOOD = {str(tmp_path / 'good')!r}\n{FROM_PYTHON[entry]}\nopen('done', 'w').close()\n"
    command = forks.start(cwd=tmp_path, code=code)
    assert command.code == 0, command.said()
    assert (tmp_path / "done").exists()


HOMES = {
    "no HOME": {"HOME": None},
    "a HOME that is not there": {"HOME": "/nonexistent"},
    "a cache that is not there": {"XDG_CACHE_HOME": "/nonexistent/cache", "NUMBA_CACHE_DIR": "/nonexistent/numba"},
    "no TMPDIR": {"TMPDIR": "/nonexistent"},
    "a MPLCONFIGDIR that is not there": {"MPLCONFIGDIR": "/nonexistent/mpl"},
}


@pytest.mark.spread(1)
@pytest.mark.parametrize("entry", HOMES)
def test_a_home_that_nobody_may_write(entry, tmp_path):
    process = real(TRAIN["train q-learning"], tmp_path, env=HOMES[entry], stdout=-1, stderr=-1)
    err = process.communicate(timeout=100)[1]
    assert process.returncode == 0, err
    assert b"Traceback" not in err
    assert made(tmp_path)[0]["status"] == "finished"


def test_a_run_follows_no_change_of_folder(forks, tmp_path):
    there = tmp_path / "elsewhere"
    there.mkdir()
    (tmp_path / "e.py").write_text(
        "import gymnasium, os\ndef make(render_mode=None):\n    env = gymnasium.make('CliffWalking-v1')\n"
        f"    os.chdir({str(there)!r})\n    return env\n"
    )
    words = ["train", "q-learning", "e.py:make", "--total-steps", "200", "--eval.episodes", "2", "--no-save.videos"]
    command = forks.start(*words, cwd=tmp_path)
    assert command.code == 0, command.said()
    (info,) = made(tmp_path)
    assert info["status"] == "finished"
    assert not (there / "runs").exists()
