"""Running statistics that travel inside the policy file: an evaluated policy cannot lose them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from operant.math.scan import reverse_scan


class RunningMoments(nn.Module):
    """Mean and variance of a stream, merged batch by batch (Chan, Golub and LeVeque 1979), in float64.

    With count c, mean m, variance v and a batch of n values with mean m', variance v':
        δ = m' - m;  m ← m + δ n/(c+n);  v ← (c v + n v' + δ² c n/(c+n)) / (c+n).
    Before the first batch the mean is 0 and the variance 1.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("var", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Merge [B, *shape]; an empty batch changes nothing."""
        n = len(x)
        if n == 0:
            return
        x = x.double()
        var, mean = torch.var_mean(x, dim=0, correction=0)
        total = self.count + n
        delta = mean - self.mean
        merged = (self.count * self.var + n * var + delta.square() * self.count * n / total) / total
        self.mean += delta * n / total
        self.var.copy_(merged)
        self.count.copy_(total)


class ObsNormalizer(RunningMoments):
    """y = clip((x - mean) / √(var + 1e-8), ±clip), the statistics being of all observations seen in training.

    The statistics stand still while a segment is collected and learnt from, so that the probability ratio of an
    untouched policy is exactly 1; they are updated between segments.
    """

    def __init__(self, size: int, clip: float) -> None:
        super().__init__(size)
        self.clip = clip

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] → [..., D], float32."""
        scale = torch.rsqrt(self.var + 1e-8)
        return ((x - self.mean) * scale).clamp(-self.clip, self.clip).to(torch.float32)


class RewardScale(RunningMoments):
    """Divides rewards by the running deviation of the discounted return; the mean is not shifted.

    G_t = r_t + γ G_{t-1} runs forward through each episode and across segments; y_t = clip(r_t / √(var(G) + 1e-8)).
    (Details 30 and 31 of Huang et al. 2022; `VecNormalize` of openai/baselines.) The variance is brought up to date
    with a whole segment before that segment is scaled.
    """

    carry: Tensor

    def __init__(self, clip: float) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("carry", torch.zeros(0, dtype=torch.float64), persistent=False)

    @property
    def deviation(self) -> Tensor:
        """√(var(G) + 1e-8): a scaled value times this is a value in the environment's own units."""
        return torch.sqrt(self.var + 1e-8)

    def forget(self) -> None:
        """Let the open episodes' discounted returns go, as when environments begin anew."""
        self.carry = self.carry.new_zeros(0)

    @torch.no_grad()
    def forward(self, reward: Tensor, ended: Tensor, acted: Tensor, discount: float) -> Tensor:
        """Update with a segment, then scale it.

        Args:
            reward: [N, T].
            ended: [N, T] bool, terminated or truncated.
            acted: [N, T] bool; other steps neither count nor discount.
            discount: γ.
        """
        x, forget = reward.double() * acted, torch.where(acted, discount, 1.0).double()
        forget[:, 1:] *= ~ended[:, :-1]
        carry = self.carry if len(self.carry) == len(reward) else torch.zeros_like(x[:, 0])
        x[:, 0] += forget[:, 0] * carry
        returns = reverse_scan(x.flip(1), forget.flip(1)).flip(1)  # G_t = x_t + forget_t G_{t-1}
        self.carry = returns[:, -1] * ~ended[:, -1]
        self.update(returns[acted])
        return (reward / self.deviation).clamp(-self.clip, self.clip).to(reward.dtype)
