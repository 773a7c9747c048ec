"""VisualThinker-R1-Zero: reinforcement straight on a base, on questions of space, and how often it looks again."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.task.task import Task
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, THINK, Arm, Stage, Study
from operant.vision.tasks import LOOK


def looks(_: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """The share of sampled traces that look again, and how much more often these are right than the others."""
    sampled = [row for row in rows if row.mode == "sampled"]
    again, once = ([r.rewards["correct"] for r in sampled if (LOOK in r.completion) is it] for it in (True, False))
    return {"looks": len(again) / len(sampled), "looks pay": fmean(again or [0.0]) - fmean(once or [0.0])}


STUDY = Study(
    asked={"heads": "count exist relation depth"},
    arms={
        "base": Arm("the small base, asked to think", asked=THINK),
        "sft": Arm("imitates right traces", [Stage("sft")], THINK),
        "rl": Arm("GRPO on the base", [Stage()], THINK),
        "rl-direct": Arm("GRPO on the base, the answer alone", [Stage()]),
        "rl-shuffled": Arm("paid for other questions' answers", [Stage(asked=SHUFFLED)], THINK),
    },
    shown={"split": "cogent-a cogent-b", "noise": 0.4, "looks": 0.1},
    also=looks,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm, and how often it looks again."""
    return STUDY(t)


RECIPE = Recipe(
    name="visualthinker-r1-zero",
    title="VisualThinker-R1-Zero: reinforcement on a base, and second looks",
    source="Zhou et al. (2025), R1-Zero's aha moment in visual reasoning on a 2B non-SFT model, arXiv:2503.05132",
    paper="Qwen2-VL-2B, never tuned on instructions, learnt SAT's questions of space by GRPO: 59.5 % on CVBench, "
    "some 30 points above the base and 2 above imitation; its answers grew longer, and some looked again. On models "
    "that follow instructions thinking stayed trivial, and paying for length did not help.",
    here="Counts, existence, left and right, near and far, in pictures of 32 pixels. The base of 0.5 million "
    "parameters imitated answers of which 40 % were wrong, and of its traces a tenth look again and are right: this "
    "asks whether reinforcement amplifies what is there, and nothing about how it came there.",
    mechanism="Returns against their group's: where a trace that looks again is right more often, it is sampled more "
    "often. With other questions' answers (`rl-shuffled`) it is not.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "rl-shuffled"),
    claims=(
        Claim(text="GRPO gains on the base", metric="in", arm="rl", over="base", bar=0.15),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="rl-shuffled", over="base", bar=0.05, most=True),
        Claim(text="it looks again twice as often as the base", metric="in looks", arm="rl", over="base", ratio=True,
              bar=2.0, must=False),
        Claim(text="traces that look again are right more often", metric="in looks pay", arm="rl", bar=0.0, must=False),
        Claim(text="it gains more than imitation, in other compositions", metric="out", arm="rl", over="sft", bar=0.02,
              must=False),
        Claim(text="thinking gains more than the answer alone", metric="in", arm="rl", over="rl-direct", bar=0.0,
              must=False),
    ),
    trial=trial,
    minutes=60.0,
)  # fmt: skip
