"""CrossQ: batch renormalisation is the paper's, both sides of an update are normed at once, acting by averages."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from operant.control import crossq as module
from operant.control.agent import Agent
from operant.control.crossq import both, crossq_update
from operant.control.networks.renorm import BatchRenorm, RenormedMLP, batch_statistics
from operant.control.replay_actor_critic import Drawn, Temperature, adam
from operant.control.settings.continuous import CrossQConfig
from operant.control.spec import AgentSpec
from operant.env.interface import Interface
from reference.replay_updates import noises, parts

SIZE = 32


def agent_of(seed=0, hidden=(16, 12)):
    between = Interface(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (2,), np.float32))
    spec = AgentSpec(
        **between.encoded(), obs_dim=3, action_kind="box", action_sizes=(2,), hidden=hidden, activation="relu",
        std="network", squash=True, critics=2, batch_renorm=True,
    )  # fmt: skip
    return Agent(spec, torch.Generator().manual_seed(seed))


def batch_of(seed, size=SIZE):
    gen = torch.Generator().manual_seed(seed)
    obs, next_obs = torch.randn(size, 3, generator=gen), 2.0 + 3.0 * torch.randn(size, 3, generator=gen)
    return Drawn(
        obs=obs, action=torch.rand(size, 2, generator=gen) * 2 - 1, reward=torch.randn(size, generator=gen),
        discount=torch.full((size,), 0.9), terminated=torch.rand(size, generator=gen) < 0.25, next_obs=next_obs,
        acted=torch.ones(size).bool(), weight=torch.ones(size), index=torch.arange(size),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- the layer
def slow(x, mean, variance, scale, shift, renormed):
    """Ioffe (2017), algorithm 1, unit by unit."""
    out = torch.zeros_like(x)
    for f in range(x.shape[1]):
        column = x[:, f].tolist()
        m = sum(column) / len(column)
        v = sum((value - m) ** 2 for value in column) / (len(column) - 1)
        deviation, running = (v + 1e-3) ** 0.5, (float(variance[f]) + 1e-3) ** 0.5
        r = min(max(deviation / running, 1 / 3), 3.0) if renormed else 1.0
        d = min(max((m - float(mean[f])) / running, -5.0), 5.0) if renormed else 0.0
        for b, value in enumerate(column):
            out[b, f] = ((value - m) / deviation * r + d) * float(scale[f]) + float(shift[f])
    return out


@pytest.mark.parametrize("renormed", [False, True])
def test_a_batch_is_normed_as_the_algorithm_has_it(renormed):
    gen = torch.Generator().manual_seed(1)
    layer = BatchRenorm(4)
    spread = torch.tensor([1.0, 20.0, 0.01, 3.0])  # some beyond both bounds
    x = torch.randn(24, 4, generator=gen) * spread + torch.tensor([0.0, 90.0, -0.5, -4.0])
    with torch.no_grad():
        layer.scale.copy_(torch.rand(4, generator=gen) + 0.5)
        layer.shift.copy_(torch.randn(4, generator=gen))
        layer.mean.copy_(torch.randn(4, generator=gen))
        layer.variance.copy_(torch.rand(4, generator=gen) + 0.5)
    mean, variance = layer.mean.clone(), layer.variance.clone()
    want = slow(x, mean, variance, layer.scale.detach(), layer.shift.detach(), renormed)
    with batch_statistics(layer, rate=0.1, renormed=renormed):
        got = layer(x)
    torch.testing.assert_close(got.detach(), want, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.mean, 0.9 * mean + 0.1 * x.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.variance, 0.9 * variance + 0.1 * x.var(0), rtol=1e-5, atol=1e-5)


def test_elsewhere_it_norms_by_its_averages_and_leaves_them():
    layer, x = BatchRenorm(3), torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        layer.mean.fill_(0.5)
        layer.variance.fill_(4.0)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    torch.testing.assert_close(layer(x), (x - 0.5) / 4.001**0.5)
    torch.testing.assert_close(layer(x[2]), layer(x)[2])  # whatever stands beside it
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


def test_once_averages_are_the_batchs_both_ways_meet():
    layer, x = BatchRenorm(3), 5.0 + 2.0 * torch.randn(64, 3, generator=torch.Generator().manual_seed(3))
    with batch_statistics(layer, rate=1.0, renormed=False):
        seen = layer(x)
    torch.testing.assert_close(layer(x), seen)
    with batch_statistics(layer, rate=1.0, renormed=True):
        torch.testing.assert_close(layer(x), seen)


# ---------------------------------------------------------------------------------------------------- the update
def reference(agent, b, next_noise, noise, *, joint, delay, updates):
    """The paper's update in plain torch, the norms written out; without `joint` a pass for each side, a known bug."""
    policy, critics = deepcopy(agent.policy.net), deepcopy(agent.q.net)
    policy_adam, q_adam = (torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.999)) for net in (policy, critics))

    def act(obs, noise):
        mean, log_std = policy(obs).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        u = mean + normal.scale * noise
        return u.tanh(), (normal.log_prob(u) - torch.log(1 - u.tanh().pow(2) + 1e-7)).sum(1)

    def through(net, x, norm):
        for layer, its in zip(net.layers, net.norms, strict=True):
            x = layer(norm(its, x))
            x = x if layer is net.layers[-1] else x.relu()
        return x.squeeze(1)

    def by_batch(its, x):
        with torch.no_grad():
            its.mean += 0.01 * (x.mean(0) - its.mean)
            its.variance += 0.01 * (x.var(0) - its.variance)
        return (x - x.mean(0)) / (x.var(0) + 1e-3).sqrt() * its.scale + its.shift

    def by_averages(its, x):
        return (x - its.mean) / (its.variance + 1e-3).sqrt() * its.scale + its.shift

    with torch.no_grad():
        a, logp = act(b.next_obs, next_noise)
    now, behind = torch.cat([b.obs, b.action], 1), torch.cat([b.next_obs, a], 1)
    if joint:
        q = [through(net, torch.cat([now, behind]), by_batch).split(SIZE) for net in critics]
    else:
        q = [(through(net, now, by_batch), through(net, behind, by_batch)) for net in critics]
    y = b.reward + 0.9 * ~b.terminated * (torch.minimum(q[0][1], q[1][1]) - logp)
    q_adam.zero_grad()
    sum(0.5 * (of[0] - y.detach()).square().mean() for of in q).backward()
    q_adam.step()
    if updates % delay == 0:
        a, logp = act(b.obs, noise)
        of = [through(net, torch.cat([b.obs, a], 1), by_averages) for net in critics]
        policy_adam.zero_grad()
        (logp - torch.minimum(*of)).mean().backward()
        policy_adam.step()
    statistics = [x for net in critics for norm in net.norms for x in (norm.mean, norm.variance)]
    return torch.cat([parts(policy, critics), *statistics])


