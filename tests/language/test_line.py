"""The whole line, small: fine-tuning, a learnt reward, PPO and DPO on it, and the best of n, on a known utility.

Answers are twelve letters. People like threes, five of them best: u = −(threes − 5)²/2. The fine-tuned model writes
1.8 on average and hardly ever more than five, so a reward model of noisy comparisons of its answers learns that more is
better, which is right near the model and wrong far from it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from operant.data.jsonl import lines
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.episodes import Prompts, Rollouts
from operant.language.learn.dpo import dpo
from operant.language.learn.reference import pairs_with_reference
from operant.language.learn.reward_model import answers, reward_model, score
from operant.language.learn.reward_scorer import RewardScorer, critic_from
from operant.language.learn.rlhf import rlhf
from operant.language.learn.sft import sft
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.sample.engine import Completion, Engine, Prompt, Sampling
from operant.language.settings.learning import DPOConfig, RewardModelConfig, SFTConfig
from operant.language.settings.rlhf import RLHFConfig
from operant.language.text.conversation import Encoded, Encoder
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import padded
from operant.language.text.pairs import Pair, dialogue
from operant.search.best_of_n import best_of_n_value
from reference import rlhf as loops
from reference.tiny_language import tiny_language

LENGTH, LIKED = 12, 3
SEEDS = (0, 1, 2)
SAMPLING = Sampling(max_tokens=LENGTH)

pytestmark = pytest.mark.filterwarnings("ignore:step 1.*cut at the limit")  # every answer has twelve letters


def utility(c: Completion) -> float:
    """What people like: at most 0."""
    return -((c.tokens.count(LIKED) - 5) ** 2) / 2


def adam(*models: torch.nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW([p for m in models for p in m.parameters()], weight_decay=0.0)


def run(algorithm: Iterator[Metrics], steps: int) -> Metrics:
    """The last step's metrics."""
    return [next(algorithm) for _ in range(steps)][-1]


def sample(policy: LanguageModel, n: int, seed: int) -> list[Completion]:
    return Engine(policy, seed=seed, slots=256).generate([Prompt(id=0, tokens=(2,))], SAMPLING, samples=n)


def as_example(c: Completion) -> Encoded:
    return Encoded(tokens=c.prompt.tokens + c.tokens, acted=c.acted)


@dataclass(frozen=True)
class Line:
    """What the last stages begin from."""

    policy: LanguageModel  # fine-tuned
    pairs: list[Pair]  # of its own answers
    model: Scalar  # learnt from them
    streams: Streams

    def judge(self, policy: LanguageModel) -> tuple[float, float]:
        """Mean proxy and mean true utility of a policy's answers."""
        found = sample(policy, 256, seed=77)
        return float(np.mean(RewardScorer(self.model)(found))), float(np.mean([utility(c) for c in found]))


@cache
def line(seed: int) -> Line:
    """Fine-tune on even letters, compare 300 pairs of samples with noise (Bradley–Terry on the utility), learn them."""
    streams = Streams(seed)
    rng = streams.numpy("data")
    policy = loops.token_policy(8, seed=seed)
    shown = [
        Encoded(tokens=(2, *map(int, letters)), acted=(True,) * LENGTH)
        for letters in rng.choice([LIKED, 4, 5, 6, 7], p=[0.15, 0.2, 0.2, 0.2, 0.25], size=(400, LENGTH))
    ]
    tuning = SFTConfig(batch=64, lr=1e-2, packing=False)
    run(sft(tuning, Shuffled(shown, streams), policy, adam(policy), total_steps=64 * 25), 25)

    found, pairs = sample(policy, 600, seed=11), list[Pair]()
    for a, b in zip(found[::2], found[1::2], strict=True):
        sure = 1.0 / (1.0 + np.exp(utility(b) - utility(a)))
        first, second = (a, b) if rng.random() < sure else (b, a)
        pairs.append(Pair(chosen=as_example(first), rejected=as_example(second)))
    model = Scalar(copy.deepcopy(policy))
    torch.nn.init.normal_(model.head.weight, std=0.1, generator=streams.torch("head"))
    learning = RewardModelConfig(batch=64, lr=3e-3)
    told = run(reward_model(learning, Shuffled(pairs, streams), model, adam(model), total_steps=64 * 40), 40)
    assert float(told["reward/accuracy"]) > 0.65
    return Line(policy, pairs, model, streams)


