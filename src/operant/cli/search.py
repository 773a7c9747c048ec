"""`operant eval RUN --votes N` and `--best-of N`: what several answers to a prompt are worth."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from operant.cli.say import tell
from operant.config.errors import ConfigError
from operant.config.write import json_text
from operant.language.episodes.evaluate import measure_of, stochastic
from operant.language.episodes.task_scorer import prompts_of
from operant.language.learn.reward_scorer import scorer_of
from operant.language.learn.verifier import read_judge
from operant.language.model.language_model import Scalar
from operant.language.reward.answer import answer_of
from operant.language.reward.trace import Trace
from operant.language.sample.engine import Engine
from operant.language.sample.sampling import Completion
from operant.language.settings.runs import LanguageRun
from operant.language.text.conversation import Encoder
from operant.search.best_of_n import best_of_n_value
from operant.search.pass_at_k import pass_at_k
from operant.search.voting import voted

if TYPE_CHECKING:
    from operant.api import Run
    from operant.language.model.language_model import LanguageModel


def verb(args: argparse.Namespace, run: Run) -> None:
    """Sample, choose, and print the accuracies."""
    if args.best_of and not args.judge:
        raise ConfigError("--best-of chooses by a learnt reward: name its run with --judge RUN")
    found = searched(
        run, votes=args.votes, best_of=args.best_of, judge=args.judge or "", prompts=args.episodes, seed=args.seed
    )
    if args.json:
        tell(json_text(found))
        return
    tell(f"one sample {found['one']:.3f}, any of {found['samples']} {found['any']:.3f} ({found['prompts']} prompts)")
    if "vote" in found:
        tell(f"majority of {args.votes} {found['vote']:.3f}")
    if "best_of" in found:
        tell("best of " + ", ".join(f"{n}: {x:.3f}" for n, x in found["best_of"].items()))


def searched(
    run: Run,
    *,
    votes: int | None = None,
    best_of: int | None = None,
    judge: str = "",
    prompts: int | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The accuracy on held-out prompts of one sample, of any of several, of their vote, and of the best by a judge.

    Args:
        run: on a language model and a task.
        votes: samples that vote, each for its answer; the first of equally frequent ones wins.
        best_of: samples of which a learnt judge takes the best; told for 1, 2, 4 … of them, each the mean over all
            choices of that many.
        judge: run folder of a reward model, or of a process reward model, whose lowest step counts.
        prompts: how many; as the run's evaluation if None.
        seed: of the samples; that of the run's evaluation if None.

    Raises:
        ConfigError: if it is a run of another kind, or the judge cannot be read.
    """
    cfg = run.permitted()
    if not isinstance(cfg, LanguageRun):
        raise ConfigError("votes and the best of several are for language models: leave --votes and --best-of out")
    policy: LanguageModel = run.policy
    measure = measure_of(cfg, policy)
    examples = measure.task.test[: min(prompts or cfg.eval.episodes, len(measure.task.test))]
    encoder = Encoder(tokenizer=policy.tokenizer, length=policy.max_positions)
    count = max(votes or 1, best_of or 1)
    engine = Engine(policy, seed=cfg.eval.seed if seed is None else seed, slots=cfg.sampling.slots)
    try:
        done = engine.generate(prompts_of(examples, encoder), stochastic(measure.sampling), samples=count)
        scores = measure.scorer.scores(done)
    finally:
        measure.close()
    right = torch.from_numpy(scores.values[:, scores.names.index(measure.task.metric)]).view(-1, count)  # [P, n]
    traces = measure.scorer.traces(done)
    found: dict[str, Any] = {"prompts": len(examples), "samples": count, "one": float(right.mean())}
    solved = [pass_at_k(count, int((row >= 1.0).sum()), count) for row in right]
    found["any"] = sum(solved) / len(solved)
    if votes:
        places = getattr(measure.task.rewards[measure.task.metric], "answer", ("whole",))
        answers = [answer_of(trace, places) for trace in traces]
        found["vote"] = voted([answers[i : i + count][:votes] for i in range(0, len(answers), count)], right.tolist())
    if best_of:
        score = torch.tensor(_judged(judge, policy, done, traces)).view(-1, count)[:, :best_of]
        found["best_of"] = {
            n: float(
                torch.stack([best_of_n_value(s, r[:best_of], n) for s, r in zip(score, right, strict=True)]).mean()
            )
            for n in _sizes(best_of)
        }
    return found


def _judged(
    path: str, policy: LanguageModel, completions: Sequence[Completion], traces: Sequence[Trace]
) -> list[float]:
    judge = read_judge(path, str(policy.device))
    if isinstance(judge, Scalar):
        found = scorer_of(judge, policy, path, chat=not isinstance(traces[0].prompt, str))(completions)
        return [-math.inf if score is None else score for score in found]  # what cannot be read is never the best
    return [0.0 if isinstance(steps, str) else min(p for _, p in steps) for steps in judge(traces)]


def _sizes(most: int) -> list[int]:
    """1, 2, 4 … and `most`."""
    return sorted({most, *(2**i for i in range(most.bit_length()) if 2**i <= most)})
