"""Rejection sampling: what is kept, and that imitating it helps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from operant.data.streams import Streams
from operant.language.episodes.episodes import Prompts, Rollouts
from operant.language.learn.expert_iteration import example, expert_iteration, keep
from operant.language.sample.engine import Completion, Engine, Prompt, Sampling
from operant.language.settings.rlhf import ExpertIterationConfig
from reference import rlhf as loops


def completion(prompt: int, tokens: tuple[int, ...], *, finish: str = "stop", acted: Sequence[bool] = ()) -> Completion:
    n = len(tokens)
    return Completion(
        prompt=Prompt(id=prompt, tokens=(2, 3)), sample=0, tokens=tokens, logp=(0.0,) * n, kept=(0.0,) * n,
        acted=tuple(acted) or (True,) * n, finish="stop" if finish == "stop" else "length",
    )  # fmt: skip


FOUND = [
    completion(0, (4, 1)), completion(0, (4, 1)), completion(0, (5, 1)), completion(0, (6, 1)),
    completion(1, (4, 1)), completion(1, (7, 7), finish="length"), completion(1, (8, 1)), completion(2, (4, 1)),
]  # fmt: skip
SCORES = [1.0, 1.0, 2.0, 0.0, 0.5, 9.0, None, [(0, 0.25), (1, 0.75)]]


def test_correct_keeps_every_different_good_completion() -> None:
    kept = keep(ExpertIterationConfig(), FOUND, SCORES)
    assert [(c.prompt.id, c.tokens) for c in kept] == [(0, (4, 1)), (0, (5, 1)), (2, (4, 1))]


def test_best_keeps_one_of_each_prompt_if_it_is_good() -> None:
    kept = keep(ExpertIterationConfig(keep="best", threshold=0.1), FOUND, SCORES)
    assert [(c.prompt.id, c.tokens) for c in kept] == [(0, (5, 1)), (1, (4, 1)), (2, (4, 1))]


def test_what_was_forced_is_not_imitated() -> None:
    e = example(completion(0, (4, 5, 1), acted=(True, False, True)))
    assert e.tokens == (2, 3, 4, 5, 1)
    assert e.acted == (False, True, False, True)


def test_it_learns_what_it_kept_and_stands_still_where_it_kept_nothing() -> None:
    policy = loops.token_policy(8)

    def score(completions: Sequence[Completion]) -> list[float]:
        return [float(3 in c.tokens[:2]) for c in completions]

    def run(threshold: float, rounds: int) -> list[dict[str, torch.Tensor]]:
        collect = Rollouts(
            Engine(policy, seed=1), Prompts([(2,), (4, 5)], seed=0), score, Sampling(max_tokens=6, stop=(1,)), samples=8
        )
        cfg = ExpertIterationConfig(prompts=8, batch=32, lr=1e-2, epochs=2, threshold=threshold)
        optimizer = torch.optim.AdamW(policy.parameters(), weight_decay=0.0)
        learn = expert_iteration(cfg, collect, policy, optimizer, Streams(0))
        return [next(learn) for _ in range(rounds)]

    before = [p.clone() for p in policy.parameters()]
    assert float(run(2.0, 1)[0]["kept/share"]) == 0.0
    assert all(torch.equal(p, q) for p, q in zip(before, policy.parameters(), strict=True))
    seen = run(1.0, 12)
    reward = [float(m["reward/mean"]) for m in seen]
    assert reward[0] < 0.4
    assert np.mean(reward[-2:]) > 0.8
    assert float(seen[-1]["kept/prompts"]) > float(seen[0]["kept/prompts"]) - 1e-9