@cache
def optimised(seed: int, beta: float) -> tuple[LanguageModel, Metrics]:
    """PPO on the learnt reward from the fine-tuned model, 25 steps of 64 answers; and the last step's metrics."""
    at = line(seed)
    policy, critic = copy.deepcopy(at.policy), critic_from(at.model)
    cfg = RLHFConfig(
        prompts=1, samples=64, batch=64, epochs=2, lr=4e-3, beta=beta, value_coef=0.5, value_clip=None
    )  # fmt: skip
    collect = Rollouts(Engine(policy, seed=1), Prompts([(2,)], seed=0), RewardScorer(at.model), SAMPLING, samples=64)
    ppo = rlhf(
        cfg, collect, policy, critic, adam(policy, critic), at.streams.numpy("minibatch"),
        total_steps=25, reference=at.policy,
    )  # fmt: skip
    return policy, run(ppo, 25)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_a_penalty_the_true_utility_rises_and_without_one_it_falls(seed: int) -> None:
    """Proxy, truth: 0.1, −6.5 fine-tuned; 1.6, −1.9 with β = 0.2; 2.1, −19 with β = 0 (means over five seeds)."""
    at = line(seed)
    proxy, truth = at.judge(at.policy)
    near, told = optimised(seed, 0.2)
    near_proxy, near_truth = at.judge(near)
    assert near_proxy > proxy + 0.5
    assert near_truth > truth + 2.5
    assert float(told["value/explained_variance"]) > 0.0
    far_proxy, far_truth = at.judge(optimised(seed, 0.0)[0])
    assert far_proxy > near_proxy
    assert far_truth < truth - 3.0


@pytest.mark.parametrize("seed", SEEDS)
def test_dpo_on_the_same_pairs_raises_the_true_utility(seed: int) -> None:
    at = line(seed)
    policy = copy.deepcopy(at.policy)
    data = Shuffled(pairs_with_reference(at.pairs, policy), at.streams)
    told = run(dpo(DPOConfig(batch=64, lr=3e-3, beta=0.3), data, policy, adam(policy), total_steps=64 * 30), 30)
    assert float(told["reward/accuracy"]) > 0.65
    assert at.judge(policy)[1] > at.judge(at.policy)[1] + 2.0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_of_n_by_the_learnt_reward_rises_and_then_falls(seed: int) -> None:
    """Of a model that was tuned a little (β = 0.5), whose many samples reach where the learnt reward is wrong."""
    at = line(seed)
    found = sample(optimised(seed, 0.5)[0], 3000, seed=5)
    proxy, truth = torch.tensor(RewardScorer(at.model)(found)), torch.tensor([utility(c) for c in found])
    sizes = (1, 4, 16, 64, 256, 1024)
    curve = [float(best_of_n_value(proxy, truth, n)) for n in sizes]
    top = int(np.argmax(curve))
    assert 0 < top < len(sizes) - 1
    assert curve[top] > curve[0] + 0.7
    assert curve[-1] < curve[top] - 0.5
    by_proxy = [float(best_of_n_value(proxy, proxy, n)) for n in sizes]
    assert by_proxy == sorted(by_proxy)


def test_a_reward_model_of_real_preferences_is_above_chance_on_pairs_it_has_not_seen() -> None:
    """Harmless-base of hh-rlhf (Bai et al. 2022, arXiv:2204.05862): half of the pairs to learn, half to judge.

    19 thousand parameters, from nothing, that read the first 96 tokens (bytes, mostly) of the last answer: 0.59 right.
    """
    if (folder := os.environ.get("OPERANT_DATA")) is None:
        pytest.skip("OPERANT_DATA is not set: no preference pairs")
    model = Scalar(tiny_language("llama", layers=1, width=32))
    torch.nn.init.normal_(model.head.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    encoder, pairs = Encoder(tokenizer=model.backbone.tokenizer, length=96), list[Pair]()
    for where, found in lines(Path(folder) / "preferences" / "hh_harmless_base_test.jsonl.gz"):
        chosen, rejected = (dialogue(found[name])[-1]["content"][:400] for name in ("chosen", "rejected"))
        if chosen and rejected and chosen != rejected:
            one, other = (encoder.completion("Assistant:", x, where) for x in (chosen, rejected))
            pairs.append(Pair(chosen=one, rejected=other))
    order = Streams(0).numpy("split").permutation(len(pairs))
    learnt, held_out = [pairs[i] for i in order[::2]], [pairs[i] for i in order[1::2]]
    learning = RewardModelConfig(batch=64, lr=5e-3, tokens=8192)
    steps = len(learnt) // 64
    run(reward_model(learning, Shuffled(learnt, Streams(0)), model, adam(model), total_steps=64 * steps), steps)
    right = list[bool]()
    for start in range(0, len(held_out), 64):
        rows = padded([e for p in held_out[start : start + 64] for e in answers(p)], pad=0)
        with torch.no_grad():
            one, other = score(model, rows).view(-1, 2).unbind(-1)
        right += (one > other).tolist()
    share = float(np.mean(right))
    error = 1.96 * (share * (1.0 - share) / len(right)) ** 0.5
    assert len(right) > 1000
    assert share - error > 0.5, f"{share:.3f} ± {error:.3f} of {len(right)} held-out pairs"
