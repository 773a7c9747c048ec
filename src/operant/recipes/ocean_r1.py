"""Ocean-R1: reasoning is learnt first and perception after it, and what of the first is forgotten."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, Arm, Stage, Study

REASON = {"heads": "count attribute relation", "hops": 1, "rewarded": "exact"}
SEE = {"heads": "refer", "hops": 0, "rewarded": "overlap"}
BOTH = {"heads": "count attribute relation refer", "hops": 1, "rewarded": "exact exact exact overlap"}
HALF = 0.5


def mean(numbers: Numbers) -> Numbers:
    """Of both tasks."""
    return {"mean": (numbers.get("in", 0.0) + numbers.get("see", 0.0)) / 2}


STUDY = Study(
    asked={"mode": "think"},
    arms={
        "base": Arm("the small base"),
        "reason-see": Arm("reasoning, then perception", [Stage(share=HALF), Stage(asked=SEE, share=HALF)]),
        "see-reason": Arm("perception, then reasoning", [Stage(asked=SEE, share=HALF), Stage(share=HALF)]),
        "mixed": Arm("both in every step", [Stage(asked=BOTH)]),
        "first": Arm("reasoning, the first half alone", [Stage(share=HALF)]),
        "reason": Arm("reasoning throughout", [Stage()]),
        "see": Arm("perception throughout", [Stage(asked=SEE)]),
        "shuffled": Arm("both stages, paid for other questions' answers",
                        [Stage(asked=SHUFFLED, share=HALF), Stage(asked=SEE | SHUFFLED, share=HALF)]),
    },
    places={"in": {"split": "cogent-a", **REASON}, "out": {"split": "cogent-b", **REASON},
            "see": {"split": "cogent-a", **SEE}},
    shown={"heads": "count attribute relation refer", "hops": -1, "split": "cogent-a cogent-b"},
    told=mean,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm on questions that need a step of reasoning, in two splits, and overlaps of its boxes."""
    return STUDY(t)


RECIPE = Recipe(
    name="ocean-r1",
    title="Ocean-R1: reasoning first, perception after it",
    source="Ming et al. (2025), Ocean-R1: an open and generalizable large vision-language model enhanced by "
    "reinforcement learning, github.com/VLM-RL/Ocean-R1",
    paper="Qwen2.5-VL-3B and 7B learnt by GRPO in two stages, questions of reasoning first and of perception after "
    "them: at 3B SuperCLEVR gained 23.2 points, GeoQA 17.5, referring expressions 10.2 and CVBench 9.3. One model was "
    "better than those that learn a single task.",
    here="Counts, attributes and relations through one relation in pictures of 32 pixels, then where a thing is, as a "
    "box. The base, of 0.5 million parameters, imitated both, 15 % of them wrong. 150 steps in all, however they are "
    "divided.",
    mechanism="The order of the two stages; `see-reason` has it turned round, `mixed` has none.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "see-reason", "mixed", "shuffled"),
    claims=(
        Claim(text="both tasks gain on the base", metric="mean", arm="reason-see", over="base", bar=0.05),
        Claim(text="answers have their form", metric="in format", arm="reason-see", bar=0.95),
        Claim(text="shuffled rewards teach nothing", metric="mean", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="the second stage costs the first task two points at most", metric="in", arm="reason-see",
              over="first", bar=-0.02, must=False),
        Claim(text="reasoning first is better than perception first", metric="mean", arm="reason-see",
              over="see-reason", bar=0.0, must=False),
        Claim(text="both in every step is better than reasoning alone", metric="mean", arm="mixed", over="reason",
              bar=0.0, must=False),
        Claim(text="and than perception alone", metric="mean", arm="mixed", over="see", bar=0.0, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
