"""VLM-R1: detection by rewards, what a list of guesses earns, and places that words refer to."""

from __future__ import annotations

from operant.recipes.boxes import listed
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, Arm, Stage, Study

FIND = {"heads": "detect", "rewarded": "precision"}
REFER = {"heads": "refer", "rewarded": "overlap"}
STUDY = Study(
    arms={
        "base": Arm("the small base lists boxes", asked=FIND),
        "sft": Arm("imitates right lists", [Stage("sft")], FIND),
        "length-aware": Arm("mAP times boxes there over boxes said", [Stage()], FIND),
        "plain": Arm("mAP alone, as it was published", [Stage(asked={"rewarded": "precision-published"})], FIND),
        "shuffled": Arm("paid for other questions' boxes", [Stage(asked=SHUFFLED)], FIND),
        "refer-base": Arm("the small base says where one thing is", asked=REFER),
        "refer-sft": Arm("imitates right places", [Stage("sft")], REFER),
        "refer-rl": Arm("paid for the overlap", [Stage()], REFER),
    },
    shown={"heads": "refer detect segment", "split": "cogent-a cogent-b"},
    also=listed,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """What an arm's lists are worth by the length-aware reward, by mAP alone, and how long they are."""
    return STUDY(t)


RECIPE = Recipe(
    name="vlm-r1",
    title="VLM-R1: detection, and a reward that long lists do not raise",
    source="Shen et al. (2025), VLM-R1: a stable and generalizable R1-style large vision-language model, "
    "arXiv:2504.07615",
    paper="Qwen2.5-VL-3B learnt by GRPO where words refer to, paid for the overlap, and which boxes a class has. Out "
    "of its domain (LISA) it rose with the steps of reinforcement while imitation fell a little. Paid by mAP alone "
    "it listed ever more boxes; a factor for their number ended that.",
    here="Boxes in pixels of pictures of 32, of all things that a colour or a shape names, or of one. A base of 0.5 "
    "million parameters, made once, imitated both splits' lists with 15 % of them wrong. 150 steps on split A. The "
    "answer is given at once; the paper's thinks first.",
    mechanism="The factor min(1, boxes there / boxes said). Without it (`plain`) a box after the last right one "
    "costs nothing.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "plain", "shuffled", "refer-base"),
    claims=(
        Claim(text="mAP alone is hacked: boxes said for each there", metric="in boxes", arm="plain", bar=1.5),
        Claim(text="the length-aware reward is not", metric="in boxes", arm="length-aware", bar=1.1, most=True),
        Claim(text="at no lower mAP", metric="in precision", arm="length-aware", over="plain", bar=0.0, must=False),
        Claim(text="where one thing is: overlap over the base", metric="in", arm="refer-rl", over="refer-base",
              bar=0.1),
        Claim(text="out of its split it finds better than by imitation", metric="out", arm="refer-rl",
              over="refer-sft", bar=0.05, must=False),
        Claim(text="so do lists", metric="out", arm="length-aware", over="sft", bar=0.05, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
