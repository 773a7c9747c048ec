"""Group relative policy optimisation (Shao et al. 2024, DeepSeekMath, arXiv:2402.03300) and its relatives, on one page.

PPO whose critic is the group: several completions of a prompt, and their mean return as the value of every state. A
model and its sampler are one set of weights, so the sampler's log-probabilities are the old ones, without another pass;
how far the trainer's are from them is measured at each step. The papers are settings:
`operant.language.settings.grpo.PRESETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics, minibatches
from operant.language.episodes.distributed import world_size
from operant.language.episodes.episodes import Episodes, Rollouts, last_decision
from operant.language.learn.batch_checks import BatchChecks, policy_metrics
from operant.language.learn.group_critic import group_critic
from operant.language.learn.grpo_loss import DIVERGENCE, GroupLoss, correction, group_loss, reduction
from operant.language.learn.kl_controller import KLController, KLPenalty
from operant.language.learn.logprobs import all_token_logp, token_logp
from operant.language.learn.minibatch import Minibatch, micro_batches, with_advantages
from operant.language.learn.multi_reward import RewardMatrixOf, reward_matrix_of
from operant.language.learn.on_policy import on_policy
from operant.language.learn.optim_step import PartLoss, optim_step
from operant.language.learn.order_bonus import OrderBonus
from operant.language.learn.setup import adamw
from operant.language.learn.variance_sampling import VarianceSampler
from operant.language.learn.verifier import read_verifier
from operant.language.model.language_model import LanguageModel
from operant.language.model.train_state import LanguageTrainState
from operant.language.sample.engine import Engine
from operant.language.sample.sampling import Prompts
from operant.language.settings.grpo import GRPOConfig
from operant.language.settings.runs import GRPORun
from operant.math.advantage import gae
from operant.math.reduce import Reduction, token_mean
from operant.run.device import device_of
from operant.run.job import Job, Say, silent

METRICS = ("policy/kl", "policy/clip_fraction", "sampler/mismatch", "loss/policy", "sampler/mismatch_max")

Loss = Callable[[Reduction, Minibatch], PartLoss]


def grpo(
    cfg: GRPOConfig, collect: Rollouts, policy: LanguageModel,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, *, total_steps: int,
    reference: LanguageModel | None = None, controller: KLController | None = None,
    reward_matrix: RewardMatrixOf | None = None,
) -> Iterator[Metrics]:  # fmt: skip
    """Sample groups, score them, weigh them, step through them, yield metrics; for ever.

    Args:
        cfg: the settings.
        collect: gives `cfg.samples` completions of each of n prompts, scored.
        policy: the model, trained in place.
        optimizer: holds the parameters to train.
        generator: the order of the minibatches.
        total_steps: calls of `collect` at which the schedules end.
        reference: π_ref, where β > 0 and the policy has no adapters to leave out.
        controller: β and its state, to resume from; made from the settings when None.
        reward_matrix: gives the rewards one by one, where each is normalised before they are summed.

    Raises:
        ConfigError: if β > 0 and there is no reference, or at the first step, if no token can be trained, or rewards
            are to be normalised one by one and `reward_matrix` is None.
    """
    kl = KLPenalty(cfg, policy, reference, controller, estimator=DIVERGENCE[cfg.kl] if cfg.kl_in == "reward" else None)
    critic, correct, loss = group_critic(cfg), _correction(cfg, policy), partial(_loss, policy, group_loss(cfg))
    check = BatchChecks(cfg.mismatch_alarm)
    _prepare(cfg, collect, reference)

    while True:
        left = max(0.0, 1.0 - collect.steps / total_steps)
        lr = cfg.lr * (left if cfg.lr_schedule == "linear" else 1.0)
        beta = kl.begin(left)
        for group in optimizer.param_groups:
            group["lr"] = lr

        batch = collect(cfg.prompts)
        traj = batch.traj
        rewards = None if reward_matrix is None else reward_matrix(collect.completions)
        alarms = check(batch, rewards)
        reward, value, terminated, truncated, scale = critic(batch, kl.charge(batch), rewards)
        adv = scale(gae(reward, value, terminated, truncated, traj.acted, discount=1.0, lam=1.0))
        weight, old, off = correct(batch, adv)
        steps = with_advantages(batch, adv=weight, logp=old, ref=kl.ref)
        collect.advantages = last_decision(steps.adv, traj.acted)

        update = partial(_update, cfg, policy, partial(loss, beta), optimizer, collect.sampling.max_tokens)
        seen: list[Metrics] = []
        for _ in range(cfg.epochs):
            seen += [update(b) for b in minibatches(steps, cfg.batch, generator)]
        if reference is not None and cfg.reference_every and collect.steps % cfg.reference_every == 0:
            reference.load_state_dict(policy.state_dict())

        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]}
        metrics["policy/entropy"] = -token_mean(traj.logp, traj.acted)
        metrics["schedule/lr"] = torch.tensor(lr)
        yield metrics | alarms | kl.stats() | check.mismatch(seen[0] | off) | collect.stats()


def _update(
    cfg: GRPOConfig, policy: LanguageModel, loss: Loss, optimizer: torch.optim.Optimizer, limit: int, b: Minibatch
) -> Metrics:
    """One gradient step on one minibatch: micro-batches, of all processes, that add up to the loss of the whole."""
    reduce = reduction(cfg, b.acted, limit)
    b = b[(b.adv != 0.0 if b.ref is None else b.acted).any(-1)]  # the others have no gradient
    b = b[b.row.argsort()]  # a group's stand together
    parts = [partial(loss, reduce, part) for part in micro_batches(policy, b, cfg.tokens)]
    return optim_step(optimizer, parts, cfg.max_grad_norm, METRICS, every=True)


def _loss(policy: LanguageModel, loss_of: GroupLoss, beta: float, reduce: Reduction, b: Minibatch) -> PartLoss:
    """The share of a micro-batch in the loss."""
    logp = token_logp(policy, b)
    loss, metrics = loss_of(logp, b.logp, b.ref, b.adv, b.acted, beta=beta, reduce=reduce, sampled_logp=b.sampled_logp)
    more = policy_metrics(policy, logp, b, metrics)
    return loss, {"loss/policy": loss.detach()} | more


Correction = Callable[[Episodes, Tensor], tuple[Tensor, Tensor | None, Metrics]]


def _correction(cfg: GRPOConfig, policy: LanguageModel) -> Correction:
    """From advantages to those that allow for another sampler, log π before the step, and how far apart they are."""
    if cfg.correction == "none":
        return lambda batch, adv: (adv, None, Metrics())

    def corrected(batch: Episodes, adv: Tensor) -> tuple[Tensor, Tensor, Metrics]:
        traj, old = batch.traj, all_token_logp(policy, batch, cfg.tokens)
        off = (old - traj.logp).abs()[traj.acted]
        mismatch = {"sampler/mismatch": off.mean(), "sampler/mismatch_max": off.max()}
        return adv * correction(cfg, old, traj.logp, traj.acted), old, mismatch

    return corrected


def _prepare(cfg: GRPOConfig, collect: Rollouts, reference: LanguageModel | None) -> None:
    if cfg.reference_every is not None and (reference is None or cfg.beta == 0.0):
        raise ConfigError("reference_every moves a reference model: give one, with beta above 0")
    once = cfg.epochs == 1 and cfg.batch in (None, cfg.prompts * cfg.samples)
    collect.engine.record = once and world_size() == 1  # the weights that sampled are those of the one gradient step


def build(cfg: GRPORun, env: object, say: Say = silent) -> Job:
    """Everything that GRPO needs, made from a config and one seed."""
    own, verifier = cfg.algo, None
    if cfg.process.model:
        if own.supervision == "outcome":
            raise ConfigError(
                "process.model judges steps, but algo.supervision is outcome: set it to process, or to both"
            )
        verifier = read_verifier(cfg.process.model, str(device_of(cfg.device)))
    run = on_policy(
        cfg, say, samples=own.samples, resample=own.resample, overlong=own.overlong, supervision=own.supervision,
        steps=verifier, draw=partial(VarianceSampler, share=own.variance_share) if own.variance_share else Prompts,
    )  # fmt: skip
    reference, prompts = run.reference(own.beta), run.collect.prompts
    if own.order_bonus:
        second = Engine(run.policy, seed=cfg.seed, slots=cfg.sampling.slots)
        run.collect.score = OrderBonus(run.scorer, second, run.collect.sampling, bonus=own.order_bonus)
    if isinstance(prompts, VarianceSampler):
        run.collect.score = prompts.noting(run.collect.score)
    optimizer = adamw([run.policy], own.lr, own.weight_decay)
    controller = KLController(own.beta, own.beta_schedule, own.kl_target, own.kl_horizon)

    def restore(counters: Mapping[str, Any]) -> None:
        prompts.drawn, controller.value = int(counters["drawn"]), float(counters["beta"])
        if isinstance(prompts, VarianceSampler):
            prompts.restore(counters["variance"])

    def counters() -> dict[str, Any]:
        known = {"variance": prompts.state()} if isinstance(prompts, VarianceSampler) else {}
        return {"drawn": prompts.drawn, "beta": controller.value, **known}

    loop = grpo(
        own, run.collect, run.policy, optimizer, run.generator, total_steps=cfg.total_steps, reference=reference,
        controller=controller, reward_matrix=reward_matrix_of(own, run.scorer),
    )  # fmt: skip
    learned = LanguageTrainState(
        run.policy, optimizer, counters=counters, restore=restore,
        reference=reference if own.reference_every else None,
    )  # fmt: skip
    return run.job(loop, learned, prompts=own.prompts)
