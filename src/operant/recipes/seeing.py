"""What the recipes of models that see share: a base that is made once, arms that learn from it, and one measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operant.api import Run, train
from operant.language.episodes.rollout_files import RolloutRow
from operant.language.model.small_base import small_base
from operant.language.settings.runs import BaseConfig
from operant.language.task.load import load_task
from operant.language.task.task import Task
from operant.recipes.answers import ASK, Options, form, measured, rewritten, right, votes
from operant.recipes.recipe import Numbers, Trial
from operant.recipes.stages import in_stages

BASE = BaseConfig(width=96, layers=3, examples=48_000, batch=64)
TINY = BaseConfig(width=16, layers=1, heads=2, examples=64)
SHOWN: Options = {"mode": "mixed", "demonstrations": 12_000, "train": 20, "test": 1}
HUB: Options = {"side": 224, "cell": 0, "worded": True}
"""What is asked of a model of the hub in place of the small one."""
GENTLY: Options = {"algo.lr": 1e-6, "sampling.max_tokens": 512}
"""How one learns."""
SHARED: Options = {
    "algo.lr": 1e-4, "eval.before": False, "eval.samples": 0, "eval.episodes": 1, "save.report": False,
    "save.every": None, "sampling.slots": 256,
}  # fmt: skip
GRPO: Options = {
    "save.rollouts": 0,
    "algo.prompts": 32, "algo.samples": 8, "algo.reduce": "sequence", "algo.beta": 0.04, "algo.kl_corrected": False
}  # fmt: skip
"""One gradient step a batch, returns by their group's deviation, and the divergence k3 from the base: R1-V's."""
SPLITS: Mapping[str, Options] = {"in": {"split": "cogent-a"}, "out": {"split": "cogent-b"}}
THINK: dict[str, Any] = {"mode": "think"}
FILMS: dict[str, Any] = {"side": 16, "least": 2, "most": 3}
"""Their frames are small, so that eight of them are as many patches as two pictures."""
SHUFFLED: dict[str, Any] = {"shuffled": "answers"}
SFT: Options = {"algo.batch": 32, "algo.packing": False, "algo.warmup": 0.1}


@dataclass(frozen=True, slots=True)
class Stage:
    """One training: by which algorithm, on which questions, with which settings beside those that all share.

    Attributes:
        share: of the study's steps.
        rewritten: whether the base begins anew, and imitates what the last model answered rightly to these questions.
    """

    algorithm: str = "grpo"
    asked: Options = field(default_factory=dict[str, Any])
    settings: Options = field(default_factory=dict[str, Any])
    share: float = 1.0
    rewritten: bool = False


@dataclass(frozen=True, slots=True)
class Arm:
    """What is done to the base, in order, and how the outcome is asked."""

    text: str
    stages: Sequence[Stage] = ()
    asked: Options = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Arms from one base on one kind of question; called with a trial it gives that arm's numbers.

    Attributes:
        arms: by name.
        asked: options of `vision/ask` for all of them.
        places: where each is measured, by name, as options; the first is where it learns; CoGenT's splits A and B.
        shown: options of the demonstrations that the base imitates; all recipes that name the same have one base.
        also: what else is told of the answers to a task's questions.
        told: what else follows from the numbers of all places.
        steps: of 32 prompts, in each stage.
        test: questions of each place.
    """

    arms: Mapping[str, Arm]
    asked: Options = field(default_factory=dict[str, Any])
    places: Mapping[str, Options] = field(default_factory=lambda: SPLITS)
    shown: Options = field(default_factory=dict[str, Any])
    also: Callable[[Task, Sequence[RolloutRow]], Numbers] = lambda _, __: {}
    told: Callable[[Numbers], Numbers] = lambda _: {}
    steps: int = 150
    test: int = 300

    def __call__(self, t: Trial) -> Numbers:
        """Train an arm, and measure it at each place: greedily, sampled, by votes, and on other questions' pictures."""
        arm, more = self.arms[t.arm], HUB if t.model else {}
        model, numbers = self.learn(t, t.model or str(self.base(t)))
        long = GENTLY["sampling.max_tokens"] if t.model else None
        test, samples, limit = (2, 2, 3) if t.miniature else (self.test, 8, long)
        for place, its in [*self.places.items()][: 1 if t.miniature else None]:
            options = {**self.asked, **its, **arm.asked, **more, "seed": t.seed, "train": 1, "test": test}
            task, rows = measured(model, options, samples, limit)
            _, blind = measured(model, options | {"shuffled": "pictures"}, 0, limit)
            found = {"": right(rows, "greedy"), "sampled": right(rows, "sampled"), "maj@8": votes(task, rows),
                     "blind": right(blind, "greedy"), **form(rows), **self.also(task, rows)}  # fmt: skip
            numbers |= {f"{place} {name}".strip(): x for name, x in found.items()}
        return {**numbers, **self.told(numbers)}

    def learn(self, t: Trial, base: str) -> tuple[str, dict[str, float]]:
        """The stages of an arm, one after the other: the last one's model, and the numbers of all."""
        stages = self.arms[t.arm].stages

        def one(number: int, model: str) -> Run:
            return self.stage(t, stages[number], number, base, model)

        return in_stages(t.folder / "stages.jsonl", len(stages), base, one)

    def stage(self, t: Trial, stage: Stage, number: int, base: str, model: str) -> Run:
        """One training."""
        first = next(iter(self.places.values()))
        asked = {**self.asked, **first, **self.arms[t.arm].asked, **stage.asked, **(HUB if t.model else {})}
        if not stage.rewritten:
            return train(stage.algorithm, ASK, **self.settings(t, stage, asked, model))
        told = self.settings(t, stage, asked, base)
        options = told.pop("task.options") | {"seed": t.seed + 1000 * (number + 1)}  # questions of its own
        file = rewritten(model, options, t.folder / f"traces-{number}.jsonl")
        return train(stage.algorithm, str(file), **told)

    def base(self, t: Trial) -> Path:
        """The small base's folder."""
        shown = {**SHOWN, **self.shown, **({"demonstrations": 48} if t.miniature else {})}
        about = {"id": ASK, "options": shown}
        return small_base(load_task(ASK, shown), TINY if t.miniature else BASE, about, say=t.say)

    def settings(self, t: Trial, stage: Stage, asked: Options, model: str) -> dict[str, Any]:
        """What a stage is trained with: `operant.train`'s arguments."""
        sft = stage.algorithm == "sft"
        steps = 1 if t.miniature else max(1, round(self.steps * stage.share))
        many: dict[str, Any] = {"train": 32 * steps, "demonstrations": 32 * steps * sft, "noise": 0.0, "test": 1}
        apart = GENTLY if t.model else {}
        small = {"algo.prompts": 2, "algo.samples": 2, "sampling.max_tokens": 3} if t.miniature and not sft else {}
        return {
            **SHARED, **(SFT if sft else GRPO), **apart, **stage.settings, **small, "model.path": model,
            "task.options": {**many, "seed": t.seed, **asked}, "seed": t.seed, "runs": t.folder, "quiet": True,
            "total_steps": steps * (32 if sft else 1),
        }  # fmt: skip
