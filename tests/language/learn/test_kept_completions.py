"""What `rollouts/` says of completions is what the loop made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

import pyarrow.parquet as pq

import operant
from operant.language.model.language_model import LanguageModel
from reference.letters import TASK
from reference.tiny_language import tiny_language

STEPS = """
from operant.task import Example, Task, reward

@reward(pure=True, best=None)
def length(trace):
    return len(trace.completion)

@reward(pure=True)
def with_an_a(trace):
    pieces = trace.completion.split("=")
    return [(len("=".join(pieces[: i + 1])), float("a" in piece)) for i, piece in enumerate(pieces)]

def task():
    made = [Example(prompt=f"say {i}", gold="", solution="a=a") for i in range(24)]
    return Task(name="steps", train=made[:16], test=made[16:], rewards={"length": length}, step_reward=with_an_a)
"""
QUICK: dict[str, Any] = {
    "quiet": True, "eval.episodes": 2, "eval.samples": 0, "eval.before": False, "save.report": False, "threads": 1,
    "sampling.max_tokens": 6, "algo.lr": 1e-2,
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    tiny_language("llama").save(folder / "model")
    (folder / "mine.py").write_text(TASK)
    (folder / "steps.py").write_text(STEPS)
    return folder


def train(place: Path, algorithm: str, steps: int, task: str = "mine.py", **settings: Any) -> Path:
    given = QUICK | {"model.path": str(place / "model"), "total_steps": steps} | settings
    return operant.train(algorithm, str(place / task), runs=place / "runs", **given).path


def rollouts(run: Path, step: int) -> list[dict[str, Any]]:
    return pq.ParquetFile(run / "rollouts" / f"step-{step:08d}.parquet").read().to_pylist()


def log_ratio(policy: LanguageModel, row: dict[str, Any]) -> float:
    """log π(y|x) when it was sampled, less that of another model."""
    prompt = policy.tokenizer(row["prompt"])["input_ids"]
    tokens = torch.tensor([[*prompt, *row["tokens"]]])
    acted = torch.arange(tokens.shape[1] - 1)[None] >= len(prompt) - 1
    with torch.no_grad():
        return sum(row["logp"]) - float(policy.evaluate(tokens, acted)[0].sum())


def test_advantages_allow_for_what_the_divergence_was_charged(place: Path) -> None:
    """RLOO of two: R' of the one less R' of the other, R' = R − β log(π/π_ref). Without the charge it was R less R."""
    run = train(place, "grpo", 4, **{"preset": "rloo", "algo.prompts": 3, "algo.samples": 2, "algo.beta": 1.0})
    reference = LanguageModel.load(place / "model")
    uncharged = 0.0
    for row, other in zip(*[iter(rollouts(run, 4))] * 2, strict=True):
        charged = [each["reward"] - log_ratio(reference, each) for each in (row, other)]
        assert row["advantage"] == pytest.approx(charged[0] - charged[1], abs=1e-3)
        assert other["advantage"] == pytest.approx(-row["advantage"], abs=1e-5)
        uncharged = max(uncharged, abs(row["advantage"] - (row["reward"] - other["reward"])))
    assert uncharged > 0.1


def test_advantages_are_corrected_for_the_sampler(place: Path) -> None:
    """The ratio of trainer and sampler is 1, and here cut to a half."""
    settings = {"algo.prompts": 2, "algo.samples": 4, "algo.scale": "none"}
    plain = train(place, "grpo", 1, **settings)
    halved = train(place, "grpo", 1, **settings, **{"algo.correction": "step_truncate", "algo.correction_max": 0.5})
    for whole, half in zip(rollouts(plain, 1), rollouts(halved, 1), strict=True):
        assert half["tokens"] == whole["tokens"]
        assert half["advantage"] == pytest.approx(0.5 * whole["advantage"], rel=1e-5)
    assert any(row["advantage"] for row in rollouts(plain, 1))


def test_rlhf_keeps_every_nth_step_s_completions_with_their_scores_and_advantages(place: Path) -> None:
    lines = "".join(f'{{"prompt": "say {i}:", "chosen": "yes", "rejected": "no no"}}\n' for i in range(12))
    (place / "judged.jsonl").write_text(lines)
    judge = operant.train(
        "reward-model", str(place / "judged.jsonl"), runs=place / "judge", total_steps=16,
        **QUICK | {"model.path": str(place / "model"), "algo.batch": 4},
    )  # fmt: skip
    settings = {"algo.prompts": 4, "algo.samples": 2, "algo.batch": 4, "save.rollouts": 2}
    run = train(place, "rlhf", 4, **settings, **{"reward.path": str(judge.path)})
    assert sorted(f.stem for f in (run / "rollouts").glob("step-*")) == ["step-00000002", "step-00000004"]
    rows = rollouts(run, 4)
    assert len(rows) == 8
    assert any(row["reward"] != pytest.approx(row["reward/letters"] + row["reward/early"]) for row in rows)
    assert len({round(row["advantage"], 4) for row in rows}) > 4
    none = train(place, "rlhf", 1, **settings | {"save.rollouts": 0})
    assert not list((none / "rollouts").glob("step-*"))


def test_completions_that_are_labelled_are_kept(place: Path) -> None:
    settings = {"algo.batch": 8, "algo.separator": "=", "algo.samples": 16, "sampling.max_tokens": 16}
    rows = rollouts(train(place, "process-reward", 8, "steps.py", **settings), 0)
    assert len(rows) == 16 * 16
    assert all(row["reward"] == sum("a" in piece for piece in row["completion"].split("=")) for row in rows)
    assert {row["reward"] for row in rows} >= {0.0, 1.0}
    run = train(place, "process-reward", 8, "steps.py", **settings, **{"save.rollouts": 0})
    assert not (run / "rollouts").exists()
