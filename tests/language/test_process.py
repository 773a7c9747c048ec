"""GRPO with process against outcome supervision: the same samples, judged step by step or as a whole.

Copy ten words. The fine-tuned model takes each for the word before it in 0.6 of all cases, so that one completion in
ten thousand is right as a whole (0.4^10), but 0.4 of all steps are.
"""

from __future__ import annotations

import copy
import warnings
from functools import cache
from typing import Literal

import pytest
import torch

pytest.importorskip("transformers")

from operant.data.streams import Streams
from operant.language.episodes.episodes import Prompts, Rollouts
from operant.language.episodes.task_scorer import TaskScorer, greedy, prompts_of
from operant.language.learn.batch_checks import TrainingWarning
from operant.language.learn.grpo import grpo
from operant.language.learn.sft import sft
from operant.language.model.language_model import LanguageModel
from operant.language.reward.trace import Trace
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.grpo import GRPOConfig
from operant.language.settings.learning import SFTConfig
from operant.language.task.check import check_task
from operant.language.text.conversation import Encoder
from operant.language.text.epochs import Shuffled
from operant.task import Example, Task, reward
from reference.tiny import tokenizer
from reference.tiny_language import tiny_model

STEPS, WORDS = 10, 8
SAMPLING = Sampling(max_tokens=STEPS)


@reward(pure=True)
def correct(trace: Trace) -> float:
    return float(trace.completion == trace.gold)


@reward(pure=True)
def each(trace: Trace) -> list[tuple[int, float]]:
    """A step is a word; it is right or it is not."""
    found, end = list[tuple[int, float]](), -1
    for said, wanted in zip(trace.completion.split(" "), str(trace.gold).split(" "), strict=False):
        end += 1 + len(said)
        found.append((end, float(said == wanted)))
    return found


def task() -> Task:
    drawn = Streams(0).numpy("words").integers(WORDS, size=(464, STEPS))
    texts = list(dict.fromkeys(" ".join(f"w{2 + i}" for i in row) for row in drawn))
    made = [Example(prompt=f"{text} w10", gold=text, solution=text) for text in texts]
    return Task(name="copy", train=made[64:], test=made[:64], rewards={"correct": correct}, step_reward=each)


@cache
def tuned(seed: int) -> LanguageModel:
    """A model that mistakes words as told above."""
    policy = LanguageModel(tiny_model("llama", vocabulary=12, positions=32, seed=seed), tokenizer())
    encoder, rng = Encoder(tokenizer=policy.tokenizer, length=32), Streams(seed).numpy("mistakes")
    shown = []
    for words in rng.integers(WORDS, size=(4000, STEPS)):
        said = (words - (rng.random(STEPS) < 0.6)) % WORDS
        prompt, answer = (" ".join(f"w{2 + i}" for i in row) for row in (words, said))
        shown.append(encoder.completion(f"{prompt} w10", answer))
    optimizer = torch.optim.AdamW(policy.parameters(), weight_decay=0.0)
    cfg = SFTConfig(batch=64, lr=5e-3, packing=False)
    learn = sft(cfg, Shuffled(shown, Streams(seed)), policy, optimizer, total_steps=64 * 150)
    for _ in range(150):
        next(learn)
    return policy


def accuracy(policy: LanguageModel, made: Task) -> tuple[float, float]:
    """The share of held-out prompts, and of their steps, that greedy decoding has right."""
    judge = TaskScorer(made, policy.tokenizer, lambda i: made.test[i])
    prompts = prompts_of(made.test, Encoder(tokenizer=policy.tokenizer, length=32))
    done = Engine(policy, seed=1).generate(prompts, greedy(SAMPLING))
    steps = [value for trace in judge.traces(done) for _, value in each(trace)]
    return float(judge.scores(done).values.mean()), sum(steps) / len(steps)


def learnt(seed: int, supervision: Literal["outcome", "process", "both"]) -> tuple[float, float]:
    """The accuracies after 35 steps of 64 completions."""
    made, policy = task(), copy.deepcopy(tuned(seed))
    encoder = Encoder(tokenizer=policy.tokenizer, length=32)
    prompts = Prompts([encoder.prompt(e.prompt) for e in made.train], seed=seed)
    judge = TaskScorer(made, policy.tokenizer, lambda i: made.train[prompts.example(i)], supervision=supervision)
    collect = Rollouts(Engine(policy, seed=seed), prompts, judge, SAMPLING, samples=16)
    cfg = GRPOConfig(prompts=4, samples=16, lr=3e-3, supervision=supervision)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr, weight_decay=0.0)
    loop = grpo(cfg, collect, policy, optimizer, Streams(seed).numpy("minibatch"), total_steps=35)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)  # every completion has ten words; few wholes are right
        for _ in range(35):
            next(loop)
    return accuracy(policy, made)


@pytest.mark.parametrize("seed", [0, 1])
def test_steps_are_learnt_where_wholes_are_not(seed: int) -> None:
    """Right as a whole on held-out prompts: 0.0 before and with outcome supervision, 1.0 with process supervision."""
    check_task(task())
    before, steps_before = accuracy(tuned(seed), task())
    assert before == 0.0
    assert steps_before < 0.2  # greedily it makes its mistake
    whole, _ = learnt(seed, "outcome")
    stepwise, right = learnt(seed, "process")
    assert whole < 0.2
    assert stepwise > 0.8
    assert right > 0.95


def test_the_whole_beside_the_steps_does_no_harm() -> None:
    assert learnt(0, "both")[0] > 0.8
