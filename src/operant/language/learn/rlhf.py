"""PPO on a learnt reward, on one page (Stiennon et al. 2020, arXiv:2009.01325; Ouyang et al. 2022, arXiv:2203.02155).

PPO whose environment is a prompt, whose actions are tokens, and whose reward comes once, at the end, from a model of
what people prefer. What keeps it to where that model is right is part of the reward too: at every token the divergence
from a reference is charged, r_t = R · [t is the last decision] − β (log π − log π_ref), which adds up to
R − β log(π(y|x)/π_ref(y|x)).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operant.data.streams import Streams
from operant.data.trajectory import Metrics, minibatches
from operant.language.episodes.episodes import Episodes, Rollouts, Score, last_decision
from operant.language.episodes.task_scorer import talks
from operant.language.learn.batch_checks import BatchChecks, policy_metrics
from operant.language.learn.kl_controller import KLController, KLPenalty
from operant.language.learn.logprobs import all_values, state_value, token_logp
from operant.language.learn.minibatch import Minibatch, micro_batches, with_advantages
from operant.language.learn.on_policy import on_policy
from operant.language.learn.optim_step import PartLoss, optim_step
from operant.language.learn.reward_model import read_reward
from operant.language.learn.reward_scorer import Losses, critic_from, ptx_losses, scorer_of
from operant.language.learn.setup import adamw, task_demonstrations
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.model.train_state import LanguageTrainState
from operant.language.sample.sampling import Completion
from operant.language.settings.rlhf import RLHFConfig
from operant.language.settings.runs import RLHFRun
from operant.language.text.conversation import Encoded, Encoder
from operant.language.text.epochs import Shuffled
from operant.math.advantage import gae
from operant.math.baseline import whiten
from operant.math.objective import clipped_surrogate, clipped_value_loss, value_loss
from operant.math.reduce import Reduction, token_mean
from operant.run.job import Job, Say, silent

METRICS = ("policy/kl", "policy/clip_fraction", "sampler/mismatch", "loss/policy", "loss/value", "loss/ptx",
           "sampler/mismatch_max")  # fmt: skip


def rlhf(
    cfg: RLHFConfig, collect: Rollouts, policy: LanguageModel, critic: Scalar,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, *, total_steps: int,
    reference: LanguageModel | None = None, controller: KLController | None = None,
    texts: Shuffled[Encoded] | None = None,
) -> Iterator[Metrics]:  # fmt: skip
    """Sample completions, score them, weigh them, step through them, yield metrics; for ever.

    Args:
        cfg: the settings.
        collect: gives `cfg.samples` completions of each of n prompts, scored: by `reward_scorer.RewardScorer`, say.
        policy: the model, trained in place.
        critic: the value of each state, trained in place; `reward_scorer.critic_from` begins one.
        optimizer: holds the parameters to train, of both.
        generator: the order of the minibatches.
        total_steps: calls of `collect` at which the schedules end.
        reference: π_ref, where β > 0 and the policy has no adapters to leave out.
        controller: β and its state, to resume from; made from the settings when None.
        texts: what PPO-ptx keeps likely.

    Raises:
        ConfigError: if β > 0 and there is no reference, if ptx_coef > 0 and there are no texts, or at the first step,
            if no token can be trained.
    """
    kl = KLPenalty(cfg, policy, reference, controller)
    ptx = ptx_losses(cfg, policy, texts)
    check = BatchChecks(cfg.mismatch_alarm)

    while True:
        left = max(0.0, 1.0 - collect.steps / total_steps)
        lr = cfg.lr * (left if cfg.lr_schedule == "linear" else 1.0)
        kl.begin(left)
        for group in optimizer.param_groups:
            group["lr"] = lr

        batch = collect(cfg.prompts)
        traj = batch.traj
        check(batch)
        reward, terminated, truncated = token_rewards(cfg, batch, kl.charge(batch))
        value = all_values(critic, batch, cfg.tokens)  # [N, T+1]
        adv = gae(reward, value, terminated, truncated, traj.acted, discount=cfg.discount, lam=cfg.lam)
        weight = whiten(adv, traj.acted) if cfg.whiten else adv
        steps = with_advantages(batch, adv=weight, target=adv + value[:, :-1], value=value[:, :-1])
        collect.advantages = last_decision(steps.adv, traj.acted)

        update = partial(_update, cfg, policy, critic, optimizer, ptx)
        seen: list[Metrics] = []
        for _ in range(cfg.epochs):
            seen += [update(b) for b in minibatches(steps, cfg.batch, generator)]

        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]}
        metrics["value/explained_variance"] = 1 - adv[traj.acted].var() / steps.target[traj.acted].var()
        metrics |= {"policy/entropy": -token_mean(traj.logp, traj.acted), "reward/penalised": reward.sum(-1).mean()}
        metrics["schedule/lr"] = torch.tensor(lr)
        yield metrics | kl.stats() | check.mismatch(seen[0]) | collect.stats()


def token_rewards(cfg: RLHFConfig, batch: Episodes, charge: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards [N, T] less the `charge` [N, T], and where completions are terminated and truncated, [N, T] bool.

    A completion that was cut and scored is over: the score is for what it is. One that was not scored goes on.
    """
    traj, ended = batch.traj, batch.traj.terminated | batch.traj.truncated
    judged = batch.scored & ~batch.length_limited if cfg.truncated == "bootstrap" else batch.scored
    reward = torch.where(judged[:, None], traj.reward, 0.0) - charge
    reward = torch.where(ended & batch.length_limited[:, None], reward - cfg.eos_penalty, reward)
    if cfg.scale_reward:
        reward = torch.where(traj.acted, whiten(reward, traj.acted) + token_mean(reward, traj.acted), 0.0)
    return reward, ended & judged[:, None], ended & ~judged[:, None]


