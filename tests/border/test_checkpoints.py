"""Counters, positions and settings of checkpoints that are no such thing, for every kind of algorithm.

Each is refused with file and field before anything is learnt from it, or what it says is done; there is no traceback.
"""

import json
import os
import re
import shutil
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

from operant.cli.main import main
from operant.run import checkpoint
from reference.tiny_language import tiny_folder

TASK = """
from operant.reward import reward
from operant.task import Demonstration, Example, Task
@reward(best=None, pure=True)
def judge(trace):
    if trace.completion in ("", " \\n"): return -1.0
    if trace.completion == trace.gold: return 1.0
    if trace.completion in map(str, range(40)): return 0.0
    return float(len(trace.tokens) % 2)
def task():
    of = [Example(prompt=f"{i} is ", gold=str(i), solution=str(i)) for i in range(20)]
    shown = [Demonstration(prompt=f"{i} is ", completion=str(i)) for i in range(12)]
    return Task(name="t", train=of[8:], test=of[:8], rewards={"judge": judge}, max_tokens=4, demonstrations=shown)
"""
LINES = {
    "pairs": {"prompt": "a ", "chosen": "a", "rejected": "b"},
    "steps": {"prompt": "a ", "steps": ["a", "b"], "labels": [True, False]},
    "asked": {"prompt": "say a"},
}
SAMPLED = ["--algo.prompts", "2", "--total-steps", "2"]
LEARNT = ["--algo.batch", "2", "--total-steps", "4"]
RUNS = {
    "grpo": ["t.py", *SAMPLED, "--algo.samples", "2", "--algo.beta", "0.1"],
    "rlhf": ["t.py", *SAMPLED, "--algo.batch", "2", "--algo.ptx_coef", "0.1"],
    "expert-iteration": ["t.py", *SAMPLED, "--algo.samples", "2"],
    "sft": ["t.py", *LEARNT],
    "dpo": ["pairs.jsonl", *LEARNT],
    "reward-model": ["pairs.jsonl", *LEARNT],
    "process-reward": ["steps.jsonl", *LEARNT],
    "constitutional": ["asked.jsonl", "--sft.batch", "2", "--total-steps", "4", "--sampling.max_tokens", "2",
                       "--algo.revisions", "1"],
    "q-learning": ["CliffWalking-v1", "--total-steps", "200"],
    "ppo": ["CartPole-v1", "--env.num", "2", "--algo.horizon", "16", "--algo.batch", "16", "--algo.epochs", "1",
            "--policy.hidden", "8", "--total-steps", "64", "--no-save.videos"],
}  # fmt: skip
COUNTED = ["grpo", "rlhf", "expert-iteration", "constitutional"]
WRONG = ["x", None, 2**70, -1, float("nan"), [], {"a": 1}, True, "MISSING"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    tiny_folder(folder / "m", positions=512)
    (folder / "t.py").write_text(TASK)
    for name, line in LINES.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line | {"prompt": f"{i} "}) + "\n" for i in range(8)))
    return folder


