"""Eureka: rewards that a search writes, against those of an expert, of words, and of the bare score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from operant.design import (
    TASKS,
    Candidate,
    GrammarProposer,
    LanguageProposer,
    Search,
    Task,
    local,
    search,
    train_on,
    translate,
)
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial

STEPS = {"pendulum": 50_000, "mountain-car": 50_000, "swing-up": 50_000, "reacher": 50_000}
"""Of every training, of a candidate or at the end, in each task."""
ITERATIONS, SAMPLES, FINAL = 4, 8, 3
SHARE = 0.8
"""Of the way from the sparse reward's score to the human's, that counts as reached."""
Written = tuple[str, Any]
"""A reward, and its kind."""


def trial(t: Trial) -> Mapping[str, float]:
    """The score of each task under an arm's reward, on fresh seeds; on how many tasks it comes near the human's."""
    found: dict[str, float] = {}
    reached = 0
    tasks = ["mountain-car"] if t.miniature else [*STEPS]
    for name in tasks:
        task = TASKS[name]
        score = scored(t, task, t.arm)
        sparse, human = (scored(t, task, arm) for arm in ("sparse", "human"))
        reached += score >= sparse + SHARE * (human - sparse)
        found |= {f"score {name}": score, f"over sparse {name}": score - sparse}
    return found | {"reached": float(reached), "score": mean(found[f"score {name}"] for name in tasks)}


def scored(t: Trial, task: Task, arm: str) -> float:
    """The mean score of trainings on an arm's reward, each on a fresh seed; what other arms have trained is read."""
    name, home = task.name, t.folder.parent / f"trained-s{t.seed}" / task.name / arm
    reward, kind = ARMS[arm](t, task, home / "search")
    seeds = range(1_000 * t.seed, 1_000 * t.seed + (1 if t.miniature else FINAL))
    outcomes = [
        train_on(Candidate(task=name, reward=reward, kind=kind, seed=seed, **_how(t, name)), home / f"final-{seed}")
        for seed in seeds
    ]
    return mean(max(each.score, 0.0) for each in outcomes)


def _how(t: Trial, name: str) -> dict[str, Any]:
    if t.miniature:
        return {"total_steps": 256, "settings": {"algo.horizon": 64, "algo.epochs": 1}}
    return {"total_steps": STEPS[name]}


def searched(reflects: bool, *, start: bool = False) -> Callable[[Trial, Task, Path], Written]:
    """What a search comes to, with the reflection or by as many independent draws, of a grammar or a model."""

    def made(t: Trial, task: Task, home: Path) -> Written:
        n, k = (2, 1) if t.miniature else (ITERATIONS, SAMPLES)
        cfg = Search(iterations=n, samples=k, seed=t.seed, **_how(t, task.name))
        if t.model is not None and not start:
            home, ask = home.with_name(f"search-{Path(t.model).name}"), local(t.model)
            proposer: Any = LanguageProposer(task, ask, t.model)
            cfg = cfg if reflects else Search(iterations=1, samples=n * k, seed=t.seed, **_how(t, task.name))
        else:
            proposer = GrammarProposer(task, reflects=reflects, start=task.human if start else "")
        found = search(task, proposer, cfg, home, say=lambda line: t.say(f"{task.name}, {t.arm}: {line}"))
        return found.reward, found.kind

    return made


ARMS: dict[str, Callable[[Trial, Task, Path], Written]] = {
    "sparse": lambda _, task, __: (task.sparse, "expression"),
    "human": lambda _, task, __: (task.human, "expression"),
    "l2r": lambda _, task, __: (translate(task.command, task).text(), "expression"),
    "eureka": searched(True),
    "independent": searched(False),
    "eureka-human": searched(True, start=True),
}
RECIPE = Recipe(
    name="eureka",
    title="Eureka: rewards that are searched for",
    source="Ma et al. (2023), Eureka: human-level reward design via coding large language models, arXiv:2310.12931; "
    "Yu et al. (2023), Language to rewards for robotic skill synthesis, arXiv:2306.08647",
    paper="GPT-4 wrote reward code for 29 tasks in Isaac Gym, five iterations of sixteen samples, each trained on; the "
    "best of an iteration went back to it with a reflection of its training. The rewards were better than those of "
    "experts on 83 % of the tasks, by 52 % on average. Baselines: the sparse score, the expert's reward, and L2R.",
    here="Pendulum, MountainCarContinuous (100 steps) and Reacher of Gymnasium, a cart-pole to be swung up; PPO of "
    "50,000 steps, four iterations of eight. In place of GPT-4 a typed grammar of rewards, whose mutations are the "
    "tips of the reflection; the human's reward is no seed of it, and more than two mutations from every one. With "
    "--model a language model writes Python, which runs in a sandbox. L2R: words of a fixed form set the parameters of "
    "a fixed reward interface, and PPO learns in place of MPC. Every reward is trained on again, on three fresh seeds.",
    mechanism="The reflection: the best reward of an iteration, and how each of its components went. Without it, as "
    "many independent draws of the same grammar.",
    arms={
        "sparse": "the bare score", "human": "an expert's reward", "l2r": "parameters set by words",
        "eureka": "a search that reflects", "independent": "as many independent draws",
        "eureka-human": "a search that begins from the expert's reward",
    },
    controls=("sparse", "independent"),
    claims=(
        Claim(text="Eureka comes four fifths of the way from sparse to human, or further, on 3 of 4 tasks",
              metric="reached", arm="eureka", bar=3.0),
        Claim(text="reflection scores more than independent draws at equal evaluations, on average over tasks",
              metric="score", arm="eureka", over="independent", bar=0.0, must=False),
        Claim(text="Eureka scores more than the human's reward", metric="score", arm="eureka", over="human", bar=0.0,
              must=False),
        Claim(text="Eureka scores more than L2R", metric="score", arm="eureka", over="l2r", bar=0.0, must=False),
        Claim(text="a search that begins from the human's reward does not end below it", metric="score",
              arm="eureka-human", over="human", bar=0.0, must=False),
    ),
    trial=trial,
    minutes=240.0,
    takes_model=True,
)  # fmt: skip
