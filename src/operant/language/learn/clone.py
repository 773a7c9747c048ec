"""Behaviour cloning in worlds of many turns: of a world's oracle, and of one's own episodes that succeed.

Filtered cloning is expert iteration (Anthony et al. 2017, arXiv:1705.08439) whose completions are rows of episodes.
"""

from __future__ import annotations

import torch

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.episodes.world import load_world
from operant.language.episodes.world_success import WorldSuccess
from operant.language.learn.expert_iteration import expert_iteration
from operant.language.learn.on_world import on_world
from operant.language.learn.oracle import TEXTS, examples, fresh_for, traces_of
from operant.language.learn.setup import adamw, job_on_data, model_of
from operant.language.learn.sft import sft
from operant.language.model.train_state import LanguageTrainState
from operant.language.settings.worlds import CloneRun, FilteredCloneRun
from operant.language.text.epochs import Shuffled
from operant.run.device import device_of
from operant.run.job import Job, Say, silent


def build(cfg: CloneRun, env: object, say: Say = silent) -> Job:
    """Everything that cloning an oracle needs; where no model is named, one with random weights is made."""
    torch.set_num_threads(cfg.threads)
    world = load_world(cfg.task.id, cfg.task.options)
    if cfg.model.path:
        policy = model_of(cfg)
    else:
        policy = fresh_for(world, cfg.base, cfg, min(TEXTS, cfg.algo.traces)).to(str(device_of(cfg.device)))
    played = traces_of(policy, world, cfg, cfg.algo.traces)
    data = Shuffled(examples(played, everything=cfg.algo.learn == "all"), Streams(cfg.seed))
    optimizer = adamw([policy], cfg.algo.lr, cfg.algo.weight_decay)
    learning = sft(cfg.algo, data, policy, optimizer, total_steps=cfg.total_steps)
    measure = WorldSuccess(cfg, policy, world)
    return job_on_data(cfg, learning, LanguageTrainState(policy, optimizer), data, measure)


def build_filtered(cfg: FilteredCloneRun, env: object, say: Say = silent) -> Job:
    """Everything that filtered cloning needs: expert iteration, whose completions are the rows of episodes."""
    if cfg.algo.keep == "best":
        raise ConfigError("algo.keep is best, but an episode may have several rows: set it to correct")
    run = on_world(cfg, say, samples=cfg.algo.samples)
    optimizer = adamw([run.policy], cfg.algo.lr, cfg.algo.weight_decay)
    learning = expert_iteration(cfg.algo, run.collect, run.policy, optimizer, Streams(cfg.seed))
    return run.job(learning, run.learned(optimizer), episodes=cfg.algo.prompts * cfg.algo.samples)
