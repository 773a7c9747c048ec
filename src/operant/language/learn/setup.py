"""What a run on a language model begins with: the model that a config names, examples, an optimiser, and the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from operant.config.errors import ConfigError
from operant.data.jsonl import is_jsonl, lines
from operant.data.trajectory import Metrics
from operant.language.model.language_model import LanguageModel
from operant.language.model.lora import LoraSpec
from operant.language.model.master_weights import MasterAdamW
from operant.language.model.train_state import LanguageTrainState
from operant.language.settings.learning import LearningConfig
from operant.language.settings.runs import JudgedRun, LanguageRun
from operant.language.task.task import Demonstration, Task, example_at
from operant.language.text.conversation import Encoded, Encoder
from operant.language.text.epochs import Shuffled
from operant.run.device import device_of
from operant.run.evaluate import Evaluation
from operant.run.job import Counter, Job, Position

Item = TypeVar("Item")


class HeldOutMeasure(Protocol):
    """Measures what is trained as it stands; `keep` writes what the last measurement left, and gives metrics of it."""

    def __call__(self, episodes: int, /) -> Evaluation: ...
    def keep(self, run: Path, step: int) -> dict[str, float]: ...


def model_of(cfg: LanguageRun, path: str = "") -> LanguageModel:
    """The model in a folder, or the one that a config names, on its device.

    Raises:
        ConfigError: if it cannot be read, or none is named.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(cfg.threads)
    path = path or cfg.model.path
    if not path:
        if is_jsonl(cfg.task.id):
            next(lines(cfg.task.id), None)  # a file that is missing or none is told before what else is missing
        raise ConfigError(f"{cfg.task.id} needs a model to fine-tune: --model DIR")
    if (latest := Path(path) / "checkpoints" / "latest").exists():  # a run's folder
        path = str(latest.resolve())
    lora = None
    if cfg.model.lora_rank:
        lora = LoraSpec(r=cfg.model.lora_rank, alpha=cfg.model.lora_alpha, part=cfg.model.lora_part)
    where = str(device_of(cfg.device))
    policy = LanguageModel.load(path, dtype=getattr(torch, cfg.model.dtype), device=where, lora=lora)
    if cfg.model.recompute:
        policy.recompute()
    if cfg.model.tower == "frozen":
        policy.freeze_tower()
    return policy


def judged_model(cfg: JudgedRun) -> LanguageModel:
    """The model that is to learn from a file of judged answers.

    Raises:
        ConfigError: if it cannot be read, or what is named to learn from is no file.
    """
    if not is_jsonl(cfg.task.id):
        raise ConfigError(f"{cfg.task.id}: {cfg.algorithm} learns from a file of judged answers, FILE.jsonl")
    return model_of(cfg)


def encoder_of(policy: LanguageModel, settings: LearningConfig) -> Encoder:
    """What turns texts into examples for a policy, no longer than the settings and its positions allow."""
    length = min(settings.length, policy.max_positions)
    return Encoder(tokenizer=policy.tokenizer, length=length, too_long=settings.too_long, rows=policy.vocab)


def task_demonstrations(task: Task, encoder: Encoder) -> list[Encoded]:
    """A task's demonstrations, or its solutions where it has none, as examples to imitate."""
    shown = len(task.demonstrations)

    def one(i: int) -> Encoded:
        if shown:
            demonstration = example_at(task.demonstrations, i, f"{task.name}, demonstrations", Demonstration)
            prompt, completion = demonstration.prompt, demonstration.completion
        else:
            example = example_at(task.train, i, f"{task.name}, train")
            prompt, completion = example.prompt, example.solution
        return encoder.completion(prompt, completion, f"{task.name}, demonstration {i}")

    return encoder.each(one, range(shown or len(task.train)), of=task.name)


def held_out(items: list[Item], most: int) -> tuple[list[Item], list[Item]]:
    """The last tenth, `most` at most and one at least, apart.

    Raises:
        ConfigError: if there are fewer than three.
    """
    if len(items) < 3:
        raise ConfigError(
            f"{len(items)} judged answers are too few to learn from and to hold some out: give three or more"
        )
    count = max(1, min(most, len(items) // 10))
    return items[: len(items) - count], items[len(items) - count :]


def adamw(modules: Sequence[torch.nn.Module], lr: float, decay: float) -> torch.optim.AdamW:
    """AdamW on what is trainable in some modules; of what is in few bits it keeps float32 copies."""
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    if any(p.dtype != torch.float32 for p in trained):
        return MasterAdamW(trained, lr=lr, weight_decay=decay)
    return torch.optim.AdamW(trained, lr=lr, weight_decay=decay)


def job(
    cfg: LanguageRun,
    loop: Iterator[Metrics],
    learned: LanguageTrainState,
    counter: Counter,
    measure: HeldOutMeasure,
    *,
    begin: Callable[[Position], None],
    keep: Callable[[Path, int], None] | None = None,
) -> Job:
    """A run of a loop under a config.

    Args:
        cfg: the config.
        loop: yields metrics.
        learned: what the loop changes.
        counter: how far it is.
        measure: how what is learnt is measured.
        begin: makes the loop go on from a position.
        keep: writes what a step leaves besides its metrics.
    """
    return Job(
        algorithm=loop,
        learned=learned,
        counter=counter,
        begin=begin,
        evaluate=measure,
        keep=keep,
        keep_evaluation=measure.keep,
        measure_first=cfg.eval.before,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )


def job_on_data(
    cfg: LanguageRun,
    loop: Iterator[Metrics],
    learned: LanguageTrainState,
    data: Shuffled[Any],
    measure: HeldOutMeasure,
    *,
    keep: Callable[[Path, int], None] | None = None,
) -> Job:
    """A run of a loop that takes its examples from `data`, which says how far it is; the rest as in `job`."""

    def begin(at: Position) -> None:
        data.steps = at.step

    return job(cfg, loop, learned, data, measure, begin=begin, keep=keep)
