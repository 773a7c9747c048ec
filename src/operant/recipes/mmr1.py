"""MMR1: questions are drawn by how much their answers differ (variance-aware sampling)."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, Arm, Stage, Study

POOL = {"train": 600}
"""Questions, which 150 steps go through eight times."""
VARIANCE = {"algo.variance_share": 0.5}
STUDY = Study(
    asked={"heads": "count attribute exist relation", "hops": -1, "mode": "think"},
    arms={
        "base": Arm("the small base"),
        "variance": Arm("half of the questions by their variance", [Stage(asked=POOL, settings=VARIANCE)]),
        "uniform": Arm("all in turn", [Stage(asked=POOL)]),
        "fewer": Arm("by variance, 0.7 of the steps", [Stage(asked=POOL, settings=VARIANCE, share=0.7)]),
        "replaced": Arm("in turn, groups without a contrast are replaced",
                        [Stage(asked=POOL, settings={"algo.resample": 4})]),
        "sft": Arm("imitates right traces of the pool", [Stage("sft", {"demonstrations": POOL["train"]})]),
        "shuffled": Arm("by variance, paid for other questions' answers",
                        [Stage(asked=POOL | SHUFFLED, settings=VARIANCE)]),
    },
    shown={"heads": "count attribute exist relation", "hops": -1, "split": "cogent-a cogent-b"},
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm in the split that it learns from and in the other, and its groups without a contrast."""
    return STUDY(t)


RECIPE = Recipe(
    name="mmr1",
    title="MMR1: questions by the variance of their answers",
    source="Leng et al. (2025), MMR1: enhancing multimodal reasoning with variance-aware sampling and open resources, "
    "arXiv:2509.21268",
    paper="Qwen2.5-VL-7B learnt mathematics in pictures by GRPO on questions that were drawn in part by a score: the "
    "variance of what their answers earned, and how different these were written, looked at anew at intervals. The "
    "variance bounds the size of the gradient from below. MathVista 71.0 (67.5 before), MathVision 30.2, LogicVista "
    "50.8 for its first release.",
    here="600 questions about pictures of 32 pixels, from `Is there a red thing?` to counts through two relations, so "
    "that some are always right and some never. A question's score is that of its last group, and costs nothing. The "
    "base, of 0.5 million parameters, has 15 % of its answers wrong. 150 steps of 32 questions and 8 answers.",
    mechanism="Half of each step's questions are drawn in proportion to their score. `uniform` draws all in turn, and "
    "spends answers on groups that have no gradient.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "uniform", "shuffled"),
    claims=(
        Claim(text="groups without a contrast fall by three tenths", metric="no contrast", arm="variance",
              over="uniform", ratio=True, bar=0.7, most=True),
        Claim(text="it gains on the base", metric="in", arm="variance", over="base", bar=0.1),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="with 0.7 of the answers it is as good as all in turn", metric="in", arm="fewer", over="uniform",
              bar=0.0, must=False),
        Claim(text="with as many it is better", metric="in", arm="variance", over="uniform", bar=0.02, must=False),
        Claim(text="also in other compositions", metric="out", arm="variance", over="uniform", bar=0.02, must=False),
        Claim(text="replacing groups, which takes more answers, is no better", metric="in", arm="variance",
              over="replaced", bar=-0.01, must=False),
        Claim(text="in other compositions it does better than imitation", metric="out", arm="variance", over="sft",
              bar=0.05, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
