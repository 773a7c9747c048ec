"""UI-R1: what to do on a screen, and where, from a hundred and thirty-six screens."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.task.task import Task
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, THINK, Arm, Stage, Study

FEW = 136
"""Screens to learn from, as many as the paper had."""
LEARN = {"train": FEW}


def acted(_: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """The share of greedy answers that do the right thing in the right place, and that do it anywhere."""
    worth = [row.rewards["correct"] for row in rows if row.mode == "greedy"]
    return {"whole": fmean(float(x == 1.0) for x in worth), "action": fmean(float(x > 0.0) for x in worth)}


STUDY = Study(
    asked={"heads": "act", "rewarded": "act"},
    arms={
        "base": Arm("the small base, asked to think", asked=THINK),
        "sft": Arm("imitates right actions on as many screens", [Stage("sft", {"demonstrations": FEW})]),
        "rl-think": Arm("GRPO, thinks first", [Stage(asked=LEARN)], THINK),
        "rl-direct": Arm("GRPO, the action alone", [Stage(asked=LEARN)]),
        "apart": Arm(
            "action and place are paid apart, as published", [Stage(asked=LEARN | {"rewarded": "act-published"})], THINK
        ),
        "shuffled": Arm("paid for other screens' actions", [Stage(asked=LEARN | SHUFFLED)], THINK),
    },
    shown={"heads": "act", "split": "cogent-a cogent-b", "noise": 0.3},
    also=acted,
    steps=75,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """What an arm's actions are worth on light screens and on dark ones, how many are whole, and how many are right
    but for their place."""
    return STUDY(t)


RECIPE = Recipe(
    name="ui-r1",
    title="UI-R1: what to do on a screen, and where",
    source="Lu et al. (2025), UI-R1: enhancing efficient action prediction of GUI agents by reinforcement learning, "
    "arXiv:2503.21620",
    paper="Qwen2.5-VL-3B learnt from 136 tasks on screens of telephones, of five kinds of action, by GRPO, paid for "
    "the action, for a click within the right box, and for the form: 22.1 points more on ScreenSpot, 6.0 on "
    "ScreenSpot-Pro, 12.7 on AndroidControl.",
    here=f"Screens of 32 pixels with 3 to 7 buttons, fields, boxes to tick and links in eight colours, an order what "
    f"to do with one of them, and five actions; where what is meant is not there, the screen is scrolled. {FEW} light "
    f"screens with widgets in rows to learn from, 75 steps; dark ones with widgets anywhere are asked as well. The "
    f"base, of 0.5 million parameters, saw both, and 30 % wrong actions.",
    mechanism="The place is paid where the action is right: a half for the action, a half for the point in its box. "
    "`apart` pays the two apart, so that a point is paid at which another action is done.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "apart", "shuffled"),
    claims=(
        Claim(text="from so few screens it acts better than the base", metric="in whole", arm="rl-think", over="base",
              bar=0.15),
        Claim(text="answers have their form", metric="in format", arm="rl-think", bar=0.95),
        Claim(text="shuffled rewards teach nothing", metric="in whole", arm="shuffled", over="base", bar=0.05,
              most=True),
        Claim(text="on other screens it acts better than by imitation", metric="out whole", arm="rl-think", over="sft",
              bar=0.05, must=False),
        Claim(text="the action alone is no worse than thinking", metric="out whole", arm="rl-direct", over="rl-think",
              bar=0.0, must=False),
        Claim(text="terms that are paid apart teach less", metric="in whole", arm="rl-think", over="apart", bar=0.02,
              must=False),
    ),
    trial=trial,
    minutes=60.0,
)  # fmt: skip
