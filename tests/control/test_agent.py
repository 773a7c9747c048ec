from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from operant.config.errors import ConfigError
from operant.control.acting import sampler
from operant.control.agent import Agent, AgentSpec
from operant.control.mlp import MLP

BASE = AgentSpec(
    obs_dim=3,
    action_kind="discrete",
    action_sizes=(4,),
    hidden=(16, 16),
    activation="tanh",
    log_std_init=0.0,
    obs_clip=10.0,
    reward_clip=10.0,
)
SPECS = {
    "discrete": BASE,
    "box": replace(BASE, action_kind="box", action_sizes=(2,)),
    "multidiscrete": replace(BASE, action_kind="multidiscrete", action_sizes=(3, 2)),
    "multibinary": replace(BASE, action_kind="multibinary", action_sizes=(3,)),
}


def agent_of(kind, seed=0):
    agent = Agent(SPECS[kind], torch.Generator().manual_seed(seed))
    with torch.no_grad():  # a policy with opinions, and statistics that matter
        agent.policy.net.layers[-1].weight.mul_(200)
        agent.normalizer.update(torch.randn(50, 3, generator=torch.Generator().manual_seed(1)) * 4 + 2)
    return agent


@pytest.mark.parametrize("kind", SPECS)
def test_sampled_log_probabilities_are_the_evaluated_ones(kind):
    agent = agent_of(kind)
    obs = torch.randn(64, 3, generator=torch.Generator().manual_seed(2))
    action, logp = agent.policy.sample(obs, np.random.default_rng(0))
    again, entropy = agent.policy.evaluate(obs, action)
    torch.testing.assert_close(logp, again)
    assert entropy.shape == logp.shape == (64,)
    assert agent.policy.mode(obs).shape == action.shape


@pytest.mark.parametrize("kind", ["discrete", "multidiscrete", "multibinary"])
def test_draws_follow_the_distribution(kind):
    agent = agent_of(kind)
    obs = torch.full((20_000, 3), 0.3)
    action, logp = sampler(agent.policy)(obs.numpy(), np.random.default_rng(0))
    outcomes, index, counts = np.unique(action.reshape(len(obs), -1), axis=0, return_index=True, return_counts=True)
    expected = np.exp(logp[index].astype(np.float64))
    frequent = expected * len(obs) > 5
    assert len(outcomes) > 1
    assert expected.sum() == pytest.approx(1.0, abs=0.01)
    scaled = expected[frequent] / expected[frequent].sum() * counts[frequent].sum()
    assert stats.chisquare(counts[frequent], scaled).pvalue > 1e-3


def test_normal_draws_follow_the_distribution():
    agent = agent_of("box")
    obs = np.full((20_000, 3), 0.3, np.float32)
    action, _ = sampler(agent.policy)(obs, np.random.default_rng(0))
    mean = agent.act(obs[0])
    for k in range(2):
        assert stats.kstest(action[:, k], "norm", (mean[k], 1.0)).pvalue > 1e-3


@pytest.mark.parametrize("kind", SPECS)
def test_the_policy_file_is_the_whole_agent(kind, tmp_path):
    agent = agent_of(kind)
    agent.reward_scale.var.fill_(49.0)
    agent.save(tmp_path)
    loaded = Agent.load(tmp_path)
    obs = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_array_equal(agent.act(obs), loaded.act(obs))
    np.testing.assert_array_equal(agent.value(obs), loaded.value(obs))
    drawn = [a.act(obs, generator=np.random.default_rng(5)) for a in (agent, loaded)]
    np.testing.assert_array_equal(*drawn)
    np.testing.assert_allclose(agent.value(obs), 7 * agent.critic(torch.as_tensor(obs).float()).detach(), rtol=1e-5)
    assert loaded.critic.normalizer is loaded.normalizer is loaded.policy.normalizer


def test_a_damaged_policy_file_is_refused(tmp_path):
    agent_of("discrete").save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ConfigError, match="not a readable policy"):
        Agent.load(tmp_path)


def test_one_observation_or_many():
    agent = agent_of("discrete")
    obs = np.random.default_rng(0).normal(size=(5, 3))
    assert agent.act(obs[0]).shape == ()
    assert agent.act(obs[0]) == agent.act(obs)[0]
    assert agent.value(obs[0]).shape == ()
    with pytest.raises(ValueError, match="last dimension must be 3"):
        agent.act(obs[:, :2])


def test_weights_are_orthogonal_with_the_gains_of_the_checklist():
    net = MLP((8, 64, 64, 2), "tanh", out_gain=0.01, generator=torch.Generator().manual_seed(0))
    for layer, gain in zip(net.layers, (2**0.5, 2**0.5, 0.01), strict=True):
        w = layer.weight.detach()
        small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        torch.testing.assert_close(small, gain**2 * torch.eye(len(small)), atol=1e-5, rtol=1e-4)
        assert not layer.bias.any()


@pytest.mark.parametrize("kind", ["discrete", "box"])
@pytest.mark.parametrize("rows", [1, 8, 200])
def test_the_compiled_sampler_draws_what_torch_draws(kind, rows):
    agent = agent_of(kind)
    act = sampler(agent.policy)
    rng = np.random.default_rng(0)
    for _ in range(3):
        obs = (rng.normal(size=(rows, 3)) * 5).astype(np.float32)
        action, logp = act(obs, np.random.default_rng(9))
        want, want_logp = agent.policy.sample(torch.from_numpy(obs), np.random.default_rng(9))
        np.testing.assert_allclose(action, want, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(logp, want_logp, rtol=1e-5, atol=1e-5)
        assert action.dtype == want.numpy().dtype
        with torch.no_grad():  # learning changes what it reads
            for p in agent.policy.parameters():
                p.mul_(1.1)
        agent.normalizer.update(torch.from_numpy(obs))


def test_the_compiled_sampler_follows_its_parameters_when_they_move():
    agent = agent_of("discrete")
    act, obs = sampler(agent.policy), np.ones((4, 3), np.float32)
    act(obs, np.random.default_rng(0))
    for p in agent.policy.parameters():
        p.data = p.data.clone() * -3
    _, logp = act(obs, np.random.default_rng(0))
    _, want = agent.policy.sample(torch.from_numpy(obs), np.random.default_rng(0))
    np.testing.assert_allclose(logp, want, rtol=1e-5, atol=1e-5)
