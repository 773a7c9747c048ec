"""CLS-RL and No-Thinking-RL: few-shot classification by reinforcement, with thinking, without, and after the answer."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, THINK, Arm, Stage, Study

FEW = 44
"""Questions: four for each of eight colours and three shapes."""
LEARN = Stage(asked={"train": FEW}, settings={"algo.samples": 4})
STUDY = Study(
    asked={"heads": "attribute"},
    arms={
        "base-think": Arm("the small base, asked to think", asked=THINK),
        "base-direct": Arm("the small base, asked for the answer"),
        "sft": Arm("imitates the few right answers", [Stage("sft", {"demonstrations": FEW})]),
        "rl-think": Arm("CLS-RL: paid for the answer and its form", [LEARN], THINK),
        "rl-direct": Arm("No-Thinking-RL: paid where the completion is the answer", [LEARN]),
        "rl-after": Arm("the answer first, then how it was found", [LEARN], {"mode": "after"}),
        "rl-shuffled": Arm(
            "paid for other questions' answers", [Stage(asked=SHUFFLED | {"train": FEW})]
        ),
    },
    shown={"heads": "count exist relation attribute", "split": "cogent-a cogent-b"},
    steps=75,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm on the split of its few questions and on the other, and the seconds that it learnt."""
    return STUDY(t)


RECIPE = Recipe(
    name="cls-rl",
    title="Think or not think: classification by reinforcement",
    source="Li et al. (2025), Think or not think: a study of explicit thinking in rule-based visual reinforcement "
    "fine-tuning, arXiv:2503.16188",
    paper="Qwen2-VL-2B learnt eleven data sets from four pictures a class by GRPO with four answers each. Paid where "
    "the whole completion was the class's name, without any thinking, it classified better than with (by 3.1 points "
    "on average), in less time; on CVBench 76.8 against 70.4 %. On mathematics larger models still gained by "
    "thinking.",
    here=f"What colour, or what shape, is a thing that the question names? {FEW} questions, four a class, in "
    f"pictures of 32 pixels of split A; 75 steps go through them again and again. A base of 0.5 million parameters "
    f"answers these and three other kinds of question in both splits, 15 % of them wrongly. The study's adaptive "
    f"mode and its mathematics are left out.",
    mechanism="What is paid: with thinking the answer in its tags and the form, without it the whole completion "
    "alone. In `rl-shuffled` it is another question's answer.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base-think", "base-direct", "rl-shuffled"),
    claims=(
        Claim(text="without thinking it gains on the base", metric="in", arm="rl-direct", over="base-direct", bar=0.05),
        Claim(text="with thinking it gains on the base", metric="in", arm="rl-think", over="base-think", bar=0.05),
        Claim(text="thinking answers have their form", metric="in format", arm="rl-think", bar=0.95),
        Claim(text="no thinking is no worse than thinking", metric="in", arm="rl-direct", over="rl-think", bar=0.0,
              must=False),
        Claim(text="nor on compositions that were not trained on", metric="out", arm="rl-direct", over="rl-think",
              bar=0.0, must=False),
        Claim(text="and learns in 0.6 of the time", metric="seconds", arm="rl-direct", over="rl-think", ratio=True,
              bar=0.6, most=True, must=False),
        Claim(text="thinking after the answer is no worse than before it", metric="in", arm="rl-after",
              over="rl-think", bar=0.0, must=False),
        Claim(text="no thinking gains more than imitation of as few", metric="out", arm="rl-direct", over="sft",
              bar=0.03, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=60.0,
)  # fmt: skip
