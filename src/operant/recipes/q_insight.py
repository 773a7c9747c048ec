"""Q-Insight: how much a picture is spoilt and by what, learnt together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.reward.number import number
from operant.language.task.task import Task
from operant.recipes.answers import answer, by_kind
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, THINK, Arm, Stage, Study


def compared(task: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """What answers of each kind are worth, and how many pairs of pictures of different levels their levels order
    rightly; a pair that is told alike, or not at all, counts a half."""
    told = [(float(task.test[r.prompt_id].gold), number(answer(task, r) or "")) for r in rows
            if r.mode == "greedy" and task.test[r.prompt_id].metadata["kind"] == "level"]  # fmt: skip
    right = [0.5 if x is None or y is None or x == y else float((x < y) == (a < b))
             for (a, x), (b, y) in combinations(told, 2) if a != b]  # fmt: skip
    return {"kind": 0.0, "level": 0.0, **by_kind(task, rows), "order": sum(right) / len(right) if right else 0.5}


STUDY = Study(
    asked={"heads": "kind level", "rewarded": "exact near", "mode": "think"},
    arms={
        "base": Arm("the small base"),
        "joint": Arm("GRPO on both questions", [Stage()]),
        "level": Arm("on the level alone", [Stage(asked={"heads": "level", "rewarded": "near"})]),
        "kind": Arm("on the kind alone", [Stage(asked={"heads": "kind", "rewarded": "exact"})]),
        "sft": Arm("imitates right traces of both", [Stage("sft")]),
        "direct": Arm("GRPO on both, the answer alone", [Stage()], THINK | {"mode": "direct"}),
        "shuffled": Arm("paid for other questions' answers", [Stage(asked=SHUFFLED)]),
    },
    shown={"heads": "kind level", "split": "cogent-a cogent-b", "noise": 0.3},
    also=compared,
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm of both questions and of each, and of pairs that are ordered by the levels it tells."""
    return STUDY(t)


RECIPE = Recipe(
    name="q-insight",
    title="Q-Insight: how much a picture is spoilt, and by what",
    source="Li et al. (2025), Q-Insight: understanding image quality via visual reinforcement learning, "
    "arXiv:2503.22679",
    paper="Qwen2.5-VL-7B learnt by one GRPO to score pictures, paid where the score was near enough to people's, and "
    "to say what had spoilt them, and how much. Each task helped the other, and pairs could be compared without "
    "having been trained on.",
    here="Pictures of 32 pixels that are blurred, noisy, went through JPEG or are dark, in levels from 1 to 5; a level "
    "is right where it is told. The base, of 0.5 million parameters, imitated answers of which 30 % were wrong. Two "
    "pictures are compared by the levels that are told of them.",
    mechanism="Both questions stand in one batch, each paid by its own rule. `level` and `kind` learn one of them in "
    "as many steps.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "level", "kind", "shuffled"),
    claims=(
        Claim(text="levels are told better than by the base", metric="in level", arm="joint", over="base", bar=0.1),
        Claim(text="so are kinds", metric="in kind", arm="joint", over="base", bar=0.05),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="three of four pairs are ordered", metric="in order", arm="joint", bar=0.75, must=False),
        Claim(text="kinds help with levels", metric="in level", arm="joint", over="level", bar=0.0, must=False),
        Claim(text="levels help with kinds", metric="in kind", arm="joint", over="kind", bar=0.0, must=False),
        Claim(text="on other scenes it tells better than by imitation", metric="out", arm="joint", over="sft",
              bar=0.03, must=False),
        Claim(text="thinking is worth it", metric="in", arm="joint", over="direct", bar=0.0, must=False),
    ),
    trial=trial,
    minutes=60.0,
)  # fmt: skip
