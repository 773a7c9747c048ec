"""Adversarial inverse reinforcement learning (Fu et al. 2018, arXiv:1710.11248): GAIL whose discriminator is a reward.

    D(s, a, s') = e^f / (e^f + π(a|s)),   f(s, a, s') = g(s, a) + γ h(s') − h(s),

so that its logit is z = f − log π, and the learner is paid log D − log(1 − D) = z: f, and the entropy of its policy. At
the best discriminator of a learner that is as the expert f is the expert's advantage. Where g sees states alone and the
dynamics are deterministic, g is then the expert's reward but for a constant, and h its value (theorem C.1); else g is
one of the rewards that explain what was seen, as in all inverse reinforcement learning.
"""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.composite import Composite
from operant.control.distributions import Distribution, Normal
from operant.control.imitation.adversary import Moves, Network
from operant.control.imitation.gail import against
from operant.control.learned_reward import Steps
from operant.control.settings.adversarial import AdversaryConfig, AIRLRun
from operant.control.settings.ppo import PPOConfig
from operant.env import EnvLike, VectorEnv
from operant.env.spaces import Actions
from operant.math.adversarial import log_ratio, shaped
from operant.run.job import Job, Say, silent


class Shaped(Network):
    """z = g + γ h(s') − h(s) − log π(a|s)."""

    def __init__(
        self, env: VectorEnv, distribution: Distribution, cfg: AdversaryConfig, network: str, algo: PPOConfig,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        super().__init__(env, distribution, cfg, network, algo, generator)
        _refuse_clipped(Actions(env.action_space), distribution)
        self.potential = Steps(
            env.observations, 0, network, cfg.hidden, generator, ends=self.ends, normalizer=self.normalizer
        )

    def advantage(self, moves: Moves) -> Tensor:
        """f [B]."""
        after = moves.over | moves.terminated
        h, following = self.potential(moves.obs, None, moves.over), self.potential(moves.next_obs, None, after)
        nothing = torch.zeros_like(after) if self.ends else moves.terminated
        return shaped(self.paid(moves), h, following, nothing, self.discount)

    def forward(self, moves: Moves) -> Tensor:
        """[B]."""
        return self.advantage(moves) - moves.logp


def _refuse_clipped(actions: Actions, distribution: Distribution) -> None:
    """Raises ConfigError where numbers are clipped to bounds: −log π would pay without end for what is drawn beyond
    them, and no discriminator would see it.
    """
    drawn = distribution.parts if isinstance(distribution, Composite) else (distribution,)
    for part, its in zip(actions.parts, drawn, strict=True):
        clips = isinstance(part.space, spaces.Box) and bool(np.isfinite([part.space.low, part.space.high]).any())
        if clips and isinstance(its, Normal) and its.low is None:
            raise ConfigError(
                f"airl pays for the entropy of what is drawn, which beyond the bounds of {part.space} is free: "
                "set policy.squash true, and where a bound is not finite take gail"
            )


def build(cfg: AIRLRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything AIRL needs, made from a config and one seed."""
    return against(cfg, env, Shaped, log_ratio)
