"""Learning to summarise from preferences: imitation, a reward model, PPO, and a win rate that length does not buy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from operant.api import Run, train
from operant.config.write import json_text
from operant.data.stats import length_controlled
from operant.data.streams import Streams
from operant.language.model.small_base import small_base
from operant.language.settings.runs import BaseConfig
from operant.language.task.load import load_task
from operant.language.task.task import Task
from operant.recipes.answers import answers
from operant.recipes.claims import Claim
from operant.recipes.posts import make, worth
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.stages import in_stages

TASK = f"{make.__module__}:make"
BASE = BaseConfig(width=96, layers=3, examples=30_000, batch=64)
TINY = BaseConfig(width=16, layers=1, heads=2, examples=64)
COMPARED, STEPS = 2_000, 100
SHARP, LONGER = 4.0, 0.05
"""Of whoever compares: how much a difference in worth weighs, and a letter more."""
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("imitates what careless people wrote", {}),
    "ppo": ("PPO on a reward model, near the imitation", {}),
    "far": ("without a penalty on the distance from it", {"algo.beta": 0.0}),
    "shuffled": ("the reward model learnt from comparisons that chance made", {}),
}


def prefers(a: str, b: str, gold: Sequence[str]) -> float:
    """The probability that whoever compares prefers the first: better ones, and longer ones."""
    margin = SHARP * (worth(a, gold) - worth(b, gold)) + LONGER * (len(a) - len(b))
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, margin))))


def compared(t: Trial, task: Task, model: str) -> Path:
    """A file of pairs of a model's samples, in the order that somebody prefers, or that chance does."""
    questions = task.train[: 8 if t.miniature else COMPARED]
    rows = [r for r in answers(model, replace(task, test=questions), {}, 2, None) if r.mode == "sampled"]
    random, file, said = Streams(t.seed).numpy("summarise/compared"), t.folder / "pairs.jsonl", dict[int, list[str]]()
    for row in rows:
        said.setdefault(row.prompt_id, []).append(row.completion)
    with file.open("w", encoding="utf-8") as out:
        for i, (a, b) in said.items():
            first = random.random() < (0.5 if t.arm == "shuffled" else prefers(a, b, questions[i].gold))
            chosen, rejected = (a, b) if first else (b, a)
            if a != b:
                out.write(json_text({"prompt": questions[i].prompt, "chosen": chosen, "rejected": rejected}) + "\n")
    return file


def trial(t: Trial) -> Numbers:
    """What an arm's greedy summaries are worth, and how often they are preferred to the imitation's, also at equal
    length."""
    shown = {"demonstrations": 48, "test": 8} if t.miniature else {}
    task = load_task(TASK, shown)
    base = str(small_base(task, TINY if t.miniature else BASE, {"id": TASK, "options": shown}, say=t.say))
    shared: dict[str, Any] = {"seed": t.seed, "runs": t.folder, "quiet": True, "save.report": False, "save.every": None,
                              "model.path": base}  # fmt: skip

    def one(number: int, model: str) -> Run:
        if number == 0:
            its: dict[str, Any] = {
                "algo.lr": 1e-4,
                "algo.batch": 32,
                "total_steps": 16 if t.miniature else 3 * COMPARED,
            }
            return train("reward-model", str(compared(t, task, base)), **shared, **its)
        its = {"algo.lr": 5e-5, "total_steps": STEPS, "task.options": shown, "eval.before": False, "eval.samples": 0,
               "eval.episodes": 1, "save.rollouts": 0, "sampling.slots": 128, **ARMS[t.arm][1]}  # fmt: skip
        small: dict[str, Any] = {"algo.prompts": 4, "total_steps": 1, "sampling.max_tokens": 4} if t.miniature else {}
        its |= small | {"reward.path": model}
        return train("rlhf", TASK, **shared, **its)

    model, numbers = in_stages(t.folder / "stages.jsonl", 0 if t.arm == "sft" else 2, base, one)
    mine, others = ([r.completion for r in sorted(answers(m, task, {}, 0, None), key=lambda r: r.prompt_id)
                     if r.mode == "greedy"] for m in (model, base))  # fmt: skip
    gold = [example.gold for example in task.test]
    wins = [prefers(a, b, g) for a, b, g in zip(mine, others, gold, strict=True)]
    longer = [len(a) - len(b) for a, b in zip(mine, others, strict=True)]
    return {**numbers, "worth": fmean(map(worth, mine, gold)), "letters": fmean(map(len, mine)), "win": fmean(wins),
            "win at equal length": length_controlled(wins, longer)}  # fmt: skip


RECIPE = Recipe(
    name="summarise",
    title="Learning to summarise: imitation, a reward model, PPO",
    source="Stiennon et al. (2020), Learning to summarize from human feedback, arXiv:2009.01325; Dubois et al. (2024), "
    "Length-controlled AlpacaEval, arXiv:2404.04475",
    paper="A model of 6.7 billion parameters imitated summaries of posts, a reward model learnt which of two people "
    "prefer, and PPO with a penalty on the divergence made summaries that were preferred to those of people, also "
    "after a correction for their length; without the penalty, or with too little, they became worse than imitation.",
    here="Posts of six sentences (`Ann lost keys. Bo sold tea. …`) and a line that tells what one person did. The "
    "model, of half a million parameters, imitated writers who leave out three tenths of it and tell things beside it. "
    "Of 2,000 pairs of its samples somebody said which is better, by worth and by length; then 100 steps of PPO. The "
    "same somebody compares greedy summaries with the imitation's; a logistic regression takes the length away.",
    mechanism="PPO climbs what was learnt from comparisons, and pays for leaving the imitation: `far` pays nothing.",
    arms={name: text for name, (text, _) in ARMS.items()},
    controls=("sft", "far", "shuffled"),
    claims=(
        Claim(text="at equal length it is preferred to the imitation", metric="win at equal length", arm="ppo",
              bar=0.6),
        Claim(text="comparisons by chance teach nothing", metric="worth", arm="shuffled", over="sft", bar=0.05,
              most=True),
        Claim(text="its summaries are worth more", metric="worth", arm="ppo", over="sft", bar=0.1, must=False),
        Claim(text="without the penalty they are worth less", metric="worth", arm="ppo", over="far", bar=0.0,
              must=False),
    ),
    trial=trial,
    minutes=60.0,
)  # fmt: skip
