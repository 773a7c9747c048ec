"""How a small base imitates a task's demonstrations: with which tokens, for how long, and by which it is stopped.

Many demonstrations are gone through a few times, and all of them are learnt from. Few would be learnt by heart,
mistakes and all: then a share of their prompts is held out, weights decay and are averaged over the last steps, and
those are taken that the held-out demonstrations are likeliest under.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from operant.config.values import duration
from operant.data.streams import Streams
from operant.language.learn.sft import sft, split_rows
from operant.language.model.fresh import fresh
from operant.language.model.language_model import LanguageModel
from operant.language.settings.learning import SFTConfig
from operant.language.settings.runs import BaseConfig
from operant.language.task.task import Demonstration, Task
from operant.language.text.conversation import Encoded, Encoder
from operant.language.text.epochs import Shuffled

Say = Callable[[str], None]

REPORTS = 5
"""How often the training of a base says how far it is."""

FEW_PASSES = 8
"""As many over the demonstrations need no held-out ones: on 7,800 of them the loss still falls, held out or not."""

ENOUGH = 20
"""Prompts from which some are held out; a tenth of fewer would tell nothing."""

LEAST = 9_600
"""Examples that are always allowed: 300 gradient steps of 32, which a handful of demonstrations needs as well."""

TOKENS = 2_000_000
"""The most that are read where demonstrations are held out: long texts are gone through fewer times."""

MOST_HELD = 500
"""Prompts that are held out at most."""

AVERAGED = 0.98
"""The weights that are measured and kept are an average in which a step counts so much less than the next one."""


DECAY, MEMORY = 0.3, 0.98
"""AdamW's weight decay and β₂ where demonstrations are held out. With 0 and 0.999 the sum was not found in 60 passes
over 1,800 examples of it, half of them wrong; with these after 18. On letters they make no difference."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a small base is trained on, and for how long.

    Attributes:
        tokenizer: "bytes" or "bpe".
        examples: worked examples it is trained on at most, repeats counted.
        learnt, held: indices of the demonstrations; none is held where none stops it.
    """

    tokenizer: str
    examples: int
    learnt: Sequence[int]
    held: Sequence[int]

    @property
    def passes(self) -> float:
        """Over the demonstrations that are learnt from, at most."""
        return self.examples / len(self.learnt)


def plan_of(task: Task, demonstrations: Sequence[Demonstration], cfg: BaseConfig) -> Plan:
    """The plan for a task's demonstrations, of which there is one at least.

    Args:
        task: says what its solutions may need.
        demonstrations: all of them.
        cfg: the settings; `examples` bounds them.
    """
    tokenizer = cfg.tokenizer
    if tokenizer == "auto":
        tokenizer = "bytes" if _bytes_fit(task, demonstrations, cfg) else "bpe"
    count = len(demonstrations)
    if cfg.examples <= FEW_PASSES * count:
        return Plan(tokenizer=tokenizer, examples=cfg.examples, learnt=range(count), held=())
    prompts = list(dict.fromkeys(str(d.prompt) for d in demonstrations))
    apart = min(MOST_HELD, max(1, round(cfg.held_out * len(prompts)))) if cfg.held_out and len(prompts) >= ENOUGH else 0
    order = Streams(cfg.seed).numpy("held-out").permutation(len(prompts))
    chosen = {prompts[int(i)] for i in order[:apart]}
    held = [i for i, d in enumerate(demonstrations) if str(d.prompt) in chosen]
    learnt = [i for i, d in enumerate(demonstrations) if str(d.prompt) not in chosen]
    most = min(cfg.examples, max(cfg.passes * len(learnt), LEAST))
    return Plan(tokenizer=tokenizer, examples=most, learnt=learnt, held=held)


def _bytes_fit(task: Task, demonstrations: Sequence[Demonstration], cfg: BaseConfig) -> bool:
    """Whether a token for each byte leaves room: texts in half of the positions, solutions in what the task allows."""
    some = [task.train[i] for i in range(0, len(task.train), max(1, len(task.train) // 200))]
    texts = [(str(d.prompt), d.completion) for d in demonstrations] + [(str(e.prompt), e.solution) for e in some]
    longest = max(_size(prompt) + _size(completion) + 1 for prompt, completion in texts)
    needed = max(_size(e.solution) + 1 for e in some)
    limit = task.max_tokens or needed
    return longest <= cfg.positions // 2 and needed <= limit and all(_size(text) == 1 for text in task.stop)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def imitate(task: Task, cfg: BaseConfig, say: Say) -> LanguageModel:
    """A fresh model trained on a task's demonstrations as `plan_of` says: a function of the task and `cfg` alone."""
    demonstrations = list(task.demonstrations)
    plan = plan_of(task, demonstrations, cfg)
    made = cfg.model_copy(update={"tokenizer": plan.tokenizer})
    policy = fresh(made, (f"{d.prompt}{d.completion}" for d in demonstrations[:5000]))
    encoder = Encoder(tokenizer=policy.tokenizer, length=cfg.positions)
    examples = [encoder.completion(d.prompt, d.completion, f"demonstration {i}") for i, d in enumerate(demonstrations)]
    learnt, held = [examples[i] for i in plan.learnt], [examples[i] for i in plan.held]
    most = plan.examples
    if held:
        most = min(most, max(LEAST, TOKENS * len(learnt) // sum(len(e.tokens) for e in learnt)))
    settings = SFTConfig(batch=cfg.batch, length=cfg.positions, packing=False, lr=cfg.lr, warmup=0.05)
    about = most * _seconds(policy, settings, learnt)
    say(f"  {_words(policy, plan, most)}; {'at most ' if held else ''}about {duration(about)}")
    data = Shuffled(learnt, Streams(cfg.seed))
    optimizer = _adamw(policy, cfg.lr, regular=bool(held))
    best = _Best(policy, settings, held) if held else None
    reported = 0
    for metrics in sft(settings, data, policy, optimizer, total_steps=most):
        done = min(1.0, data.steps / most)
        last = data.steps >= most
        if best is not None:
            last |= best.after(data.episodes, last)
        if int(REPORTS * done) > reported:
            reported = int(REPORTS * done)
            beside = "" if best is None else f", {best.loss:.3f} on those held out after {best.at} passes"
            say(f"  {done:.0%}, loss {float(metrics['loss/nll']):.3f}{beside}")
        if last:
            break
    if best is not None:
        best.take()
        say(
            f"  Stopped after {data.episodes} passes; taken as it was after {best.at}, when the loss on what was held "
            f"out was least ({best.loss:.3f})."
        )
    return policy


def _adamw(policy: LanguageModel, lr: float, *, regular: bool) -> torch.optim.AdamW:
    """AdamW; a `regular` one has a short memory, and its decay draws on matrices alone."""
    if not regular:
        return torch.optim.AdamW(policy.parameters(), lr=lr, weight_decay=0.0)
    wide = {"params": [p for p in policy.parameters() if p.ndim > 1], "weight_decay": DECAY}
    rest = {"params": [p for p in policy.parameters() if p.ndim <= 1], "weight_decay": 0.0}
    return torch.optim.AdamW([wide, rest], lr=lr, betas=(0.9, MEMORY))


def _words(policy: LanguageModel, plan: Plan, most: int) -> str:
    """A plan for the person who waits."""
    size, count = sum(p.numel() for p in policy.parameters()), len(plan.learnt)
    tokens = "every byte a token" if plan.tokenizer == "bytes" else f"BPE of {len(policy.tokenizer)} tokens"
    many = f"{most / count:.{0 if most >= 10 * count else 1}f} passes over {count:,} demonstrations"
    if plan.held:
        return f"{size:,} parameters, {tokens}, up to {many}, {len(plan.held):,} held out to stop by"
    return f"{size:,} parameters, {tokens}, {many}"


def _seconds(policy: LanguageModel, cfg: SFTConfig, examples: Sequence[Encoded]) -> float:
    """What an example takes, by gradients that are thrown away: the quickest, as the first waits for compiling."""
    took: list[float] = []
    batch = examples[: cfg.batch]
    for _ in range(4):
        began = time.perf_counter()
        for rows in split_rows(cfg, batch, policy.tokenizer.pad_token_id):
            policy.evaluate(rows.tokens, rows.acted)[0].sum().backward()
        took.append(time.perf_counter() - began)
    policy.zero_grad(set_to_none=True)
    return 1.3 * min(took) / len(batch)  # with the step of the optimiser and the held-out loss


class _Best:
    """The average of the last weights, and those averages under which held-out examples were likeliest.

    Args:
        policy: what is trained.
        cfg: how rows are split.
        held: the held-out examples.

    Attributes:
        loss, at: nats a token of the best, and the passes it was found after.
    """

    def __init__(self, policy: LanguageModel, cfg: SFTConfig, held: Sequence[Encoded]) -> None:
        self.policy, self.loss, self.at = policy, float("inf"), 0
        self.rows = split_rows(cfg, held, policy.tokenizer.pad_token_id)
        self._parameters = [*policy.parameters()]
        self._average = [p.detach().clone() for p in self._parameters]
        self._best = [x.clone() for x in self._average]
        self._steps = self._passes = 0

    @torch.no_grad()
    def after(self, passes: int, last: bool) -> bool:
        """Average a step in, and measure at the end of a pass and at the `last` step; says whether that was enough.

        The best may be half as long ago as it took to find, and four passes.
        """
        self._steps += 1
        share = min(AVERAGED, (1 + self._steps) / (10 + self._steps))
        for x, p in zip(self._average, self._parameters, strict=True):
            x.lerp_(p, 1.0 - share)
        if passes == self._passes and not last:
            return False
        self._passes = passes
        loss = self._measure()
        if loss < self.loss:
            self.loss, self.at = loss, passes
            for x, y in zip(self._best, self._average, strict=True):
                x.copy_(y)
        return passes >= 1.5 * self.at + 4

    @torch.no_grad()
    def take(self) -> None:
        """Give the policy the best weights."""
        for p, x in zip(self._parameters, self._best, strict=True):
            p.copy_(x)

    def _measure(self) -> float:
        """Nats a token of the held-out examples under the average."""
        now = [p.clone() for p in self._parameters]
        total, count = 0.0, 0
        for p, x in zip(self._parameters, self._average, strict=True):
            p.copy_(x)
        for rows in self.rows:
            logp, _ = self.policy.evaluate(rows.tokens, rows.acted)
            total, count = total - float(logp.sum()), count + int(rows.acted.sum())
        for p, x in zip(self._parameters, now, strict=True):
            p.copy_(x)
        return total / count