def ours(agent, b, *, delay):
    cfg = CrossQConfig(delay=delay, temperature="fixed")
    optimizer = adam(cfg, agent)
    for group in optimizer.param_groups:
        group["betas"] = (cfg.adam_beta, 0.999)
    crossq_update(cfg, agent, Temperature(cfg, agent), optimizer, np.random.default_rng(3), b)
    statistics = [x for net in agent.q.net for norm in net.norms for x in (norm.mean, norm.variance)]
    return torch.cat([parts(agent.policy.net, agent.q.net), *statistics])


@pytest.mark.parametrize("delay", [1, 2])
def test_one_update_is_the_papers_and_a_pass_for_each_side_is_seen(delay, monkeypatch):
    agent, b, (next_noise, noise) = agent_of(), batch_of(0), noises(3, (SIZE, 2), (SIZE, 2))
    want, wrong = (
        reference(agent, b, next_noise, noise, joint=joint, delay=delay, updates=1) for joint in (True, False)
    )
    torch.testing.assert_close(ours(deepcopy(agent), b, delay=delay), want, rtol=0, atol=2e-6)
    monkeypatch.setattr(module, "both", lambda q, b, a: (q(b.obs, b.action), q(b.next_obs, a)))
    bug = ours(deepcopy(agent), b, delay=delay)
    torch.testing.assert_close(bug, wrong, rtol=0, atol=2e-6)
    assert (bug - want).abs().max() > 1e-3


def test_both_sides_are_normed_by_the_same_numbers():
    agent, b, action = agent_of(), batch_of(1), torch.zeros(SIZE, 2)
    with batch_statistics(agent.q, rate=1.0, renormed=False):
        now, behind = both(agent.q, b, action)
    x = torch.cat([torch.cat([b.obs, b.next_obs]), torch.cat([b.action, action])], 1)
    torch.testing.assert_close(agent.q.net[0].norms[0].mean, x.mean(0))
    torch.testing.assert_close(agent.q(b.obs, b.action), now)  # the averages are this batch's
    torch.testing.assert_close(agent.q(b.next_obs, action), behind)


def test_what_acts_and_values_leaves_the_averages_and_sees_each_row_alone():
    agent = agent_of()
    ours(agent, batch_of(2), delay=1)
    before = {name: x.clone() for name, x in agent.stored().items()}
    obs = np.random.default_rng(0).uniform(-1, 1, (9, 3)).astype(np.float32)
    value, action = agent.value(obs), agent.act(obs)
    np.testing.assert_allclose(agent.value(obs[4]), value[4], atol=1e-6)
    np.testing.assert_allclose(agent.act(obs[4]), action[4], atol=1e-6)
    assert all(torch.equal(x, before[name]) for name, x in agent.stored().items())
    assert any(name.endswith("norms.0.mean") for name in before)  # they are part of the policy file


def test_it_is_read_back_as_it_was(tmp_path):
    agent = agent_of(seed=4)
    ours(agent, batch_of(2), delay=1)
    agent.save(tmp_path)
    again, obs = Agent.load(tmp_path), np.zeros((2, 3), np.float32)
    assert again.spec == agent.spec
    assert np.array_equal(again.value(obs), agent.value(obs))
    assert isinstance(again.q.net[0], RenormedMLP)
    assert isinstance(again.policy.net, nn.Module)
    assert not isinstance(again.policy.net, RenormedMLP)


def test_reward_for_ever_is_worth_what_it_is():
    """Reward 1 in each of four states in a ring, whatever is done: Q = 1/(1 − γ), with no target to hold it."""
    gen, discount = torch.Generator().manual_seed(5), 0.6
    agent, states = agent_of(seed=1, hidden=(32,)), torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    at = torch.arange(4).repeat(24)
    cfg = CrossQConfig(temperature="fixed", alpha=0.0, lr=1e-2, norm_rate=0.1)
    optimizer, noise, steps = adam(cfg, agent), np.random.default_rng(0), 500
    for k in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = cfg.lr * (1 - k / steps)
        b = Drawn(
            obs=states[at], action=torch.rand(96, 2, generator=gen) * 2 - 1, reward=torch.ones(96),
            discount=torch.full((96,), discount), terminated=torch.zeros(96).bool(), next_obs=states[(at + 1) % 4],
            acted=torch.ones(96).bool(), weight=torch.ones(96), index=at,
        )  # fmt: skip
        crossq_update(cfg, agent, Temperature(cfg, agent), optimizer, noise, b)
    np.testing.assert_allclose(agent.value(states.numpy()), 1 / (1 - discount), rtol=0.02)
