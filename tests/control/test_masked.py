"""Masks in the compiled kernels: the actions and the update are those of the readable path."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from operant.control.acting import Compiled, Sampler, sampler
from operant.control.agent import Agent
from operant.control.fused import FusedPPO, fused_update
from operant.control.ppo import _update
from operant.control.settings.ppo import PPOConfig
from operant.control.spec import AgentSpec
from operant.data.trajectory import Batch, minibatches
from operant.env.interface import Interface


def agent_of(normalise=False, seed=0):
    between = Interface(spaces.Box(-9, 9, (5,), np.float32), spaces.Discrete(4), "info")
    spec = AgentSpec(
        **between.encoded(), obs_dim=9, action_kind="discrete", action_sizes=(4,), hidden=(16, 8),
        obs_clip=5.0 if normalise else None,
    )  # fmt: skip
    agent = Agent(spec, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        agent.policy.net.layers[-1].weight.mul_(300)
    if normalise:
        agent.normalizer.update(torch.randn(50, 5, generator=torch.Generator().manual_seed(2)) * 3 + 1)
    return agent


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    mask = rng.random((n, 4)) < 0.5
    mask[np.arange(n), rng.integers(0, 4, n)] = True
    return np.hstack([rng.standard_normal((n, 5)) * 2, mask]).astype(np.float32)


@pytest.mark.parametrize("normalise", [False, True])
def test_the_kernel_draws_what_the_policy_draws_and_nothing_illegal(normalise):
    agent, obs = agent_of(normalise), rows(3000)
    fast, slow = sampler(agent.policy), Sampler(agent.policy)
    assert isinstance(fast, Compiled)
    action, logp = fast(obs, np.random.default_rng(1))
    same, other = slow(obs, np.random.default_rng(1))
    assert (action != same).mean() < 0.002  # a draw beside a border
    np.testing.assert_allclose(logp[action == same], other[action == same], rtol=1e-4, atol=1e-5)
    assert obs[np.arange(3000), 5 + action].all()
    assert len(np.unique(action)) == 4


@pytest.mark.parametrize("normalise", [False, True])
def test_the_fused_update_is_the_readable_one(normalise):
    cfg = PPOConfig(batch=64, entropy_coef=0.02)
    ours, theirs = agent_of(normalise), agent_of(normalise)
    obs = torch.from_numpy(rows(256, seed=3))
    rng = np.random.default_rng(0)
    action, logp = ours.policy.sample(obs, rng)
    value = ours.critic(obs).detach()

    def normal():
        return torch.from_numpy(rng.standard_normal(256, dtype=np.float32))

    steps = Batch(
        obs=obs, action=action, logp=logp + 0.3 * normal(), adv=normal() + 0.5, target=value + normal(), value=value,
        acted=torch.ones(256, dtype=torch.bool),
    )  # fmt: skip
    first, second = (torch.optim.Adam(a.parameters(), lr=1e-3, eps=1e-5) for a in (ours, theirs))
    fused = fused_update(ours, first, cfg)
    assert isinstance(fused, FusedPPO)
    for epoch in range(2):
        seen = fused(steps, np.random.default_rng(epoch), lr=1e-3, clip=0.2, clip_high=0.2)
        read = [
            _update(cfg, theirs, second, b, clip=0.2, clip_high=0.2)
            for b in minibatches(steps, cfg.batch, np.random.default_rng(epoch))
        ]
        for one, other in zip(seen, read, strict=True):
            for name in one:
                torch.testing.assert_close(one[name], other[name].float(), rtol=1e-4, atol=1e-5)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
