"""MM-Eureka: no divergence from the base, and only groups that are neither all right nor all wrong."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, Arm, Stage, Study

FREE = {"algo.beta": 0.0}
FILTER = FREE | {"algo.resample": 4}
FROZEN = FILTER | {"model.tower": "frozen"}
RLOO = {"algo.baseline": "leave_one_out", "algo.scale": "none", "algo.objective": "reinforce"}
STUDY = Study(
    asked={"heads": "count relation", "mode": "think", "form": 0.5},
    arms={
        "base": Arm("the small base"),
        "filtered": Arm("groups without a contrast are replaced", [Stage(settings=FILTER)]),
        "all": Arm("all groups", [Stage(settings=FREE)]),
        "divergence": Arm("replaced, and held to the base", [Stage(settings=FILTER | {"algo.beta": 0.04})]),
        "leave-one-out": Arm("replaced, against the others' mean", [Stage(settings=FILTER | RLOO)]),
        "frozen": Arm("replaced, what reads pixels is not trained", [Stage(settings=FROZEN)]),
        "shuffled": Arm("paid for other questions' answers", [Stage(asked=SHUFFLED, settings=FILTER)]),
    },
    shown={"heads": "count exist relation attribute", "mode": "mixed", "split": "cogent-a cogent-b"},
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm, the share of groups without a contrast, and what is left of its entropy."""
    return STUDY(t)


RECIPE = Recipe(
    name="mm-eureka",
    title="MM-Eureka: without a divergence, on groups that tell something",
    source="Meng et al. (2025), MM-Eureka: exploring the frontiers of multimodal reasoning with rule-based "
    "reinforcement learning, arXiv:2503.07365",
    paper="Qwen2.5-VL-7B learnt 15,000 questions of mathematics without a divergence from the base, with what reads "
    "pixels frozen, on groups of eight of which some answers were right and some wrong: MathVista 73.0 (+4.8), "
    "OlympiadBench 25.3 (+10.0). Returns against their group's deviation, or against the others' mean.",
    here="Counts and relations in pictures of 32 pixels, thinking first; the answer pays 1, its form a half. A group "
    "whose answers are all worth the same is replaced, in up to four rounds: of eight that is the paper's share of "
    "right ones between 0.1 and 0.9. 150 steps of 32 questions. ADORA, which scales groups by their lengths, is left "
    "out.",
    mechanism="The filter: a group without a contrast has no gradient, and its place in the step is wasted. `all` "
    "keeps it.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "all", "shuffled"),
    claims=(
        Claim(text="without a divergence it gains on the base", metric="out", arm="filtered", over="base", bar=0.1),
        Claim(text="it does not collapse: a tenth of the entropy is left", metric="entropy", arm="filtered", bar=0.1),
        Claim(text="and answers keep their form", metric="out format", arm="filtered", bar=0.9),
        Claim(text="the filter gains on all groups at equal steps", metric="out", arm="filtered", over="all", bar=0.02,
              must=False),
        Claim(text="a divergence costs accuracy", metric="out", arm="filtered", over="divergence", bar=0.0, must=False),
        Claim(text="the others' mean does as well as the group's deviation", metric="out", arm="leave-one-out",
              over="filtered", bar=-0.02, must=False),
        Claim(text="a frozen tower does as well", metric="out", arm="frozen", over="filtered", bar=-0.02, must=False),
    ),
    trial=trial,
    minutes=60.0,
)  # fmt: skip
