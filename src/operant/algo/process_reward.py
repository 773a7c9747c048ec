"""Process reward models (Lightman et al. 2023; Wang et al. 2024, Math-Shepherd), on one page: is each step right?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from operant.algo.learning import Tally, check_lengths, rate, set_rate, step
from operant.config.language import ProcessRewardConfig
from operant.data.order import Shuffled
from operant.data.packing import padded, within
from operant.data.pairs import Steps
from operant.data.trajectory import Metrics
from operant.math.comparison import step_correctness
from operant.math.reduce import token_mean
from operant.policy.language import Scalar
from operant.rollout.processes import share


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
    check_lengths((item.solution for item in data.items), model.backbone.max_positions)
    pad = model.backbone.tokenizer.pad_token_id
    while True:
        lr = rate(cfg, data.steps / total_steps)
        set_rate(optimizer, lr)

        batch = data(cfg.batch)
        count = sum(len(item.correct) for item in batch)  # verdicts, over all parts and processes
        tally = Tally(("loss/step", "reward/accuracy", "reward/correct"))
        optimizer.zero_grad()
        sizes = [len(item.solution.tokens) for item in batch]
        for part in share(within(sizes, [1] * len(batch), cfg.tokens)):
            rows = padded([batch[i].solution for i in part], pad).to(model.backbone.device)
            logit = model(rows.tokens)[:, 1:]  # [N, T] after the token that `acted` marks
            verdicts = torch.tensor([y for i in part for y in batch[i].correct], device=logit.device)
            correct = torch.zeros_like(logit).masked_scatter(rows.acted, verdicts.to(logit.dtype))
            reduce = partial(token_mean, denominator=count)
            loss, metrics = step_correctness(logit, correct, rows.acted, reduce=reduce)
            loss.backward()
            tally.add({"loss/step": loss}, count)
            tally.add({f"reward/{name}": mean for name, mean in metrics.items()}, len(verdicts))
        norm = step(optimizer, cfg.max_grad_norm)

        yield tally.means(count) | {"grad/norm": norm, "schedule/lr": torch.tensor(lr)} | data.stats()
