"""The builder of constitutional AI: a model learns from what it, or a judge, makes of its own answers.

What is written on the way is a part of the run: checkpoints hold it, so that a resumed run asks nobody again, and
`revisions.jsonl` or `comparisons.jsonl` in the run folder shows it, in the form that `operant train` reads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.evaluate import Likelihood, sampling_of
from operant.language.learn.build_preferences import Right, held_out, margins_of
from operant.language.learn.builders import Say, adam, encoder_of, model_of
from operant.language.learn.constitutional import (
    PRINCIPLES,
    Feedback,
    Principle,
    Revised,
    asked_for,
    demonstrations,
    labelled,
    lead_of,
    preferences,
    revise,
    said,
)
from operant.language.learn.reward_model import reward_model
from operant.language.learn.sft import sft
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.model.train_state import Language
from operant.language.sample.engine import Engine
from operant.language.serve.judge import Chooser
from operant.language.settings.runs import ConstitutionalRun
from operant.language.task.load import load_task
from operant.language.text.epochs import Shuffled
from operant.language.text.jsonl import is_jsonl, lines
from operant.run.job import Job, Position

Item = TypeVar("Item")
Lines = list[dict[str, Any]]


class Written(Generic[Item]):
    """A data set that is written when it is first asked for, unless a checkpoint brought it: a run's counter.

    Args:
        write: the lines, from the model as it stands.
        read: lines to what is learnt and what is held out.
        streams: the seed of the orders.
    """

    seconds = 0.0

    def __init__(
        self, write: Callable[[], Lines], read: Callable[[Lines], tuple[list[Item], list[Item]]], streams: Streams
    ) -> None:
        self._write, self._read, self._streams = write, read, streams
        self.lines: Lines = []
        self.held: list[Item] = []
        self._data: Shuffled[Item] | None = None
        self._begun = 0

    @property
    def data(self) -> Shuffled[Item]:
        """What is learnt, in order."""
        if self._data is None:
            self.lines = self.lines or self._write()
            learnt, self.held = self._read(self.lines)
            self._data = Shuffled(learnt, self._streams)
            self._data.steps = self._begun
        return self._data

    @property
    def steps(self) -> int:
        """Items given so far."""
        return self._begun if self._data is None else self._data.steps

    @property
    def episodes(self) -> int:
        """Passes completed."""
        return 0 if self._data is None else self._data.episodes

    def begin(self, at: Position) -> None:
        """Go on from a position."""
        self._begun = at.step
        if self._data is not None:
            self._data.steps = at.step

    def restore(self, counters: Mapping[str, Any]) -> None:
        """Take the lines of a checkpoint."""
        self.lines = list(counters["lines"])


def build_constitutional(cfg: ConstitutionalRun, env: object, say: Say = lambda line: None) -> Job:
    """Everything that one stage of constitutional AI needs, made from a config and one seed."""
    torch.set_num_threads(cfg.threads)
    prompts = _prompts(cfg)
    principles = _principles(cfg.algo.principles)
    policy = model_of(cfg, None, say)
    return (_revision if cfg.algo.stage == "revision" else _feedback)(cfg, policy, prompts, principles, say)


def _revision(
    cfg: ConstitutionalRun, policy: LanguageModel, prompts: list[str], principles: Sequence[Principle], say: Say
) -> Job:
    streams, lead = Streams(cfg.seed), lead_of(policy.tokenizer)
    encoder = encoder_of(policy, cfg.sft)

    def write() -> Lines:
        say(f"Answering {len(prompts)} prompts, and revising each answer {cfg.algo.revisions} times")
        engine = Engine(policy, seed=streams.integer("sampler"), slots=cfg.sampling.slots)
        sampling, draws = sampling_of(cfg, policy, None), streams.numpy("principles")
        found = revise(cfg.algo, engine, sampling, prompts, principles, draws)
        return [
            {
                "prompt": asked_for(policy.tokenizer, r.prompt), "completion": lead + r.answers[-1],
                "asked": r.prompt, "answers": r.answers, "critiques": r.critiques,
                "principles": [p.critique for p in r.principles],
            }
            for r in found
        ]  # fmt: skip

    def read(made: Lines) -> tuple[list[Any], list[Any]]:
        told = [
            Revised(prompt=m["asked"], answers=tuple(m["answers"]), critiques=tuple(m["critiques"]), principles=())
            for m in made
        ]
        return held_out(demonstrations(told, encoder), cfg.eval.episodes)

    written: Written[Any] = Written(write, read, streams)
    optimizer = adam([policy], cfg.sft.lr, cfg.sft.weight_decay)

    def loop() -> Iterator[Metrics]:
        yield from sft(cfg.sft, written.data, policy, optimizer, total_steps=cfg.total_steps)

    def measure(episodes: int) -> Any:
        _ = written.data
        return Likelihood(policy, written.held)(episodes)

    learned = Language(policy, optimizer, counters=lambda: {"lines": written.lines}, restore=written.restore)
    return _job(cfg, loop(), learned, written, measure, lambda run, step: {}, "revisions.jsonl")


def _feedback(
    cfg: ConstitutionalRun, policy: LanguageModel, prompts: list[str], principles: Sequence[Principle], say: Say
) -> Job:
    streams, lead = Streams(cfg.seed), lead_of(policy.tokenizer)
    encoder = encoder_of(policy, cfg.preference)
    model = Scalar(policy).to(policy.device)
    judge: LanguageModel | Feedback = policy
    if cfg.algo.judge:
        judge = Chooser(url=cfg.algo.judge, model=cfg.algo.judge_model, key=cfg.algo.judge_key).many

    def write() -> Lines:
        say(f"Answering {len(prompts)} prompts twice, and comparing the answers")
        engine = Engine(policy, seed=streams.integer("sampler"), slots=cfg.sampling.slots)
        sampling = sampling_of(cfg, policy, None)
        answers = said(engine, sampling, [[{"role": "user", "content": p}] for p in prompts], samples=2)
        compared = [
            (p, a, b)
            for p, a, b in zip(prompts, answers[::2], answers[1::2], strict=True)
            if a.strip() and b.strip() and a != b
        ]
        if not compared:
            raise ConfigError(
                "no two answers to a prompt differ, so there is nothing to compare: raise the temperature"
            )
        label = preferences(cfg.algo, judge, compared, principles, streams.numpy("principles")).tolist()
        return [
            {
                "prompt": asked_for(policy.tokenizer, p),
                "chosen": lead + a,
                "rejected": lead + b,
                "probability": x,
                "asked": p,
            }
            for (p, a, b), x in zip(compared, label, strict=True)
            if not math.isnan(x)  # was judged
        ]  # fmt: skip

    def read(made: Lines) -> tuple[list[Any], list[Any]]:
        compared = [(m["asked"], m["chosen"].removeprefix(lead), m["rejected"].removeprefix(lead)) for m in made]
        label = torch.tensor([m["probability"] for m in made], dtype=torch.float64)
        return held_out(labelled(compared, label, encoder), cfg.eval.episodes)

    written: Written[Any] = Written(write, read, streams)
    optimizer = adam([model], cfg.preference.lr, cfg.preference.weight_decay)

    def loop() -> Iterator[Metrics]:
        yield from reward_model(cfg.preference, written.data, model, optimizer, total_steps=cfg.total_steps)

    right = Right([], partial(margins_of, model))

    def measure(episodes: int) -> Any:
        _ = written.data
        right.held = written.held
        return right(episodes)

    learned = Language(
        policy, optimizer, modules={"head": model.head},
        counters=lambda: {"lines": written.lines}, restore=written.restore,
    )  # fmt: skip
    return _job(cfg, loop(), learned, written, measure, right.keep, "comparisons.jsonl")


def _job(
    cfg: ConstitutionalRun,
    loop: Iterator[Metrics],
    learned: Language,
    written: Written[Any],
    measure: Callable[[int], Any],
    keep_evaluation: Callable[[Path, int], dict[str, float]],
    name: str,
) -> Job:
    def keep(run: Path, step: int) -> None:
        if not (run / name).exists():
            text = "".join(json.dumps(line) + "\n" for line in written.lines)
            (run / name).write_text(text, encoding="utf-8")

    return Job(
        algorithm=loop,
        learned=learned,
        counter=written,
        begin=written.begin,
        evaluate=measure,
        keep=keep,
        keep_evaluation=keep_evaluation,
        measure_first=cfg.eval.before,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )


def _prompts(cfg: ConstitutionalRun) -> list[str]:
    """The first prompts of a file of lines with `prompt`, or of a task."""
    found: list[Any]
    if is_jsonl(cfg.task.id):
        found = [line.get("prompt") for _, line in lines(cfg.task.id)][: cfg.algo.prompts]
    else:
        task = load_task(cfg.task.id, cfg.task.options)
        found = [task.train[i].prompt for i in range(min(cfg.algo.prompts, len(task.train)))]
    for i, prompt in enumerate(found):
        if not isinstance(prompt, str) or not prompt.strip():
            raise ConfigError(
                f"{cfg.task.id}: prompt {i} is {prompt!r:.60}; principles are put to prompts that are text"
            )
    return found


def _principles(path: str) -> Sequence[Principle]:
    if not path:
        return PRINCIPLES
    try:
        return [Principle(**line) for _, line in lines(path)]
    except TypeError as error:
        raise ConfigError(
            f"{path}: each line needs critique, revision and comparison, and nothing else ({error})"
        ) from error
