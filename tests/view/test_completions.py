"""The section of a report on what a language model writes."""

import json
import math

from operant.language.episodes.rollout_files import RolloutRow, read_rollouts, write_rollouts
from operant.run.folder import RunFolder
from operant.view.report import write_report


def row(prompt_id, text, right, **rest):
    told = {"correct": right, "short": math.nan if right is None else 0.5}
    fields = {
        "prompt_id": prompt_id, "sample": 0, "prompt": f"{prompt_id}+1=", "completion": text,
        "gold": str(prompt_id + 1),
        "finish": "stop", "mode": "greedy", "rewards": told, "reward": None if right is None else right + 0.5,
        "advantage": None, "tokens": [1, 2], "logp": [-0.5, -0.25],
    }  # fmt: skip
    return RolloutRow(**(fields | rest))


def run_with(tmp_path, files):
    folder = RunFolder.create(tmp_path, env="mine", algorithm="grpo", seed=1)
    for step, rows in files.items():
        write_rollouts(folder.path / "rollouts" / f"eval-step-{step:08d}.parquet", step, rows)
        told = {"eval/accuracy_greedy": 0.25 + step / 100, "eval/accuracy_sampled": 0.125}
        folder.writer.write(step, float(step), told)
    folder.writer.close()
    return folder.path


def test_rows_come_back_as_they_were_written(tmp_path):
    write_rollouts(tmp_path / "step-00000003.parquet", 3, [row(4, "5", 1.0, advantage=0.75), row(5, "x", None)])
    first, second = read_rollouts(tmp_path / "step-00000003.parquet")
    assert first["step"] == 3
    assert first["reward"] == 1.5
    assert first["reward/correct"] == 1.0
    assert first["advantage"] == 0.75
    assert first["tokens"] == [1, 2]
    assert first["logp"] == [-0.5, -0.25]
    assert second["reward"] is None  # not judged is no score of 0
    assert second["reward/correct"] is None


def test_before_and_after_stand_side_by_side_on_the_same_prompts(tmp_path):
    sampled = row(1, "sampled text", 1.0, mode="sampled")
    before = [row(1, "wrong one", 0.0), row(2, "3", 1.0), row(3, "<b>9</b>", 0.0), row(4, "5", 1.0), sampled]
    after = [row(1, "2", 1.0), row(2, "3", 1.0), row(3, "still 9", 0.0, finish="length"), row(4, "6", 0.0), sampled]
    page = write_report(run_with(tmp_path, {0: before, 10: [row(1, "half way", 0.0)], 50: after})).read_text("utf-8")
    assert "1 wrong, then right" in page
    assert "1 right both times" in page
    assert "1 wrong both times" in page
    assert "1 right, then wrong" in page
    line = page[page.index("wrong one") : page.index("wrong one") + 400]
    assert 'class="fair"' in page[page.index("wrong one") - 60 : page.index("wrong one")]  # 0.5 for being short
    assert 'class="good"' in line
    assert "&lt;b&gt;9" in page
    assert "(cut)" in page
    assert "half way" not in page
    assert "sampled text" not in page
    assert "held-out accuracy, sampled" in page
    assert "correct 1 · short 0.5" in page


def test_what_was_not_judged_is_neither_right_nor_wrong_in_colour(tmp_path):
    page = write_report(run_with(tmp_path, {0: [row(1, "who knows", None)]})).read_text("utf-8")
    assert "not judged" in page
    assert 'class="unknown"' in page
    assert "<th>Before</th>" not in page  # one measurement alone


def test_right_answers_are_counted_at_the_head_of_the_page(tmp_path):
    run = run_with(tmp_path, {0: [row(1, "2", 1.0)]})
    protocol = {"episodes": 200, "deterministic": True, "seed": 3, "returns": [1.0] * 180 + [0.0] * 20}
    found = {"mean": 0.9, "std": 0.3, "iqm": 1.0, "accuracy_greedy": 0.9, "accuracy_sampled": 0.825} | protocol
    (run / "evals" / "step-00000050-mode-200-s3.json").write_text(json.dumps({"step": 50, "lengths": []} | found))
    page = write_report(run).read_text("utf-8")
    head = page[page.index("<body") : page.index("<h2>Learning curve")]
    for words in ("Accuracy, greedy", "90.0 %", "95 % interval 85.1 to 93.4 %", "Accuracy, sampled", "82.5 %"):
        assert words in head
    assert "Measured on 200 held-out prompts, seeds from 3." in head
    assert "Return" not in head
    assert "Interquartile" not in head
