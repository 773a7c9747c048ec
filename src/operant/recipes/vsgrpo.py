"""vsGRPO (R1-Zero-VSI): numbers of space, paid by their relative error, asked in three ways, with and without KL."""

from __future__ import annotations

from collections.abc import Sequence

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.task.task import Task
from operant.recipes.answers import by_kind
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, THINK, Arm, Stage, Study

HEADS, PAID = "count distance depth relation", "relative relative exact exact"


def kinds(task: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """What answers of each kind are worth."""
    return {**dict.fromkeys(HEADS.split(), 0.0), **by_kind(task, rows)}


def held(beta: float) -> list[Stage]:
    """GRPO with a divergence of this weight."""
    return [Stage(settings={"algo.beta": beta})]


STUDY = Study(
    asked={"heads": HEADS, "rewarded": PAID},
    arms={
        "base": Arm("the small base, the answer alone"),
        "base-think": Arm("the small base, asked to think", asked=THINK),
        "vanilla": Arm("GRPO, the answer alone; the paper's 1e-4", held(1e-4)),
        "think": Arm("GRPO, thinks first", held(1e-4), THINK),
        "observe": Arm("GRPO, the answer first, then what was seen", held(1e-4), {"mode": "after"}),
        "free": Arm("the answer alone, without a divergence", held(0.0)),
        "held": Arm("the answer alone, a divergence of 0.04", held(0.04)),
        "whole": Arm("numbers are paid where they are exact", [Stage(asked={"rewarded": "exact"},
                                                                    settings={"algo.beta": 1e-4})]),
        "sft": Arm("imitates right answers", [Stage("sft")]),
        "shuffled": Arm("paid for other questions' answers", [Stage(asked=SHUFFLED, settings={"algo.beta": 1e-4})]),
    },
    shown={"heads": HEADS, "split": "cogent-a cogent-b"},
    also=kinds,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """What an arm's answers are worth, in all and by kind, in the split that it learns from and in the other."""
    return STUDY(t)


RECIPE = Recipe(
    name="vsgrpo",
    title="vsGRPO: numbers of space",
    source="Liao et al. (2025), Improved visual-spatial reasoning via R1-Zero-like training, arXiv:2504.00883",
    paper="Qwen2-VL-2B learnt 100,000 questions about rooms by GRPO, numbers measured by their mean relative accuracy: "
    "35.4 on VSI-Bench from 23.3, above imitation (29.6), DPO (23.9) and GPT-4o (34.0). Asked for the answer alone it "
    "did better than told to think (29.6) or to observe (31.2); a small divergence had to stay.",
    here="How many, how far apart in pixels, which is nearer, and what is left of what, in single pictures of 32 "
    "pixels. Numbers are paid in tenths by their relative error; that the paper trained by it could not be verified. "
    "The base, of 0.5 million parameters, has 15 % of its answers wrong. Rooms seen from several places, and DPO, are "
    "left out; to observe is to answer first here.",
    mechanism="A number that is near is paid in part. `whole` pays exact ones alone, so that distances, which are "
    "never exact at first, have no gradient.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "base-think", "whole", "shuffled"),
    claims=(
        Claim(text="it gains on the base", metric="in", arm="vanilla", over="base", bar=0.08),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="the answer alone is no worse than thinking", metric="in", arm="vanilla", over="think", bar=0.0,
              must=False),
        Claim(text="nor than the answer first", metric="in", arm="vanilla", over="observe", bar=0.0, must=False),
        Claim(text="in other compositions it gains more than imitation", metric="out", arm="vanilla", over="sft",
              bar=0.03, must=False),
        Claim(text="degrees teach distances", metric="in distance", arm="vanilla", over="whole", bar=0.05, must=False),
        Claim(text="a divergence is needed: without it less of the entropy is left", metric="entropy", arm="vanilla",
              over="free", bar=0.05, must=False),
        Claim(text="a strong one costs", metric="in", arm="vanilla", over="held", bar=0.0, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
