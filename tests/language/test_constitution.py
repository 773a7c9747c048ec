"""Both stages of constitutional AI through the run folder, with a tiny model."""

import json

import pytest

pytest.importorskip("transformers")

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.language.learn import constitutional as constitution
from operant.language.learn.principles import PRINCIPLES
from operant.language.learn.reward_model import read_reward
from operant.run import checkpoint
from reference.tiny_language import tiny_language

QUICK = {
    "quiet": True,
    "eval.episodes": 4,
    "save.report": False,
    "save.every": 8,
    "threads": 1,
    "sampling.max_tokens": 6,
    "algo.prompts": 24,
    "algo.revisions": 1,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("constitution")
    tiny_language("llama", layers=1, positions=1024).save(folder / "model")
    asked = [{"prompt": f"How many letters are in {'banana'[: 1 + i % 6]} {i}?"} for i in range(30)]
    (folder / "asked.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    return folder


def train(place, name, steps, **settings):
    given = {"model.path": str(place / "model"), **QUICK} | settings
    return operant.train("constitutional", str(place / "asked.jsonl"), runs=place / name, total_steps=steps, **given)


def newest(run):
    path, _ = checkpoint.newest(run.path)
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name not in ("state.json", "MANIFEST.json")}


REVISION = {"sft.batch": 4, "sft.lr": 1e-2, "sft.lr_schedule": "constant", "sft.warmup": 0.0}
FEEDBACK = {"algo.stage": "feedback", "preference.batch": 4, "preference.lr": 1e-2}
FEEDBACK |= {"preference.lr_schedule": "constant", "preference.warmup": 0.0}


def test_revisions_are_learnt_and_nobody_is_asked_again_on_resuming(place, monkeypatch):
    whole, part = (train(place, name, steps, **REVISION) for name, steps in (("whole", 32), ("part", 16)))
    monkeypatch.setattr(constitution, "revise", None)
    assert newest(operant.resume(part.path, to=32, quiet=True)) == newest(whole)
    told = [json.loads(line) for line in (whole.path / "revisions.jsonl").read_text().splitlines()]
    assert len(told) == 24
    for line in told:
        assert len(line["answers"]) == 2
        assert line["completion"] == line["answers"][-1]
        assert line["principles"][0] in {p.critique for p in PRINCIPLES}
    before, after = (whole.folder.info()[name]["mean"] for name in ("evaluation_before", "evaluation"))
    assert after > before
    with pytest.raises(ConfigError, match="no task to measure"):
        whole.evaluate(2)
    again = operant.train(
        "sft", str(whole.path / "revisions.jsonl"), runs=place / "again", total_steps=8,
        **{"model.path": str(place / "model"), "quiet": True, "save.report": False, "save.every": 8, "algo.batch": 8},
    )  # fmt: skip
    assert again.step == 8


def test_a_judge_s_labels_become_a_reward_model(place, monkeypatch):
    """The judge, who prefers short answers, may be a server; its labels, and not its model, are in the checkpoint."""
    asked = []

    class Short:
        def __init__(self, *, url, model, key):
            assert (url, model, key) == ("http://judge", None, None)

        def many(self, questions):
            asked.extend(questions)
            sizes = [[len(part) for part in q.split("(A) ")[1].split("\n(B) ")] for q in questions]
            return [0.9 if a < b else 0.1 for a, b in sizes]

    monkeypatch.setattr(constitution, "Chooser", Short)
    settings = FEEDBACK | {"algo.judge": "http://judge"}
    whole, part = (train(place, name, steps, **settings) for name, steps in (("judged", 64), ("judged-part", 32)))
    count = len(asked)
    assert newest(operant.resume(part.path, to=64, quiet=True)) == newest(whole)
    assert len(asked) == count
    told = [json.loads(line) for line in (whole.path / "comparisons.jsonl").read_text().splitlines()]
    assert len(told) > 12
    for line in told:
        shorter = len(line["chosen"]) < len(line["rejected"])
        if len(line["chosen"]) != len(line["rejected"]):
            assert line["probability"] == pytest.approx(0.9 if shorter else 0.1)
    loss = whole.metrics["loss/preference"].dropna()
    assert loss.iloc[-4:].mean() < loss.iloc[0]
    read_reward(str(whole.path), "cpu")
    direct = operant.train(
        "dpo", str(whole.path / "comparisons.jsonl"), runs=place / "dpo", total_steps=8,
        **{k: v for k, v in QUICK.items() if k not in ("algo.prompts", "algo.revisions")},
        **{"model.path": str(place / "model"), "algo.loss": "cdpo", "algo.batch": 4},
    )  # fmt: skip
    assert direct.step == 8


def test_the_model_is_its_own_judge_where_none_is_named_and_does_not_speak_then(place, capsys):
    run = train(place, "own", 8, **FEEDBACK)
    told = [json.loads(line) for line in (run.path / "comparisons.jsonl").read_text().splitlines()]
    assert all(0.0 < line["probability"] < 1.0 for line in told)
    assert main(["sample", str(run.path), "x"]) == 2
    assert "scores what others say" in capsys.readouterr().err


def test_what_cannot_work_is_refused(place, tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"critique": "Why?"}\n')
    for settings, said in (
        ({"algo.principles": str(tmp_path / "odd.jsonl")}, "each line needs critique, revision and comparison"),
        (FEEDBACK | {"preference.loss": "ranking"}, "soft_label"),
    ):
        with pytest.raises(ConfigError, match=said):
            train(place, "refused", 8, **settings)
