"""Every distribution: samples follow it, masks hold at any logits, entropy and KL are right, parts add up."""

import numpy as np
import pytest
import torch

from operant.control.composite import Composite
from operant.control.distributions import Bernoulli, Categorical, MultiCategorical, Normal, Parameters

GEN = torch.Generator().manual_seed(0)
DISCRETE = {
    "categorical": Categorical(5),
    "multi": MultiCategorical((3, 2)),
    "bernoulli": Bernoulli(3),
    "composite": Composite([Categorical(3), Bernoulli(2), MultiCategorical((2, 2))]),
}
ALL = DISCRETE | {
    "normal": Normal(2),
    "normal, network": Normal(2, "network"),
    "squashed": Normal(2, "network", 0.0, torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 4.0])),
    "hybrid": Composite([Categorical(3), Normal(2), Composite([Normal(1, "network"), Bernoulli(1)])]),
}


def parameters(its, n, *, allowed=None):
    output = torch.randn(n, its.outputs, generator=torch.Generator().manual_seed(1))
    log_std = torch.linspace(-0.5, 0.5, its.deviations) if its.deviations else None
    return Parameters(output, log_std, allowed)


@pytest.mark.parametrize("name", ALL)
def test_it_draws_what_it_evaluates(name):
    its = ALL[name]
    p = parameters(its, 50)
    action = its.sample(p, np.random.default_rng(0))
    assert action.reshape(50, -1).shape[1] == its.columns
    assert its.logp(p, action).shape == its.entropy(p, action).shape == (50,)
    assert its.mode(p).shape == its.finish(action).shape == action.shape
    assert its.kl(p, p).abs().max() < 1e-6
    other = parameters(its, 50)._replace(output=p.output + 0.3 * torch.randn_like(p.output))
    assert (its.kl(p, other) > 0).all()


@pytest.mark.parametrize("name", ALL)
def test_kl_and_entropy_are_the_means_over_samples(name):
    its = ALL[name]
    one = parameters(its, 1)
    shifted = one._replace(output=one.output + 0.4)
    p, q = (x._replace(output=x.output.expand(200_000, -1)) for x in (one, shifted))
    action = its.sample(p, np.random.default_rng(0))
    difference = its.logp(p, action) - its.logp(q, action)
    assert float(its.kl(one, shifted)) == pytest.approx(float(difference.mean()), abs=5 * float(difference.std()) / 447)
    surprise = -its.logp(p, action)
    entropy = float(its.entropy(p, action).mean())
    assert entropy == pytest.approx(float(surprise.mean()), abs=5 * float(surprise.std()) / 447 + 1e-6)


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("scale", [1.0, 1e6, 3e38])
def test_a_masked_action_is_never_sampled_at_any_logits(name, scale):
    its, n = DISCRETE[name], 4000
    output = scale * torch.randn(n, its.outputs, generator=GEN).clamp(-1, 1)
    allowed = torch.rand(n, its.choices, generator=GEN) < 0.5
    allowed |= torch.nn.functional.one_hot(torch.zeros(n, dtype=torch.int64), its.choices).bool()
    if name == "multi":
        allowed[:, 3] = True
    if name == "composite":
        allowed[:, [5, 7]] = True
    p = Parameters(output, None, allowed)
    p.output.requires_grad_()
    for action in (its.sample(p, np.random.default_rng(1)), its.mode(p)):
        assert legal(its, action.detach(), allowed).all()
    logp, entropy = its.logp(p, its.mode(p)), its.entropy(p, its.mode(p))
    assert logp.isfinite().all()
    assert entropy.isfinite().all()
    gradient = torch.autograd.grad((logp + entropy).sum(), p.output)[0]
    if scale < 1e30:
        assert gradient.isfinite().all()
        assert (gradient[~allowed] == 0).all()


def legal(its, action, allowed):
    """[N] bool, by a rule of its own."""
    match its:
        case Categorical():
            return allowed[torch.arange(len(action)), action.long().reshape(-1)]
        case MultiCategorical():
            return (
                allowed[:, :3].gather(1, action[:, :1].long())[:, 0]
                & allowed[:, 3:].gather(1, action[:, 1:].long())[:, 0]
            )
        case Bernoulli():
            return ((action == 0) | allowed).all(1)
        case _:
            a, k = action, torch.arange(len(action))
            first = allowed[k, a[:, 0].long()]
            bits = ((a[:, 1:3] == 0) | allowed[:, 3:5]).all(1)
            return first & bits & allowed[k, 5 + a[:, 3].long()] & allowed[k, 7 + a[:, 4].long()]


def test_masks_leave_the_ratios_of_what_is_allowed():
    its, output = Categorical(4), torch.tensor([[0.3, 2.0, -1.0, 0.5]])
    p = Parameters(output, None, torch.tensor([[True, False, True, True]]))
    every = torch.arange(4)
    logp = its.logp(p._replace(output=output.expand(4, -1), allowed=p.allowed.expand(4, -1)), every)
    expected = output[0, [0, 2, 3]].log_softmax(0)
    torch.testing.assert_close(logp[[0, 2, 3]], expected)
    assert logp[1].exp() == 0


def test_a_squashed_action_lies_within_its_bounds_and_has_the_density_of_tanh():
    its = ALL["squashed"]
    p = Parameters(torch.tensor([[0.2, -0.3, 0.1, -0.2]]).expand(100_000, -1))
    u = its.sample(p, np.random.default_rng(0))
    action = its.finish(u)
    assert (action[:, 0].abs() <= 1).all()
    assert ((action[:, 1] >= 0) & (action[:, 1] <= 4)).all()
    grid = torch.linspace(-0.999, 0.999, 401)
    first = Normal(1, "network", 0.0, torch.tensor([-1.0]), torch.tensor([1.0]))
    one = Parameters(p.output[:1, [0, 2]])
    density = torch.stack([first.logp(one, g.atanh().reshape(1, 1)) for g in grid])[:, 0].exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1.0, abs=2e-3)
