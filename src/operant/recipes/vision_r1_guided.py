"""Vision-R1 (Zhan): boxes are paid by criteria whose threshold tightens while they are learnt."""

from __future__ import annotations

from operant.recipes.boxes import listed
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, Arm, Stage, Study


def by(*criteria: str) -> list[Stage]:
    """GRPO by criteria, one after the other, for as many steps each."""
    return [Stage(asked={"rewarded": name}, share=1 / len(criteria)) for name in criteria]


STUDY = Study(
    asked={"heads": "detect", "rewarded": "precision"},
    arms={
        "base": Arm("the small base lists boxes"),
        "progressive": Arm("overlaps above a half count, then above three quarters", by("criteria-50", "criteria-75")),
        "loose": Arm("above a half throughout", by("criteria-50")),
        "tight": Arm("above three quarters throughout", by("criteria-75")),
        "summed": Arm("criteria are summed, as published, above a half", by("criteria-published")),
        "sft": Arm("imitates right lists", [Stage("sft")]),
        "shuffled": Arm("paid for other questions' boxes", [Stage(asked={"rewarded": "criteria-50", **SHUFFLED})]),
    },
    shown={"heads": "refer detect segment", "split": "cogent-a cogent-b"},
    also=listed,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """What an arm's lists are worth by mAP and their length, by mAP alone, and how long they are."""
    return STUDY(t)


RECIPE = Recipe(
    name="vision-r1-guided",
    title="Vision-R1: criteria for boxes that tighten",
    source="Zhan et al. (2025), Vision-R1: evolving human-free alignment in large vision-language models via "
    "vision-guided reinforcement learning, arXiv:2503.18013",
    paper="Griffon and Qwen2.5-VL-7B learnt to find things by GRPO without people's preferences: paid for the form of "
    "their boxes, for how many of the things they found, and for how well they fit; in the second half of training "
    "the overlap that counts was raised. Qwen2.5-VL gained by up to a half.",
    here="Boxes in pixels of pictures of 32, of all things that a colour or a shape names. The base, of 0.5 million "
    "parameters, imitated both splits' lists with 15 % of them wrong. 75 steps above an overlap of a half, 75 above "
    "three quarters. The criteria are multiplied; summed, as published, a list of boxes everywhere is paid its recall. "
    "All arms are measured by mAP with a factor for length.",
    mechanism="The threshold moves: what counted at first earns nothing later. `loose` and `tight` keep one.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "loose", "tight", "summed", "shuffled"),
    claims=(
        Claim(text="lists are worth more than the base's", metric="in", arm="progressive", over="base", bar=0.1),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="lists are not longer than what is there", metric="in boxes", arm="progressive", bar=1.2, most=True),
        Claim(text="it is more precise than a loose threshold", metric="in precision", arm="progressive", over="loose",
              bar=0.02, must=False),
        Claim(text="and than a tight one", metric="in precision", arm="progressive", over="tight", bar=0.02,
              must=False),
        Claim(text="summed criteria pay for long lists", metric="in boxes", arm="summed", over="progressive", bar=0.2,
              must=False),
        Claim(text="in other compositions it does better than imitation", metric="out", arm="progressive", over="sft",
              bar=0.05, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
