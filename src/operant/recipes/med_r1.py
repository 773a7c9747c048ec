"""Med-R1 and MedVLM-R1: six hundred pictures of one apparatus, and what was learnt on those of others."""

from __future__ import annotations

from statistics import fmean

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, THINK, Arm, Stage, Study
from operant.vision.drawing import APPARATUS

FEW = 600
LEARN = {"train": FEW}


def unseen(numbers: Numbers) -> Numbers:
    """The mean over pictures of other apparatus."""
    return {"unseen": fmean(numbers.get(how, 0.0) for how in APPARATUS)}


STUDY = Study(
    asked={"heads": "count attribute"},
    arms={
        "base": Arm("the small base, asked to think", asked=THINK),
        "sft-answer": Arm("imitates right answers", [Stage("sft", {"demonstrations": FEW})]),
        "sft-trace": Arm("imitates right traces", [Stage("sft", {"demonstrations": FEW})], THINK),
        "rl-think": Arm("GRPO, thinks first", [Stage(asked=LEARN)], THINK),
        "rl-direct": Arm("GRPO, the answer alone", [Stage(asked=LEARN)]),
        "all": Arm("GRPO on pictures of every apparatus",
                   [Stage(asked=LEARN | {"shown": " ".join(("photo", *APPARATUS))})], THINK),
        "shuffled": Arm("paid for other questions' answers", [Stage(asked=LEARN | SHUFFLED)], THINK),
    },
    places={"in": {"shown": "photo"}, **{how: {"shown": how} for how in APPARATUS}},
    shown={"heads": "count attribute", "shown": " ".join(("photo", *APPARATUS)), "noise": 0.3},
    told=unseen,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm on photographs, and on negatives, edges and speckled pictures, which it does not learn
    from."""
    return STUDY(t)


RECIPE = Recipe(
    name="med-r1",
    title="Med-R1: from one apparatus to others",
    source="Pan et al. (2025), MedVLM-R1: incentivizing medical reasoning capability of vision-language models, "
    "arXiv:2502.19634; Lai et al. (2025), Med-R1, arXiv:2503.13939",
    paper="MedVLM-R1 learnt 600 questions about magnetic resonance pictures by GRPO: 78.2 % of questions over three "
    "apparatus, 55.1 before, and better than imitation on tomography and X-rays, which it had not seen. Med-R1, over "
    "eight, gained 29.9 points on its base; without rationales it did better still.",
    here=f"No clinical picture: scenes of 32 pixels as they are drawn, in negative, as edges, and speckled. {FEW} "
    f"questions about photographs, counts and attributes; the base, of 0.5 million parameters, saw all four, and 30 % "
    f"wrong answers. 150 steps. What becomes of medicine is not said.",
    mechanism="The reward knows the answer and not the apparatus: nothing but the pictures of the questions ties what "
    "is learnt to photographs. `all` learns from every apparatus.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "all", "shuffled"),
    claims=(
        Claim(text="on what it learns from it gains on the base", metric="in", arm="rl-think", over="base", bar=0.1),
        Claim(text="answers have their form", metric="in format", arm="rl-think", bar=0.95),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="on other apparatus it does better than imitated answers", metric="unseen", arm="rl-think",
              over="sft-answer", bar=0.05, must=False),
        Claim(text="and than imitated traces", metric="unseen", arm="rl-think", over="sft-trace", bar=0.05,
              must=False),
        Claim(text="the answer alone is no worse than thinking there", metric="unseen", arm="rl-direct",
              over="rl-think", bar=0.0, must=False),
        Claim(text="what it gains there comes near what every apparatus teaches", metric="unseen", arm="rl-think",
              over="all", bar=-0.05, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
