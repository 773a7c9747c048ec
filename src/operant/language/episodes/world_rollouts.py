"""Episodes of many turns as rows of a trajectory, and the loop that plays and collects them."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from operant.config.errors import ConfigError, OperantError
from operant.data.trajectory import Metrics
from operant.language.episodes.distributed import world_size
from operant.language.episodes.episodes import SKIPPED, Episodes, Score, episodes
from operant.language.episodes.runner import CAUSES, Asked, Played, Runner
from operant.language.episodes.world import Scenario, World
from operant.language.sample.engine import Completion
from operant.language.sample.sampling import Prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldBatch:
    """E episodes of K turns in all, in N rows: an episode may have several, and a row several turns.

    Every row of an episode carries its return at the last decision.
    """

    rows: Episodes
    prefix: Tensor  # [N] int64; rows with equal ones begin with the same prompt
    episode: Tensor  # [N] int64; of each row
    turn: Tensor  # [N, T] int64; of each decision, among the K; −1 where the policy did not choose
    ret: Tensor  # [E]
    group: Tensor  # [E] int64; episodes with equal ones began in the same scenario
    cut: Tensor  # [E] bool; ended by the limit on turns or tokens
    reward: Tensor  # [K]; for each turn
    owner: Tensor  # [K] int64; the episode of each turn, whose turns stand in order
    state: Tensor  # [K] int64; equal where the world says that the state before the turn was, in one group; −1 unknown

    @property
    def tokens(self) -> Tensor:
        """[E]: how many each episode's policy chose."""
        count = self.rows.traj.acted.sum(-1)
        return torch.zeros(len(self.ret), dtype=count.dtype, device=count.device).index_add(0, self.episode, count)


def world_batch(
    played: Sequence[Played], *, device: torch.device | str = "cpu", temperature: float = 1.0
) -> WorldBatch:
    """Scored episodes as a batch.

    Args:
        played: at least one, each with a turn.
        device: of the tensors.
        temperature: at which they were sampled.
    """
    done, owner, turns = list[Completion](), list[int](), list[tuple[int, ...]]()
    first = 0
    for e, p in enumerate(played):
        for row in p.graph.rows():
            done.append(row.completion(p.asked.group, p.asked.member, cut=p.cut))
            owner.append(e)
            turns.append(tuple(first + t if t >= 0 else -1 for t in row.turn))
        first += len(p.turns)
    scores: list[Score] = [played[e].ret for e in owner]
    rows = episodes(done, scores, device=device, temperature=temperature)
    turn = torch.full(rows.traj.acted.shape, -1)
    for n, (c, own) in enumerate(zip(done, turns, strict=True)):
        start = len(c.prompt.tokens) - 1
        turn[n, start : start + len(own)] = torch.tensor(own)
    prompts: dict[tuple[int, ...], int] = {}
    states: dict[tuple[int, str], int] = {}
    flat = [(e, t.reward, t.state) for e, p in enumerate(played) for t in p.turns]
    known = [-1 if s is None else states.setdefault((played[e].asked.group, s), len(states)) for e, _, s in flat]
    return WorldBatch(
        rows=rows,
        prefix=torch.tensor([prompts.setdefault(c.prompt.tokens, len(prompts)) for c in done], device=device),
        episode=torch.tensor(owner, device=device),
        turn=turn.to(device),
        ret=torch.tensor([p.ret for p in played], device=device),
        group=torch.tensor([p.asked.group for p in played], device=device),
        cut=torch.tensor([p.cut for p in played], device=device),
        reward=torch.tensor([r for _, r, _ in flat], device=device),
        owner=torch.tensor([e for e, _, _ in flat], device=device),
        state=torch.tensor(known, device=device),
    )


