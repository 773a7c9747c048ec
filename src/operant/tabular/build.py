"""Tabular runs built from their config."""

from __future__ import annotations

import torch

from operant.control.build import EnvLike, Evaluator
from operant.data.streams import Streams
from operant.env import make_one
from operant.run.drain import Job, Position
from operant.tabular.configured import settings_of
from operant.tabular.discrete_env import Walk
from operant.tabular.learner import Learner
from operant.tabular.online import Online
from operant.tabular.settings import TabularRun
from operant.tabular.train_state import Tables


def build_tabular(cfg: TabularRun, env: EnvLike) -> Job:
    """Everything a tabular algorithm needs, made from a config and one seed."""
    torch.set_num_threads(cfg.threads)
    streams = Streams(cfg.seed)
    walk = Walk(make_one(env, cfg.env.kwargs), cfg.env.id, max_steps=cfg.env.max_steps, seed=streams.integer("env"))
    learner = Learner(walk.states, walk.actions, settings_of(cfg), streams.numpy("learner"))
    online = Online(learner, walk, cfg.algo.every)
    learned = Tables(online, learner.tables, lambda: learner.epsilon)
    evaluator = Evaluator(cfg, env, learned.agent)

    def begin(at: Position) -> None:
        online.close()
        walk.env.close()
        walk.begin(make_one(env, cfg.env.kwargs), Streams(cfg.seed, at.seam).integer("env"))
        walk.steps, walk.episodes = at.step, at.episodes
        evaluator.close()

    return Job(
        algorithm=online.run(),
        learned=learned,
        counter=walk,
        begin=begin,
        evaluate=evaluator,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )
