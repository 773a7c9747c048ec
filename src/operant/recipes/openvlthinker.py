"""OpenVLThinker: cycles of imitation and reinforcement, in which each model writes what the next one imitates."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, Arm, Stage, Study

FROZEN = {"model.tower": "frozen", "algo.beta": 0.01}
HARD = {"hops": 2}
COLD, RL = 0.1, 0.115
"""Shares of the steps: of a cycle's imitation, and of each of its two parts of reinforcement."""


def cycle(number: int, asked: dict[str, str] | None = None) -> list[Stage]:
    """Imitation, of a teacher who misreads in the first cycle and of the last model after it, then medium questions
    with what reads pixels frozen, then hard ones."""
    paid = {"form": 0.0, **(asked or {})}
    first = Stage("sft", {"lossy": 0.2}, share=COLD) if number == 1 else Stage("sft", share=COLD, rewritten=True)
    return [first, Stage(asked=paid, settings=FROZEN, share=RL), Stage(asked=HARD | paid, share=RL)]


STUDY = Study(
    asked={"heads": "count attribute exist", "hops": 1, "mode": "think"},
    arms={
        "base": Arm("the small base"),
        "first": Arm("imitates the teacher who misreads", cycle(1)[:1]),
        "one": Arm("one cycle", cycle(1)),
        "three": Arm("three cycles", [*cycle(1), *cycle(2), *cycle(3)]),
        "sft": Arm("imitates the teacher for as many steps", [Stage("sft", {"lossy": 0.2})]),
        "rl": Arm("reinforcement for as many steps", [Stage(asked={"form": 0.0}, settings=FROZEN, share=0.5),
                                                      Stage(asked=HARD | {"form": 0.0}, share=0.5)]),
        "shuffled": Arm("three cycles, paid for other questions' answers",
                        [stage for k in (1, 2, 3) for stage in cycle(k, SHUFFLED)]),
    },
    places={"in": {"split": "cogent-a"}, "out": {"split": "cogent-b"}, "hard": {"split": "cogent-a", **HARD}},
    shown={"heads": "count attribute exist", "hops": -1, "split": "cogent-a cogent-b", "lossy": 0.2},
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm in the split that it learns from, in the other, and on hard questions."""
    return STUDY(t)


RECIPE = Recipe(
    name="openvlthinker",
    title="OpenVLThinker: cycles of imitation and reinforcement",
    source="Deng et al. (2025), OpenVLThinker: complex vision-language reasoning via iterative SFT-RL cycles, "
    "arXiv:2503.17352",
    paper="Qwen2.5-VL-7B imitated traces of a model of text that read captions, which lost what the captions had lost, "
    "then learnt by GRPO on medium and on hard questions, paid for the answer; what it answered rightly was imitated "
    "in the next cycle. After three, MathVista +3.8, EMMA +2.4, HallusionBench +1.6; the first imitation had hurt.",
    here="Counts, attributes and existence through one relation, hard ones through two, in pictures of 32 pixels. The "
    "teacher of the first cycle takes a fifth of the things for others. From the second on the base begins anew and "
    "imitates the last model's right answers to new questions. 150 steps in all, a tenth of them each imitation. An "
    "arm that is stopped goes on behind its last stage. What reads pixels is frozen on medium questions.",
    mechanism="What reinforcement made better is written down and imitated from the base: `one` stops before that, "
    "`rl` never imitates, `sft` never is paid.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "rl", "sft", "shuffled"),
    claims=(
        Claim(text="three cycles gain on the base", metric="in", arm="three", over="base", bar=0.1),
        Claim(text="paid for other answers, cycles gain less", metric="in", arm="shuffled", over="three", bar=-0.05,
              most=True),
        Claim(text="three cycles gain on one", metric="in", arm="three", over="one", bar=0.03, must=False),
        Claim(text="and on imitation for as many steps", metric="in", arm="three", over="sft", bar=0.03, must=False),
        Claim(text="and on reinforcement for as many steps", metric="in", arm="three", over="rl", bar=0.03, must=False),
        Claim(text="so they do on hard questions", metric="hard", arm="three", over="rl", bar=0.03, must=False),
        Claim(text="the first imitation alone hurts", metric="in", arm="first", over="base", bar=0.0, most=True,
              must=False),
    ),
    trial=trial,
    minutes=120.0,
)  # fmt: skip
