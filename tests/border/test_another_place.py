"""Names resolved again elsewhere, or after a change: the same is meant, and what changed is told"""

import json
import shutil
from pathlib import Path

import pytest

import operant
from operant.cli.main import main

ENV = """
import gymnasium as g, numpy as np
class E(g.Env):
    metadata = {{"render_modes": ["rgb_array"], "render_fps": 30}}
    observation_space = g.spaces.Box(-1, 1, (2,), np.float32)
    action_space = g.spaces.Discrete(2)
    def __init__(self, render_mode=None):
        self.render_mode = render_mode
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed); self.t = 0
        return np.zeros(2, np.float32), {{}}
    def step(self, a):
        self.t += 1
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {reward}, self.t >= 10, False, {{}}
    def render(self):
        return np.zeros((64, 64, 3), np.uint8)
"""
FLAGS = [
    *("--env.num=2", "--algo.horizon=32", "--algo.batch=32", "--algo.epochs=1", "--eval.episodes=2"),
    *("--total-steps=128", "--save.every=64", "--no-save.videos", "--no-save.report"),
]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A run of `e.py:E`, whose steps pay 1, trained where that file lies; another of its name lies elsewhere."""
    home, other = tmp_path / "my wörk", tmp_path / "other"
    for folder, reward in ((home, 1.0), (other, 5.0)):
        folder.mkdir()
        (folder / "e.py").write_text(ENV.format(reward=reward))
    monkeypatch.chdir(home)
    assert main(["train", "ppo", "e.py:E", *FLAGS]) == 0
    return next((home / "runs").iterdir())


def evaluated(run, capsys, *more):
    capsys.readouterr()
    assert main(["eval", str(run), "--episodes", "2", "--json", *more]) == 0
    told = capsys.readouterr()
    return json.loads(told.out)["mean"], told.err


@pytest.mark.parametrize("entry", ["eval", "resume", "play", "export", "Run", "network", "algorithm"])
def test_a_name_means_the_same_from_another_folder(entry, made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path / "other")
    if entry == "eval":
        assert evaluated(made, capsys)[0] == 10.0
    elif entry == "Run":
        assert operant.Run(made).evaluate(episodes=2)["mean"] == 10.0
    elif entry == "resume":
        assert main(["resume", str(made), "--to", "192"]) == 0
        assert json.loads((made / "run.json").read_text())["evaluation"]["mean"] == 10.0
    elif entry == "play":
        assert main(["play", str(made)]) == 0
        assert any("ret10" in film.name for film in (made / "videos").iterdir())
    elif entry == "export":
        pytest.importorskip("onnxruntime")
        assert main(["export", str(made), "--out", "out"]) == 0
        assert json.loads(Path("out/evaluation.json").read_text())["mean"] == 10.0
        for file in (p for p in Path("out").rglob("*") if p.is_file()):
            assert str(tmp_path).encode() not in file.read_bytes(), file
        assert evaluated(Path("out"), capsys, "--env", f"{tmp_path}/my wörk/e.py:E")[0] == 10.0
    else:
        monkeypatch.chdir(made.parent.parent)
        Path("net.py").write_text("import torch\ndef make(n):\n    return torch.nn.Linear(n, 3)\n")
        source = "from operant.control.ppo import build as ppo\nfrom operant.control.settings.ppo import PPORun\n"
        source += "def build(cfg: PPORun, env, say):\n    return ppo(cfg, env, say)\n"
        Path("mine.py").write_text(source)
        if entry == "network":
            assert main(["train", "ppo", "e.py:E", *FLAGS, "--policy.network", "net.py:make", "--runs", "more"]) == 0
        else:
            assert main(["train", "mine.py:build", "e.py:E", *FLAGS, "--runs", "more"]) == 0
        run = next(Path("more").iterdir()).absolute()
        monkeypatch.chdir(tmp_path / "other")
        assert evaluated(run, capsys, "--trust")[0] == 10.0


@pytest.mark.parametrize("entry", ["eval", "play", "resume"])
def test_another_environment_is_named_by_a_flag_and_told(entry, made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path / "other")
    if entry == "eval":
        mean, said = evaluated(made, capsys, "--env", "e.py:E")
        assert mean == 50.0
        kept = [json.loads(file.read_text()) for file in (made / "evals").iterdir()]
        assert any("env.id" in each.get("changed", "") for each in kept)
    else:
        capsys.readouterr()
        assert main([entry, str(made), "--env", "e.py:E", *(["--to", "192"] if entry == "resume" else [])]) == 0
        said = capsys.readouterr().err
        told = (made / "videos").iterdir() if entry == "play" else [made / "run.json"]
        assert any("ret50" in path.name or '"mean": 50.0' in path.read_text() for path in told)
    assert "env.id" in said
    assert str(tmp_path / "other" / "e.py") in said


@pytest.mark.parametrize("entry", ["eval", "play", "resume"])
def test_a_file_that_is_gone_is_said_and_can_be_named(entry, made, tmp_path, capsys):
    shutil.move("e.py", "moved.py")
    capsys.readouterr()
    more = ["--to", "192"] if entry == "resume" else []
    assert main([entry, str(made), *more]) == 3
    said = capsys.readouterr().err
    assert str(Path("e.py").absolute()) in said
    assert "--env" in said
    assert "Traceback" not in said
    assert main([entry, str(made), *more, "--env", "moved.py:E"]) == 0
    assert "env.id" not in capsys.readouterr().err  # the same file in another place is no change


@pytest.mark.parametrize("entry", ["eval", "play", "resume", "Run.evaluate"])
def test_a_changed_file_is_told(entry, made, capsys):
    Path("e.py").write_text(ENV.format(reward=2.0))
    capsys.readouterr()
    if entry == "Run.evaluate":
        with pytest.warns(UserWarning, match=r"env.id, .*e\.py, differs: SHA-256 \w+ then, SHA-256 \w+ now"):
            operant.Run(made).evaluate(episodes=2)
    else:
        assert main([entry, str(made), *(["--to", "192"] if entry == "resume" else [])]) == 0
        assert "e.py, differs: SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize("entry", ["eval", "play", "resume", "report"])
def test_nothing_is_told_where_nothing_changed(entry, made, capsys):
    capsys.readouterr()
    assert main([entry, str(made), *(["--to", "192"] if entry == "resume" else [])]) == 0
    assert "differs" not in capsys.readouterr().err


def edited(run, change):
    file = run / "run.json"
    info = json.loads(file.read_text())
    change(info)
    file.write_text(json.dumps(info, indent=2) + "\n")


RECORDED = {
    "packages": (lambda info: info["packages"].update(torch="0.0.1"), "torch differs: 0.0.1 then"),
    "processor": (lambda info: info["host"].update(cpu="an abacus"), "cpu differs: an abacus then"),
    "python": (lambda info: info["host"].update(python="2.7.18"), "python differs: 2.7.18 then"),
    "operant's code": (lambda info: info.update(source="0" * 64), "the code of operant differs: 000000000000 then"),
}


@pytest.mark.parametrize("entry", RECORDED)
def test_a_resume_says_what_differs_from_what_was_recorded(entry, made, capsys):
    change, words = RECORDED[entry]
    edited(made, change)
    capsys.readouterr()
    assert main(["resume", str(made), "--to", "192"]) == 0
    assert words in capsys.readouterr().err
    attempts = json.loads((made / "run.json").read_text())["attempts"]
    assert "changed" not in attempts[0]
    assert len(attempts[1]["changed"]) == 1


def test_a_resume_says_that_the_settings_were_edited(made, capsys):
    file = made / "config.toml"
    file.write_text(file.read_text().replace("discount = 0.99", "discount = 0.9"))
    capsys.readouterr()
    assert main(["resume", str(made), "--to", "192"]) == 0
    assert "config.toml differs: SHA-256" in capsys.readouterr().err
    assert main(["resume", str(made), "--to", "256"]) == 0  # what a resume itself writes there is no edit
    assert "config.toml" not in capsys.readouterr().err.replace(str(file), "")


@pytest.fixture
def texts(tmp_path, monkeypatch, capsys):
    """A run of `sft` on a tiny model and a file of texts, both named relative to where it was started."""
    pytest.importorskip("transformers")
    from reference.tiny_language import tiny_language

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tiny_language().save(tmp_path / "m")
    rows = [json.dumps({"prompt": f"yes {i} ", "completion": "good"}) for i in range(32)]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows) + "\n")
    flags = [
        "--total-steps=16",
        "--algo.batch=8",
        "--save.every=8",
        "--no-save.report",
        "--threads=1",
        "--eval.episodes=4",
    ]
    assert main(["train", "sft", "texts.jsonl", "--model", "m", *flags]) == 0
    capsys.readouterr()
    return next((tmp_path / "runs").iterdir())


def other_texts(folder):
    file = folder / "texts.jsonl"
    file.write_text(file.read_text().replace("good", "bad"))


def other_template(folder):
    for file in folder.glob("m/*template*"):
        file.write_text(file.read_text() + " ")
    file = folder / "m" / "tokenizer_config.json"
    file.write_text(file.read_text() + "\n")


def other_weights(folder):
    from reference.tiny_language import tiny_language

    model = tiny_language()
    for p in model.model.parameters():
        p.data.mul_(1.5)
    model.save(folder / "m")


@pytest.mark.parametrize(
    ("entry", "change", "words"),
    [
        ("data", other_texts, "texts.jsonl, differs"),
        ("template", other_template, "tokenizer_config.json, differs"),
        ("base weights", other_weights, "model.safetensors, differs"),
        ("nothing", lambda folder: None, None),
    ],
)
def test_a_resume_says_that_what_it_learns_from_is_another(entry, change, words, texts, tmp_path, monkeypatch, capsys):
    change(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["resume", str(texts), "--to", "32"]) == 0
    said = capsys.readouterr().err
    assert ("differs" in said) == (words is not None), said
    assert words is None or words in said
