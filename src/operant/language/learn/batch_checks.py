"""What makes a step of GRPO or PPO-RLHF useless, said aloud at the first one with the fix; and what a step measures."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics
from operant.language.episodes.episodes import Episodes
from operant.language.learn.minibatch import Minibatch
from operant.language.learn.multi_reward import RewardMatrix
from operant.language.learn.optim_step import PartMetrics
from operant.language.model.language_model import LanguageModel
from operant.math.baseline import group_scale


class TrainingWarning(UserWarning):
    """Training goes on, but can hardly learn."""


class BatchChecks:
    """Says at the first step what makes it useless, and at every step how far sampler and trainer are apart.

    Args:
        mismatch_alarm: nats a token above which sampler and trainer are too far apart.
    """

    def __init__(self, mismatch_alarm: float) -> None:
        self.mismatch_alarm, self.first = mismatch_alarm, True

    def __call__(self, batch: Episodes, rewards: RewardMatrix | None = None) -> Metrics:
        """Shares of useless groups, as metrics; at the first step also warnings, or a refusal.

        Args:
            batch: of a step.
            rewards: one by one, where they are normalised before they are summed: equal sums may then differ.

        Raises:
            ConfigError: if it is the first step, and no token can be trained.
        """
        ret, group = batch.traj.reward.sum(-1), batch.traj.group
        scored = batch.scored & batch.traj.acted.any(-1)
        flat = (_spread(batch, scored) if rewards is None else _widest(rewards, scored, group))[scored] < 1e-9
        if self.first:
            _refuse(batch, scored)
            size = int(torch.unique(group, return_counts=True)[1].max())
            _warn(ret[scored], flat, float(batch.length_limited.double().mean()), size)
            self.first = False
        return {"group/equal": flat.double().mean()}

    def mismatch(self, metrics: Metrics) -> Metrics:
        """The entries that say how the sampler's log π differs from the trainer's before it moved, and an alarm.

        Args:
            metrics: among others `sampler/mismatch`, the mean of |log π of the sampler − log π of the trainer|.
        """
        own = {name: x for name, x in metrics.items() if name.startswith("sampler/")}
        off = bool(own["sampler/mismatch"] > self.mismatch_alarm)
        if off:
            warnings.warn(
                f"sampler and trainer differ by {float(own['sampler/mismatch']):.3g} nats a token, above "
                f"mismatch_alarm = {self.mismatch_alarm:g}: the ratios are wrong by as much. Sample with the weights, "
                "and in the precision, that are trained (float32 shows whether precision is the cause)",
                TrainingWarning,
                stacklevel=3,
            )
        return own | {"sampler/alarm": torch.tensor(float(off))}


def policy_metrics(policy: LanguageModel, logp: Tensor, b: Minibatch, metrics: Metrics) -> PartMetrics:
    """What a micro-batch measures, for `optim_step`: how far the policy is from what sampled and from what it was.

    Args:
        policy: what computed `logp`; of rows that the sampler kept for it, one was computed again and is compared.
        logp: [B, T] log π now.
        b: the completions.
        metrics: of the objective, means over the decisions.
    """
    count, off = b.acted.sum(), (logp.detach() - b.logp).abs()
    checked = None if policy.tape is None else policy.tape.checked
    compared = count if checked is None else b.acted[checked].sum()
    none = torch.zeros_like(off.sum())
    result: PartMetrics = {
        f"policy/{name}": (metrics.get(name, none) * count, count) for name in ("kl", "clip_fraction")
    }
    result["sampler/mismatch"] = (off[b.acted].sum(), compared)
    result["sampler/mismatch_max"] = off[b.acted].max() if bool(count) else none
    return result


def _spread(batch: Episodes, scored: Tensor) -> Tensor:
    """[N]: the deviation of the rewards of each completion's group: of its steps, or of the wholes, the larger one."""
    traj, given = batch.traj, batch.rewarded & scored[:, None]
    step = traj.reward.double()
    whole = torch.zeros_like(step[:, 0])
    if batch.outcome is not None:
        step = step - torch.where(traj.terminated | traj.truncated, batch.outcome[:, None], 0.0)
        whole[scored] = group_scale(batch.outcome[scored].double(), traj.group[scored], eps=0.0)
    by_step = torch.zeros_like(step)
    by_step[given] = group_scale(step[given], traj.group[:, None].expand_as(given)[given], eps=0.0)
    return torch.maximum(by_step.amax(-1), whole)


def _widest(rewards: RewardMatrix, scored: Tensor, group: Tensor) -> Tensor:
    """[N]: the largest deviation of a reward that counts in each completion's group."""
    widest = torch.zeros(len(group), dtype=torch.float64, device=group.device)
    for column, weight in zip(rewards.value.to(group.device).unbind(1), rewards.weight.tolist(), strict=True):
        if weight != 0.0:
            widest[scored] = torch.maximum(widest[scored], group_scale(column[scored], group[scored], eps=0.0))
    return widest


def _refuse(batch: Episodes, scored: Tensor) -> None:
    if not bool(batch.traj.acted.any()):
        raise ConfigError(
            f"step 1: none of {batch.rows} completions has a token to train (all are empty, or forced): check the stop "
            "tokens, and that the limit on completions is at least 1"
        )
    if not bool(scored.any()):
        raise ConfigError(
            f"step 1: the reward judged none of {batch.rows} completions (every score is missing): run the reward on "
            "one of them by hand to see why it fails"
        )


def _warn(ret: Tensor, flat: Tensor, cut: float, size: int) -> None:
    if cut >= 0.5:
        _say(
            f"{cut:.0%} of the completions were cut at the limit before they ended, so what they were about to say is "
            "not what is scored: raise the limit, or check that the stop token is one the model was trained to write"
        )
    if len(ret) > 1 and float(ret.max() - ret.min()) < 1e-9 and bool(flat.all()):
        _say(
            f"every completion scored {float(ret[0]):g}: a constant reward teaches nothing. Look at some completions; "
            "begin from a model that is right sometimes, or take easier prompts or a reward with parts"
        )
    elif size > 1 and bool(flat.all()):
        _say(
            "in every group all completions scored the same, so that all advantages are 0: raise the temperature or "
            "the number of samples, take prompts that are neither too easy nor too hard, or set resample"
        )


def _say(text: str) -> None:
    warnings.warn(f"step 1: {text}", TrainingWarning, stacklevel=4)
