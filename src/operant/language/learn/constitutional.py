"""Constitutional AI (Bai et al. 2022, arXiv:2212.08073): its two stages as runs.

First stage: the model answers, criticises its answer under a principle, revises it, several times; what it arrives at
is what `sft` learns. Second stage: a feedback model says which of two answers is better under a principle; the
probabilities it gives to (A) and (B) are soft labels, from which `reward_model` with loss "soft_label" learns what
`rlhf` optimises. What is asked and how stands in `critiques.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from operant.config.errors import ConfigError
from operant.data.jsonl import is_jsonl, lines
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.evaluate import HeldOutLikelihood, PreferenceAccuracy, sampling_of
from operant.language.learn.critiques import Feedback, Revised, demonstrations, labelled, preferences, revise
from operant.language.learn.exchange import generate_replies, reply_prefix, user_turn
from operant.language.learn.generated_data import GeneratedData, Lines
from operant.language.learn.principles import Principle, read_principles
from operant.language.learn.reward_model import margins_of, reward_model, scored_at
from operant.language.learn.setup import adamw, encoder_of, held_out, job, model_of
from operant.language.learn.sft import sft
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.model.train_state import LanguageTrainState
from operant.language.sample.engine import Engine
from operant.language.serve.judge import Chooser
from operant.language.settings.runs import ConstitutionalRun
from operant.language.task.load import load_task
from operant.language.task.task import example_at
from operant.language.text.conversation import Message
from operant.run.evaluate import Evaluation
from operant.run.job import Job, Say, silent


def build(cfg: ConstitutionalRun, env: object, say: Say = silent) -> Job:
    """Everything that one stage of constitutional AI needs, made from a config and one seed.

    What is written on the way is a part of the run: checkpoints hold it, and `revisions.jsonl` or `comparisons.jsonl`
    in the run folder shows it, in the form that `operant train` reads.
    """
    torch.set_num_threads(cfg.threads)
    prompts, principles, policy = _prompts(cfg), read_principles(cfg.algo.principles), model_of(cfg)
    return (_revision if cfg.algo.stage == "revision" else _feedback)(cfg, policy, prompts, principles, say)


def _revision(
    cfg: ConstitutionalRun, policy: LanguageModel, prompts: list[str], principles: Sequence[Principle], say: Say
) -> Job:
    """The first stage: what became of the model's answers, and learning it."""
    streams, lead = Streams(cfg.seed), reply_prefix(policy.tokenizer)
    encoder = encoder_of(policy, cfg.sft)

    def write() -> Lines:
        say(f"Answering {len(prompts)} prompts, and revising each answer {cfg.algo.revisions} times")
        engine = Engine(policy, seed=streams.integer("sampler"), slots=cfg.sampling.slots)
        sampling, draws = sampling_of(cfg, policy, None), streams.numpy("principles")
        revised_answers = revise(cfg.algo, engine, sampling, prompts, principles, draws)
        return [
            {
                "prompt": user_turn(policy.tokenizer, r.prompt), "completion": lead + r.answers[-1],
                "asked": r.prompt, "answers": r.answers, "critiques": r.critiques,
                "principles": [p.critique for p in r.principles],
            }
            for r in revised_answers
        ]  # fmt: skip

    def read(written_lines: Lines) -> tuple[list[Any], list[Any]]:
        revised = [
            Revised(prompt=m["asked"], answers=tuple(m["answers"]), critiques=tuple(m["critiques"]), principles=())
            for m in written_lines
        ]
        return held_out(demonstrations(revised, encoder), cfg.eval.episodes)

    written: GeneratedData[Any] = GeneratedData(write, read, streams)
    optimizer = adamw([policy], cfg.sft.lr, cfg.sft.weight_decay)

    def loop() -> Iterator[Metrics]:
        yield from sft(cfg.sft, written.data, policy, optimizer, total_steps=cfg.total_steps)

    learned = LanguageTrainState(policy, optimizer, counters=written.counters, restore=written.restore)
    return _job(cfg, loop(), learned, written, HeldOutLikelihood(policy, []), "revisions.jsonl")