class WorldRollouts:
    """Plays scenarios of a split, a call at a time.

    Args:
        runner: plays.
        seed: of the order of the scenarios.
        samples: episodes of each scenario.
        split: of the world.

    Attributes:
        steps, episodes, seconds: calls, episodes, and the time they took.
        played: of the last call, in the order in which they were asked for, those without a score too.
        learnt: those of them that are in the batch.
        completions, scores: the rows of these, with their episodes' returns.
        advantages: [E] of the batch: what the loop that learns from it makes of each episode's last decision.
        prompts: the draws of scenarios; `prompts.drawn` is the whole state.

    Raises:
        ConfigError: if the world has no such split, or nothing in it.
    """

    def __init__(self, runner: Runner, *, seed: int, samples: int, split: str = "train") -> None:
        if world_size() > 1:
            raise ConfigError("worlds are played by one process: run without torchrun")
        self.runner, self.engine, self.sampling, self.samples = runner, runner.engine, runner.sampling, samples
        self.scenarios = scenarios_of(runner.world, split)
        self.prompts = Prompts([[i] for i in range(len(self.scenarios))], seed=seed)
        self.steps, self.episodes, self.seconds = 0, 0, 0.0
        self.played: list[Played] = []
        self.learnt: list[Played] = []
        self.completions: list[Completion] = []
        self.scores: list[Score] = []
        self.advantages: Tensor | None = None
        self.alone = 0

    def __call__(self, n: int) -> Episodes:
        """The rows of `batch`."""
        return self.batch(n).rows

    def batch(self, n: int) -> WorldBatch:
        """Episodes of n scenarios, but for those that were not scored, and groups of which one is left.

        Raises:
            OperantError: if no group is left ten times in a row; where it is so less often, others are drawn.
        """
        start, before = time.perf_counter(), self.engine.seconds
        for attempt in range(SKIPPED):
            self.learnt = self._round(n)
            if self.learnt:
                break
            why = next((p.note for p in self.played if p.note), "every group has one scored episode at most")
            where = f"step {self.steps + 1}: nothing can be learnt from {len(self.played)} episodes"
            if attempt + 1 == SKIPPED:
                raise OperantError(
                    f"{where}, and so it was {SKIPPED} times in a row: {why}. Mend the world, then go on: operant "
                    "resume RUN"
                )
            warnings.warn(f"{where}, so these are passed over and others drawn: {why}", stacklevel=2)
        self.advantages = None
        self.steps += 1
        self.episodes += len(self.learnt)
        self.seconds += time.perf_counter() - start
        self._sampling = self.engine.seconds - before
        temperature = self.sampling.temperature or 1.0
        found = world_batch(self.learnt, device=self.engine.policy.device, temperature=temperature)
        rows = [(p, row) for p in self.learnt for row in p.graph.rows()]
        self.completions = [row.completion(p.asked.group, p.asked.member, cut=p.cut) for p, row in rows]
        self.scores = [p.ret for p, _ in rows]
        return found

    def by_episode(self) -> list[float] | None:
        """The advantage of each episode that was learnt from; where rows have theirs, that of its last row."""
        if self.advantages is None or len(self.advantages) == len(self.learnt):
            return None if self.advantages is None else self.advantages.tolist()
        rows = [e for e, p in enumerate(self.learnt) for _ in p.graph.rows()]
        last = {e: n for n, e in enumerate(rows)}
        return [float(self.advantages[last[e]]) for e in range(len(self.learnt))]

    def _round(self, n: int) -> list[Played]:
        """Play n scenarios; those episodes that can be learnt from."""
        asked = [
            Asked(id=one.id * self.samples + k, group=one.id, member=k, scenario=self.scenarios[one.tokens[0]])
            for one in self.prompts(n)
            for k in range(self.samples)
        ]
        self.played = self.runner.play(asked)
        for remark in [*self.runner.remarks.values()]:
            if remark:
                warnings.warn(remark, stacklevel=3)
        self.runner.remarks = dict.fromkeys(self.runner.remarks, "")
        scored = [p for p in self.played if p.scored]
        left = Counter(p.asked.group for p in scored)
        self.alone = sum(self.samples > 1 and left[group] < 2 for group in {a.group for a in asked})
        return [p for p in scored if self.samples == 1 or left[p.asked.group] > 1]

    def stats(self) -> Metrics:
        """Of the last call."""
        played, learnt = self.played, self.learnt
        counts = Counter(p.cause for p in played)
        ret = torch.tensor([p.ret for p in learnt], dtype=torch.float64)
        turns = [t for p in learnt for t in p.turns]
        means = {
            "episode/turns": [len(p.turns) for p in learnt],
            "episode/tokens": [sum(t.tokens for t in p.turns) for p in learnt],
            "episode/success": [p.success for p in learnt],
            "turn/error": [t.error is not None for t in turns],
            "turn/cut": [t.cut for t in turns],
        }
        found = {name: torch.tensor(values, dtype=torch.float64).mean() for name, values in means.items()}
        found |= {f"ended/{cause}": torch.tensor(counts[cause] / len(played)) for cause in CAUSES}
        return found | {
            "reward/mean": ret.mean(),
            "reward/std": ret.std(correction=0),
            "reward/missing": torch.tensor(1.0 - sum(p.scored for p in played) / len(played)),
            "episode/faults": torch.tensor(float(sum(p.faults for p in played))),
            "group/dropped": torch.tensor(float(self.alone)),
            "row/episode": torch.tensor(len(self.completions) / len(learnt)),
            "time/sample": torch.tensor(self._sampling),
        }


def scenarios_of(world: object, split: str) -> Sequence[Scenario]:
    """The scenarios of a split.

    Raises:
        ConfigError: if the world has no such split, or nothing in it.
    """
    assert isinstance(world, World)
    if split not in world.splits:
        raise ConfigError(f"{world.name} has no split {split!r}: there is {', '.join(world.splits)}")
    found = world.scenarios(split)
    if not len(found):
        raise ConfigError(f"the split {split} of {world.name} has no scenario")
    return found
