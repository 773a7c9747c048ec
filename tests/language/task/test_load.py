from __future__ import annotations

from pathlib import Path

import pytest

from operant.config.errors import ConfigError
from operant.language.task.check import check_report, check_task
from operant.language.task.load import load_task

GOOD = """
from operant.task import Example, Task, Trace


def same(trace: Trace) -> float:
    return float(trace.completion.strip() == trace.gold)


def task(words: int = 3) -> Task:
    examples = [Example(prompt=f"say {i}", gold=str(i), solution=str(i)) for i in range(words + 1)]
    return Task(name="say", train=examples[:-1], test=examples[-1:], rewards={"same": same})
"""


def write(folder: Path, text: str) -> str:
    (folder / "mytask.py").write_text(text)
    return str(folder / "mytask.py")


def test_a_file_is_a_task_and_its_rewards_run_in_a_worker(tmp_path: Path):
    task = load_task(write(tmp_path, GOOD), {"words": 5})
    assert (task.name, len(task.train), task.metric) == ("say", 5, "same")
    lines = check_report(task)
    assert lines[0] == "task say: 5 train, 1 test"
    assert lines[-1] == "ok: 5 train and 1 test solutions score best, an empty completion does not"
    assert load_task(f"{tmp_path}/mytask.py:task").train[1].gold == "1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("def task", "def tusk"), "mytask.py has no function `task`"),
        (GOOD.replace("words + 1)]", "words + 1]"), r"mytask.py:10: .*SyntaxError"),
        (GOOD + "\nimport nowhere_at_all\n", r"mytask.py:13: .*No module named 'nowhere_at_all'"),
        (GOOD.replace("train=examples[:-1]", "train=examples[9]"), r"mytask.py:11: making the task raised IndexError"),
        (GOOD.replace("return Task(", "return dict("), "returned a dict, not an operant.task.Task"),
        (GOOD.replace("examples[-1:]", "[]"), "task say has no test example"),
        (GOOD.replace('{"same": same}', "{}"), "task say has no reward"),
        (GOOD.replace('{"same": same}', '{"same": same}, weights={"some": 1.0}'), "no reward some: there is same"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_task(write(tmp_path, text))


def test_names_and_options_that_do_not_exist_are_told_with_the_nearest(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"there is no task 'arithmetics'; nearest: arithmetic"):
        load_task("arithmetics")
    with pytest.raises(ConfigError, match=r"no option 'digit'; nearest: digits"):
        load_task("arithmetic", {"digit": 3})
    with pytest.raises(ConfigError, match=r"there is no file .*myown.py"):
        load_task(f"{tmp_path}/myown.py")
    with pytest.raises(ConfigError, match="NAME"):
        load_task("reasoning-gym")
    with pytest.raises(ConfigError, match="needs the option size"):
        load_task(write(tmp_path, GOOD.replace("words: int = 3", "size")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("solution=str(i)", "solution=str(i + 1)"), r"say, train\[0\]: the reward same gives 0 to the right solution"),
        (("solution=str(i)", "solution=str(i + (i == 3))"), r"say, test\[0\]: the reward same gives 0"),
        (("float(trace.completion.strip() == trace.gold)", "1.0"), r"train\[0\]: an empty completion scores 1"),
        (("float(trace.completion.strip() == trace.gold)", "float(trace.completion in trace.gold)"), "an empty compl"),
        (("float(trace.completion.strip() == trace.gold)", "1 / 0"), r"train\[0\]: .*ZeroDivisionError.*mytask.py:6\)"),
        (
            ("float(trace.completion.strip() == trace.gold)", "float(trace.completion.strip().isdigit())"),
            r"of another exa",
        ),
        (
            (
                "float(trace.completion.strip() == trace.gold)",
                "1 / (trace.completion.strip() == trace.gold) if trace.completion else 0.0",
            ),
            r"no answer but the right one can be judged.*ZeroDivisionError",
        ),
        (("test=examples[-1:]", "test=examples[:1]"), r"test\[0\] has the same prompt as say, train\[0\]"),
        (("train=examples[:-1]", "train=['x']"), r"train\[0\] is a str, not an operant.task.Example"),
    ],
)
def test_a_task_that_judges_its_own_answers_wrong_is_refused(tmp_path: Path, change: tuple[str, str], message: str):
    assert change[0] in GOOD
    with pytest.raises(ConfigError, match=message):
        check_task(load_task(write(tmp_path, GOOD.replace(*change))))


@pytest.mark.parametrize("options", [{}, {"steps": True, "terms": 4, "operators": "+-", "units_first": True}])
def test_arithmetic_passes_its_check(options: dict[str, object]):
    assert check_report(load_task("arithmetic", options))[-1].startswith("ok: 200 train and 200 test")
