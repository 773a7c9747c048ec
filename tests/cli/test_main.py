"""The command line as a person meets it: what it prints, what it writes, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from operant.cli.main import main
from operant.run.folder import RunFolder

QUICK = ["--total-steps", "600", "--env.num", "4", "--algo.horizon", "32", "--eval.episodes", "4", "--save.no-videos"]
QUICK[-1:] = ["--no-save.videos"]


def operant(*args, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "operant.cli.main", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        **kwargs,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with one short, finished run."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", "ppo", "CartPole-v1", "--runs", str(folder), "--seed", "3", *QUICK]) == 0
    return folder


def test_a_run_leaves_everything_that_was_promised(runs, capsys):
    (path,) = runs.iterdir()
    info = RunFolder(path).info()
    assert info["status"] == "finished"
    assert (info["env"], info["algorithm"], info["seed"], info["schema_version"]) == ("CartPole-v1", "ppo", 3, 1)
    assert info["steps"] >= 600
    assert info["evaluation"]["episodes"] == 4
    assert info["packages"]["operant"]
    assert info["error"] is None
    text = (path / "config.toml").read_text()
    assert "# command line" in text
    assert "# preset CartPole-v1" in text
    assert "# default" in text
    frame = RunFolder(path).metrics()
    assert frame["step"].is_monotonic_increasing
    assert {"loss/policy", "policy/kl", "grad/norm", "speed/steps_per_second", "phase/learn"} <= set(frame.columns)
    assert "<html" in (path / "report.html").read_text()
    assert (path / "checkpoints" / "latest" / "MANIFEST.json").is_file()


def test_eval_prints_the_promised_json(runs, capsys):
    assert main(["eval", "last", "--runs", str(runs), "--episodes", "6", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"mean", "std", "iqm", "episodes", "returns"} <= set(result)
    assert result["episodes"] == len(result["returns"]) == 6
    assert result["mean"] == pytest.approx(sum(result["returns"]) / 6)
    again = main(["eval", "CartPole", "--runs", str(runs), "--episodes", "6", "--json"])
    assert again == 0
    assert json.loads(capsys.readouterr().out) == result


def test_stochastic_evaluation_is_another_protocol(runs, capsys):
    outputs = []
    for extra in ([], ["--stochastic"], ["--seed", "5"]):
        assert main(["eval", "last", "--runs", str(runs), "--episodes", "8", "--json", *extra]) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert [o["deterministic"] for o in outputs] == [True, False, True]
    assert outputs[0]["returns"] != outputs[1]["returns"]
    assert outputs[2]["seed"] == 5


def test_play_films_an_episode_with_its_return_in_the_name(runs, tmp_path, capsys):
    assert main(["play", "last", "--runs", str(runs), "--out", str(tmp_path / "a" / "film.mp4")]) == 0
    out = capsys.readouterr().out.strip()
    assert out == str(tmp_path / "a" / "film.mp4")
    assert Path(out).stat().st_size > 1000
    assert main(["play", "last", "--runs", str(runs)]) == 0
    film = Path(capsys.readouterr().out.strip())
    about = json.loads(film.with_suffix(".json").read_text())
    assert f"ret{about['return']:.0f}.mp4" in film.name
    assert about["length"] == about["return"]


def test_list_and_doctor_speak_json(runs, capsys):
    for argv in (["list", "runs", "--runs", str(runs)], ["list", "algorithms"], ["list", "environments"], ["doctor"]):
        assert main([*argv, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert rows
        assert isinstance(rows[0], dict)
        assert main(argv) == 0
        assert capsys.readouterr().out.strip()


def test_every_verb_ends_by_saying_what_to_do_next(runs, capsys):
    for argv in (
        ["eval", "last", "--runs", str(runs), "--episodes", "1"],
        ["report", "last", "--runs", str(runs)],
        ["list", "runs", "--runs", str(runs)],
        ["config", "show", "ppo", "CartPole-v1"],
        ["config", "schema"],
        ["env", "check", "CartPole-v1"],
        ["doctor"],
        ["train", "ppo", "CartPole-v1", "--dry-run"],
    ):
        assert main(argv) == 0, argv
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert "operant" in last or "browser" in last, argv


def test_dry_run_trains_nothing(tmp_path, capsys):
    assert main(["train", "ppo", "CartPole-v1", "--runs", str(tmp_path), "--dry-run", "--algo.discount", "0.5"]) == 0
    assert "discount = 0.5" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["train", "ppo", "CartPole-v1", "--algo.discont", "0.9"], 2, "--algo.discount"),
        (["trian"], 2, "train"),
        (["train", "pppo", "CartPole-v1"], 2, "ppo"),
        (["train", "ppo", "CartPole-v1", "--algo.discount", "2"], 2, "algo.discount"),
        (["train", "ppo", "CartPole-v1", "@missing.toml"], 2, "missing.toml"),
        (["train", "ppo", "CartPole-v9"], 3, "CartPole-v1"),
        (["train", "ppo", "KartPole-v1"], 3, "CartPole-v1"),
        (["train", "ppo", "CartPole-v1", "--device", "tpu9"], 2, "device"),
        (["eval", "nothing"], 2, "nothing"),
        (["env", "check", "NoSuch-v0"], 3, "NoSuch"),
    ],
)
def test_bad_input_gets_a_code_and_a_hint_and_no_traceback(argv, code, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == code
    captured = capsys.readouterr()
    assert words in captured.err + captured.out
    assert "Traceback" not in captured.err
    assert not (tmp_path / "runs").exists()


def test_an_environment_that_gives_nan_ends_with_code_4(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "import gymnasium, numpy as np\n"
        "class Broken(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(-1, 1, (2,))\n"
        "    action_space = gymnasium.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        super().reset(seed=seed)\n"
        "        return np.zeros(2, np.float32), {}\n"
        "    def step(self, action):\n"
        "        return np.zeros(2, np.float32), float('nan'), False, False, {}\n"
    )
    argv = ["train", "ppo", f"{tmp_path}/mine.py:Broken", "--runs", str(tmp_path / "runs"), *QUICK]
    assert main(argv) == 4
    assert "reward of environment copy 0" in capsys.readouterr().err
    (path,) = (tmp_path / "runs").iterdir()
    info = RunFolder(path).info()
    assert info["status"] == "failed"
    assert "reward" in info["error"]
    assert not list((path / "checkpoints").iterdir())


def test_a_full_disk_ends_with_code_5(tmp_path, monkeypatch, capsys):
    from operant.run import optimizer_state as networks

    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(networks, "save_tensors", refuse)
    assert main(["train", "ppo", "CartPole-v1", "--runs", str(tmp_path), *QUICK]) == 5
    assert "No space left" in capsys.readouterr().err


def test_ctrl_c_ends_cleanly_with_what_is_there_saved(tmp_path):
    argv = ["train", "ppo", "CartPole-v1", "--runs", str(tmp_path), "--total-steps", "100000000", "--no-save.videos"]
    process = subprocess.Popen(
        [sys.executable, "-m", "operant.cli.main", *argv], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    live = None
    for _ in range(600):
        time.sleep(0.1)
        live = next(iter(tmp_path.glob("*/metrics/live.jsonl")), None)
        if live is not None and live.stat().st_size > 0:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    (path,) = tmp_path.iterdir()
    run = RunFolder(path)
    assert run.info()["status"] == "interrupted"
    assert len(run.metrics()) > 0
    assert (path / "report.html").is_file()
    assert main(["eval", str(path), "--episodes", "1"]) == 0


def test_help_and_config_errors_import_nothing_heavy():
    probe = (
        "import sys\n"
        "from operant.cli.main import main\n"
        "code = main({argv!r})\n"
        "heavy = {{'torch', 'numpy', 'gymnasium', 'pandas', 'matplotlib', 'numba', 'av', 'scipy'}} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)\n"
    )
    for argv, code in (
        (["--help"], 0),
        (["train", "ppo", "--help"], 0),
        ([], 0),
        (["train", "ppo", "CartPole-v1", "--algo.discount", "7"], 2),
        (["train", "ppo", "CartPole-v1", "--dry-run"], 0),
        (["config", "show", "ppo", "CartPole-v1"], 0),
    ):
        done = subprocess.run([sys.executable, "-c", probe.format(argv=argv)], capture_output=True, text=True)
        assert done.returncode == code, (argv, done.stderr)


def test_importing_operant_imports_nothing_optional_or_heavy():
    optional = "{'torch', 'gymnasium', 'numba', 'mujoco', 'envpool', 'transformers', 'ale_py', 'playwright', 'Box2D'}"
    code = f"import sys, operant; found = {optional} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONWARNINGS": "error"})
