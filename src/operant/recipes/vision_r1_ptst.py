"""Vision-R1 (Huang): after a cold start that thinks too long, a limit on length that rises (PTST)."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, Arm, Stage, Study

HARD = {"rewarded": "hard", "form": 0.0}
LIMITS = ((24, 16), (40, 8), (64, 4))
"""Tokens and answers to each question of the three stages: 4K × 16, 8K × 8 and 16K × 4 in the paper."""


def limited(tokens: int, samples: int, share: float = 1.0, asked: dict[str, str] | None = None) -> Stage:
    """GRPO with a limit; what is cut has no answer, and earns nothing."""
    settings = {"sampling.max_tokens": tokens, "algo.samples": samples}
    return Stage(asked={**HARD, **(asked or {})}, settings=settings, share=share)


def rising(asked: dict[str, str] | None = None) -> list[Stage]:
    """The stages of PTST."""
    return [limited(*limit, share=1 / len(LIMITS), asked=asked) for limit in LIMITS]


STUDY = Study(
    asked={"heads": "count attribute", "hops": -1, "mode": "think"},
    arms={
        "base": Arm("the cold start: traces that look twice, wherever it was of use"),
        "ptst": Arm("the limit rises from 24 over 40 to 64 tokens", rising()),
        "long": Arm("64 tokens throughout", [limited(64, 8)]),
        "short": Arm("24 tokens throughout", [limited(24, 8)]),
        "concise": Arm("imitates traces that look once, then as ptst", [Stage("sft", share=0.1), *rising()]),
        "sft": Arm("imitates traces that look once", [Stage("sft")]),
        "shuffled": Arm("as ptst, paid for other questions' answers", rising(SHUFFLED)),
    },
    shown={"heads": "count attribute exist", "hops": -1, "looks": 0.9, "noise": 0.5, "split": "cogent-a cogent-b"},
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm in the split that it learns from and in the other, and the tokens that it takes."""
    return STUDY(t)


RECIPE = Recipe(
    name="vision-r1-ptst",
    title="Vision-R1: a limit on length that rises",
    source="Huang et al. (2025), Vision-R1: incentivizing reasoning capability in multimodal large language models, "
    "arXiv:2503.06749",
    paper="Qwen2.5-VL-7B imitated 200,000 traces of a model of text that read pictures through what another had said "
    "of them, and thought too long: 44.5 on average, 50.7 by reinforcement without a cold start. Progressive thinking "
    "suppression, GRPO under a limit on length that rises as fewer answers are taken, paid where answer and form are "
    "right, made it 73.5 on MathVista; without the cold start it gained 1.1.",
    here="Counts and attributes through none to two relations, in pictures of 32 pixels. The base, of 0.5 million "
    "parameters, is the cold start: nine of ten of its traces look twice. Three stages of 50 steps with 16, 8 and 4 "
    "answers to each of 32 questions; a limit throughout has 8.",
    mechanism="The limit: a trace that it cuts earns nothing, so that short right ones are what is learnt first. "
    "`long` never cuts.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "long", "short", "shuffled"),
    claims=(
        Claim(text="it gains on the cold start", metric="in", arm="ptst", over="base", bar=0.1),
        Claim(text="answers have their form", metric="in format", arm="ptst", bar=0.95),
        Claim(text="shuffled rewards teach nothing", metric="in", arm="shuffled", over="base", bar=0.05, most=True),
        Claim(text="it gains on the long limit throughout", metric="in", arm="ptst", over="long", bar=0.03,
              must=False),
        Claim(text="with 0.7 of its tokens", metric="in tokens", arm="ptst", over="long", ratio=True, bar=0.7,
              most=True, must=False),
        Claim(text="it gains on the short limit throughout", metric="in", arm="ptst", over="short", bar=0.02,
              must=False),
        Claim(text="after a cold start that is not too long it gains less", metric="in", arm="ptst", over="concise",
              bar=0.0, must=False),
        Claim(text="in other compositions it does better than imitation", metric="out", arm="ptst", over="sft",
              bar=0.05, must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
