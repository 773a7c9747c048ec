"""LMM-R1: reinforcement on text alone first, then on pictures."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, SPLITS, Arm, Stage, Study

WORDS = {"shown": "words"}
HALF = 0.5
STUDY = Study(
    asked={"heads": "count attribute", "hops": 1, "mode": "think"},
    arms={
        "base": Arm("the small base"),
        "text-first": Arm("half on words alone, half on pictures", [Stage(asked=WORDS, share=HALF), Stage(share=HALF)]),
        "pictures": Arm("all on pictures", [Stage()]),
        "text": Arm("all on words alone", [Stage(asked=WORDS)]),
        "sft": Arm("imitates right traces of pictures", [Stage("sft")]),
        "shuffled": Arm(
            "half on words, paid for other questions' answers, half on pictures",
            [Stage(asked=WORDS | SHUFFLED, share=HALF), Stage(share=HALF)],
        ),
    },
    places={**SPLITS, "words": {"split": "cogent-a", **WORDS}},
    shown={"heads": "count attribute exist", "hops": -1, "shown": "photo words", "split": "cogent-a cogent-b"},
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm on pictures of the split that it learns from and of the other, and on words alone."""
    return STUDY(t)


RECIPE = Recipe(
    name="lmm-r1",
    title="LMM-R1: text first, then pictures",
    source="Peng et al. (2025), LMM-R1: empowering 3B LMMs with strong reasoning abilities through two-stage "
    "rule-based RL, arXiv:2503.07536",
    paper="Qwen2.5-VL-3B learnt to reason from text alone by rewards, of which there is plenty and of good quality, "
    "and then went on with pictures; it gained 4.8 points on average on pictures and 4.5 on text. Learning on "
    "pictures alone had hurt its reasoning.",
    here="Counts and attributes of things through one relation (`How many red things are left of the square?`), of "
    "pictures of 32 pixels, or of the same scenes told in words, cell by cell. The base, of 0.5 million parameters, "
    "answers both, with up to two relations, 15 % wrongly. 150 steps in all, however they are divided.",
    mechanism="The first half is learnt without a picture: no gradient reaches what reads pixels.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "pictures", "shuffled"),
    claims=(
        Claim(text="text first, then pictures gains on the base", metric="in", arm="text-first", over="base", bar=0.1),
        Claim(text="answers have their form", metric="in format", arm="text-first", bar=0.95),
        Claim(text="on pictures it gains more than by pictures alone, at equal steps", metric="in", arm="text-first",
              over="pictures", bar=0.02, must=False),
        Claim(text="also in other compositions", metric="out", arm="text-first", over="pictures", bar=0.02, must=False),
        Claim(text="what words alone teach helps with pictures", metric="in", arm="text", over="base", bar=0.02,
              must=False),
        Claim(text="it keeps more of what it could do with words", metric="words", arm="text-first", over="pictures",
              bar=0.05, must=False),
        Claim(text="out of its split it gains more than imitation", metric="out", arm="text-first", over="sft",
              bar=0.05, must=False),
    ),
    trial=trial,
    minutes=60.0,
)  # fmt: skip
