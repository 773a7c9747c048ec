"""What a small base makes of few demonstrations, all alike, wrong or far too long"""

import random

import pytest

pytest.importorskip("transformers")

from operant.cli.main import main
from operant.language.model.language_model import LanguageModel
from operant.language.model.small_base import small_base
from operant.language.settings.runs import BaseConfig
from operant.language.task.load import load_task

HEAD = """
from operant.reward import Exact
from operant.task import Demonstration, Example, Task
def task():
    words = [{words}][0]
    right = [Example(prompt=f"{{w}}>", gold=w[::-1], solution=w[::-1]) for w in dict.fromkeys(words)]
    tests = [Example(prompt=f"{{w}}>", gold=w[::-1], solution=w[::-1]) for w in ("zxcv", "vbnm")]
    shown = [Demonstration(prompt=f"{{w}}>", completion={shown}) for i, w in enumerate(words)]
    return Task(name="mine", train=right, test=tests, rewards={{"correct": Exact()}}, demonstrations=shown)
"""
RNG = random.Random(0)
WORDS = sorted({"".join(RNG.choice("abcdefgh") for _ in range(4)) for _ in range(300)})
TASKS = {
    "one": (WORDS[:1], "w[::-1]", "", 1.0), "two": (WORDS[:2], "w[::-1]", "", 1.0),
    "all the same": (WORDS[:1] * 60, "w[::-1]", "", 1.0), "nineteen": (WORDS[:19], "w[::-1]", "", 1.0),
    "twenty": (WORDS[:20], "w[::-1]", "2 held out", 1.0), "empty": (WORDS[:40], "''", "4 held out", 0.0),
    "half wrong": (WORDS[:100], "w[::-1] if i % 2 else w", "10 held out", 0.52),
    "all wrong": (WORDS[:100], "w + 'x'", "10 held out", 0.0),
    "each three times": (WORDS[:30] * 3, "w[::-1]", "9 held out", 1.0),
    "long": ([w * 40 for w in WORDS[:30]], "w[::-1]", "3 held out", 1.0),
    "other letters": ([w.replace("a", "é").replace("b", "日") for w in WORDS[:30]], "w[::-1]", "3 held out", 1.0),
}  # fmt: skip
TINY = {"width": 16, "layers": 1, "heads": 2, "examples": 9_000, "passes": 2, "batch": 512}


@pytest.fixture
def file(entry, tmp_path, monkeypatch):
    """The task's file."""
    monkeypatch.setenv("OPERANT_CACHE", str(tmp_path / "cache"))
    words, shown, *_ = TASKS[entry]
    path = tmp_path / "mine.py"
    path.write_text(HEAD.format(words=repr(words), shown=shown))
    return path


@pytest.mark.spread(3)
@pytest.mark.parametrize("entry", TASKS)
def test_the_plan_is_said_with_its_time_before_a_base_is_trained(entry, file):
    said = []
    policy = LanguageModel.load(small_base(load_task(str(file), {}), BaseConfig(**TINY), {}, say=said.append))
    assert all(bool(p.isfinite().all()) for p in policy.parameters())
    plan = said[1]
    assert " parameters, " in plan
    assert " passes over " in plan
    assert "about " in plan
    held = TASKS[entry][2]
    assert (held in plan) if held else ("held out" not in plan)
    assert ("Stopped after" in said[-1]) == bool(held)


@pytest.mark.spread(3)
@pytest.mark.parametrize("entry", TASKS)
def test_pieces_of_words_are_the_same_wherever_they_stand(entry, file):
    policy = LanguageModel.load(small_base(load_task(str(file), {}), BaseConfig(**TINY), {}))
    pieces = [policy.tokenizer(w, add_special_tokens=False)["input_ids"] for w in ("abcd", "bcda", "dcba")]
    if entry == "long":  # 320 bytes of 256 positions: pieces of several bytes are needed
        assert len(policy.tokenizer) > 258
    else:
        assert {*map(len, pieces)} == {4}
        assert len({tuple(sorted(p)) for p in pieces}) == 1


@pytest.mark.parametrize("entry", TASKS)
def test_task_check_says_how_many_demonstrations_earn_the_reward(entry, file, capsys):
    assert main(["task", "check", str(file)]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("demonstrations:"))
    share = TASKS[entry][3]
    assert f"({share:.0%})" in line
    assert ("never right" in line) == (share == 0.0)


@pytest.mark.parametrize("entry", ["all wrong", "empty"])
def test_a_base_that_is_never_right_is_told_before_the_first_step(entry, file, capsys, tmp_path):
    flags = ["--base.width", "16", "--base.layers", "1", "--base.heads", "2", "--base.examples", "128"]
    flags += ["--total-steps", "1", "--algo.prompts", "2", "--algo.samples", "2", "--threads", "1"]
    assert main(["train", "grpo", str(file), *flags, "--runs", str(tmp_path / "runs"), "--no-save.report"]) == 0
    told = "".join(capsys.readouterr())
    assert "Plan: 1 step of 4 completions each, about" in told
    assert told.index("Plan: ") < told.index("Before: ")
    assert told.index("nothing tells right from wrong") < told.index("Before: ")
    assert "--model DIR" in told
