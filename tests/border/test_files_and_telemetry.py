"""What a run leaves behind: files as the umask says, nothing in HOME, nothing sent"""

import ctypes
import os
import platform
import stat
import struct
import subprocess
import sys
import textwrap
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
MADE = {"ppo": PPO, "q-learning": TABLE, "export": PPO + EXPORT, "sft": SFT, "a fault": FAULT, "solve": SOLVE}


def run(script, folder, **options):
    env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=folder, env=env, capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


NEEDS = {"export": "onnxruntime", "sft": "transformers"}


@pytest.mark.parametrize("entry", ["ppo", "q-learning", "export", "sft", "a fault", "solve"])
@pytest.mark.parametrize("umask", [0o022, 0o007])
def test_files_have_the_mode_that_the_umask_says(entry, umask, tmp_path):
    if entry in NEEDS:
        pytest.importorskip(NEEDS[entry])
    if entry == "sft" and umask == 0o007:
        pytest.skip("once is enough")
    run(MADE[entry], tmp_path, umask=umask)
    files = [path for path in (tmp_path / "runs").rglob("*") if not path.is_symlink()]
    assert any(path.suffix in (".safetensors", ".json") for path in files)
    odd = {
        str(path.relative_to(tmp_path)): oct(mode)
        for path in files
        if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o777 != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert odd == {}


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("entry", ["eval", "report", "list"])
def test_another_user_is_told_what_may_not_be_read(entry, tmp_path):
    words = {"eval": "eval last --episodes 1", "report": "report last", "list": "list runs"}
    become = f"""
        import os
        from pathlib import Path
        from operant.cli.main import main
        words = {words[entry]!r}.split()
        assert main(words) in (None, 0)  # all that it needs is imported now
        for file in Path("runs").rglob("*.safetensors"):
            file.chmod(0o600)
        os.setegid(65534), os.seteuid(65534)
        print("code", main(words))
    """
    tmp_path.chmod(0o755)
    done = run(PPO + textwrap.dedent(become), tmp_path, umask=0o022)
    assert "Traceback" not in done.stderr, done.stderr
    if entry == "eval":
        assert "code 2" in done.stdout
        assert "Permission denied" in done.stderr
        assert "chmod -R a+rX" in done.stderr
        assert "Start the run again" not in done.stderr
    if entry == "list":
        assert "code 0" in done.stdout


GUARD = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_files_and_telemetry import no_sockets
no_sockets()
"""


def no_sockets():
    """From here on a process that opens a socket of the internet is ended by the kernel, whoever opens it."""
    numbers = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
    arch, socket = numbers[platform.machine()]
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


def test_the_guard_sees_a_socket(tmp_path):
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the guard is Linux's")
    done = subprocess.run(
        [sys.executable, "-c", GUARD + "import socket; socket.socket()"], capture_output=True, text=True
    )
    if "no seccomp" in done.stderr:
        pytest.skip("no seccomp here")
    assert done.returncode == -31, done


@pytest.mark.skipif(sys.platform != "linux", reason="the guard is Linux's")
@pytest.mark.parametrize("entry", ["ppo", "q-learning", "export", "sft", "solve", "import"])
def test_nothing_is_written_to_home_and_nothing_is_sent(entry, tmp_path):
    if entry in NEEDS:
        pytest.importorskip(NEEDS[entry])
    home = tmp_path / "home"
    home.mkdir()
    caches = {"MPLCONFIGDIR": str(tmp_path / "mpl")}  # what matplotlib knows of fonts is no report
    unset = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ORT_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    clean = {key: value for key, value in os.environ.items() if key not in unset}
    every = "import operant, operant.view.onnx as o\nfor p in ('onnx', 'onnxscript', 'onnxruntime'):\n    o.needs(p)\n"
    script = GUARD + (MADE[entry] if entry != "import" else every)
    if entry == "import":
        pytest.importorskip("onnxruntime")
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, capture_output=True, text=True,
        env=clean | caches | {"HOME": str(home), "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if "no seccomp" in done.stderr:
        pytest.skip("no seccomp here")
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    ours = home / ".cache" / "operant"  # compiled kernels, of no use to anybody else
    found = [file for file in home.rglob("*") if file.is_file() and not file.is_relative_to(ours)]
    assert found == []
