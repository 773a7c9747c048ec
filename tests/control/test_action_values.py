"""Networks of action values: what they say, how they explore, and that they are policies like any other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces

from operant.config.errors import ConfigError
from operant.control.acting import Exploring
from operant.control.action_values import Boltzmann, EpsilonGreedy, Greedy, rate_at
from operant.control.agent import Agent
from operant.control.distributions import Parameters
from operant.control.networks.value import NoisyLinear, noised, noisy_layers
from operant.control.settings.values import DQNConfig
from operant.control.spec import AgentSpec, weights
from operant.env.interface import Interface
from operant.view import onnx

HEADS = {
    "q": {"head": "q"},
    "c51": {"head": "c51", "atoms": 11, "value_min": -2.0, "value_max": 3.0},
    "qr": {"head": "qr", "atoms": 7},
}
SHAPES = {
    "plain": {},
    "dueling": {"dueling": True},
    "noisy": {"noisy": 0.5},
    "normed": {"layer_norm": True},
    "all": {"dueling": True, "noisy": 0.5, "layer_norm": True},
}


def near(got, want, tol):
    torch.testing.assert_close(got.detach(), want.detach(), rtol=tol, atol=tol)


def agent_of(masked=False, seed=0, **fields):
    between = Interface(spaces.Box(-9, 9, (5,), np.float32), spaces.Discrete(4), "info" if masked else "")
    spec = AgentSpec(
        **between.encoded(), obs_dim=9 if masked else 5, action_kind="discrete", action_sizes=(4,), hidden=(16, 8),
        activation="relu", **fields,
    )  # fmt: skip
    return Agent(spec, torch.Generator().manual_seed(seed))


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    mask = rng.random((n, 4)) < 0.5
    mask[np.arange(n), rng.integers(0, 4, n)] = True
    return np.hstack([rng.standard_normal((n, 5)) * 2, mask]).astype(np.float32)


# ---------------------------------------------------------------------------------------------------- what they say
def test_expected_values_are_the_means_of_the_distributions():
    output = torch.randn(3, 2 * 4, generator=torch.Generator().manual_seed(0))
    c51, qr = Greedy(2, "c51", 4, -1.0, 2.0), Greedy(2, "qr", 4)
    for n in range(3):
        for a in range(2):
            part = output[n, 4 * a : 4 * a + 4]
            chance = part.exp() / part.exp().sum()
            near(
                c51.expected(output)[n, a], sum(p * z for p, z in zip(chance, (-1.0, 0.0, 1.0, 2.0), strict=True)), 1e-6
            )
            near(qr.expected(output)[n, a], part.sum() / 4, 1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_what_is_ruled_out_is_neither_chosen_nor_valued(head):
    agent, obs = agent_of(masked=True, **HEADS[head]), rows(500)
    action, allowed = agent.decide(obs), obs[:, 5:] != 0
    assert allowed[np.arange(500), action].all()
    q = agent.policy.distribution.expected(agent.policy.output(torch.from_numpy(obs))).detach().numpy()
    best = np.where(allowed, q, -np.inf)
    np.testing.assert_array_equal(action, best.argmax(1))
    np.testing.assert_allclose(agent.estimate(obs), best.max(1), rtol=1e-6)
    obs[0, 5:] = 0  # as behind an end: its value is a value all the same, and nothing can be chosen
    np.testing.assert_allclose(agent.estimate(obs)[0], q[0].max(), rtol=1e-6)
    with pytest.raises(ValueError, match="allow"):
        agent.decide(obs)


@pytest.mark.parametrize("head", HEADS)
def test_advantages_have_mean_zero_and_the_state_has_its_own_value(head):
    """Q = V + A − mean A, atom by atom: over the actions what the head gives has the mean of the value's stream."""
    agent = agent_of(**HEADS[head], dueling=True)
    net, x = agent.policy.net, torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    value = net.streams[0][-1](net._through(net.streams[0][:-1], net._through(net.layers, x)))
    near(agent.policy.distribution.apart(net(x)).mean(-2), value, tol=1e-6)
    with torch.no_grad():  # a constant in the advantages changes nothing
        before = net(x)
        net.streams[1][-1].bias += 3.0
        near(net(x), before, tol=1e-5)


def test_noise_is_factorised_and_gone_afterwards():
    layer = NoisyLinear(3, 2, 0.5, torch.Generator().manual_seed(0))
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    plain = layer(x)
    near(plain, x @ layer.weight.T + layer.bias, tol=1e-6)
    assert (layer.weight.abs() <= 1 / np.sqrt(3)).all()
    near(layer.weight_deviation, torch.full((2, 3), 0.5 / np.sqrt(3)), tol=1e-6)
    with noised([layer], np.random.default_rng(7)):
        drawn = np.random.default_rng(7).standard_normal(5, np.float32)
        f = torch.from_numpy(np.sign(drawn) * np.sqrt(np.abs(drawn)))
        weight = layer.weight + layer.weight_deviation * f[3:, None] * f[None, :3]
        near(layer(x), x @ weight.T + layer.bias + layer.bias_deviation * f[3:], tol=1e-6)
        layer(x).square().sum().backward()
        assert layer.weight_deviation.grad.abs().max() > 0
    assert torch.equal(layer(x), plain)


def test_noise_is_gone_where_something_fails():
    layer = NoisyLinear(3, 2, 0.5, torch.Generator().manual_seed(0))
    with pytest.raises(RuntimeError), noised([layer], np.random.default_rng(7)):
        raise RuntimeError
    assert layer.noise is None


