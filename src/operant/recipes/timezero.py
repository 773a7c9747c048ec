"""TimeZero (Time-R1): when in a film something is there, paid for the overlap of spans."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.task.task import Task
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import FILMS, SHUFFLED, THINK, Arm, Stage, Study


def recalled(_: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """R@0.5 and R@0.7: shares of greedy answers whose span overlaps the right one by more."""
    worth = [row.rewards["correct"] for row in rows if row.mode == "greedy"]
    return {f"R@{bar}": fmean(float(x > bar) for x in worth) for bar in (0.5, 0.7)}


STUDY = Study(
    asked=FILMS | {"heads": "interval", "rewarded": "span"},
    arms={
        "base": Arm("the small base, asked to think", asked=THINK),
        "sft": Arm("imitates right spans", [Stage("sft")]),
        "rl-think": Arm("GRPO, thinks first", [Stage()], THINK),
        "rl-direct": Arm("GRPO, the span alone", [Stage()]),
        "ungraded": Arm("paid where the overlap is above 0.9", [Stage(asked={"rewarded": "span-hit"})], THINK),
        "shuffled": Arm("paid for other films' spans", [Stage(asked=SHUFFLED)], THINK),
    },
    shown=FILMS | {"heads": "interval first", "split": "cogent-a cogent-b", "noise": 0.3},
    also=recalled,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """The overlap of an arm's spans with the right ones, in films of the split that it learns from and of the other,
    and how many overlap enough."""
    return STUDY(t)


RECIPE = Recipe(
    name="timezero",
    title="TimeZero: when something is there",
    source="Wang et al. (2025), TimeZero: temporal video grounding with reasoning-guided LVLM (later Time-R1), "
    "arXiv:2503.13377",
    paper="Qwen2.5-VL-7B learnt by GRPO to say from when to when in a film something happens, paid for the overlap of "
    "the spans in time and for thinking in its form; on Charades-STA it was the best of its time. A later study found "
    "it as good without thinking.",
    here="Films of eight frames of 16 pixels, each a picture, of two or three things that move, come late or leave "
    "early: in which frames is one of them there? The base, of 0.5 million parameters, imitated spans of which "
    "30 % were wrong. Split B has other compositions of colours and shapes; longer films are left out.",
    mechanism="The overlap is paid in degrees. `ungraded` pays one that is above 0.9 or nothing, so that most of a "
    "beginner's groups have no contrast.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "ungraded", "shuffled"),
    claims=(
        Claim(text="more spans overlap by half than the base's", metric="in R@0.5", arm="rl-think", over="base",
              bar=0.15),
        Claim(text="answers have their form", metric="in format", arm="rl-think", bar=0.95),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="in other compositions it does better than imitation", metric="out", arm="rl-think", over="sft",
              bar=0.05, must=False),
        Claim(text="overlap in degrees teaches better than a bar", metric="in", arm="rl-think", over="ungraded",
              bar=0.02, must=False),
        Claim(text="the span alone is no worse than thinking", metric="out", arm="rl-direct", over="rl-think", bar=0.0,
              must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
