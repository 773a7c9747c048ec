"""How a model is measured in a world: episodes of held-out scenarios, greedily, and how often each kind succeeds."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from operant.data.stats import wilson_ci
from operant.language.episodes.dialogue import Dialogue
from operant.language.episodes.evaluate import stochastic
from operant.language.episodes.rollout_files import write_rollouts
from operant.language.episodes.runner import CAUSES, Asked, Played, Runner
from operant.language.episodes.task_scorer import greedy
from operant.language.episodes.world import World
from operant.language.episodes.world_files import episode_rows, first_of_each, write_pictures
from operant.language.episodes.world_rollouts import scenarios_of
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.worlds import WorldRun
from operant.run.evaluate import Evaluation
from operant.run.progress import advance

MAX_TOKENS = 256
"""The limit on a turn where the settings name none; a quarter of what a small model can hold."""


def runner_of(
    cfg: WorldRun, policy: LanguageModel, world: World, *, seed: int, sampling: Sampling | None = None
) -> Runner:
    """What plays a world with a run's model, by its settings."""
    engine = Engine(policy, seed=seed, slots=cfg.sampling.slots)
    return Runner(world, engine, cfg.episode, turn_sampling(cfg, policy) if sampling is None else sampling)


def turn_sampling(cfg: WorldRun, policy: LanguageModel) -> Sampling:
    """How the tokens of a turn are drawn."""
    own = cfg.sampling
    return Sampling(
        temperature=own.temperature,
        top_k=own.top_k,
        top_p=own.top_p,
        min_p=own.min_p,
        max_tokens=own.max_tokens or min(MAX_TOKENS, policy.max_positions // 4),
        stop=Dialogue(policy).stop,
    )


class WorldSuccess:
    """Returns of held-out scenarios, spread evenly over their list; an episode without a score earned nothing known.

    Args:
        cfg: the protocol.
        policy: what is measured, as it stands at each call.
        world: where.

    Attributes:
        pace: seconds that an episode took in the last call.
    """

    def __init__(self, cfg: WorldRun, policy: LanguageModel, world: World) -> None:
        self.cfg, self.policy, self.world = cfg, policy, world
        self.scenarios = scenarios_of(world, cfg.eval.split)
        self.sampling = turn_sampling(cfg, policy)
        self.played: dict[str, list[Played]] = {}
        self.pace = 0.0
        self._runner: Runner | None = None

    def __call__(self, episodes: int, *, seed: int | None = None, deterministic: bool | None = None) -> Evaluation:
        """Play the first `episodes` of the scenarios; sampled ones beside them, where there are to be any."""
        self.close()
        seed = self.cfg.eval.seed if seed is None else seed
        began = time.perf_counter()
        chosen = evenly(len(self.scenarios), episodes)
        self.played = {"greedy": self._play(chosen, seed, greedy(self.sampling), 1)}
        if self.cfg.eval.samples:
            self.played["sampled"] = self._play(chosen, seed, stochastic(self.sampling), self.cfg.eval.samples)
        self.pace = (time.perf_counter() - began) / max(1, sum(map(len, self.played.values())))
        wanted = self.cfg.eval.deterministic if deterministic is None else deterministic
        played = self.played["greedy" if wanted or "sampled" not in self.played else "sampled"]
        returns = np.array([p.ret if p.scored else np.nan for p in played])
        lengths = np.array([len(p.turns) for p in played])
        return Evaluation(np.nan_to_num(returns), lengths, cut=sum(p.cut for p in played), max_steps=self.world.turns)

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Write the last measurement's episodes, and success by template; the shares as metrics."""
        rows = [row for mode, played in self.played.items() for row in episode_rows(played, mode=mode)]
        path = run / "rollouts" / f"eval-step-{step:08d}.parquet"
        write_rollouts(path, step, rows)
        write_pictures(path, self.played.get("greedy", ()))
        found: dict[str, float] = {}
        table: dict[str, Any] = {}
        for mode, played in self.played.items():
            table[mode] = by_template(played)
            whole = table[mode]["all"]
            found[f"eval/accuracy_{mode}"] = whole["success"]
            found |= {f"eval/{mode}_low": whole["low"], f"eval/{mode}_high": whole["high"]}
        kept = run / "evals" / f"success-step-{step:08d}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        return found

    def close(self) -> None:
        """Free what the world waits on."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _play(self, chosen: Sequence[int], seed: int, sampling: Sampling, samples: int) -> list[Played]:
        waits = self._runner is not None and self._runner.waits
        runner = runner_of(self.cfg, self.policy, self.world, seed=seed, sampling=sampling)
        runner.waits, self._runner = waits, runner
        asked = [
            Asked(id=i * samples + k, group=i, member=k, scenario=self.scenarios[i])
            for i in chosen
            for k in range(samples)
        ]
        if sampling.temperature == 0.0 and getattr(self.world, "draws", False):  # those that the report will show
            runner.filmed = frozenset(asked[i].id for i in first_of_each([a.scenario.template for a in asked]))
        try:
            return runner.play(asked, tell=partial(advance, unit="episodes"))
        finally:
            runner.close()


def evenly(count: int, wanted: int) -> list[int]:
    """So many of `count` indices, one from each of as many equal pieces of the list; all where there are fewer.

    Each is one place further in its piece than the one before it. At equal distances a list that repeats itself, as one
    that names every template in turn, would be seen in one of its places alone.
    """
    wanted = min(wanted, count)
    return [i * count // wanted + i % (count // wanted) for i in range(wanted)]


def by_template(played: Sequence[Played]) -> dict[str, dict[str, Any]]:
    """Of each template, and of all: episodes that were scored, the share that succeeded with Wilson's interval, causes,
    and the shares of what else their worlds say is so (say, that an attack was attempted).

    Episodes whose world was late or broke are counted, and are in no share.
    """
    found: dict[str, dict[str, Any]] = {}
    templates = sorted({p.asked.scenario.template for p in played})
    for name in ["all", *templates]:
        own = [p for p in played if name == "all" or p.asked.scenario.template == name]
        scored = [p for p in own if p.scored]
        share = sum(p.success for p in scored) / max(1, len(scored))
        low, high = wilson_ci(share, len(scored)) if scored else (0.0, 1.0)
        counts = Counter(p.cause for p in own)
        found[name] = {
            "episodes": len(own), "scored": len(scored), "success": share, "low": low, "high": high,
            "turns": sum(len(p.turns) for p in scored) / max(1, len(scored)),
            "ended": {cause: counts[cause] for cause in CAUSES if counts[cause]},
        }  # fmt: skip
        also = {name for p in scored for name in p.told} - {"success"}
        found[name] |= {each: sum(p.told.get(each, False) for p in scored) / len(scored) for each in sorted(also)}
    return found
