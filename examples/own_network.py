"""A network of your own below PPO's policy and critic.

    operant train ppo Pendulum-v1 --policy.network examples/own_network.py:make

It is kept as a state dictionary. To open such a run again, say that the code is yours: `--trust`, or `trust=True`.

    python examples/own_network.py [--steps 20000]
"""

import argparse

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Features of a residual perceptron with layer normalisation."""

    def __init__(self, obs_dim: int, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(obs_dim, width)
        self.second = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, obs: Tensor) -> Tensor:
        """[N, obs_dim] → [N, width]."""
        x = torch.tanh(self.first(obs))
        return x + self.second(x)


def make(obs_dim: int) -> nn.Module:
    """What operant calls: from the numbers in an observation to a module that gives features."""
    return Residual(obs_dim)


if __name__ == "__main__":
    import operant

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    args = parser.parse_args()
    own = {"policy.network": f"{__file__}:make", "save.videos": False}
    run = operant.train("ppo", "CartPole-v1", total_steps=args.steps, **own)
    print(f"return {run.evaluate(episodes=20)['mean']:.1f}; weights: {sum(p.numel() for p in run.policy.parameters())}")
