"""The smallest algorithm with a replay: V learns by TD from what the untrained policy did."""

import torch

from operant.control import Job, ReplayRun, off_policy
from operant.math.bellman import backup


def build(cfg: ReplayRun, env, say) -> Job:
    """V of a critic, of single transitions or, with memory, of pieces."""
    parts = off_policy(cfg, env)
    agent, critic, its = parts.agent, parts.agent.critic, cfg.algo
    optimizer = torch.optim.SGD(agent.parameters(), lr=1e-4)

    def pairs():
        if agent.remembers:
            piece = parts.buffer.sequences(4, 6, parts.generator)
            value = critic(piece.obs)[:, :-1]
            return value, piece.reward, None, torch.ones_like(value) * piece.acted
        b = parts.draw()
        target = backup(b.reward, critic(b.next_obs).detach(), b.terminated, b.discount)
        return critic(b.obs), target, b.index, b.weight

    def loop():
        while True:
            loss = torch.zeros(())
            for _ in range(its.updates):
                parts.buffer.extend(parts.collect(its.train_freq))
                for _ in range(its.gradient_steps * parts.ready):
                    value, target, index, weight = pairs()
                    loss = (weight * (value - target).square()).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    if index is not None:
                        parts.buffer.prioritise(index, value.detach() - target)
            yield {"loss/value": loss.detach()} | parts.collect.stats()

    return parts.job(loop(), optimizer)
