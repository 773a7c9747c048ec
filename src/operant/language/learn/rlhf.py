"""PPO on a learnt reward, on one page (Stiennon et al. 2020, arXiv:2009.01325; Ouyang et al. 2022, arXiv:2203.02155).

PPO whose environment is a prompt, whose actions are tokens, and whose reward comes once, at the end, from a model of
what people prefer. What keeps it to where that model is right is part of the reward too: at every token the divergence
from a reference is charged, r_t = R · [t is the last decision] − β (log π − log π_ref), which adds up to
R − β log(π(y|x)/π_ref(y|x)).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics, shuffled
from operant.language.episodes.distributed import add_up, gather, share
from operant.language.episodes.episodes import Episodes, Rollouts, by_length
from operant.language.learn.batch_checks import examine, examine_mismatch
from operant.language.learn.kl_controller import Penalty
from operant.language.learn.logprobs import all_values, reference_logp, state_value, token_logp
from operant.language.learn.optim_step import set_rate
from operant.language.learn.reward_scorer import keep_likely
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.settings.rlhf import RLHFConfig
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.math.advantage import gae
from operant.math.baseline import whiten
from operant.math.divergence import k1
from operant.math.objective import clipped_surrogate, clipped_value_loss, value_loss
from operant.math.reduce import token_mean


def rlhf(
    cfg: RLHFConfig,
    collect: Rollouts,
    policy: LanguageModel,
    critic: Scalar,
    optimizer: torch.optim.Optimizer,
    generator: np.random.Generator,
    *,
    total_steps: int,
    reference: LanguageModel | None = None,
    penalty: Penalty | None = None,
    texts: Shuffled[Encoded] | None = None,
) -> Iterator[Metrics]:
    """Sample completions, score them, weigh them, step through them, yield metrics; for ever.

    Args:
        cfg: the settings.
        collect: gives `cfg.samples` completions of each of n prompts, scored: by
        `operant.language.learn.reward_scorer.Learnt`, say. policy: the model, trained in place.
        critic: the value of each state, trained in place; `operant.language.learn.reward_scorer.critic_from` begins
        one. optimizer: holds the parameters to train, of both.
        generator: the order of the minibatches.
        total_steps: calls of `collect` at which the schedules end.
        reference: π_ref, where β > 0 and the policy has no adapters to leave out.
        penalty: β and its state, to resume from; made from the settings when None.
        texts: what PPO-ptx keeps likely.

    Raises:
        ConfigError: if β > 0 and there is no reference, if ptx_coef > 0 and there are no texts, or at the first step,
            if no token can be trained.
    """
    if cfg.beta > 0.0 and reference is None and not policy.adapted:
        raise ConfigError("beta is above 0, which needs a reference model: give one, train adapters, or set beta = 0")
    if cfg.ptx_coef > 0.0 and texts is None:
        raise ConfigError("ptx_coef is above 0, which needs texts to keep likely: give some, or set ptx_coef = 0")
    penalty = penalty or Penalty(cfg.beta, cfg.beta_schedule, cfg.kl_target, cfg.kl_horizon)
    temperature = collect.sampling.temperature or 1.0  # greedy samples are scored at 1
    first = True

    while True:
        left = max(0.0, 1.0 - collect.steps / total_steps)
        lr = cfg.lr * (left if cfg.lr_schedule == "linear" else 1.0)
        beta = penalty.begin(left)
        set_rate(optimizer, lr)

        batch = collect(cfg.prompts)
        traj = batch.traj
        examine(batch, first=first)
        alarms, first = Metrics(), False
        charge = torch.zeros_like(traj.reward)
        if cfg.beta > 0.0:
            ref = reference_logp(policy, reference, batch, temperature, cfg.tokens)
            kl = torch.where(traj.acted, k1(traj.logp, ref), 0.0).sum() / batch.rows
            penalty.end(float(kl), batch.rows)
            alarms |= {"policy/kl_reference": kl}
            charge = torch.where(traj.acted, beta * k1(traj.logp, ref), 0.0)
        reward, terminated, truncated = token_rewards(cfg, batch, charge)
        value = all_values(critic, batch, cfg.tokens)  # [N, T+1]
        adv = gae(reward, value, terminated, truncated, traj.acted, discount=cfg.discount, lam=cfg.lam)
        target = adv + value[:, :-1]
        weight = whiten(adv, traj.acted) if cfg.whiten else adv

        update = partial(
            _update, cfg, policy, critic, optimizer, batch, weight, target, value[:, :-1], temperature, texts
        )
        seen: list[Metrics] = []
        for _ in range(cfg.epochs):
            for rows in shuffled(batch.rows, generator, adv.device).split(cfg.batch or batch.rows):
                seen.append(update(rows))

        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]}
        metrics |= {name: seen[0][name] for name in seen[0] if name.startswith("sampler/")}  # before the first step
        metrics |= {"policy/entropy": -token_mean(traj.logp, traj.acted)} | alarms
        metrics["value/explained_variance"] = 1 - adv[traj.acted].var() / target[traj.acted].var()
        metrics["reward/penalised"] = reward.sum(-1).mean()
        metrics |= {"schedule/lr": torch.tensor(lr), "schedule/beta": torch.tensor(beta)}
        yield metrics | examine_mismatch(cfg.mismatch_alarm, metrics["sampler/mismatch"]) | collect.stats()


def token_rewards(cfg: RLHFConfig, batch: Episodes, charge: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards [N, T] less the `charge` [N, T], and where completions are terminated and truncated, [N, T] bool.

    A completion that was cut and scored is over: the score is for what it is. One that was not scored goes on.
    """
    traj, ended = batch.traj, batch.traj.terminated | batch.traj.truncated
    judged = batch.known & ~batch.cut if cfg.truncated == "bootstrap" else batch.known
    reward = torch.where(judged[:, None], traj.reward, 0.0) - charge
    reward = torch.where(ended & batch.cut[:, None], reward - cfg.eos_penalty, reward)
    if cfg.scale_reward:
        reward = torch.where(traj.acted, whiten(reward, traj.acted) + token_mean(reward, traj.acted), 0.0)
    return reward, ended & judged[:, None], ended & ~judged[:, None]


