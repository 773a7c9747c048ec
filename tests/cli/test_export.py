"""A policy as a folder: complete, verified, free of this machine, and opened without trust."""

import json
import shutil
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

import operant
from operant.cli.export import export, without_paths
from operant.cli.main import main
from operant.env.spaces import Observations
from operant.run import exported
from operant.view import onnx
from operant.view.card import layout

QUICK = {"total_steps": 400, "quiet": True, "env.num": 2, "algo.horizon": 32, "eval.episodes": 5}
QUICK |= {"save.videos": False, "save.report": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of CartPole, its settings from a file in a folder that must not be named."""
    folder = tmp_path_factory.mktemp("secret place")
    (folder / "mine.toml").write_text("total_steps = 400\n[algo]\nhorizon = 32\n")
    runs = folder / "runs"
    flags = ["--env.num", "2", "--eval.episodes", "5", "--eval.every", "150", "--no-save.report", "--no-save.videos"]
    argv = ["train", "ppo", "CartPole-v1", f"@{folder / 'mine.toml'}", "--runs", str(runs), *flags]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["/opt/bin/operant", *argv])
        assert main(argv) == 0
    return operant.Run(next(runs.iterdir()))


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """The exported policy, moved away from its run."""
    return Path(shutil.copytree(export(run.path), tmp_path_factory.mktemp("elsewhere") / "policy"))


def test_the_folder_is_complete_and_its_evidence_is_its_own(run, folder):
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {"policy.onnx", "model.safetensors", "policy.json", "config.toml", "run.json", "README.md"} <= names
    assert {"evaluation.json", "replay.mp4", "MANIFEST.json"} <= names
    assert exported.contents(folder) == sorted(names - {"MANIFEST.json"})
    info, made = (json.loads((folder / n).read_text()) for n in ("run.json", "evaluation.json"))
    assert info["export"]["step"] == run.step == made["step"]
    assert info["export"]["onnx"]["observations"] == 1000
    assert info["export"]["onnx"]["difference"] <= 1e-5
    assert made["mean"] == pytest.approx(np.mean(made["returns"]))
    assert made["mean"] == run.folder.info()["evaluation"]["mean"]  # the same episodes, the same policy
    final = run.path / "checkpoints" / "latest" / "model.safetensors"
    assert (folder / "model.safetensors").read_bytes() == final.read_bytes()


def test_nothing_names_a_folder_of_this_machine(run, folder):
    for file in (p for p in folder.rglob("*") if p.is_file()):
        for trace in ("secret place", str(run.path.parent.parent), str(Path.home()) + "/", str(Path.cwd())):
            assert trace.encode() not in file.read_bytes(), f"{trace} in {file.name}"
    assert "# mine.toml:1" in (folder / "config.toml").read_text()
    argv = json.loads((folder / "run.json").read_text())["argv"]
    assert argv[:4] == ["operant", "train", "ppo", "CartPole-v1"]
    assert "@mine.toml" in argv
    assert "--runs" not in argv


def test_a_command_line_keeps_its_settings_and_loses_its_paths():
    argv = [
        "operant",
        "train",
        "ppo",
        "ALE/Pong-v5",
        "@/a/b.toml",
        "--runs",
        "/tmp/x",
        "--env.kwargs.xml=/home/me/ant.xml",
    ]
    assert without_paths(argv) == ["operant", "train", "ppo", "ALE/Pong-v5", "@b.toml", "--env.kwargs.xml=ant.xml"]
    assert without_paths(["--runs=/tmp/x", "~/me/e.py:make", "./e.py:f", "-3.5"]) == ["e.py:make", "e.py:f", "-3.5"]


def test_eval_gives_the_return_of_the_card_and_changes_nothing(folder, capsys):
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert main(["eval", str(folder), "--json"]) == 0
    told, card = json.loads(capsys.readouterr().out), json.loads((folder / "evaluation.json").read_text())
    for key in ("mean", "std", "iqm", "episodes", "seed", "deterministic", "returns", "lengths"):
        assert told[key] == card[key], key
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert f"{card['mean']:.2f} +/- {card['std']:.2f}" in (folder / "README.md").read_text()


def test_play_report_and_reproduce_work_on_the_folder(folder, tmp_path, capsys):
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert main(["play", str(copy), "--out", str(tmp_path / "film.mp4")]) == 0
    assert (tmp_path / "film.mp4").stat().st_size > 1000
    assert main(["report", str(copy)]) == 0
    capsys.readouterr()
    assert main(["reproduce", str(copy), "--runs", str(tmp_path / "runs"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agreement"] == "bitwise"
    assert main(["eval", str(copy), "--json"]) == 0  # what was added is not in the manifest and does no harm


def test_the_graph_alone_plays_the_episodes_of_the_policy(folder):
    made = json.loads((folder / "evaluation.json").read_text())
    env = gymnasium.make("CartPole-v1")
    obs, total, over = env.reset(seed=made["seed"])[0], 0.0, False
    while not over:
        (action,) = onnx.run(folder / "policy.onnx", obs[None])
        obs, reward, terminated, truncated, _ = env.step(int(action))
        total, over = total + float(reward), terminated or truncated
    assert total == made["returns"][0]


def test_the_best_checkpoint_is_measured_with_other_seeds_than_chose_it(run, tmp_path):
    out = export(run.path, out=tmp_path / "best", name="best")
    made = json.loads((out / "evaluation.json").read_text())
    assert made["step"] == operant.Run(run.path, name="best").step
    assert made["seed"] != run.config.eval.seed
    assert operant.Run(out, name="best").evaluate()["returns"] == made["returns"]
    assert "the best of the evaluations" in (out / "README.md").read_text()


def test_another_checkpoint_than_the_one_there_is_refused(folder, run, capsys):
    assert main(["eval", str(folder), "--checkpoint", "step-00000001"]) == 2
    assert "holds one policy" in capsys.readouterr().err
    assert main(["eval", str(folder), "--checkpoint", f"step-{run.step:08d}", "--episodes", "1"]) == 0


@pytest.mark.parametrize("name", ["model.safetensors", "policy.json", "run.json", "evaluation.json", "policy.onnx"])
@pytest.mark.parametrize("harm", ["altered", "cut", "gone"])
def test_a_damaged_file_is_refused_by_name(folder, tmp_path, capsys, name, harm):
    copy = shutil.copytree(folder, tmp_path / "copy")
    if harm == "gone":
        (copy / name).unlink()
    else:
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(
            content[:-9] if harm == "cut" else content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
        )
    assert main(["eval", str(copy)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", "{}"),
        ("run.json", '{"export": 3}'),
        ("run.json", '{"export": {"step": "x"}}'),
        ("evaluation.json", "[]"),
        ("evaluation.json", '{"episodes": -1, "deterministic": true, "seed": 0}'),
        ("policy.json", "[" * 5000),
        ("model.safetensors", "x" * 100),
    ],
)
def test_a_sealed_folder_of_nonsense_ends_in_one_line(folder, tmp_path, capsys, name, content):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).write_text(content)
    (copy / "MANIFEST.json").unlink()
    exported.seal(copy)
    assert main(["eval", str(copy)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("env", ["os:system", "{canary}:make", "subprocess:check_output", "operant.cli.main:main"])
@pytest.mark.parametrize("verb", ["eval", "play", "reproduce"])
def test_a_folder_from_elsewhere_does_not_choose_what_code_runs(folder, tmp_path, capsys, env, verb):
    copy, canary = shutil.copytree(folder, tmp_path / "copy"), tmp_path / "canary.py"
    canary.write_text(f"open({str(tmp_path / 'sang')!r}, 'w')\ndef make(): ...\n")
    text = (copy / "config.toml").read_text().replace('"CartPole-v1"', json.dumps(env.format(canary=canary)), 1)
    (copy / "config.toml").write_text(text.replace("kwargs = {}", f'kwargs = {{command = "touch {tmp_path}/sang"}}'))
    (copy / "MANIFEST.json").unlink()
    exported.seal(copy)
    assert main([verb, str(copy), "--runs", str(tmp_path / "runs")]) == 2
    assert "name it yourself" in capsys.readouterr().err
    assert not (tmp_path / "sang").exists()


def test_a_manifest_cannot_reach_outside(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    outside = tmp_path / "outside"
    outside.write_text("mine")
    manifest = json.loads((copy / "MANIFEST.json").read_text())
    manifest["files"]["../outside"] = exported.digest(outside)
    (copy / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(operant.ConfigError, match="outside"):
        exported.contents(copy)
    del manifest["files"]["../outside"]
    (copy / "link").symlink_to(outside)
    manifest["files"]["link"] = exported.digest(outside)
    (copy / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(operant.ConfigError, match="link"):
        exported.contents(copy)


def test_out_replaces_an_export_and_nothing_else(run, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    assert main(["export", str(run.path), "--out", str(tmp_path / "mine")]) == 2
    assert "Choose another --out" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"
    first = export(run.path, out=tmp_path / "out")
    (first / "stale").write_text("")
    assert not (export(run.path, out=first) / "stale").exists()
    assert main(["export", str(first), "--out", str(tmp_path / "again")]) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"mine", "out"}  # no draft is left


def test_a_graph_that_does_not_agree_is_not_exported(run, tmp_path, capsys, monkeypatch):
    true = onnx.run
    monkeypatch.setattr(onnx, "run", lambda path, obs: 1 - true(path, obs))
    assert main(["export", str(run.path), "--out", str(tmp_path / "out")]) == 1
    assert "does not agree" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_continuous_policy_with_normalisation(tmp_path):
    run = operant.train("ppo", "Pendulum-v1", runs=tmp_path, **QUICK, **{"policy.normalize_obs": True})
    out = export(run.path)
    session_in = run.path / "export" / "policy.onnx"
    obs = np.float32([[1, 0, 50], [0, 1, -50], [-1, 0, 0.1]])
    raw = run.policy.act(obs)
    np.testing.assert_allclose(onnx.run(session_in, obs), np.clip(raw, -2, 2), atol=1e-5)
    assert "deviation" in (out / "README.md").read_text()


def test_an_environment_without_pictures_has_a_card_that_says_so(tmp_path):
    settings = QUICK | {"total_steps": 100}
    run = operant.train("ppo", "operant.env.probe:four_state", runs=tmp_path, **settings)
    out = export(run.path)
    assert not (out / "replay.mp4").exists()
    assert "There is no video" in (out / "README.md").read_text()
    assert operant.Run(out).evaluate(episodes=2)["episodes"] == 2


def test_the_card_tells_where_each_number_of_an_observation_comes_from():
    space = spaces.Dict(
        {"a": spaces.Discrete(3, start=5), "b": spaces.Box(0, 1, (2, 2)), "c": spaces.Tuple([spaces.MultiBinary(2)])}
    )
    table = layout(Observations(space))
    said = layout(Observations(spaces.Dict({"said": spaces.Text(5)})))
    assert "| 0 to 4 | `['said']" in said
    assert "a code for each" in said
    for row in ("| 0 to 2 | `['a']", "one-hot, from 5", "| 3 to 6 | `['b']", "row-major", "| 7 to 8 | `['c'][0]"):
        assert row in table


POLICIES = """
import gymnasium
import numpy as np
from gymnasium import spaces

from operant.env.text import Words


class Seen(gymnasium.Env):
    action_space = spaces.Discrete(3)

    def __init__(self, space=spaces.Box(-1, 1, (4,), np.float32)):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {"action_mask": np.array([1, 0, 1], np.int8)}

    def step(self, action):
        self.steps += 1
        info = {"action_mask": np.array([1, self.steps % 2, 1], np.int8)}
        return self.observation_space.sample(), 1.0, False, self.steps == 8, info


def picture():
    return Seen(spaces.Box(0, 255, (8, 8), np.uint8))


def told():
    return Seen(spaces.Dict({"a": Words(("go", "left", "right"), 3), "b": spaces.Box(0, 1, (5, 5), np.float32)}))


def mixed():
    return Seen(spaces.Dict({"a": spaces.Box(0, 255, (8, 8), np.uint8), "b": spaces.Box(0, 1, (2,), np.float32)}))
"""


@pytest.mark.spread(3)
@pytest.mark.parametrize(
    ("env", "settings", "why"),
    [
        ("Seen", {"env.action_mask": "info"}, ""),
        ("picture", {"policy.network": "minatar-cnn"}, ""),
        ("picture", {"policy.network": "minatar-cnn", "env.action_mask": "info"}, ""),
        ("told", {}, ""),
        ("told", {"policy.text": "transformer", "policy.join": "cross-attention"}, ""),
        ("told", {"policy.join": "gated", "policy.network": "grid-cnn"}, ""),
        ("Seen", {"policy.memory": "gru"}, "it remembers from step to step"),
        ("mixed", {"policy.network": "minatar-cnn"}, "pictures and numbers"),
    ],
)
def test_policies_that_see_remember_or_are_masked_are_shared(env, settings, why, tmp_path):
    (tmp_path / "seen.py").write_text(POLICIES)
    quick = QUICK | {"total_steps": 64, "algo.horizon": 16, "env.num": 2, "policy.memory_size": 8} | settings
    run = operant.train("ppo", f"{tmp_path / 'seen.py'}:{env}", runs=tmp_path, **quick)
    out = export(run.path)
    about = json.loads((out / "run.json").read_text())["export"]["onnx"]
    card = (out / "README.md").read_text()
    assert (out / "policy.onnx").exists() == (not why)
    assert why in about.get("why", "")
    assert ("There is no `policy.onnx`" in card) == bool(why)
    assert ("1 where an action is legal" in card) == ("env.action_mask" in settings)
    if not why:
        assert about["difference"] <= 1e-5
        assert ("np.uint8" in card) == (env == "picture")


def test_a_simulator_that_cannot_draw_here_does_not_stop_the_export(run, tmp_path, monkeypatch):
    def play(self, **options):
        raise RuntimeError("no OpenGL")

    monkeypatch.setattr(operant.Run, "play", play)
    monkeypatch.setattr(type(run.folder), "videos", lambda self: [])
    with pytest.warns(UserWarning, match="no OpenGL"):
        out = export(run.path, out=tmp_path / "out")
    assert not (out / "replay.mp4").exists()
    assert "There is no video" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--out", "film.mp4", "--episodes", "2"], "--out names one file, but --episodes is 2"),
        (["--pairs", "--show"], "leave --show and --out out"),
        (["--pairs", "--out", "film.mp4"], "leave --show and --out out"),
    ],
)
def test_flags_of_films_that_do_not_go_together_are_refused_before_anything_is_played(flags, words, capsys):
    assert main(["play", "no such run", *flags]) == 2
    assert words in capsys.readouterr().err
