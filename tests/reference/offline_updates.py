"""One update of TD3+BC, CQL and IQL as their authors' code has it, with plain torch and an Adam for each part, in fp32.

sfujim/TD3_BC, aviralkumar2907/CQL and ikostrikov/implicit_q_learning (there in JAX), with the policy of IQL that draws
nothing, as corl-team/CORL has it.
"""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch.nn import functional

from reference.replay_updates import Reference


class OfflineReference(Reference):
    """Copies of an agent's networks, and what these methods do to them; `value` is a perceptron from obs to V."""

    def __init__(self, agent, *, lr, tau, discount, value=None):
        super().__init__(agent, lr=lr, tau=tau, discount=discount)
        self.value = deepcopy(value)
        self.value_adam = None if value is None else torch.optim.Adam(self.value.parameters(), lr)

    def td3_bc(self, b, noise, *, alpha, delay):
        self.updates += 1
        with torch.no_grad():
            next_actions = (self.actor_target(b["next_obs"]).tanh() + (0.2 * noise).clamp(-0.5, 0.5)).clamp(-1, 1)
            next_q = torch.cat(self.q(self.critics_target, b["next_obs"], next_actions), dim=1).min(1, True).values
            target = b["rewards"] + (1 - b["dones"]) * self.discount * next_q
        self.fit(
            self.critic_adam,
            0.5 * sum(functional.mse_loss(q, target) for q in self.q(self.critics, b["obs"], b["actions"])),
        )
        if self.updates % delay == 0:
            pi = self.actor(b["obs"]).tanh()
            q = self.q(self.critics, b["obs"], pi)[0]
            lmbda = alpha / q.abs().mean().detach()
            self.fit(self.actor_adam, -lmbda * q.mean() + functional.mse_loss(pi, b["actions"]))
            self.polyak((self.actor, self.actor_target), (self.critics, self.critics_target))

    def cql(self, b, noise, even, *, weight, target_entropy):
        """`noise`: ε of a' and a; of the policy's samples here and there [M, B, A]; `even` [M, B, A] in [0, 1)."""
        next_noise, here_noise, there_noise, policy_noise = noise
        B, A = b["actions"].shape
        alpha = self.log_alpha.detach().exp()
        with torch.no_grad():
            next_actions, _ = self.act(b["next_obs"], next_noise)
            next_q = torch.cat(self.q(self.critics_target, b["next_obs"], next_actions), dim=1).min(1, True).values
            target = b["rewards"] + (1 - b["dones"]) * self.discount * next_q
        here, here_logp = self.many(b["obs"], here_noise)
        there, there_logp = self.many(b["next_obs"], there_noise)
        loss = 0.0
        for q_of in range(len(self.critics)):
            net = self.critics[q_of]
            q = net(torch.cat([b["obs"], b["actions"]], 1))

            def at(actions, net=net):  # [M, B, A] → [B, M]
                obs = b["obs"].expand(len(actions), B, -1)
                return net(torch.cat([obs, actions], -1)).squeeze(-1).T

            cat_q = torch.cat(
                [
                    at(2 * even - 1) - math.log(0.5**A),
                    at(there) - there_logp.detach(),
                    at(here) - here_logp.detach(),
                ],
                1,
            )
            penalty = torch.logsumexp(cat_q, dim=1).mean() - q.mean()
            loss = loss + 0.5 * functional.mse_loss(q, target) + weight * penalty
        self.fit(self.critic_adam, loss)
        actions_pi, logp = self.act(b["obs"], policy_noise)
        q_pi = torch.cat(self.q(self.critics, b["obs"], actions_pi), dim=1).min(1, True).values
        self.fit(self.actor_adam, (alpha * logp - q_pi).mean())
        self.fit(self.alpha_adam, -(self.log_alpha * (logp + target_entropy).detach()).mean())
        self.polyak((self.critics, self.critics_target))

    def many(self, obs, noise):
        """The policy's actions [M, B, A] for noise of that shape, and log-probabilities [B, M]."""
        with torch.no_grad():
            action, logp = zip(*(self.act(obs, eps) for eps in noise), strict=True)
        return torch.stack(action), torch.cat(logp, 1)

    def iql(self, b, *, expectile, temperature):
        with torch.no_grad():
            q = torch.cat(self.q(self.critics_target, b["obs"], b["actions"]), dim=1).min(1, True).values
        diff = q - self.value(b["obs"])
        weight = torch.where(diff > 0, expectile, 1 - expectile)
        self.fit(self.value_adam, (weight * diff**2).mean())
        with torch.no_grad():
            exp_a = ((q - self.value(b["obs"])) * temperature).exp().clamp(max=100.0)
            target = b["rewards"] + (1 - b["dones"]) * self.discount * self.value(b["next_obs"])
        pi = self.actor(b["obs"]).tanh()
        self.fit(self.actor_adam, (exp_a * 0.5 * ((pi - b["actions"]) ** 2).sum(1, keepdim=True)).mean())
        qs = self.q(self.critics, b["obs"], b["actions"])
        self.fit(self.critic_adam, 0.5 * sum(functional.mse_loss(q, target) for q in qs))
        self.polyak((self.critics, self.critics_target))
