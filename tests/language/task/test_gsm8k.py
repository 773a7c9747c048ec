from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from operant.config.errors import ConfigError
from operant.data.jsonl import lines
from operant.language.task.check import check_task
from operant.language.task.gsm8k import gsm8k, verifier
from operant.language.task.load import load_task
from operant.language.task.task import Example
from operant.task import score

DATA = Path(os.environ.get("OPERANT_DATA", "")) / "gsm8k"
needs_data = pytest.mark.skipif("OPERANT_DATA" not in os.environ, reason="OPERANT_DATA names no folder of data sets")


@needs_data
def test_the_verifier_agrees_with_every_mark_of_the_models_solutions():
    traces, marks = [], []
    for _, row in lines(DATA / "example_model_solutions.jsonl"):
        gold = row["ground_truth"].rpartition("A:")[2].strip()
        example = Example(prompt=row["question"], gold=gold, solution=row["ground_truth"])
        for said in row.values():
            if isinstance(said, dict):
                traces.append(example.trace(said["solution"]))
                marks.append(float(said["is_correct"]))
    scores = score(traces, {"correct": verifier("A:")})
    assert len(marks) == 5276
    assert sum(marks) == 2001
    assert scores.judged.all()
    assert scores.values[:, 0].tolist() == marks


@needs_data
def test_every_solution_of_the_data_set_is_right_by_its_own_verifier():
    task = load_task("gsm8k")
    assert (len(task.train), len(task.test)) == (7473, 1319)
    check_task(task, examples=10_000)


def write(folder: Path, *rows: object) -> Path:
    for part, chosen in (("train", rows[:-1]), ("test", rows[-1:])):
        text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in chosen)
        (folder / f"{part}.jsonl").write_text(text)
    return folder


def row(n: int, answer: str | None = None) -> dict[str, object]:
    return {"question": f"What is {n}?", "answer": answer or f"It is <<{n}={n}>>{n}.\n#### {n}"}


def test_a_folder_of_ones_own(tmp_path: Path):
    task = gsm8k(folder=str(write(tmp_path, row(1234), row(2))), chat=True, instruction="End with A: n", mark="A:")
    first = task.train[0]
    assert first.prompt == ({"role": "user", "content": "What is 1234?\nEnd with A: n"},)
    assert first.solution.endswith("\nA: 1234")
    check_task(task)
    right = ["A: 1,234", "A: $1234.00", "1\nA: 1\nso\nA: 1234.\nbye"]
    wrong = [
        "",
        "1234",
        "#### 1234",
        "A: 1\n1234",
        "A: 1234 or 5",
        "A: 1233, 1234, 1235",
        "A: 1,23,4",
        "A:",
        "A: 1234x",
    ]
    scores = score([first.trace(text) for text in right + wrong], task.rewards)
    assert scores.values[:, 0].tolist() == [1.0] * len(right) + [0.0] * len(wrong)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{", row(2)], r"train.jsonl:1: not JSON"),
        ([row(1), "[1]", row(2)], r"train.jsonl:2: a JSON object belongs here, not \[1\]"),
        ([row(1), {"question": "x"}], r"test.jsonl:1: there is no text under 'answer'"),
        ([row(1, "7"), row(2)], r"train.jsonl:1: the answer has no ####"),
        ([row(1, "#### seven"), row(2)], r"gsm8k, train\[0\]: .*'seven' is not one number"),
        ([row(1), row(1)], r"gsm8k, test\[0\] has the same prompt as gsm8k, train\[0\]"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(tmp_path: Path, rows: list[object], message: str):
    with pytest.raises(ConfigError, match=message):
        check_task(gsm8k(folder=str(write(tmp_path, *rows))))


def test_missing_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match=r"there is no file .*train.jsonl"):
        gsm8k(folder=str(tmp_path))
    monkeypatch.delenv("OPERANT_DATA", raising=False)
    with pytest.raises(ConfigError, match="set OPERANT_DATA"):
        load_task("gsm8k")
