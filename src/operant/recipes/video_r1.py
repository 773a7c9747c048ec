"""Video-R1: films in their order, and what is right is worth more where the order helped (T-GRPO)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.task.task import Task
from operant.recipes.answers import by_kind
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import FILMS, SHUFFLED, SPLITS, THINK, Arm, Stage, Study

IN_ORDER = ("first", "direction")
"""Questions that no single frame answers."""
BONUS = {"algo.order_bonus": 0.3}


def kinds(task: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """What answers of each kind are worth."""
    return {"first": 0.0, "direction": 0.0, "still": 0.0, **by_kind(task, rows)}


def gap(numbers: Numbers) -> Numbers:
    """How much accuracy on questions of order falls where frames are in another one."""
    there = [fmean(numbers.get(f"{place} {kind}", 0.0) for kind in IN_ORDER) for place in ("in", "mixed")]
    return {"gap": there[0] - there[1]}


STUDY = Study(
    asked=FILMS | THINK | {"heads": "first direction still"},
    arms={
        "base": Arm("the small base"),
        "t-grpo": Arm("GRPO, and 0.3 more where order helped", [Stage(settings=BONUS)]),
        "grpo": Arm("GRPO alone", [Stage()]),
        "sft": Arm("imitates right traces", [Stage("sft")]),
        "direct": Arm("with the bonus, the answer alone", [Stage(settings=BONUS)], {"mode": "direct"}),
        "shuffled": Arm("with the bonus, paid for other films' answers", [Stage(asked=SHUFFLED, settings=BONUS)]),
    },
    places={**SPLITS, "mixed": {"split": "cogent-a", "shuffled": "frames"}},
    shown=FILMS | {"heads": "first direction still interval", "split": "cogent-a cogent-b", "noise": 0.3},
    also=kinds,
    told=gap,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm by kind of question, in films of the split that it learns from, of the other, and with their
    frames in another order."""
    return STUDY(t)


RECIPE = Recipe(
    name="video-r1",
    title="Video-R1: films in their order",
    source="Feng et al. (2025), Video-R1: reinforcing video reasoning in MLLMs, arXiv:2503.21776",
    paper="Qwen2.5-VL-7B learnt from films and pictures by T-GRPO: each question is also answered with the frames "
    "shuffled, and right answers earn 0.3 more where those in order are good enough beside these. On VSI-Bench it came "
    "to 35.8 % in what was released (37.1 in the paper), above GPT-4o.",
    here="Films of eight frames of 16 pixels, each a picture, of two or three things that move, come late or leave "
    "early: which of two comes first, where does one move, and, to be told from one frame, what colour is it? The "
    "comparison is that of the released code (0.8 times the mean out of order is enough). The base, of 0.5 million "
    "parameters, imitated answers of which 30 % were wrong. The bonus for length is left out.",
    mechanism="The second group, out of order: where it does as well as the first, order has not helped, and right "
    "answers earn no more. `grpo` has none.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "grpo", "shuffled"),
    claims=(
        Claim(text="it gains on the base", metric="in", arm="t-grpo", over="base", bar=0.1),
        Claim(text="answers have their form", metric="in format", arm="t-grpo", bar=0.95),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="questions of order lose more out of order than without the bonus", metric="gap", arm="t-grpo",
              over="grpo", bar=0.1, must=False),
        Claim(text="what one frame tells is told as well", metric="in still", arm="t-grpo", over="grpo", bar=-0.02,
              must=False),
        Claim(text="in other compositions it does better than imitation", metric="out", arm="t-grpo", over="sft",
              bar=0.05, must=False),
        Claim(text="thinking is worth it", metric="in", arm="t-grpo", over="direct", bar=0.0, must=False),
    ),
    trial=trial,
    minutes=120.0,
)  # fmt: skip
