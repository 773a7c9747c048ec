"""JSON that every reader takes: what is not finite is null, in every file and answer; old files are still read"""

import json
import math
from pathlib import Path

import pytest

RUN = {
    "schema_version": 1, "id": "old", "status": "finished", "algorithm": "ppo", "env": "CartPole-v1", "seed": 1,
    "total_steps": 64, "steps": 64, "seconds": 1.0, "started": "2026-01-01T00:00:00Z", "attempts": [],
    "evaluation": {"mean": math.nan, "std": math.inf, "iqm": -math.inf, "episodes": 2, "deterministic": True}
    | {"seed": 1},
}  # fmt: skip
EVALUATION = RUN["evaluation"] | {"step": 64, "returns": [math.nan, math.inf], "lengths": [1, 2]}


def strict(text):
    """The value of a JSON text that holds no NaN and no Infinity."""

    def refuse(word):
        raise AssertionError(f"{word} in {text[:500]}")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def old(tmp_path):
    """A run whose files hold NaN and Infinity, as those of earlier versions did."""
    run = tmp_path / "runs" / "old"
    for name in ("metrics", "checkpoints", "evals"):
        (run / name).mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(RUN))
    (run / "evals" / "step-00000064-mode-2-s1.json").write_text(json.dumps(EVALUATION))
    (run / "config.toml").write_text('algorithm = "ppo"\n[env]\nid = "CartPole-v1"\n')
    (run / "metrics" / "live.jsonl").write_text(
        '{"attempt": 1, "step": 64, "time": 1.0, "train/return": {"nf": "nan"}}\n'
    )
    return run


ANSWERS = {
    "list runs": lambda run: ["list", "runs", "--json", "--runs", str(run.parent)],
    "compare": lambda run: ["compare", str(run), "--json"],
    "list algorithms": lambda run: ["list", "algorithms", "--json"],
    "config show": lambda run: ["config", "show", "ppo", "CartPole-v1", "--json"],
    "config schema": lambda run: ["config", "schema", "ppo", "--json"],
    "env check": lambda run: ["env", "check", "CartPole-v1", "--json"],
    "solve": lambda run: ["solve", "FrozenLake-v1", "--json", "--runs", str(run.parent / "solved")],
    "solve, no bound": lambda run: [
        *(
            "solve",
            "FrozenLake-v1",
            "--json",
            "--discount",
            "0.9",
            "--method",
            "value-iteration",
            "--max-iterations",
            "1",
        ),
        *("--runs", str(run.parent / "solved")),
    ],
}


@pytest.mark.parametrize("entry", ANSWERS)
def test_answers_are_strict(entry, old, capsys):
    from operant.cli.main import main

    assert main(ANSWERS[entry](old)) == 0
    found = strict(capsys.readouterr().out)
    if entry == "list runs":
        assert found[0]["return"] is None
    if entry == "compare":
        assert found["environments"][0]["groups"][0]["runs"][0]["score"] is None


def test_an_evaluation_is_told_strictly(good, tmp_path, capsys, monkeypatch):
    import shutil

    import numpy as np

    from operant.cli.main import main
    from operant.run import evaluate

    run = tmp_path / "run"
    shutil.copytree(good, run, symlinks=True)
    endless = evaluate.Evaluation(np.array([math.inf, 1.0]), np.array([1, 2]))
    monkeypatch.setattr(evaluate.Evaluator, "__call__", lambda *args, **kwargs: endless)
    assert main(["eval", str(run), "--episodes", "2", "--json"]) == 0
    assert strict(capsys.readouterr().out)["returns"] == [None, 1.0]
    for file in run.rglob("*.json"):
        strict(file.read_text())


@pytest.mark.parametrize("entry", ["run.json", "evals", "state.json", "fault.json", "a film's facts"])
def test_files_are_strict(entry, tmp_path):
    from operant.run import checkpoint
    from operant.run.folder import RunFolder, write_json

    values = {"a": math.nan, "b": [math.inf, 1.5, {"c": -math.inf}], "d": "NaN", "e": (1, math.nan)}
    file = tmp_path / "x.json"
    if entry == "run.json":
        folder = RunFolder.create(tmp_path, env="e", algorithm="a", seed=1)
        folder.update(extra=values)
        found = strict((folder.path / "run.json").read_text())["extra"]
    elif entry == "state.json":
        checkpoint._write(file, values)
        found = strict(file.read_text())
    else:
        write_json(file, values)
        found = strict(file.read_text())
    assert found == {"a": None, "b": [None, 1.5, {"c": None}], "d": "NaN", "e": [1, None]}