@pytest.fixture(scope="module")
def runs(home):
    """A run of an algorithm, made when it is first asked for."""
    made = {}

    def run(name):
        if name not in made:
            target, *flags = RUNS[name]
            model = [] if name in ("ppo", "q-learning") else ["--model", str(home / "m"), "--threads", "1"]
            target = target if target.endswith("-v1") else str(home / target)
            words = ["train", name, target, *model, *flags, "--runs", str(home / f"runs-{name}"), "--no-save.report"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert main([*words, "--eval.episodes", "2"]) == 0
            (made[name],) = (home / f"runs-{name}").iterdir()
        return made[name]

    return run


def resumed(run, capsys, name):
    """The exit code of going on, and what was said."""
    further = {"ppo": "128", "q-learning": "300"}.get(name, "6")
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(["resume", str(run), "--to", further, "--trust"])
    return code, " ".join(capsys.readouterr().err.split())


def changed(run, to, file, field, value):
    """A copy of a run in whose newest checkpoint (or folder) a field is another; the manifest is made to fit."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(run, to, symlinks=True)
    path = to / "run.json" if file == "run.json" else (to / "checkpoints" / "latest").resolve() / file
    content = json.loads(path.read_text())
    *above, last = field
    at = content
    for key in above:
        at = at[key]
    if value == "MISSING":
        del at[last]
    else:
        at[last] = value
    path.write_text(json.dumps(content))
    if file != "run.json":
        folder = path.parent
        manifest = json.loads((folder / "MANIFEST.json").read_text())
        manifest["files"] = {name: checkpoint.digest(folder / name) for name in manifest["files"]}
        (folder / "MANIFEST.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return to


@pytest.mark.parametrize("entry", COUNTED)
def test_a_counter_that_is_none_is_named(entry, runs, tmp_path, capsys):
    run = runs(entry)
    counters = json.loads((run / "checkpoints" / "latest" / "policy.json").read_text())["counters"]
    assert counters
    for i, (name, now) in enumerate(counters.items()):
        for value in WRONG[i::2]:
            if isinstance(now, list) and value == []:
                continue
            copy = changed(run, tmp_path / "copy", "policy.json", ("counters", name), value)
            code, said = resumed(copy, capsys, entry)
            assert code == 2, (name, value, said)
            assert re.search(rf"policy\.json: counters\.{name} is ", said), said


@pytest.mark.spread(3)
@pytest.mark.parametrize("entry", sorted(RUNS))
def test_a_position_that_is_none_is_named(entry, runs, tmp_path, capsys):
    run = runs(entry)
    state = json.loads((run / "checkpoints" / "latest" / "state.json").read_text())
    for i, name in enumerate(sorted(state)[:6]):
        value = ["x", {"a": 1}, []][i % 3]
        code, said = resumed(changed(run, tmp_path / "copy", "state.json", (name,), value), capsys, entry)
        assert code == 2, (name, value, said)
        assert "state.json" in said
        assert name in said


@pytest.mark.parametrize("entry", sorted(RUNS))
def test_what_a_run_says_of_itself_is_looked_at(entry, runs, tmp_path, capsys):
    for field, value in {"evaluation_before": "x", "phases": [], "attempts": {"a": 1}}.items():
        code, said = resumed(changed(runs(entry), tmp_path / "copy", "run.json", (field,), value), capsys, entry)
        assert code == 2, (field, said)
        assert f"run.json is damaged ({field} " in said


@pytest.mark.parametrize("entry", sorted(RUNS))
def test_a_kind_that_is_none_is_named(entry, runs, tmp_path, capsys):
    for value in ({"a": 1}, [], 3, "picture"):
        run = changed(runs(entry), tmp_path / "copy", "policy.json", ("kind",), value)
        capsys.readouterr()
        assert main(["eval", str(run), "--episodes", "1", "--trust"]) == 2
        assert "policy.json is of a kind" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("entry", sorted(RUNS))
def test_a_setting_that_is_none_is_named(entry, runs, tmp_path, capsys):
    for value in ("-1", '"x"', "nan"):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(runs(entry), copy, symlinks=True)
        text = (copy / "config.toml").read_text()
        (copy / "config.toml").write_text(re.sub(r"(?m)^total_steps = \S+", f"total_steps = {value}", text))
        code, said = resumed(copy, capsys, entry)
        assert code == 2
        assert "config.toml:" in said
        assert "total_steps" in said


@pytest.mark.parametrize("entry", COUNTED)
def test_what_is_whole_goes_on(entry, runs, tmp_path, capsys):
    shutil.copytree(runs(entry), tmp_path / "copy", symlinks=True)
    code, said = resumed(tmp_path / "copy", capsys, entry)
    assert code == 0, said


@pytest.mark.parametrize("entry", ["prompt", "completion", "asked"])
def test_lines_that_a_run_wrote_for_itself_are_looked_at(entry, runs, tmp_path, capsys):
    copy = changed(runs("constitutional"), tmp_path / "copy", "policy.json", ("counters", "lines", 0, entry), "MISSING")
    code, said = resumed(copy, capsys, "constitutional")
    assert code in (0, 2)
    assert code == 0 or "the lines that this run wrote to learn from are damaged (KeyError:" in said
