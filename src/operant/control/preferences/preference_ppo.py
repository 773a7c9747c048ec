"""Learning from preferences over clips (Christiano et al. 2017, arXiv:1706.03741): PPO on a reward that is learnt.

Somebody says which of two short clips of the learner's own is better; networks learn a reward r̂ under which
P(first better) = σ(Σ r̂(first) − Σ r̂(second)); PPO maximises it. The comparison's loss is that of the reward models of
language models (`operant.math.comparison.soft_label`). The environment's own reward is only reported, as `train/return`
and in evaluations; where no person judges, it judges the clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from operant.config.errors import ConfigError
from operant.control.collector import Collector
from operant.control.ppo import adam, ppo
from operant.control.preferences.playing import Playing
from operant.control.preferences.reward import NAME, PreferenceJudge
from operant.control.settings.ppo import PPOConfig
from operant.control.settings.preferences import PreferencePPORun
from operant.control.setup import on_policy
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.env import EnvLike, make
from operant.run.job import Job, Say, silent


def preference_ppo(
    cfg: PPOConfig, collect: Collector, judge: PreferenceJudge, learn: Iterator[Metrics]
) -> Iterator[Metrics]:
    """Collect until there is a reward to learn from; then `learn` from it. The judge asks as segments are collected.

    Args:
        cfg: PPO's settings.
        collect: gives segments of `cfg.horizon` steps, whose rewards are the judge's.
        judge: asks which clips are better.
        learn: PPO on these segments.

    Raises:
        ConfigError: if a judgement in the file is none.
        OperantError: if pairs wait for a person, and it is time for others.
    """
    while not judge.taught:
        collect(cfg.horizon)
        yield collect.stats()
    yield from learn


def build(cfg: PreferencePPORun, env: EnvLike, say: Say = silent) -> Job:
    """Everything that it needs, made from a config and one seed.

    Raises:
        ConfigError: if no clip fits into a segment.
    """
    clip, horizon = cfg.preferences.clip, cfg.algo.horizon
    if clip > horizon and not cfg.preferences.labels:  # a person is shown episodes that are played for it
        raise ConfigError(
            f"a clip of preferences.clip {clip} steps is cut from a segment of algo.horizon {horizon}, which is "
            f"shorter: set algo.horizon to {clip} or more, or preferences.clip to {horizon} or less"
        )
    parts = on_policy(cfg, env, combines=True)
    agent, collect = parts.agent, parts.collect
    alone = partial(
        make, env, 1, backend="inprocess", kwargs=cfg.env.kwargs, action_mask=cfg.env.action_mask,
        wrappers=cfg.env.wrappers,
    )  # fmt: skip
    playing = Playing(agent, alone) if cfg.preferences.labels else None
    judge = PreferenceJudge(cfg.preferences, agent, collect.env, Streams(cfg.seed), lambda: collect.steps, playing)
    collect.judge = agent.beside[NAME] = judge
    optimizer = adam(cfg.algo, agent)
    learn = ppo(cfg.algo, collect, agent, optimizer, parts.generator, total_steps=cfg.total_steps)
    job = parts.job(preference_ppo(cfg.algo, collect, judge, learn), optimizer)
    job.keep = judge.keep
    return job
