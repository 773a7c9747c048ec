"""A flow of noise to actions: its density is that of what it draws, and it fits what no normal distribution can."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from operant.config.errors import ConfigError
from operant.control.agent import Agent, AgentSpec
from operant.control.distributions import Parameters
from operant.control.flow import FEATURES, Flow
from operant.control.imitation.likelihood import likelihood_of, objective_of
from operant.control.settings.imitation import BCConfig
from operant.env.interface import Interface


def flow(size=2, steps=40, seed=0, bounds=True):
    low, high = torch.tensor([-1.0, 0.0, 2.0][:size]), torch.tensor([1.0, 4.0, 3.0][:size])
    its = Flow(size, steps, *((low, high) if bounds else ()))
    its.begin(torch.Generator().manual_seed(seed))
    return its


def features(*shape, seed=3):
    return Parameters(0.5 * torch.randn(*shape, FEATURES, generator=torch.Generator().manual_seed(seed)))


def test_its_divergence_is_that_of_autograd():
    its, p, t = flow(3), features(5), torch.full((5, 1), 0.3)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    v, divergence = its._velocity(p.output, x, t, spread=True)
    assert torch.allclose(v, its._velocity(p.output, x, t)[0], atol=1e-6)
    for k in range(5):
        slope = torch.autograd.functional.jacobian(
            lambda y, k=k: its._velocity(p.output[k], y, t[k])[0], x[k], create_graph=False
        )
        assert torch.allclose(divergence[k], slope.trace(), atol=1e-5)


@pytest.mark.parametrize("bounds", [False, True])
def test_its_density_is_one_in_all(bounds):
    its = flow(1, 20, bounds=bounds)
    grid = torch.linspace(-12, 12, 2_401).unsqueeze(-1)
    p = Parameters(features(1).output.expand(len(grid), -1))
    with torch.no_grad():
        assert float(its.logp(p, grid).exp().sum() * 24 / 2_400) == pytest.approx(1.0, abs=5e-3)


def test_what_it_draws_has_the_density_it_says():
    """The change of variables: log π(a) = log N(x(0)) − log |det da/dx(0)|, by the flow's own slope."""
    its, p = flow(2), features(4)
    noise = torch.randn(4, 2, generator=torch.Generator().manual_seed(2))
    for k in range(4):

        def ends(x, k=k):
            return its._environments(its._carried(p.output[k], x)[0])

        det = torch.autograd.functional.jacobian(ends, noise[k]).det().abs().log()
        want = -0.5 * noise[k].square().sum() - np.log(2 * np.pi) - det
        with torch.no_grad():
            assert float(its.logp(Parameters(p.output[k]), ends(noise[k]))) == pytest.approx(float(want), abs=2e-3)


def test_its_divergence_from_another_is_refused_in_words():
    with pytest.raises(ConfigError, match="no closed form"):
        flow().kl(features(1), features(1))


def agent_of(likelihood):
    space = Interface(spaces.Box(-1, 1, (1,), np.float32), spaces.Box(-2, 2, (2,), np.float32))
    kind = {"flow": {"flow": 10}, "discretised": {"bins": 16}}.get(likelihood, {})
    spec = AgentSpec(obs_dim=1, action_kind="box", action_sizes=(2,), hidden=(32,), **space.encoded(), **kind)
    return Agent(spec, torch.Generator().manual_seed(1)), BCConfig(likelihood=likelihood)


def corners(count, generator):
    """Both numbers are about 1.4, or both about −1.4, as often: two humps that are no product."""
    side = torch.from_numpy(generator.choice([-1.0, 1.0], (count, 1)).astype(np.float32))
    return 1.4 * side + 0.1 * torch.from_numpy(generator.standard_normal((count, 2), np.float32))


def taught(likelihood, steps=250):
    agent, cfg = agent_of(likelihood)
    generator = np.random.default_rng(101)
    goes_up = objective_of(cfg, agent, generator)
    optimizer = torch.optim.Adam(agent.policy.parameters(), 3e-3)
    for _ in range(steps):
        obs, action = torch.zeros(128, 1), corners(128, generator)
        optimizer.zero_grad()
        (-goes_up(obs, action).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        surprise = -float(likelihood_of(cfg, agent)(torch.zeros(512, 1), corners(512, generator)).mean())
    acts = torch.from_numpy(agent.decide(np.zeros((512, 1), np.float32), generator=generator))
    right = (acts.abs() - 1.4).abs().amax(-1) < 0.5
    return agent, surprise, float((right & (acts[:, 0] * acts[:, 1] > 0)).float().mean()), acts


def test_two_humps_that_no_normal_distribution_fits():
    """Nor a product of histograms: a flow draws both corners and nothing else, and its mode is in one of them."""
    agent, surprise, share, acts = taught("flow")
    assert share > 0.9
    assert 0.3 < float((acts[:, 0] > 0).float().mean()) < 0.7
    mode = agent.decide(np.zeros((1, 1), np.float32))[0]
    assert np.abs(np.abs(mode) - 1.4).max() < 0.4
    assert mode[0] * mode[1] > 0
    _, plain, missed, _ = taught("gaussian")
    assert surprise < plain - 1.0
    assert missed < 0.3
    assert taught("discretised")[2] < 0.7


def test_a_stored_flow_is_the_same(tmp_path):
    agent, _ = agent_of("flow")
    agent.save(tmp_path)
    again, obs = Agent.load(tmp_path), np.random.default_rng(0).random((6, 1), np.float32)
    assert np.array_equal(agent.decide(obs), again.decide(obs))
    drawn = [x.decide(obs, generator=np.random.default_rng(1)) for x in (agent, again)]
    assert np.array_equal(*drawn)
