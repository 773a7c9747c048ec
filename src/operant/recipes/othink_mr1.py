"""OThink-MR1: a divergence that weighs little at first and more at the end (GRPO-D)."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, SPLITS, Arm, Stage, Study


def held(beta: float, schedule: str = "constant") -> list[Stage]:
    """GRPO with a divergence of this weight."""
    return [Stage(settings={"algo.beta": beta, "algo.beta_schedule": schedule})]


STUDY = Study(
    asked={"heads": "count", "mode": "think"},
    arms={
        "base": Arm("the small base"),
        "rising": Arm("a weight that rises evenly from 0 to 0.08", held(0.08, "rising")),
        "cosine": Arm("one that rises by a half cosine", held(0.08, "cosine")),
        "falling": Arm("one that falls from 0.08 to 0", held(0.08, "linear")),
        "none": Arm("no divergence", held(0.0)),
        "weak": Arm("0.01 throughout", held(0.01)),
        "constant": Arm("0.04 throughout, the mean of those that move", held(0.04)),
        "strong": Arm("0.08 throughout", held(0.08)),
        "sft": Arm("imitates right traces", [Stage("sft")]),
        "shuffled": Arm("rising, paid for other questions' answers",
                        [Stage(asked=SHUFFLED, settings=held(0.08, "rising")[0].settings)]),
    },
    places={**SPLITS, "other": {"split": "cogent-a", "heads": "figure", "rewarded": "tolerance"}},
    shown={"heads": "count figure", "split": "cogent-a cogent-b"},
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm on counts of the split that it learns from and of the other, and on figures."""
    return STUDY(t)


RECIPE = Recipe(
    name="othink-mr1",
    title="OThink-MR1: a divergence that grows",
    source="Liu et al. (2025), OThink-MR1: stimulating multimodal generalized reasoning capabilities via dynamic "
    "reinforcement learning, arXiv:2503.16081",
    paper="Qwen2-VL-2B learnt counts or geometry by GRPO whose divergence weighed little at first, for exploration, "
    "and more later: 5.7 % better than imitation and 13.6 % better than GRPO on the task that it learnt; on the task "
    "that it did not learn 61.6 % better than imitation.",
    here="Counts in pictures of 32 pixels; the other task is lengths and areas of figures, which the base, of 0.5 "
    "million parameters, has imitated as well, and which nothing then teaches. The paper's schedule is not known here: "
    "an even rise and a half cosine stand for it, against four constant weights and one that falls. 150 steps; the "
    "way back, from figures to counts, is left out.",
    mechanism="The weight of the divergence moves: 0 at the first step, 0.08 at the last. `constant` has the mean of "
    "that throughout, `falling` the same turned round.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "constant", "falling", "none", "shuffled"),
    claims=(
        Claim(text="it gains on the base", metric="in", arm="rising", over="base", bar=0.1),
        Claim(text="answers have their form", metric="in format", arm="rising", bar=0.95),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        *(Claim(text=f"it is no worse than {what}", metric="in", arm="rising", over=arm, bar=-0.01, must=False)
          for arm, what in (("constant", "the mean weight throughout"), ("none", "no divergence"),
                            ("weak", "a weak one"), ("strong", "a strong one"))),
        Claim(text="early exploration is what helps: it beats the weight that falls", metric="in", arm="rising",
              over="falling", bar=0.0, must=False),
        Claim(text="on the task that is not learnt it keeps more than imitation", metric="other", arm="rising",
              over="sft", bar=0.05, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