def test_an_evaluation_is_without_noise_and_acting_has_new_noise_each_time():
    agent = agent_of(**HEADS["q"], noisy=0.5)
    obs = np.tile(rows(1)[:, :5], (64, 1))
    assert len(np.unique(agent.decide(obs, generator=np.random.default_rng(0)))) == 1
    act, rng = Exploring(agent, EpsilonGreedy(0.0)), np.random.default_rng(0)
    chosen = [act(obs, rng)[0] for _ in range(200)]
    assert all(len(np.unique(one)) == 1 for one in chosen)  # one noise for all copies
    assert len(np.unique(chosen)) > 1  # and another one at the next step


# ---------------------------------------------------------------------------------------------------- exploring
@pytest.mark.parametrize("masked", [False, True])
def test_epsilon_greedy_explores_as_often_as_it_says_and_only_what_is_allowed(masked):
    its, n = Greedy(4), 40_000
    q = torch.tensor([[0.1, 0.4, 0.3, 0.2]]).expand(n, 4)
    allowed = torch.tensor([[True, False, True, True]]).expand(n, 4) if masked else None
    action, logp = EpsilonGreedy(0.4).act(its, Parameters(q, None, allowed), np.random.default_rng(0))
    share = np.bincount(action, minlength=4) / n
    expected = [0.4 / 3, 0, 0.6 + 0.4 / 3, 0.4 / 3] if masked else [0.1, 0.7, 0.1, 0.1]
    np.testing.assert_allclose(share, expected, atol=0.01)
    np.testing.assert_allclose(np.exp(logp), np.array(expected)[action], rtol=1e-5)
    action, _ = EpsilonGreedy(0.0).act(its, Parameters(q, None, allowed), np.random.default_rng(0))
    assert set(action) == {2 if masked else 1}


@pytest.mark.parametrize("masked", [False, True])
def test_boltzmann_draws_by_the_softmax_of_the_values(masked):
    its, n, tau = Greedy(3), 40_000, 0.5
    q = torch.tensor([[0.1, 0.4, 0.3]]).expand(n, 3)
    allowed = torch.tensor([[True, False, True]]).expand(n, 3) if masked else None
    action, logp = Boltzmann(tau).act(its, Parameters(q, None, allowed), np.random.default_rng(0))
    chance = np.exp(np.array([0.1, 0.4, 0.3]) / tau) * ([1, 0, 1] if masked else 1)
    chance /= chance.sum()
    np.testing.assert_allclose(np.bincount(action, minlength=3) / n, chance, atol=0.01)
    np.testing.assert_allclose(np.exp(logp), chance[action], rtol=1e-5)


def test_schedules_fall_linearly_and_stay():
    cfg = DQNConfig(epsilon=0.9, epsilon_end=0.1, exploration_share=0.5)
    assert [round(rate_at(cfg, done), 6) for done in (0.0, 0.25, 0.5, 0.9, 2.0)] == [0.9, 0.5, 0.1, 0.1, 0.1]
    cfg = DQNConfig(exploration="boltzmann", temperature=2.0, temperature_end=1.0, exploration_share=1.0)
    assert [rate_at(cfg, done) for done in (0.0, 0.5, 1.0)] == [2.0, 1.5, 1.0]


# ---------------------------------------------------------------------------------------------------- files
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("head", HEADS)
def test_they_are_saved_loaded_and_exported(head, shape, tmp_path):
    agent = agent_of(masked=shape == "plain", **HEADS[head], **SHAPES[shape])
    agent.save(tmp_path)
    obs = rows(64)[:, : agent.spec.obs_dim]
    again = Agent.load(tmp_path)
    assert again.spec == agent.spec
    np.testing.assert_array_equal(again.decide(obs), agent.decide(obs))
    np.testing.assert_array_equal(again.estimate(obs), agent.estimate(obs))
    assert weights(agent.spec) <= sum(p.numel() for p in agent.parameters())
    assert sum(p.numel() for p in agent.parameters()) == sum(x.numel() for x in agent.stored().values())


@pytest.mark.parametrize(("head", "shape"), [("q", "plain"), ("c51", "all"), ("qr", "dueling")])
def test_the_graph_gives_the_action_and_the_values(head, shape, tmp_path):
    pytest.importorskip("onnxruntime")
    agent = agent_of(masked=shape == "plain", **HEADS[head], **SHAPES[shape])
    obs, file = rows(256)[:, : agent.spec.obs_dim], tmp_path / "policy.onnx"
    onnx.write(agent, spaces.Discrete(4), file, {})
    agreement = onnx.verify(file, agent, spaces.Discrete(4), obs)
    assert agreement.difference < 1e-5
    q = onnx.run(file, obs, "q")
    assert q.shape == (256, 4)
    np.testing.assert_allclose(q.max(1), agent.estimate(obs), rtol=1e-4, atol=1e-5)


def test_files_that_cannot_be_of_one_are_refused(tmp_path):
    agent_of(**HEADS["c51"]).save(tmp_path)
    spec = json.loads((tmp_path / "policy.json").read_text())
    for changed in (
        {"head": "c52"}, {"atoms": 1}, {"atoms": "many"}, {"value_min": 4.0}, {"value_max": None}, {"noisy": -1.0},
        {"dueling": 1}, {"head": ""}, {"atoms": 12}, {"layer_norm": "yes"}, {"action_kind": "box"},
        {"noisy": float("inf")},
    ):  # fmt: skip
        (tmp_path / "policy.json").write_text(json.dumps(spec | changed))
        with pytest.raises(ConfigError):
            Agent.load(tmp_path)
    (tmp_path / "policy.json").write_text(json.dumps(spec))
    assert Agent.load(tmp_path).spec.head == "c51"


def test_a_plain_network_of_values_has_no_noisy_layers():
    assert noisy_layers(agent_of(**HEADS["q"])) == []
    assert len(noisy_layers(agent_of(**HEADS["q"], **SHAPES["all"]))) == 5
