"""What leaving the reference costs: log π_ref, and the weight of the divergence: constant, falling, rising, steered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics
from operant.language.episodes.episodes import Episodes
from operant.language.learn.logprobs import reference_logp
from operant.language.learn.optim_step import half_cosine
from operant.language.model.language_model import LanguageModel
from operant.language.settings.grpo import GRPOConfig, KLSchedule
from operant.language.settings.rlhf import RLHFConfig
from operant.math.divergence import k1, steered

SHAPES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "rising": lambda left: 1.0 - left,
    "cosine": lambda left: 1.0 - half_cosine(left),
}
"""By schedule, from the share of training that is still to come, the share of β; the last two rise from 0."""


@dataclass
class KLController:
    """β and how it moves. `value` is the whole state; `start` is what the shapes scale.

    Args:
        start: β at the beginning, or at the end of one that rises.
        schedule: linear falls to 0 as `left` does, rising and cosine rise from 0 (weak at first, for exploration: Liu
            et al. 2025, OThink-MR1, arXiv:2503.16081); adaptive is `operant.math.divergence.steered`.
        target: nats per completion, of an adaptive one.
        horizon: completions, of an adaptive one.
    """

    start: float
    schedule: KLSchedule = "constant"
    target: float = 6.0
    horizon: int = 10_000

    def __post_init__(self) -> None:
        self.value = self.start

    def begin(self, left: float) -> float:
        """β of a step, `left` the share of training that is still to come."""
        if self.schedule in SHAPES:
            self.value = self.start * SHAPES[self.schedule](left)
        return self.value

    def end(self, kl: float, completions: int) -> None:
        """Note the divergence measured in a step, in nats per completion."""
        if self.schedule == "adaptive":
            self.value = steered(self.value, kl, target=self.target, horizon=self.horizon, n=completions)


class KLPenalty:
    """The divergence from π_ref in a loop: measured at every step, charged to each token, its weight β steered.

    Args:
        cfg: β, how it moves, and the budget of tokens.
        policy: what is trained.
        reference: π_ref; the policy with its adapters left out if None.
        controller: β and its state, to resume from; made from the settings when None.
        estimator: of the divergence that is charged, of (log π, log π_ref); nothing is charged if None.

    Attributes:
        ref: log π_ref [N, T] of the completions that were charged last, where it is the loss that counts it, else None.

    Raises:
        ConfigError: if β > 0 and there is no reference.
    """

    def __init__(
        self,
        cfg: GRPOConfig | RLHFConfig,
        policy: LanguageModel,
        reference: LanguageModel | None,
        controller: KLController | None = None,
        *,
        estimator: Callable[[Tensor, Tensor], Tensor] | None = k1,
    ) -> None:
        if cfg.beta > 0.0 and reference is None and not policy.adapted:
            raise ConfigError(
                "beta is above 0, which needs a reference model: give one, train adapters, or set beta = 0"
            )
        self.cfg, self.policy, self.reference, self.estimator = cfg, policy, reference, estimator
        self.controller = controller or KLController(cfg.beta, cfg.beta_schedule, cfg.kl_target, cfg.kl_horizon)
        self.ref: Tensor | None = None
        self._beta, self._measured = self.controller.value, Metrics()

    def begin(self, left: float) -> float:
        """β of a step, `left` the share of training that is still to come."""
        self._beta = self.controller.begin(left)
        return self._beta

    def charge(self, batch: Episodes) -> Tensor:
        """[N, T]: what each token is charged, β k(log π, log π_ref)."""
        traj, none = batch.traj, torch.zeros_like(batch.traj.reward)
        if self.cfg.beta == 0.0:
            return none
        ref = reference_logp(self.policy, self.reference, batch, self.cfg.tokens)
        kl = torch.where(traj.acted, k1(traj.logp, ref), 0.0).sum() / batch.rows
        self.controller.end(float(kl), batch.rows)
        self._measured = {"policy/kl_reference": kl}
        if self.estimator is None:
            self.ref = ref if self._beta > 0.0 else None
            return none
        return torch.where(traj.acted, self._beta * self.estimator(traj.logp, ref), 0.0)

    def stats(self) -> Metrics:
        """Of the last step."""
        return self._measured | {"schedule/beta": torch.tensor(self._beta)}