def _feedback(
    cfg: ConstitutionalRun, policy: LanguageModel, prompts: list[str], principles: Sequence[Principle], say: Say
) -> Job:
    """The second stage: which of two of the model's answers a judge prefers, and a reward model of it."""
    streams, lead = Streams(cfg.seed), reply_prefix(policy.tokenizer)
    encoder = encoder_of(policy, cfg.preference)
    model = Scalar(policy).to(policy.device)
    judge: LanguageModel | Feedback = policy
    if cfg.algo.judge:
        judge = Chooser(url=cfg.algo.judge, model=cfg.algo.judge_model, key=cfg.algo.judge_key).many

    def write() -> Lines:
        say(f"Answering {len(prompts)} prompts twice, and comparing the answers")
        compared = _two_answers(cfg, policy, prompts)
        label = preferences(cfg.algo, judge, compared, principles, streams.numpy("principles")).tolist()
        return [
            {
                "prompt": user_turn(policy.tokenizer, p), "chosen": lead + a, "rejected": lead + b,
                "probability": x, "asked": p,
            }
            for (p, a, b), x in zip(compared, label, strict=True)
            if not math.isnan(x)  # was judged
        ]  # fmt: skip

    def read(written_lines: Lines) -> tuple[list[Any], list[Any]]:
        compared = [
            (m["asked"], m["chosen"].removeprefix(lead), m["rejected"].removeprefix(lead)) for m in written_lines
        ]
        label = torch.tensor([m["probability"] for m in written_lines], dtype=torch.float64)
        return held_out(labelled(compared, label, encoder), cfg.eval.episodes)

    written: GeneratedData[Any] = GeneratedData(write, read, streams)
    optimizer = adamw([model], cfg.preference.lr, cfg.preference.weight_decay)

    def loop() -> Iterator[Metrics]:
        yield from reward_model(cfg.preference, written.data, model, optimizer, total_steps=cfg.total_steps)

    head = {"head": model.head}

    def counters() -> dict[str, Any]:
        return {**written.counters(), **scored_at(policy.tokenizer)}

    learned = LanguageTrainState(policy, optimizer, modules=head, counters=counters, restore=written.restore)
    return _job(cfg, loop(), learned, written, PreferenceAccuracy([], partial(margins_of, model)), "comparisons.jsonl")


def _two_answers(cfg: ConstitutionalRun, policy: LanguageModel, prompts: list[str]) -> list[tuple[str, str, str]]:
    """Each prompt with two answers of the model, where they differ."""
    engine = Engine(policy, seed=Streams(cfg.seed).integer("sampler"), slots=cfg.sampling.slots)
    asked: list[list[Message]] = [[{"role": "user", "content": p}] for p in prompts]
    answers = generate_replies(engine, sampling_of(cfg, policy, None), asked, samples=2)
    both = zip(prompts, answers[::2], answers[1::2], strict=True)
    different = [(p, a, b) for p, a, b in both if a and b and a.strip() and b.strip() and a != b]
    if not different:
        raise ConfigError("no two answers to a prompt differ, so there is nothing to compare: raise the temperature")
    return different


@dataclass
class _Later:
    """Measures on what is held out of a data set that is written first."""

    written: GeneratedData[Any]
    measure: HeldOutLikelihood | PreferenceAccuracy

    def __call__(self, episodes: int, /) -> Evaluation:
        self.measure.held = self.written.held
        return self.measure(episodes)

    def keep(self, run: Path, step: int) -> dict[str, float]:
        return self.measure.keep(run, step)


def _job(
    cfg: ConstitutionalRun, loop: Iterator[Metrics], learned: LanguageTrainState, written: GeneratedData[Any],
    measure: HeldOutLikelihood | PreferenceAccuracy, name: str,
) -> Job:  # fmt: skip
    """A stage, whose lines are shown in a file of that name."""
    return job(
        cfg, loop, learned, written, _Later(written, measure), begin=written.begin,
        keep=lambda run, step: written.show(run / name),
    )  # fmt: skip


def _prompts(cfg: ConstitutionalRun) -> list[str]:
    """The first prompts of a file of lines with `prompt`, or of a task."""
    found: list[tuple[str, Any]]
    if is_jsonl(cfg.task.id):
        found = [(where, line.get("prompt")) for where, line in islice(lines(cfg.task.id), cfg.algo.prompts)]
    else:
        task = load_task(cfg.task.id, cfg.task.options)
        name, count = f"{task.name}, train", min(cfg.algo.prompts, len(task.train))
        found = [(f"{name}[{i}]", example_at(task.train, i, name).prompt) for i in range(count)]
    for where, prompt in found:
        if not isinstance(prompt, str) or not prompt.strip():
            raise ConfigError(f"{where}: the prompt is {prompt!r:.60}; principles are put to prompts that are text")
    return [prompt for _, prompt in found]
