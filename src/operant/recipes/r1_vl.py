"""R1-VL: right answers are worth more by their key steps, and a rationale by its order (StepGRPO)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.reward.steps import KeySteps
from operant.language.task.task import Task
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, Arm, Stage, Study

NAMED = KeySteps(verdict=lambda _: 1.0, alpha=1.0)
HOT = {"sampling.temperature": 1.2, "algo.samples": 4}
"""As in the paper."""


def recalled(task: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """The share of key steps that greedy answers name, and the share of these that are wrong and name them all."""
    greedy = [row for row in rows if row.mode == "greedy"]
    named = [NAMED(task.test[row.prompt_id].trace(row.completion)) - 1.0 for row in greedy]
    stuffed = [float(x == 1.0 and row.rewards["correct"] < 1.0) for x, row in zip(named, greedy, strict=True)]
    return {"steps": fmean(named), "stuffed": fmean(stuffed)}


STUDY = Study(
    asked={"heads": "count attribute exist", "hops": -1, "mode": "steps"},
    arms={
        "base": Arm("the small base"),
        "steps": Arm(
            "paid for key steps of right answers, and for order", [Stage(asked={"rewarded": "steps"}, settings=HOT)]
        ),
        "order": Arm("paid for the answer and for the order of steps", [Stage(settings=HOT)]),
        "outcome": Arm("paid for the answer alone", [Stage(asked={"form": 0.0}, settings=HOT)]),
        "published": Arm(
            "key steps are paid whatever the answer is", [Stage(asked={"rewarded": "steps-published"}, settings=HOT)]
        ),
        "sft": Arm("imitates right rationales", [Stage("sft")]),
        "shuffled": Arm("paid for other questions' answers", [Stage(asked=SHUFFLED, settings=HOT)]),
    },
    shown={"heads": "count attribute exist", "hops": -1, "mode": "steps", "split": "cogent-a cogent-b"},
    also=recalled,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm, the share of key steps that it names, and of wrong answers that name them all."""
    return STUDY(t)


RECIPE = Recipe(
    name="r1-vl",
    title="R1-VL: rewards of steps",
    source="Zhang et al. (2025), R1-VL: learning to reason with multimodal large language models via step-wise group "
    "relative policy optimization, arXiv:2503.12937",
    paper="Qwen2-VL imitated 260,000 rationales and then learnt 10,000 questions by StepGRPO: beside the answer it was "
    "paid a tenth for the key steps that its rationale named, each in any of several wordings, and one for sections "
    "and steps in their order. It was best of its size on eight benchmarks.",
    here="Counts, attributes and existence through none to two relations or superlatives, in pictures of 32 pixels. A "
    "rationale has a line for each step of the program that answers; its results (`red circle: 2`) are the key steps. "
    "The base, of 0.5 million parameters, imitated rationales that lack a third of them, 15 % with a wrong answer. "
    "Four answers at a temperature of 1.2, as in the paper. What it pays wrong answers for their steps is an arm.",
    mechanism="A right answer is worth more by 0.1 times the share of key steps that it names. Without it (`order`) a "
    "rationale that leaves them out is worth as much as one that has them.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "order", "outcome", "published", "shuffled"),
    claims=(
        Claim(text="it names more key steps than the base", metric="in steps", arm="steps", over="base", bar=0.15),
        Claim(text="rationales keep their order", metric="in format", arm="steps", bar=0.9),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="it answers better than by the answer's reward alone", metric="in", arm="steps", over="outcome",
              bar=0.03, must=False),
        Claim(text="and than by answer and order", metric="in", arm="steps", over="order", bar=0.02, must=False),
        Claim(text="where steps of wrong answers are paid, more of these name all", metric="in stuffed",
              arm="published", over="steps", bar=0.05, must=False),
        Claim(text="in other compositions it answers better than by imitation", metric="out", arm="steps", over="sft",
              bar=0.05, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
