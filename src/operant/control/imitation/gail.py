"""Generative adversarial imitation learning (Ho and Ermon 2016, arXiv:1606.03476): PPO, paid by a discriminator.

The discriminator learns to tell steps of the expert from those of the learner; the learner is paid for each step by how
much it looks like the expert's. At the best discriminator that is a function of the ratio of two occupancies, and where
these are alike it says nothing any more. No reward of the environment is read: it is only reported, as `train/return`.

A form of the reward that has one sign says something of the length of episodes as well: `gail` is above 0, so that
living longer earns more, `gail2` is below 0, so that ending sooner costs less. With `discriminator.absorbing` an end is
worth what the discriminator says of the state behind it, and neither is so (Kostrikov et al. 2019).
"""

from __future__ import annotations

from operant.control.imitation.adversary import NAME, Adversary, Network
from operant.control.ppo import adam, ppo
from operant.control.settings.adversarial import AdversaryRun, GAILRun
from operant.control.setup import on_policy
from operant.control.setup_data import load_split, segments
from operant.data.streams import Streams
from operant.env import EnvLike
from operant.env.interface import Interface
from operant.math.adversarial import FORMS, Form
from operant.run.job import Job, Say, silent


def against(cfg: AdversaryRun, env: EnvLike, kind: type[Network], form: Form) -> Job:
    """PPO against a discriminator of a kind, made from a config and one seed: `ppo.py` is the loop of both.

    Raises:
        ConfigError: if the data or the settings cannot be used; says why.
    """
    parts = on_policy(cfg, env, combines=True)
    agent, collect, streams = parts.agent, parts.collect, Streams(cfg.seed)
    between = Interface.of(collect.env)
    data, _ = load_split(cfg.data, between, cfg.env.id, streams.numpy("split"))
    (shown,) = segments(data, between, agent, len(data))
    generator = streams.torch("init-discriminator")
    network = kind(collect.env, agent.policy.distribution, cfg.discriminator, agent.spec.network, cfg.algo, generator)
    judge = Adversary(cfg.discriminator, network, form, shown, agent, streams)
    collect.judge = agent.beside[NAME] = judge
    optimizer = adam(cfg.algo, agent)
    return parts.job(ppo(cfg.algo, collect, agent, optimizer, parts.generator, total_steps=cfg.total_steps), optimizer)


def build(cfg: GAILRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything GAIL needs, made from a config and one seed."""
    return against(cfg, env, Network, FORMS[cfg.discriminator.reward])
