"""Reason-RFT: a few traces are imitated, then reinforcement, on counts, figures and changes between pictures."""

from __future__ import annotations

from operant.recipes.answers import by_kind
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, THINK, Arm, Stage, Study

HEADS = "count figure transform"
PAID = "exact tolerance calls"
COLD, REST = 0.1, 0.9
"""Shares of the steps of the two stages: 480 traces of the 4,800 questions."""
FIRST = Stage("sft", share=COLD)
STUDY = Study(
    asked={"heads": HEADS, "rewarded": PAID},
    arms={
        "base": Arm("the small base, asked to think", asked=THINK),
        "sft-answer": Arm("imitates right answers", [Stage("sft")]),
        "sft-trace": Arm("imitates right traces", [Stage("sft")], THINK),
        "zero": Arm("GRPO on the base", [Stage()], THINK),
        "rft": Arm("imitates a tenth of the traces, then GRPO", [FIRST, Stage(share=REST)], THINK),
        "ungraded": Arm(
            "the same, and changes are paid where they are whole",
            [FIRST, Stage(asked={"rewarded": "exact tolerance calls-whole"}, share=REST)], THINK,
        ),
        "shuffled": Arm("paid for other questions' answers", [FIRST, Stage(asked=SHUFFLED, share=REST)], THINK),
    },
    shown={"heads": HEADS, "split": "cogent-a cogent-b"},
    also=by_kind,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """What an arm's answers are worth in the split that it learns from and in the other, in all and by kind."""
    return STUDY(t)


RECIPE = Recipe(
    name="reason-rft",
    title="Reason-RFT: traces first, then reinforcement",
    source="Tan et al. (2025), Reason-RFT: reinforcement fine-tuning for visual reasoning, arXiv:2503.20752",
    paper="Qwen2-VL-2B and 7B imitated 1,600 written traces and then learnt by GRPO: counts, the structure of figures "
    "with a tolerance for numbers, and what was changed between two pictures, as calls that are paid in part. With "
    "less than a twentieth of the data it came to nine tenths of what imitation of all gave, and was best where the "
    "domain had shifted.",
    here="Counts of things, lengths and areas of figures on squares, and two changes between two pictures, of 32 "
    "pixels each. Split B has other compositions of colours and shapes, and figures with a corner cut out. The base, "
    "of 0.5 million parameters, saw both, with 15 % of the answers wrong. 150 steps of 32 questions in all.",
    mechanism="Two stages, and rewards in degrees: a change whose function and object are right pays a half. "
    "`ungraded` pays the whole call or nothing, `zero` has no first stage.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "zero", "ungraded", "shuffled"),
    claims=(
        Claim(text="it gains on the base", metric="in", arm="rft", over="base", bar=0.1),
        Claim(text="answers have their form", metric="in format", arm="rft", bar=0.95),
        Claim(text="shuffled rewards teach less", metric="in", arm="shuffled", over="rft", bar=-0.05, most=True),
        Claim(text="out of its split it does better than imitated traces", metric="out", arm="rft", over="sft-trace",
              bar=0.05, must=False),
        Claim(text="and than imitated answers", metric="out", arm="rft", over="sft-answer", bar=0.05, must=False),
        Claim(text="the first stage helps", metric="out", arm="rft", over="zero", bar=0.02, must=False),
        Claim(text="rewards in degrees teach changes better", metric="in transform", arm="rft", over="ungraded",
              bar=0.02, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
