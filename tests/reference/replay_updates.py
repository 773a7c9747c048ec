"""One update of DDPG, TD3 and SAC as SB3 and CleanRL write it, with plain torch and an Adam for each part, in fp32."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Reference:
    """Copies of an agent's networks, and what the two libraries do to them.

    Args:
        agent: with perceptrons only, which is not touched.
        lr, tau, discount: as there.
    """

    def __init__(self, agent, *, lr, tau, discount):
        self.actor, self.critics = deepcopy(agent.policy.net), deepcopy(agent.q.net)
        self.actor_target, self.critics_target = deepcopy(self.actor), deepcopy(self.critics)
        self.actor_adam = torch.optim.Adam(self.actor.parameters(), lr)
        self.critic_adam = torch.optim.Adam(self.critics.parameters(), lr)
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.alpha_adam = torch.optim.Adam([self.log_alpha], lr)
        self.tau, self.discount, self.updates = tau, discount, 0

    def q(self, nets, obs, action):
        return [net(torch.cat([obs, action], 1)) for net in nets]

    def polyak(self, *pairs):
        for online, target in pairs:
            for p, p_target in zip(online.parameters(), target.parameters(), strict=True):
                p_target.data.mul_(1 - self.tau).add_(self.tau * p.data)

    def fit(self, adam, loss):
        adam.zero_grad()
        loss.backward()
        adam.step()

    def td3(self, b, noise, *, sigma, clip, delay):
        """stable_baselines3/td3/td3.py, train(); cleanrl/td3_continuous_action.py; with no noise and delay 1 DDPG."""
        self.updates += 1
        with torch.no_grad():
            next_actions = self.actor_target(b["next_obs"]).tanh()
            if noise is not None:
                next_actions = (next_actions + (sigma * noise).clamp(-clip, clip)).clamp(-1, 1)
            next_q = torch.cat(self.q(self.critics_target, b["next_obs"], next_actions), dim=1).min(1, True).values
            target = b["rewards"] + (1 - b["dones"]) * self.discount * next_q
        self.fit(
            self.critic_adam,
            # they have no ½ here, which only Adam's ε would see
            0.5 * sum(functional.mse_loss(q, target) for q in self.q(self.critics, b["obs"], b["actions"])),
        )
        if self.updates % delay == 0:
            loss = -self.q(self.critics, b["obs"], self.actor(b["obs"]).tanh())[0].mean()
            self.fit(self.actor_adam, loss)
            self.polyak((self.actor, self.actor_target), (self.critics, self.critics_target))

    def act(self, obs, noise):
        """Action and log-probability, by torch's own distribution."""
        mean, log_std = self.actor(obs).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        u = mean + normal.scale * noise
        action = u.tanh()
        return action, (normal.log_prob(u) - torch.log(1 - action.pow(2) + 1e-6)).sum(1, keepdim=True)

    def sac(self, b, next_noise, noise, *, target_entropy, linear):
        """stable_baselines3/sac/sac.py, train(); where `linear`, the temperature's step is cleanrl's."""
        actions_pi, logp = self.act(b["obs"], noise)
        alpha = self.log_alpha.detach().exp()
        if target_entropy is not None:
            weight = self.log_alpha.exp() if linear else self.log_alpha
            self.fit(self.alpha_adam, -(weight * (logp + target_entropy).detach()).mean())
        with torch.no_grad():
            next_actions, next_logp = self.act(b["next_obs"], next_noise)
            next_q = torch.cat(self.q(self.critics_target, b["next_obs"], next_actions), dim=1).min(1, True).values
            target = b["rewards"] + (1 - b["dones"]) * self.discount * (next_q - alpha * next_logp)
        qs = self.q(self.critics, b["obs"], b["actions"])
        self.fit(self.critic_adam, 0.5 * sum(functional.mse_loss(q, target) for q in qs))
        q_pi = torch.cat(self.q(self.critics, b["obs"], actions_pi), dim=1).min(1, True).values
        self.fit(self.actor_adam, (alpha * logp - q_pi).mean())
        self.polyak((self.critics, self.critics_target))


def of(b) -> dict[str, torch.Tensor]:
    """A batch of ours as these libraries have it."""
    return {
        "obs": b.obs, "actions": b.action, "rewards": b.reward[:, None], "next_obs": b.next_obs,
        "dones": b.terminated.float()[:, None],
    }  # fmt: skip


def parts(*modules: nn.Module) -> torch.Tensor:
    """All parameters end to end."""
    return torch.cat([p.detach().ravel() for module in modules for p in module.parameters()])


def noises(seed: int, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    """What a generator of that seed draws, one after the other."""
    generator = np.random.default_rng(seed)
    return [torch.from_numpy(generator.standard_normal(shape, np.float32)) for shape in shapes]
