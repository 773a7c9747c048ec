"""Rewards that are normalised one by one before they are summed (GDPO): by loops, through the command, and refused."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.language.episodes.episodes import Episodes, episodes
from operant.language.learn.batch_checks import BatchChecks, TrainingWarning
from operant.language.learn.group_critic import group_advantages
from operant.language.learn.multi_reward import RewardMatrix, reward_matrix
from operant.language.settings.grpo import PRESETS, GRPOConfig
from reference.groups import completion, outcome
from reference.letters import REWARDS

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("transformers")

VALUE = [[1.0, 0.0], [0.0, 0.5], [0.0, 0.0], [0.0, 0.0], [1.0, 2.0], [1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]
WEIGHT = [1.0, 2.0]
DECOUPLED = GRPOConfig(aggregation="normalise_then_sum")


def made_of(value: list[list[float]]) -> tuple[Episodes, RewardMatrix]:
    """Groups of four, and their rewards one by one."""
    totals = [sum(w * v for w, v in zip(WEIGHT, row, strict=True)) for row in value]
    made = episodes([completion(i // 4, i % 4, 1 + i % 4) for i in range(len(value))], totals)
    return made, RewardMatrix(value=torch.tensor(value, dtype=torch.float64), weight=torch.tensor(WEIGHT).double())


def advantages(cfg: GRPOConfig, made: Episodes, rewards: RewardMatrix | None) -> torch.Tensor:
    return group_advantages(cfg, made, torch.zeros_like(made.traj.reward), rewards)


def test_the_advantages_are_the_papers_and_tell_equal_sums_apart() -> None:
    made, rewards = made_of(VALUE)
    adv = advantages(DECOUPLED, made, rewards)
    summed = [0.0] * len(VALUE)
    for k, w in enumerate(WEIGHT):
        parts = outcome([[row[k] for row in VALUE[i : i + 4]] for i in (0, 4)])
        summed = [s + w * x for s, x in zip(summed, [x for group in parts for x in group], strict=True)]
    for row, wanted in enumerate(outcome([summed])[0]):  # the step is one group
        own = made.traj.acted[row]
        torch.testing.assert_close(adv[row][own], torch.full((int(own.sum()),), wanted))
    plain = advantages(GRPOConfig(), made, None)
    assert float(plain[0].max()) == float(plain[1].max())  # 1 · 1 and 2 · ½
    assert float(adv[1].max()) > 2 * float(adv[0].max())  # the weights count after the normalisation


def test_a_group_of_equal_sums_still_teaches() -> None:
    made, rewards = made_of([[1.0, 0.0], [0.0, 0.5]] * 2)
    with pytest.warns(TrainingWarning, match="every completion scored 1"):
        assert float(BatchChecks(1.0)(made)["group/equal"]) == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(BatchChecks(1.0)(made, rewards)["group/equal"]) == 0.0
    assert float(advantages(DECOUPLED, made, rewards).abs().max()) > 0.5
    assert advantages(GRPOConfig(), made, None).count_nonzero() == 0


def test_they_are_never_summed_in_silence() -> None:
    with pytest.raises(ConfigError, match="one by one"):
        advantages(PRESETS["gdpo"], made_of(VALUE)[0], None)


def test_what_another_process_judged_is_known_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_two(mine: Any) -> list[Any]:
        theirs = [(2, 0, [3.0, 4.0]), (2, 1, [5.0, math.nan])]
        return [json.loads(json.dumps(part)) for part in (mine, theirs)]

    monkeypatch.setattr("operant.language.learn.multi_reward.all_gather", of_two)
    task = SimpleNamespace(rewards={"a": None, "b": None}, weight={"a": 1.0, "b": 2.0}.get)
    judge: Any = SimpleNamespace(task=task, values={(1, 0): [1.0, 2.0], (1, 1): [0.0, 0.0]})
    found = reward_matrix(judge, [completion(2, 1, 3), completion(1, 0, 3)])
    torch.testing.assert_close(found.value, torch.tensor([[5.0, torch.nan], [1.0, 2.0]]).double(), equal_nan=True)
    assert found.weight.tolist() == [1.0, 2.0]


# ---------------------------------------------------------------------------------------------------- the command
TASK = (
    REWARDS
    + """

def task(rewards=2):
    made = [Example(prompt=f"say {i}", gold="", solution="abcdefghij") for i in range(40)]
    mine = {"letters": letters, "early": early} if rewards == 2 else {"letters": letters}
    weights = {"early": 0.1} if rewards == 2 else {}
    return Task(name="mine", train=made[:30], test=made[30:], rewards=mine, weights=weights)
"""
)
SETTINGS: dict[str, Any] = {
    "quiet": True, "eval.episodes": 2, "eval.samples": 0, "save.report": False, "save.every": 2, "threads": 1,
    "sampling.max_tokens": 4, "algo.prompts": 2, "algo.samples": 4, "algo.batch": 4, "algo.lr": 1e-2,
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from reference.tiny_language import tiny_language

    folder = tmp_path_factory.mktemp("rewards")
    tiny_language("llama").save(folder / "model")
    (folder / "mine.py").write_text(TASK)
    return folder


@pytest.mark.filterwarnings("ignore:.*of the completions were cut")
def test_a_run_takes_them_and_resumes_bit_for_bit(place: Path) -> None:
    import pyarrow.parquet as pq

    import operant
    from operant.run import checkpoint

    def run(name: str, steps: int, aggregation: str = "normalise_then_sum") -> Any:
        settings = SETTINGS | {"model.path": str(place / "model"), "algo.aggregation": aggregation}
        return operant.train("grpo", str(place / "mine.py"), runs=place / name, total_steps=steps, **settings)

    def weights(done: Any) -> str:
        return hashlib.sha256((checkpoint.newest(done.path)[0] / "model.safetensors").read_bytes()).hexdigest()

    whole, part = run("whole", 4), run("part", 2)
    assert weights(operant.resume(part.path, to=4, quiet=True)) == weights(whole)
    assert weights(run("summed", 4, "sum_then_normalise")) != weights(whole)
    kept = pq.ParquetFile(whole.path / "rollouts" / "step-00000001.parquet").read().to_pylist()
    kept.sort(key=lambda row: (row["prompt_id"], row["sample"]))
    summed = [0.0] * 8
    for name, w in (("letters", 1.0), ("early", 0.1)):
        parts = outcome([[row[f"reward/{name}"] for row in kept[i : i + 4]] for i in (0, 4)])
        summed = [s + w * x for s, x in zip(summed, [x for group in parts for x in group], strict=True)]
    expected = [a if row["tokens"] else 0.0 for a, row in zip(outcome([summed])[0], kept, strict=True)]
    assert [row["advantage"] for row in kept] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task.options.rewards", "1"], "for several rewards, and task mine has one, letters"),
        (["--algo.supervision", "process"], "set supervision = outcome"),
        (["--algo.credit", "onward"], "leave credit unset"),
        (["--algo.scale", "none"], "leave them unset"),
        (["--algo.beta", "0.1", "--algo.kl_in", "reward"], "set kl_in = loss"),
        (["--algo.overlong", "0.2"], "the reward Overlong"),
        (["--algo.resample", "2"], "leave it at 0"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    command = ["train", "grpo", str(place / "mine.py"), "--model", str(place / "model"), "--runs", str(place / "none")]
    assert main([*command, "--algo.aggregation", "normalise_then_sum", *words]) == 2
    error = capsys.readouterr().err
    assert said in error, error
    assert "Traceback" not in error
