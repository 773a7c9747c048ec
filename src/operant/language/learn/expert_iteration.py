"""Rejection sampling and expert iteration, on one page: sample, keep what is good, imitate it, repeat.

Anthony et al. (2017, arXiv:1705.08439); for language models STaR (Zelikman et al. 2022, arXiv:2203.14465), ReST
(Gulcehre et al. 2023, arXiv:2308.08998) and RAFT (Dong et al. 2023, arXiv:2304.06767). It is a policy gradient whose
weight is 1 where a completion is kept and 0 elsewhere: nothing is pushed down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.episodes import Rollouts, Score, total_score
from operant.language.episodes.world_rollouts import WorldRollouts
from operant.language.learn.on_policy import on_policy
from operant.language.learn.setup import adamw
from operant.language.learn.sft import sft
from operant.language.model.language_model import LanguageModel
from operant.language.model.train_state import LanguageTrainState
from operant.language.sample.sampling import Completion
from operant.language.settings.learning import SFTConfig
from operant.language.settings.rlhf import ExpertIterationConfig
from operant.language.settings.runs import ExpertIterationRun
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.run.job import Job, Say, silent


def expert_iteration(
    cfg: ExpertIterationConfig,
    collect: Rollouts | WorldRollouts,
    policy: LanguageModel,
    optimizer: torch.optim.Optimizer,
    streams: Streams,
) -> Iterator[Metrics]:
    """Sample completions, keep the good ones, fine-tune on them, yield metrics; for ever.

    A round that keeps nothing changes nothing.

    Args:
        cfg: the settings.
        collect: gives `cfg.samples` completions of each of n prompts, scored.
        policy: the model, trained in place.
        optimizer: holds the parameters to train.
        streams: the order in which what was kept is learnt, by round.
    """
    tuning = SFTConfig(
        batch=cfg.batch, tokens=cfg.tokens, length=policy.max_positions, learn="completion", packing=False,
        lr=cfg.lr, lr_schedule="constant", warmup=0.0, weight_decay=cfg.weight_decay, max_grad_norm=cfg.max_grad_norm,
    )  # fmt: skip
    while True:
        collect(cfg.prompts)
        kept = keep(cfg, collect.completions, collect.scores)
        kept_ids = {(c.prompt.id, c.sample) for c in kept}
        collect.advantages = torch.tensor([float((c.prompt.id, c.sample) in kept_ids) for c in collect.completions])
        prompts = len({c.prompt.id for c in collect.completions})
        metrics = {
            "kept/share": torch.tensor(len(kept) / len(collect.completions)),
            "kept/prompts": torch.tensor(len({c.prompt.id for c in kept}) / prompts),
        }
        if kept:
            data = Shuffled([example(c) for c in kept], Streams(streams.integer("round", collect.steps)))
            learn = sft(tuning, data, policy, optimizer, total_steps=cfg.epochs * len(kept))
            steps = [next(learn) for _ in range(-(-cfg.epochs * len(kept) // cfg.batch))]
            metrics |= {"loss/nll": torch.stack([m["loss/nll"] for m in steps]).mean()}
        yield metrics | collect.stats()


def keep(cfg: ExpertIterationConfig, completions: Sequence[Completion], scores: Sequence[Score]) -> list[Completion]:
    """What is worth imitating: finished, judged, at least at the threshold; no text twice for one prompt.

    A completion that was cut at the limit is never kept: it would teach not to end.
    """
    best: dict[tuple[int, ...], tuple[float, Completion]] = {}
    for c, score in zip(completions, scores, strict=True):
        total = total_score(score)
        if total is None or c.finish != "stop" or not any(c.acted):
            continue
        place = (c.prompt.id,) if cfg.keep == "best" else (c.prompt.id, *c.tokens)
        if total >= cfg.threshold and (place not in best or total > best[place][0]):
            best[place] = (total, c)
    return [c for _, c in best.values()]


def example(c: Completion) -> Encoded:
    """A completion to imitate: what the policy chose in it, not what was forced."""
    return Encoded(
        tokens=c.prompt.tokens + c.tokens,
        acted=(False,) * (len(c.prompt.tokens) - 1) + c.acted,
        where=f"sample {c.sample} of prompt {c.prompt.id}",
    )


def build(cfg: ExpertIterationRun, env: object, say: Say = silent) -> Job:
    """Everything that expert iteration needs, made from a config and one seed."""
    run = on_policy(cfg, say, samples=cfg.algo.samples)
    prompts = run.collect.prompts
    optimizer = adamw([run.policy], cfg.algo.lr, cfg.algo.weight_decay)

    def restore(counters: Mapping[str, Any]) -> None:
        prompts.drawn = int(counters["drawn"])

    loop = expert_iteration(cfg.algo, run.collect, run.policy, optimizer, Streams(cfg.seed))
    learned = LanguageTrainState(run.policy, optimizer, counters=lambda: {"drawn": prompts.drawn}, restore=restore)
    return run.job(loop, learned)