READ = ("RunFolder.info", "RunFolder.evals", "list_runs", "report", "compare", "metrics")


@pytest.mark.parametrize("entry", READ)
@pytest.mark.parametrize("written", ["as before", "as null"])
def test_what_is_not_finite_is_read(entry, written, old, capsys):
    from operant.cli.main import main
    from operant.run.find import list_runs
    from operant.run.folder import RunFolder, write_json

    if written == "as null":
        write_json(old / "run.json", RUN)
        write_json(old / "evals" / "step-00000064-mode-2-s1.json", EVALUATION)
    folder = RunFolder(old)
    if entry == "RunFolder.info":
        assert math.isnan(folder.info()["evaluation"]["mean"])
        assert folder.info()["evaluation"]["seed"] == 1
    elif entry == "RunFolder.evals":
        (found,) = folder.evals()
        assert math.isnan(found["returns"][0])
        assert not math.isfinite(found["returns"][1])
    elif entry == "list_runs":
        assert math.isnan(list_runs(old.parent)[0]["return"])
    elif entry == "metrics":
        assert math.isnan(folder.metrics()["train/return"][0])
    else:
        assert main([entry, str(old), *(["--out", str(old.parent / "c")] if entry == "compare" else [])]) == 0
        page = old / "report.html" if entry == "report" else None
        said = page.read_text() if page else "".join(capsys.readouterr())
        assert ("NaN" if entry == "report" else "no interquartile mean") in said


@pytest.mark.parametrize("entry", ["Run", "resume"])
def test_the_last_run_is_found_from_python(entry, good, tmp_path, monkeypatch):
    import shutil

    import operant

    monkeypatch.chdir(tmp_path)
    shutil.copytree(good, Path("runs") / good.name, symlinks=True)
    if entry == "Run":
        assert operant.Run("last").path == tmp_path / "runs" / good.name
        assert operant.Run("last", runs=tmp_path / "runs").step >= 64
    else:
        assert operant.resume("last", to=96, quiet=True).step >= 96
    shutil.rmtree("runs")
    with pytest.raises(operant.ConfigError, match="no run 'last' under runs"):
        operant.Run("last")


@pytest.mark.parametrize("entry", ["wilson_ci", "report", "report of samples", "the curve of a report"])
def test_percentages_stay_within_0_and_100(entry, old):
    import re

    from operant.data.stats import wilson_ci
    from operant.run.folder import write_json
    from operant.view.report import write_report

    for share in (0.0, 1.0):
        if entry == "wilson_ci":
            for count in (1, 2, 10, 1000):
                low, high = wilson_ci(share, count)
                assert 0.0 <= low <= share <= high <= 1.0
                assert low < high
            continue
        about = {"mean": share, "std": 0.0, "iqm": share, "accuracy_greedy": share, "accuracy_sampled": share}
        if entry != "report of samples":
            about |= {"mean": share, "std": 0.5}  # a deviation that leads out
        write_json(old / "run.json", RUN | {"evaluation": EVALUATION | about})
        found = EVALUATION | about | {"returns": [share] * 2}
        write_json(old / "evals" / "step-00000064-mode-2-s1.json", found)
        rows = {"attempt": 1, "step": 64, "time": 1.0, "eval/accuracy_greedy": share, "eval/return_mean": share}
        (old / "metrics" / "live.jsonl").write_text(json.dumps(rows | {"eval/return_std": 0.5}) + "\n")
        page = write_report(old).read_text()
        percents = [float(x) for x in re.findall(r">\s*(?:95 % interval )?(-?−?\d+(?:\.\d+)?)(?: to [\d.]+)? %", page)]
        assert percents
        assert all(0.0 <= x <= 100.0 for x in percents)
        if entry == "the curve of a report":
            ticks = re.findall(r'class="[^"]*tick[^"]*"[^>]*>([^<]+)<', page)
            assert not [t for t in ticks if t.startswith(("−", "-"))], ticks
            for y in re.findall(r"M[\d.]+ ([\d.-]+)V([\d.-]+)", page):
                assert all(0.0 <= float(each) <= 1000.0 for each in y)