def _update(
    cfg: RLHFConfig,
    policy: LanguageModel,
    critic: Scalar,
    optimizer: torch.optim.Optimizer,
    batch: Episodes,
    adv: Tensor,
    target: Tensor,
    value: Tensor,
    temperature: float,
    texts: Shuffled[Encoded] | None,
    rows: Tensor,
) -> Metrics:
    """One gradient step on some rows: micro-batches, of all processes, that add up to the loss of the whole."""
    traj = batch.traj
    reduce = partial(token_mean, denominator=traj.acted[rows].sum().clamp(min=1))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad.zero_()
    sums = torch.zeros(7, dtype=torch.float64, device=adv.device)
    worst = 0.0
    for part in share([rows[i] for i in by_length(batch.length[rows], cfg.tokens)]):
        acted, old = traj.acted[part], traj.logp[part]
        logp = token_logp(policy, batch, part, temperature)
        policy_loss, told = clipped_surrogate(
            logp, old, adv[part], acted, clip=cfg.clip, clip_high=cfg.clip_high, reduce=reduce
        )
        now = state_value(critic, batch, part)[:, :-1]
        if cfg.value_clip is None:
            critic_loss, _ = value_loss(now, target[part], acted, reduce=reduce)
        else:
            critic_loss, _ = clipped_value_loss(
                now, value[part], target[part], acted, clip=cfg.value_clip, reduce=reduce
            )
        (policy_loss + cfg.value_coef * critic_loss).backward()
        off, count = (logp.detach() - old).abs()[acted], acted.sum()
        means = [told["kl"] * count, told["clip_fraction"] * count, off.sum()]
        sums += torch.stack([policy_loss.detach(), critic_loss.detach(), policy_loss.new_zeros(()), *means, count])
        worst = max(worst, float(off.max()) if len(off) else 0.0)
    if texts is not None and cfg.ptx_coef > 0.0:
        sums[2] += keep_likely(cfg, policy, texts)
    add_up([*(p.grad for p in parameters if p.grad is not None), sums])
    norm = torch.nn.utils.clip_grad_norm_(parameters, cfg.max_grad_norm)
    optimizer.step()
    names = ("policy/kl", "policy/clip_fraction", "sampler/mismatch")
    return dict(zip(names, sums[3:6] / sums[6].clamp(min=1), strict=True)) | {
        "loss/policy": sums[0],
        "loss/value": sums[1],
        "loss/ptx": sums[2],
        "sampler/mismatch_max": torch.tensor(max(gather(worst)), dtype=torch.float64),
        "grad/norm": norm,
    }
