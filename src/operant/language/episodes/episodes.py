"""Completions and their scores as a trajectory, and the loop that samples, scores and collects them."""

from __future__ import annotations

import time
import warnings
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError, OperantError
from operant.data.trajectory import Metrics, Trajectory
from operant.language.episodes.distributed import all_gather, shard, world_size
from operant.language.sample.engine import Completion, Engine, Prompt, Sampling
from operant.language.sample.sampling import Prompts as Prompts

Steps = Sequence[tuple[int, float]]
"""(Index of a step's last token, reward) for each step, counted from the completion's first token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeAndSteps:
    """What a completion earned that was judged as a whole and step by step."""

    outcome: float
    steps: Steps


Score = float | Steps | OutcomeAndSteps | None
"""What a completion earned: one number for all of it; or one for each step; or both; None where it was not judged."""

SKIPPED = 10
"""Times in a row that nothing can be judged, at which a run ends."""

Scorer = Callable[[Sequence[Completion]], Sequence[Score]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """N completions: the trajectory, and what stands beside it.

    In `traj`, a row is a prompt and its completion, padded on the right; `group` is the prompt's id. `logp` is the
    sampler's log π at the temperature, over the whole vocabulary: the ratio to it is 1 while π has not moved, also
    where top-k, top-p or min-p cut the vocabulary.
    """

    traj: Trajectory
    kept: Tensor  # [N, T]; log of the probability that the cuts left: log μ(token) is logp − kept
    rewarded: (
        Tensor  # [N, T] bool; a reward, perhaps of 0, was given here: of the steps alone where `outcome` is not None
    )
    outcome: (
        Tensor | None
    )  # [N]; what of the return the whole earned, where the steps did too: it is at the last decision
    prompt: Tensor  # [N] int64; tokens of the prompt
    length_limited: Tensor  # [N] bool; ended by the limit on its length
    scored: Tensor  # [N] bool; False where the reward failed
    temperature: float = 1.0  # of the policy that `logp` is of

    @property
    def rows(self) -> int:
        """N."""
        return len(self.prompt)

    @property
    def length(self) -> Tensor:
        """[N]: tokens of a row up to the last decision, with it; 1 where there is none."""
        acted = self.traj.acted
        return (acted * torch.arange(2, acted.shape[1] + 2, device=acted.device)).amax(-1).clamp(min=1)


def episodes(
    completions: Sequence[Completion], scores: Sequence[Score], *, device: torch.device | str = "cpu",
    temperature: float = 1.0,
) -> Episodes:  # fmt: skip
    """Rows of a trajectory from completions and what they earned.

    The last decision is `terminated` where the completion ended by itself, and `truncated` where it was cut at the
    limit or could not be judged. A reward whose token was not the policy's (a tool's output) is credited to the
    decision before it.

    Raises:
        ConfigError: as many scores as completions were not given, or a step's index lies outside of its completion.
    """
    if len(scores) != len(completions):
        raise ConfigError(f"the reward gave {len(scores)} scores for {len(completions)} completions: give one for each")
    n, width = len(completions), max(len(c.prompt.tokens) + len(c.tokens) for c in completions)
    obs = np.zeros((n, width), np.int64)
    logp, kept, reward = np.zeros((3, n, width - 1), np.float32)
    acted, terminated, truncated, rewarded = np.zeros((4, n, width - 1), bool)
    outcome = np.zeros(n, np.float32)
    for row, (c, score) in enumerate(zip(completions, scores, strict=True)):
        start, end = len(c.prompt.tokens) - 1, len(c.prompt.tokens) + len(c.tokens) - 1
        obs[row, : end + 1] = (*c.prompt.tokens, *c.tokens)
        logp[row, start:end], kept[row, start:end], acted[row, start:end] = c.logp, c.kept, c.acted
        own = [t for t, ours in enumerate(c.acted) if ours]
        if not own:
            continue
        ended = terminated if c.finish == "stop" and score is not None else truncated
        ended[row, start + own[-1]] = True
        if score is None:
            continue
        if isinstance(score, OutcomeAndSteps):
            outcome[row] = score.outcome
            reward[row, start + own[-1]] += score.outcome
        steps = score.steps if isinstance(score, OutcomeAndSteps) else score
        for index, value in [(len(c.tokens) - 1, steps)] if isinstance(steps, int | float) else steps:
            if not 0 <= index < len(c.tokens):
                where = f"sample {c.sample} of prompt {c.prompt.id}"
                raise ConfigError(
                    f"{where}: a step's reward at token {index} of {len(c.tokens)}; give 0 … {len(c.tokens) - 1}"
                )
            at = start + own[max(0, bisect_right(own, index) - 1)]
            reward[row, at] += value
            rewarded[row, at] = True
    tokens = torch.from_numpy(obs)
    traj = Trajectory(
        obs=tokens, action=tokens[:, 1:], logp=torch.from_numpy(logp), reward=torch.from_numpy(reward),
        terminated=torch.from_numpy(terminated), truncated=torch.from_numpy(truncated), acted=torch.from_numpy(acted),
        group=torch.tensor([c.prompt.id for c in completions]),
    )  # fmt: skip
    batch = Episodes(
        traj=traj, kept=torch.from_numpy(kept), rewarded=torch.from_numpy(rewarded),
        prompt=torch.tensor([len(c.prompt.tokens) for c in completions]),
        length_limited=torch.tensor([c.finish == "length" for c in completions]),
        scored=torch.tensor([score is not None for score in scores]),
        outcome=torch.from_numpy(outcome) if any(isinstance(score, OutcomeAndSteps) for score in scores) else None,
        temperature=temperature,
    )  # fmt: skip
    return batch if torch.device(device).type == "cpu" else _to(batch, device)


class Rollouts:
    """Samples and scores, a call at a time. Over several processes each samples its share, and all get every row.

    Args:
        engine: the sampler.
        prompts: what to begin from.
        score: completions to what they earned.
        sampling: how tokens are drawn.
        samples: completions of each prompt.
        resample: rounds in which prompts whose completions all score the same are replaced (dynamic sampling: Yu et al.
            2025, DAPO, section 3.2).
        overlong: share of the limit over which the reward falls by up to 1 (DAPO, equation 13).

    Attributes:
        steps, episodes, seconds: calls, completions, and the time they took.
        completions, scores: of the last call, kept rows only; `dropped` of its prompts gave no contrast.
        skipped: how often in the last call nothing was judged, and other prompts were drawn.
        advantages: [N] of the last call: what the loop that learns from it makes of each completion's last decision.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: Prompts,
        score: Scorer,
        sampling: Sampling,
        *,
        samples: int,
        resample: int = 0,
        overlong: float = 0.0,
    ) -> None:
        self.engine, self.prompts, self.score, self.sampling = engine, prompts, score, sampling
        self.samples, self.resample, self.overlong = samples, resample, overlong
        self.steps, self.episodes, self.seconds = 0, 0, 0.0
        self.completions: list[Completion] = []
        self.scores: list[Score] = []
        self.advantages: Tensor | None = None
        self.dropped, self.skipped, self._scoring = 0, 0, 0.0

    def __call__(self, n: int) -> Episodes:
        """Completions of n prompts; of fewer where `resample` rounds did not find as many with a contrast.

        Raises:
            ConfigError: if no prompt leaves room for a completion in the positions of the model.
            OperantError: if no completion was judged, ten times in a row; where it is so less often, others are drawn.
        """
        start, before = time.perf_counter(), self.engine.seconds
        self._scoring, self.skipped = 0.0, 0
        rows = self._contrasting(n)
        while all(score is None for _, score in rows):
            why = getattr(self.score, "message", "") or "the reward gave no number"
            where = f"step {self.steps + 1}: not one of {len(rows)} completions was judged"
            self.skipped += 1
            if self.skipped == SKIPPED:
                raise OperantError(
                    f"{where}, and so it was {SKIPPED} times in a row, so there is nothing to learn from: {why}. Mend "
                    "the reward, then go on: operant resume RUN"
                )
            warnings.warn(f"{where}, so these are passed over and others drawn: {why}", stacklevel=2)
            rows = self._contrasting(n)
        self.completions, self.scores = [c for c, _ in rows], [score for _, score in rows]
        self.advantages = None
        self.steps += 1
        self.episodes += len(rows)
        self.seconds += time.perf_counter() - start
        self._sampling = self.engine.seconds - before
        temperature = self.sampling.temperature or 1.0  # greedy samples are scored at 1
        return episodes(self.completions, self.scores, device=self.engine.policy.device, temperature=temperature)

    def _contrasting(self, n: int) -> list[tuple[Completion, Score]]:
        """Completions of n prompts with their scores; with `resample`, of prompts whose completions differ in these."""
        contrasting: list[tuple[Completion, Score]] = []
        equal: list[tuple[Completion, Score]] = []
        self.dropped = 0
        for _ in range(1 + self.resample):
            rows = self._round(n - len(contrasting) // self.samples)
            for i in range(0, len(rows), self.samples):
                group = rows[i : i + self.samples]
                if self.resample and _equal([score for _, score in group]):
                    equal += group
                    self.dropped += 1
                else:
                    contrasting += group
            if len(contrasting) == n * self.samples:
                break
        return contrasting or equal[: n * self.samples]

    def stats(self) -> Metrics:
        """Of the last call."""
        total = torch.tensor([x for x in map(total_score, self.scores) if x is not None], dtype=torch.float64)
        length = torch.tensor([len(c.tokens) for c in self.completions], dtype=torch.float64)
        rows = max(len(self.scores), 1)
        return {
            "reward/mean": total.mean(),
            "reward/std": total.std(correction=0),
            "reward/missing": torch.tensor(1.0 - len(total) / rows),
            "completion/length": length.mean(),
            "completion/truncated": torch.tensor(sum(c.finish == "length" for c in self.completions) / rows),
            "sampler/kept": torch.tensor([x for c in self.completions for x in c.kept]).exp().mean(),
            "sampler/dropped": torch.tensor(float(self.dropped)),
            "time/sample": torch.tensor(self._sampling),
            "time/score": torch.tensor(self._scoring),
            **({"reward/skipped": torch.tensor(float(self.skipped))} if self.skipped else {}),
        }

    def _round(self, n: int) -> list[tuple[Completion, Score]]:
        """Sample and score n prompts, over all processes."""
        prompts = self.prompts(n, self.engine.policy.max_positions, self.sampling.max_tokens)
        done = self.engine.generate(own, self.sampling, samples=self.samples) if (own := shard(prompts)) else []
        start = time.perf_counter()
        scores = [self._shaped(c, s) for c, s in zip(done, self.score(done) if done else [], strict=True)]
        self._scoring += time.perf_counter() - start
        if world_size() == 1:
            return list(zip(done, scores, strict=True))
        parts = all_gather([[asdict(c), _plain(s)] for c, s in zip(done, scores, strict=True)])
        rows = [(_completion(c), _score(s)) for part in parts for c, s in part]
        place = {prompt.id: i for i, prompt in enumerate(prompts)}
        return sorted(rows, key=lambda row: (place[row[0].prompt.id], row[0].sample))

    def _shaped(self, c: Completion, score: Score) -> Score:
        """The score with the soft overlong punishment: 0 up to the limit's margin, then falling to −1 at the limit."""
        limit = self.sampling.max_tokens
        margin = self.overlong * limit
        if score is None or margin == 0.0 or (over := (len(c.tokens) - (limit - margin)) / margin) <= 0.0:
            return score
        if isinstance(score, int | float):
            return score - over
        if isinstance(score, OutcomeAndSteps):
            return OutcomeAndSteps(outcome=score.outcome - over, steps=score.steps)
        return [*score, (len(c.tokens) - 1, -over)]


def by_length(length: Tensor, tokens: int | None) -> list[Tensor]:
    """Rows in parts of at most `tokens` tokens each, padding included (or of one row), the longest first.

    Args:
        length: [N] tokens of each row.
        tokens: the budget; if None, 1,536 on a CPU, whose cache they fit, and 16,384 elsewhere.
    """
    tokens = tokens or (1_536 if length.device.type == "cpu" else 16_384)
    order = length.argsort(descending=True, stable=True)
    parts: list[Tensor] = []
    start = 0
    while start < len(order):
        rows = max(1, tokens // int(length[order[start]]))
        parts.append(order[start : start + rows])
        start += rows
    return parts


def last_decision(x: Tensor, acted: Tensor) -> Tensor:
    """[N]: the entry of x [N, T] at the last decision of each row, `acted` [N, T] bool; 0 where there is none."""
    last = (acted * torch.arange(acted.shape[1], device=acted.device)).amax(-1, keepdim=True)
    return torch.where(acted.any(-1), x.gather(1, last).squeeze(1), 0.0)


def total_score(score: Score) -> float | None:
    """All that a completion earned; None where it was not judged."""
    if isinstance(score, OutcomeAndSteps):
        return score.outcome + sum(r for _, r in score.steps)
    return float(score) if isinstance(score, int | float) else None if score is None else sum(r for _, r in score)


def _equal(scores: Sequence[Score]) -> bool:
    """Whether nothing in a group is better than anything else in it: no whole, and no step."""
    outcomes: set[float | None] = {
        s.outcome if isinstance(s, OutcomeAndSteps) else s for s in scores if not isinstance(s, Sequence)
    }
    steps = {r for s in scores for _, r in _steps(s)}
    return len(outcomes) < 2 and len(steps) < 2


def _steps(score: Score) -> Steps:
    return score.steps if isinstance(score, OutcomeAndSteps) else score if isinstance(score, Sequence) else ()


def _plain(score: Score) -> Any:
    return asdict(score) if isinstance(score, OutcomeAndSteps) else score


def _score(plain: Any) -> Score:
    """From what `_plain` and JSON made of one."""
    return OutcomeAndSteps(**plain) if isinstance(plain, dict) else plain


def _completion(fields: Mapping[str, Any]) -> Completion:
    """From what `asdict` and JSON made of one."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    values["prompt"] = Prompt(id=values["prompt"]["id"], tokens=tuple(values["prompt"]["tokens"]))
    return Completion(**values)


def _to(batch: Episodes, device: torch.device | str) -> Episodes:
    there = {k: v.to(device) for k, v in asdict(batch.traj).items() if v is not None}
    traj = Trajectory(**there)
    rest = {k: getattr(batch, k).to(device) for k in ("kept", "rewarded", "prompt", "length_limited", "scored")}
    outcome = None if batch.outcome is None else batch.outcome.to(device)
    return Episodes(traj=traj, outcome=outcome, temperature=batch.temperature, **rest)
