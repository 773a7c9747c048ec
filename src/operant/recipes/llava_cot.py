"""LLaVA-CoT: answers in four stages, and a beam that keeps the better beginning after each of them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from operant.language.episodes.evaluate import sampling_of
from operant.language.learn.setup import model_of
from operant.language.sample.engine import Engine, Prompt
from operant.language.sample.guided_beam import by_likelihood, guided
from operant.language.settings.runs import GRPORun
from operant.language.task.load import load_task
from operant.language.text.rendering import rendering_of
from operant.recipes.answers import ASK, Options
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import Arm, Stage, Study

STAGED = {"mode": "staged"}
SEARCHED = {
    "beam": (4, True, True), "chance": (4, True, False), "best-of-4": (4, False, True), "best-of-16": (16, False, True),
}  # fmt: skip
"""Arms that search: candidates, whether stages close at a line, whether the likelihood chooses (the first, else)."""
STUDY = Study(
    asked={"heads": "count attribute relation", "hops": 1},
    arms={
        "base": Arm("the small base, in stages", asked=STAGED),
        "direct": Arm("imitates right answers", [Stage("sft")]),
        "think": Arm("imitates right traces", [Stage("sft")], {"mode": "think"}),
        "staged": Arm("imitates right answers in stages; greedy", [Stage("sft")], STAGED),
        "beam": Arm("the same; the likeliest of four after each stage", [Stage("sft")], STAGED),
        "chance": Arm("the same; one of four by chance after each stage", [Stage("sft")], STAGED),
        "best-of-4": Arm("the same; the likeliest of four whole answers", [Stage("sft")], STAGED),
        "best-of-16": Arm("the same; the likeliest of sixteen", [Stage("sft")], STAGED),
    },
    shown={"heads": "count attribute relation", "hops": 1, "mode": "direct think staged", "looks": 0.0,
           "split": "cogent-a cogent-b", "noise": 0.3},
)  # fmt: skip


def searched(model: str, options: Options, arm: str) -> float:
    """The accuracy of what a search finds, over all test questions."""
    task = load_task(ASK, options)
    cfg = GRPORun.model_validate({"task": {"id": ASK, "options": {**options}}, "model": {"path": model}})
    policy = model_of(cfg)
    reading, sampling = rendering_of(policy.tokenizer), sampling_of(cfg, policy, task)
    lines = [i for i in range(policy.vocab) if "\n" in policy.tokenizer.decode([i])]
    branch, staged, chosen = SEARCHED[arm]
    engine, worth = Engine(policy, seed=cfg.seed), list[float]()
    for i, example in enumerate(task.test):
        tokens = tuple(reading.prompt(example.prompt))
        found = guided(
            engine, Prompt(id=i, tokens=tokens), by_likelihood(policy, tokens) if chosen else equal, sampling,
            closing=lines if staged else (), width=1, branch=branch, steps=8,
        )  # fmt: skip
        worth.append(task.rewards["correct"](example.trace(reading.answer(found[0].state))))
    return fmean(worth)


def equal(states: Sequence[tuple[int, ...]]) -> Sequence[float]:
    """Nothing is better than anything else, so that the first stays."""
    return [0.0] * len(states)


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm, as the others of models that see; those of a search stand as `found` and `found out`."""
    numbers = dict(STUDY(t))
    numbers["found"], numbers["found out"] = numbers["in"], numbers.get("out", numbers["in"])
    if t.arm in SEARCHED:
        model, _ = STUDY.learn(t, str(STUDY.base(t)))
        test = 2 if t.miniature else STUDY.test
        for name, place in zip(("found", "found out"), STUDY.places.values(), strict=True):
            options = {**STUDY.asked, **place, **STAGED, "seed": t.seed, "train": 1, "test": test}
            numbers[name] = searched(model, options, t.arm)
    return numbers


RECIPE = Recipe(
    name="llava-cot",
    title="LLaVA-CoT: stages, and a beam over them",
    source="Xu et al. (2024), LLaVA-CoT: let vision language models reason step-by-step, arXiv:2411.10440",
    paper="Llama-3.2-11B-Vision imitated 100,000 answers in four tagged stages, summary, caption, reasoning and "
    "conclusion: 6.9 points better on average over six benchmarks. At test several candidates of each stage were "
    "drawn, and the better one kept before the next began, which gained more. Mulberry's data come from a tree search.",
    here="Counts, attributes and relations through one relation in pictures of 32 pixels. The caption is the cells "
    "that the first step finds, the reasoning those of all. The base, of 0.5 million parameters, answers at once, "
    "after thinking and in stages, 30 % wrongly; 150 steps of imitation. Candidates are compared by their likelihood; "
    "the paper's model compares two in words. Mulberry's tree search is left out.",
    mechanism="The choice falls after each stage, so that what follows begins from what was kept. `chance` keeps any, "
    "`best-of-4` and `best-of-16` choose among whole answers, of fewer samples and of as many.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "chance", "best-of-4"),
    claims=(
        Claim(text="imitated stages gain on the base", metric="found", arm="staged", over="base", bar=0.05),
        Claim(text="answers have their form", metric="in format", arm="staged", bar=0.95),
        Claim(text="it is the pictures: on shuffled ones it loses", metric="in blind", arm="staged", bar=0.5,
              most=True),
        Claim(text="stages answer better than answers at once", metric="found", arm="staged", over="direct", bar=0.02,
              must=False),
        Claim(text="and than traces", metric="found", arm="staged", over="think", bar=0.0, must=False),
        Claim(text="the beam is better than none", metric="found", arm="beam", over="staged", bar=0.02, must=False),
        Claim(text="than chance", metric="found", arm="beam", over="chance", bar=0.02, must=False),
        Claim(text="and than a choice among four whole answers", metric="found", arm="beam", over="best-of-4", bar=0.0,
              must=False),
        Claim(text="so it is in other compositions", metric="found out", arm="beam", over="best-of-4", bar=0.0,
              must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
