"""Process reward models (Lightman et al. 2023; Wang et al. 2024, Math-Shepherd), on one page: is each step right?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from operant.config.errors import ConfigError
from operant.data.jsonl import is_jsonl
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.evaluate import PreferenceAccuracy, rollout_rows, sampling_of
from operant.language.episodes.rollout_files import RolloutRow, write_rollouts
from operant.language.episodes.task_scorer import TaskScorer, prompts_of, step_scorer
from operant.language.learn.on_policy import checked_task
from operant.language.learn.optim_step import PartLoss, check_examples, mean_of, optim_step, set_lr, share_of
from operant.language.learn.setup import adamw, encoder_of, held_out, job_on_data, judged_model
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.model.train_state import LanguageTrainState
from operant.language.reward.trace import Trace
from operant.language.sample.engine import Engine
from operant.language.settings.learning import ProcessRewardConfig
from operant.language.settings.runs import ProcessRewardRun
from operant.language.task.task import Task
from operant.language.text.conversation import Text
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import padded, within
from operant.language.text.pairs import Steps, encode_steps, read_steps
from operant.math.comparison import step_correctness
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent

METRICS = ("loss/step", "reward/accuracy", "reward/correct")


def process_reward(
    cfg: ProcessRewardConfig,
    data: Shuffled[Steps],
    model: Scalar,
    optimizer: torch.optim.Optimizer,
    *,
    total_steps: int,
) -> Iterator[Metrics]:
    """Take a batch of solutions, step on the verdicts at the ends of their steps, yield metrics; for ever.

    Args:
        cfg: the settings.
        data: gives `cfg.batch` solutions at a time; the same to every process.
        model: its number at a step's last token is the log-odds that the step is right; trained in place.
        optimizer: holds the parameters to train.
        total_steps: solutions at which the schedule ends.

    Raises:
        ConfigError: if a solution has no verdict, or does not fit the model.
    """
    check_examples((item.solution for item in data.items), model.backbone)
    while True:
        lr = set_lr(optimizer, cfg, data.steps / total_steps)

        batch = data(cfg.batch)
        count = sum(len(item.correct) for item in batch)  # verdicts, over all parts and processes
        loss = partial(_loss, model, count)
        parts = within([len(item.solution.tokens) for item in batch], [1] * len(batch), cfg.tokens)
        losses = [partial(loss, [batch[i] for i in part]) for part in parts]
        metrics = optim_step(optimizer, losses, cfg.max_grad_norm, METRICS)

        yield metrics | {"schedule/lr": torch.tensor(lr)} | data.stats()


def _loss(model: Scalar, count: int, items: Sequence[Steps]) -> PartLoss:
    """The share of some solutions in the loss of `count` verdicts."""
    rows = padded([item.solution for item in items], model.backbone.tokenizer.pad_token_id).to(model.backbone.device)
    logit = model(rows.tokens)[:, 1:]  # [N, T] after the token that `acted` marks
    verdicts = torch.tensor([y for item in items for y in item.correct], device=logit.device)
    correct = torch.zeros_like(logit).masked_scatter(rows.acted, verdicts.to(logit.dtype))
    loss, metrics = step_correctness(logit, correct, rows.acted, reduce=partial(token_mean, denominator=count))
    means = {f"reward/{name}": mean_of(x, len(verdicts)) for name, x in metrics.items()}
    return loss, {"loss/step": share_of(loss, count, len(verdicts))} | means


def verdicts(trace: Trace, steps: Sequence[tuple[int, float]], separator: str) -> tuple[list[str], list[float | None]]:
    """The texts between separators, and of each 1 where a step reward pays for it, 0 where not, None where none ends.

    Args:
        trace: what a model wrote. A last step that was cut has no verdict.
        steps: what the step reward gave: (characters up to the end of a step, its reward).
        separator: a step may end before it, or with it.

    Raises:
        ConfigError: if a step ends elsewhere.
    """
    texts, paid = trace.completion.split(separator), dict(steps)
    labels, start = list[float | None](), 0
    for text in texts:
        end = start + len(text)
        rewards = paid.pop(end, None), paid.pop(end + len(separator), None)
        given = [value for value in rewards if value is not None]
        labels.append(float(given[-1] > 0.0) if given else None)
        start = end + len(separator)
    if paid:
        raise ConfigError(
            f"the step reward ends a step after {min(paid)} characters of {trace.completion!r:.80}, where no "
            f"{separator!r} stands: set algo.separator to what closes the task's steps"
        )
    if trace.finish == "length":
        labels[-1] = None
    return texts, labels


def build(cfg: ProcessRewardRun, env: object, say: Say = silent) -> Job:
    """Everything that a process reward model needs: a model that is read at the end of every step."""
    written: list[RolloutRow] = []
    if is_jsonl(cfg.task.id):
        policy = judged_model(cfg)
        judged = read_steps(cfg.task.id, encoder_of(policy, cfg.algo), separator=cfg.algo.separator)
    else:
        task, policy = checked_task(cfg, say)
        judged, written = _labelled(cfg, task, policy)
    model = Scalar(policy).to(policy.device)
    data, held = held_out(judged, cfg.eval.episodes)
    items = Shuffled(data, Streams(cfg.seed))
    optimizer = adamw([model], cfg.algo.lr, cfg.algo.weight_decay)
    loop = process_reward(cfg.algo, items, model, optimizer, total_steps=cfg.total_steps)

    def keep(run: Path, step: int) -> None:
        path = run / "rollouts" / "step-00000000.parquet"  # they were sampled before the first step
        if written and cfg.save.rollouts and not path.exists():
            write_rollouts(path, 0, written)

    learned = LanguageTrainState(
        policy, optimizer, modules={"head": model.head}, counters=lambda: {"separator": cfg.algo.separator}
    )
    return job_on_data(cfg, loop, learned, items, PreferenceAccuracy(held, partial(_margins, model)), keep=keep)


def _margins(model: Scalar, judged: Sequence[Steps]) -> list[float]:
    """The log-odds of the right verdict on each step."""
    margins: list[float] = []
    for item in judged:
        rows = padded([item.solution], model.backbone.tokenizer.pad_token_id).to(model.backbone.device)
        logit = model(rows.tokens)[:, 1:][rows.acted]
        right = torch.tensor(item.correct, device=logit.device) > 0.5
        margins += torch.where(right, logit, -logit).tolist()
    return margins


def _labelled(cfg: ProcessRewardRun, task: Task, policy: LanguageModel) -> tuple[list[Steps], list[RolloutRow]]:
    """Completions of a task's prompts by the model that is to judge, their steps labelled by the task's step reward."""
    encoder, examples = encoder_of(policy, cfg.algo), task.train[: min(cfg.algo.prompts, len(task.train))]
    judge, scorer = step_scorer(task), TaskScorer(task, policy.tokenizer, lambda i: examples[i])
    engine = Engine(policy, seed=Streams(cfg.seed).integer("sampler"), slots=cfg.sampling.slots)
    sampling = sampling_of(cfg, policy, task)
    done = engine.generate(prompts_of(examples, encoder), sampling, samples=cfg.algo.samples)
    traces = scorer.traces(done)
    solutions: list[tuple[str, Text, list[str], list[float | None]]] = []
    totals: list[float] = []
    for number, (trace, steps) in enumerate(zip(traces, judge(traces), strict=True)):
        where = f"{task.name}, completion {number}"
        if isinstance(steps, str):
            raise ConfigError(f"{where}: the step reward {steps}")
        texts, labels = verdicts(trace, steps, cfg.algo.separator)
        totals.append(sum(value for _, value in steps))
        if any(label is not None for label in labels):
            solutions.append((where, trace.prompt, texts, labels))

    def one(solution: tuple[str, Text, list[str], list[float | None]]) -> Steps:
        where, prompt, texts, labels = solution
        return encode_steps(encoder, prompt, texts, labels, separator=cfg.algo.separator, where=where)

    return encoder.each(one, solutions, of=task.name), rollout_rows(scorer, done, totals, mode="sampled", values={})
