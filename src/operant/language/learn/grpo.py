"""Group relative policy optimisation (Shao et al. 2024, DeepSeekMath, arXiv:2402.03300) and its relatives, on one page.

PPO whose critic is the group: several completions of a prompt, and their mean return as the value of every state. A
model and its sampler are one set of weights, so the sampler's log-probabilities are the old ones, without another pass;
how far the trainer's are from them is measured at each step. The papers are settings:
`operant.language.settings.grpo.PRESETS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics, shuffled
from operant.language.episodes.distributed import add_up, gather, here, share
from operant.language.episodes.episodes import Episodes, Rollouts, by_length
from operant.language.learn.batch_checks import examine, examine_mismatch
from operant.language.learn.grpo_loss import DIVERGENCE, correction, group_loss, reduction
from operant.language.learn.kl_controller import Penalty
from operant.language.learn.logprobs import all_token_logp, reference_logp, token_logp
from operant.language.learn.multi_reward import Apart, Rewards, normalised
from operant.language.learn.optim_step import set_rate
from operant.language.model.language_model import LanguageModel
from operant.language.settings.grpo import GRPOConfig
from operant.math.advantage import gae
from operant.math.baseline import group_mean, group_scale, leave_one_out, whiten
from operant.math.divergence import k1
from operant.math.reduce import token_mean


def grpo(
    cfg: GRPOConfig,
    collect: Rollouts,
    policy: LanguageModel,
    optimizer: torch.optim.Optimizer,
    generator: np.random.Generator,
    *,
    total_steps: int,
    reference: LanguageModel | None = None,
    penalty: Penalty | None = None,
    apart: Apart | None = None,
) -> Iterator[Metrics]:
    """Sample groups, score them, weigh them, step through them, yield metrics; for ever.

    Args:
        cfg: the settings.
        collect: gives `cfg.samples` completions of each of n prompts, scored.
        policy: the model, trained in place.
        optimizer: holds the parameters to train.
        generator: the order of the minibatches.
        total_steps: calls of `collect` at which the schedules end.
        reference: π_ref, where β > 0 and the policy has no adapters to leave out.
        penalty: β and its state, to resume from; made from the settings when None.
        apart: gives the rewards one by one, where each is normalised before they are summed.

    Raises:
        ConfigError: if β > 0 and there is no reference, or at the first step, if no token can be trained, or rewards
            are to be normalised one by one and `apart` is None.
    """
    if cfg.beta > 0.0 and reference is None and not policy.adapted:
        raise ConfigError("beta is above 0, which needs a reference model: give one, train adapters, or set beta = 0")
    if cfg.reference_every is not None and (reference is None or cfg.beta == 0.0):
        raise ConfigError("reference_every moves a reference model: give one, with beta above 0")
    penalty = penalty or Penalty(cfg.beta, cfg.beta_schedule, cfg.kl_target, cfg.kl_horizon)
    temperature = collect.sampling.temperature or 1.0  # greedy samples are scored at 1
    once = cfg.epochs == 1 and cfg.batch in (None, cfg.prompts * cfg.samples)
    collect.engine.record = once and here()[1] == 1  # the weights that sampled are those of the one gradient step
    first = True

    while True:
        left = max(0.0, 1.0 - collect.steps / total_steps)
        lr = cfg.lr * (left if cfg.lr_schedule == "linear" else 1.0)
        beta = penalty.begin(left)
        set_rate(optimizer, lr)

        batch = collect(cfg.prompts)
        traj = batch.traj
        rewards = None if apart is None else apart(collect.completions)
        alarms, first = examine(batch, first=first, rewards=rewards), False
        ref, charge = None, torch.zeros_like(traj.reward)
        if cfg.beta > 0.0:
            ref = reference_logp(policy, reference, batch, temperature, _tokens(cfg, batch))
            kl = torch.where(traj.acted, k1(traj.logp, ref), 0.0).sum() / batch.rows
            penalty.end(float(kl), batch.rows)
            alarms |= {"policy/kl_reference": kl}
            if cfg.kl_in == "reward":
                charge = torch.where(traj.acted, beta * DIVERGENCE[cfg.kl](traj.logp, ref), 0.0)
        adv = group_advantages(cfg, batch, charge, rewards)
        old, off = traj.logp, Metrics()
        if cfg.correction != "none":
            old = all_token_logp(policy, batch, temperature, _tokens(cfg, batch))
            adv = adv * correction(cfg, old, traj.logp, traj.acted)
            off = _mismatch(old, traj.logp, traj.acted)

        update = partial(
            _update, cfg, policy, optimizer, batch, old, adv, ref, beta, temperature, collect.sampling.max_tokens
        )
        seen: list[Metrics] = []
        for _ in range(cfg.epochs):
            for rows in shuffled(batch.rows, generator, adv.device).split(cfg.batch or batch.rows):
                seen.append(update(rows))
        if reference is not None and cfg.reference_every and collect.steps % cfg.reference_every == 0:
            reference.load_state_dict(policy.state_dict())

        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]}
        metrics |= {name: seen[0][name] for name in seen[0] if name.startswith("sampler/")} | off  # before they moved
        metrics |= {"policy/entropy": -token_mean(traj.logp, traj.acted)} | alarms
        metrics |= {"schedule/lr": torch.tensor(lr), "schedule/beta": torch.tensor(beta)}
        yield metrics | examine_mismatch(cfg.mismatch_alarm, metrics["sampler/mismatch"]) | collect.stats()


def group_advantages(cfg: GRPOConfig, batch: Episodes, charge: Tensor, rewards: Rewards | None = None) -> Tensor:
    """[N, T]: the rewards, less `charge` [N, T] (a divergence), through `gae` with the group as the critic.

    With credit to the whole every token carries the completion's return less the group's baseline, the value of all of
    its states. With credit onward each step's reward, less the mean of all of the group's, over their deviation, is
    summed from each token on (DeepSeekMath, section 4.1.3); where the whole was judged too, its own advantage is added
    (as in PRIME, Cui et al. 2025, arXiv:2502.01456). Where `rewards` are normalised before they are summed (GDPO, Liu
    et al. 2026, arXiv:2601.05242), their sum is the return, and the step is one group. A completion that is not judged
    says nothing and gets 0: it is truncated.
    """
    traj, known = batch.traj, batch.known & batch.traj.acted.any(-1)
    ended = traj.terminated | traj.truncated
    if cfg.truncated == "mask":
        known = known & ~batch.cut
    if cfg.baseline == "leave_one_out":
        known = known & _in_company(known, traj.group)
    terminated, truncated = ended & known[:, None], ended & ~known[:, None]
    if not cfg.onward:
        ret, group = torch.where(known, (traj.reward - charge).sum(-1), 0.0), traj.group  # [N]
        if cfg.aggregation == "normalise_then_sum":
            ret, group = normalised(cfg, rewards, known, group).to(ret), torch.zeros_like(group)
        value, deviation = _weigh(cfg, ret, known, group)
        reward = torch.where(ended, ret[:, None], 0.0)
        critic = value[:, None].expand(-1, reward.shape[1] + 1)  # [N, T+1]
        adv = gae(reward, critic, terminated, truncated, traj.acted, discount=1.0, lam=1.0) / deviation[:, None]
    else:
        given, outcome = batch.marked & known[:, None], batch.outcome
        step = traj.reward if outcome is None else traj.reward - torch.where(ended, outcome[:, None], 0.0)
        value, deviation = _weigh(cfg, step, given, traj.group[:, None].expand_as(given))
        reward = torch.where(given, (step - value) / deviation, 0.0) - charge * known[:, None]
        if outcome is not None:
            value, deviation = _weigh(cfg, outcome, known, traj.group)
            reward = reward + torch.where(terminated, ((outcome - value) / deviation)[:, None], 0.0)
        critic = reward.new_zeros(reward.shape[0], reward.shape[1] + 1)
        adv = gae(reward, critic, terminated, truncated, traj.acted, discount=1.0, lam=1.0)
    return whiten(adv, traj.acted & known[:, None], cfg.scale_eps) if cfg.scale == "tokens" else adv


def _update(
    cfg: GRPOConfig,
    policy: LanguageModel,
    optimizer: torch.optim.Optimizer,
    batch: Episodes,
    old_logp: Tensor,
    adv: Tensor,
    ref: Tensor | None,
    beta: float,
    temperature: float,
    limit: int,
    rows: Tensor,
) -> Metrics:
    """One gradient step on some rows: micro-batches, of all processes, that add up to the loss of the whole."""
    traj, reduce = batch.traj, reduction(cfg, batch.traj.acted[rows], limit)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad.zero_()
    pulls = adv != 0.0 if beta == 0.0 or cfg.kl_in == "reward" else traj.acted
    rows = rows[pulls[rows].any(-1)].sort().values  # the others have no gradient; a group's stand together
    sums = torch.zeros(6, dtype=torch.float64, device=adv.device)
    worst = 0.0
    for part in share([rows[i] for i in by_length(batch.length[rows], _tokens(cfg, batch, policy, rows, temperature))]):
        acted, old = traj.acted[part], old_logp[part]
        logp = token_logp(policy, batch, part, temperature)
        loss, told = group_loss(
            cfg, logp, old, None if ref is None else ref[part], adv[part], acted,
            beta=beta, reduce=reduce, sampled_logp=traj.logp[part],
        )  # fmt: skip
        loss.backward()
        compared = acted if policy.tape is None or policy.tape.checked is None else acted[policy.tape.checked]
        off, count = (logp.detach() - old).abs()[acted], acted.sum()
        means = [told.get(name, torch.zeros_like(loss)) * count for name in ("kl", "clip_fraction")]
        sums += torch.stack([loss.detach(), *means, off.sum(), count.to(loss.dtype), compared.sum()])
        worst = max(worst, float(off.max()))
    add_up([*(p.grad for p in parameters if p.grad is not None), sums])
    norm = torch.nn.utils.clip_grad_norm_(parameters, cfg.max_grad_norm)
    optimizer.step()
    count, compared = sums[4:].clamp(min=1)
    loss, *means = sums[:4] / torch.stack((torch.ones_like(count), count, count, compared))
    names = ("policy/kl", "policy/clip_fraction", "sampler/mismatch")
    return dict(zip(names, means, strict=True)) | {
        "loss/policy": loss,
        "sampler/mismatch_max": torch.tensor(max(gather(worst)), dtype=torch.float64),
        "grad/norm": norm,
    }


def _tokens(
    cfg: GRPOConfig, batch: Episodes, policy: LanguageModel | None = None, rows: Tensor | None = None, at: float = 1.0
) -> int:
    """Tokens of one forward and backward; all, where the sampler has kept these rows for the backward of `policy`."""
    traj = batch.traj
    if cfg.tokens is None and policy is not None and policy.tape is not None and rows is not None:
        assert isinstance(traj.obs, Tensor)
        if policy.tape.find(traj.obs[rows], traj.acted[rows], at) is not None:
            return traj.obs.numel()
    return cfg.tokens or (1_536 if batch.prompt.device.type == "cpu" else 16_384)


def _mismatch(logp: Tensor, sampled: Tensor, acted: Tensor) -> Metrics:
    off = (logp - sampled).abs()[acted]
    return {"sampler/mismatch": off.mean(), "sampler/mismatch_max": off.max()}


def _weigh(cfg: GRPOConfig, x: Tensor, known: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """The baseline and the deviation of each entry of x among those that are known; 0 and 1 elsewhere."""
    value, deviation = torch.zeros_like(x), torch.ones_like(x)
    x, group = x[known], group[known]
    if cfg.baseline != "none":
        value[known] = (group_mean if cfg.baseline == "group" else leave_one_out)(x, group)
    if cfg.scale in ("group", "batch"):
        deviation[known] = group_scale(x, group if cfg.scale == "group" else torch.zeros_like(group), cfg.scale_eps)
    return value, deviation


def _in_company(known: Tensor, group: Tensor) -> Tensor:
    """[N]: whether another known row is in the group."""
    _, member = torch.unique(group, return_inverse=True)
    count = torch.zeros_like(member).index_add(0, member, known.long())
    return count[member] > 1