def _update(
    cfg: RLHFConfig, policy: LanguageModel, critic: Scalar, optimizer: torch.optim.Optimizer, ptx: Losses, b: Minibatch
) -> Metrics:
    """One gradient step on one minibatch: micro-batches, of all processes, that add up to the loss of the whole."""
    reduce = partial(token_mean, denominator=b.acted.sum().clamp(min=1))
    parts = [partial(_loss, cfg, policy, critic, reduce, part) for part in micro_batches(policy, b, cfg.tokens)]
    return optim_step(optimizer, parts + ptx(), cfg.max_grad_norm, METRICS, every=True)


def _loss(cfg: RLHFConfig, policy: LanguageModel, critic: Scalar, reduce: Reduction, b: Minibatch) -> PartLoss:
    """The share of a micro-batch in the loss."""
    logp = token_logp(policy, b)
    policy_loss, metrics = clipped_surrogate(
        logp, b.logp, b.adv, b.acted, clip=cfg.clip, clip_high=cfg.clip_high, reduce=reduce
    )
    value = state_value(critic, b)[:, :-1]
    if cfg.value_clip is None:
        critic_loss, _ = value_loss(value, b.target, b.acted, reduce=reduce)
    else:
        critic_loss, _ = clipped_value_loss(value, b.value, b.target, b.acted, clip=cfg.value_clip, reduce=reduce)
    loss = policy_loss + cfg.value_coef * critic_loss
    more = policy_metrics(policy, logp, b, metrics)
    return loss, {"loss/policy": policy_loss.detach(), "loss/value": critic_loss.detach()} | more


def build(cfg: RLHFRun, env: object, say: Say = silent) -> Job:
    """Everything that PPO on a learnt reward needs; without a reward model the task's own rewards are the reward."""
    own = cfg.algo
    run = on_policy(cfg, say, samples=own.samples)
    policy, collect = run.policy, run.collect
    critic = critic_from(policy)
    if cfg.reward.path:
        model = read_reward(cfg.reward.path, str(policy.device))
        learnt = scorer_of(model, policy, cfg.reward.path, offset=cfg.reward.offset, chat=talks(run.task))
        critic = critic_from(model)

        def score(completions: Sequence[Completion]) -> Sequence[Score]:
            run.scorer(completions)  # beside it, for the record
            return learnt(completions)

        collect.score = score
    critic.requires_grad_(True)
    texts = None
    if own.ptx_coef > 0.0:
        encoder = Encoder(tokenizer=policy.tokenizer, length=policy.max_positions, rows=policy.vocab)
        texts = Shuffled(task_demonstrations(run.task, encoder), Streams(cfg.seed))
    optimizer = adamw([policy, critic], own.lr, own.weight_decay)
    controller = KLController(own.beta, own.beta_schedule, own.kl_target, own.kl_horizon)

    def counters() -> dict[str, Any]:
        return {"drawn": collect.prompts.drawn, "beta": controller.value, "texts": 0 if texts is None else texts.steps}

    def restore(saved: Mapping[str, Any]) -> None:
        collect.prompts.drawn, controller.value = int(saved["drawn"]), float(saved["beta"])
        if texts is not None:
            texts.steps = int(saved["texts"])

    loop = rlhf(
        own, collect, policy, critic, optimizer, run.generator,
        total_steps=cfg.total_steps, reference=run.reference(own.beta), controller=controller, texts=texts,
    )  # fmt: skip
    return run.job(
        loop, LanguageTrainState(policy, optimizer, counters=counters, restore=restore, modules={"critic": critic})
    )
