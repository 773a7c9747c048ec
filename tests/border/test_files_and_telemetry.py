"""What a run leaves behind: files as the umask says, nothing in HOME, nothing sent"""

import ctypes
import os
import platform
import stat
import struct
import subprocess
import sys
import tempfile
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

PPO = """
import operant
run = operant.train("ppo", "CartPole-v1", total_steps=256, runs="runs", quiet=True,
    **{"eval.episodes": 2, "env.num": 2, "algo.horizon": 64, "save.videos": False})
"""
TABLE = """
import operant
operant.train("q-learning", "CliffWalking-v1", total_steps=200, runs="runs", quiet=True,
    **{"eval.episodes": 2, "save.videos": False})
"""
SFT = """
import json
from pathlib import Path
import operant
from reference.tiny_language import tiny_language
tiny_language().save(Path("m"))
rows = [json.dumps({"prompt": f"yes {i} ", "completion": "good"}) for i in range(16)]
Path("d.jsonl").write_text(chr(10).join(rows) + chr(10))
operant.train("sft", "d.jsonl", total_steps=8, runs="runs", quiet=True,
    **{"model.path": "m", "algo.batch": 8, "threads": 1, "eval.episodes": 2})
"""
FAULT = """
import gymnasium, numpy as np, operant
class E(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,)); action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed); return np.zeros(1, np.float32), {}
    def step(self, a): return np.full(1, np.nan, np.float32), 1.0, False, False, {}
try:
    operant.train("ppo", E, total_steps=256, runs="runs", quiet=True, **{"env.num": 2, "algo.horizon": 64})
except operant.NonFiniteError: pass
else: raise SystemExit("it trained")
"""
EXPORT = 'from operant.cli.main import main\nassert main(["export", str(run.path)]) == 0\n'
SOLVE = """
from operant.cli.main import main
import operant.mdp.worlds as worlds
assert main(["solve", "FrozenLake-v1", "--discount", "0.9"]) == 0
worlds.car_rental().save("runs/model.npz")
"""
MADE = {"ppo": PPO, "q-learning": TABLE, "a fault": FAULT, "solve": SOLVE, "export": PPO + EXPORT, "sft": SFT}


NEEDS = {"export": "onnxruntime", "sft": "transformers"}


def python(script, folder, **options):
    """Run a script in a process of its own, with a HOME of its own."""
    home = folder / "home"
    home.mkdir()
    unset = (
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "ORT_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
    )
    env = {key: value for key, value in os.environ.items() if key not in unset}
    env |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
    env |= {"HF_HUB_OFFLINE": "1", "MPLCONFIGDIR": str(folder / "mpl")}  # what matplotlib knows of fonts is no report
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, **options)


GUARD = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_files_and_telemetry import no_sockets
no_sockets()
"""


NUMBERS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Of the architecture, and of socket(2)."""


def no_sockets():
    """From here on a process that opens a socket of the internet is ended by the kernel, whoever opens it."""
    arch, socket = NUMBERS[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06
    program = [
        (load, 0, 0, 4), (equal, 0, 6, arch), (load, 0, 0, 0), (equal, 0, 4, socket), (load, 0, 0, 16),
        (equal, 1, 0, 2), (equal, 0, 1, 10), (give, 0, 0, 0x80000000), (give, 0, 0, 0x7FFF0000),
    ]  # fmt: skip
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    held = ctypes.create_string_buffer(code)
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(held)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    if libc.prctl(22, 2, head, 0, 0) != 0:
        raise SystemExit("no seccomp here")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every entry in a folder of its own, one after the other in one process that may open no socket."""
    folder = tmp_path_factory.mktemp("made")
    there = {name: script for name, script in MADE.items() if name not in NEEDS or find_spec(NEEDS[name])}
    script = f"""
        import os
        for name, script in {there!r}.items():
            os.makedirs(name)
            os.chdir(name)
            exec(script, {{}})
            os.chdir("..")
            print("made", name, flush=True)
    """
    guard = GUARD if sys.platform == "linux" and platform.machine() in NUMBERS else ""
    done = python(guard + textwrap.dedent(script), folder, umask=0o022)
    if "no seccomp" in done.stderr:
        folder = tmp_path_factory.mktemp("unguarded")
        done = python(script, folder, umask=0o022)
    return folder, done


def came_to_be(entry, made):
    if entry in NEEDS:
        pytest.importorskip(NEEDS[entry])
    folder, done = made
    if "No module named 'operant" in done.stderr:
        pytest.skip("what the script imports was not there")
    assert f"made {entry}\n" in done.stdout, (done.returncode, done.stderr[-3000:])
    return folder / entry


def odd_modes(folder, umask):
    """The files and folders that have another mode than the umask says."""
    files = [path for path in folder.rglob("*") if not path.is_symlink()]
    assert any(path.suffix in (".safetensors", ".json") for path in files)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in files}
    return {str(p): oct(mode) for p, mode in modes.items() if mode != (0o777 if p.is_dir() else 0o666) & ~umask}


@pytest.mark.parametrize("entry", MADE)
def test_files_have_the_mode_that_the_umask_says(entry, made):
    assert odd_modes(came_to_be(entry, made) / "runs", 0o022) == {}


def test_files_of_a_group_are_the_groups(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o007)
    try:
        exec(PPO, {})  # noqa: S102
    finally:
        os.umask(before)
    assert odd_modes(tmp_path / "runs", 0o007) == {}


@pytest.mark.parametrize("entry", MADE)
def test_nothing_is_written_to_home_and_nothing_is_sent(entry, made):
    """A process that opens a socket is ended by the kernel (`no_sockets`): that all came to be says that none did."""
    came_to_be(entry, made)
    home = made[0] / "home"
    ours = home / ".local" / "state" / "operant" / "key"  # by which a user's own runs are known; it stays here
    assert [file for file in home.rglob("*") if file.is_file() and file != ours] == []


def test_the_guard_sees_a_socket(tmp_path):
    if sys.platform != "linux" or platform.machine() not in NUMBERS:
        pytest.skip("the guard is Linux's")
    done = python(GUARD + "import socket; socket.socket()", tmp_path)
    if "no seccomp" in done.stderr:
        pytest.skip("no seccomp here")
    assert done.returncode == -31, done


@pytest.fixture(scope="module")
def another_user():
    """What another user is told of a run whose tensors they may not read."""
    words = {"eval": "eval last --episodes 1", "report": "report last", "list": "list runs"}
    become = f"""
        import os, sys
        from pathlib import Path
        from operant.cli.main import main
        words = {words!r}
        for each in words.values():
            assert main(each.split()) in (None, 0)  # all that it needs is imported now
        for file in Path("runs").rglob("*.safetensors"):
            file.chmod(0o600)
        os.setegid(65534), os.seteuid(65534)
        for name, each in words.items():
            print("code", name, main(each.split()), flush=True)
            print("after", name, file=sys.stderr, flush=True)
    """
    with tempfile.TemporaryDirectory() as folder:  # every folder above it may be entered
        Path(folder).chmod(0o755)
        done = python(PPO + textwrap.dedent(become), Path(folder), umask=0o022)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("entry", ["eval", "report", "list"])
def test_another_user_is_told_what_may_not_be_read(entry, another_user):
    assert "Traceback" not in another_user.stderr, another_user.stderr
    if entry == "eval":
        assert "code eval 2" in another_user.stdout
        said = another_user.stderr.partition("after eval")[0]
        assert "Permission denied" in said
        assert "chmod -R a+rX" in said
        assert "Start the run again" not in said
    if entry == "list":
        assert "code list 0" in another_user.stdout
