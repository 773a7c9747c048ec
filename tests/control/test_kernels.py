"""The compiled kernels say what torch says, to 1e-5."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.control import kernels
from operant.control.acting import sampler
from operant.control.distributions import Categorical, Normal
from operant.control.mlp import MLP
from operant.control.networks.layout import Layout
from operant.control.normalizer import ObsNormalizer
from operant.control.perceptrons import side_by_side
from operant.control.policies import Policy
from operant.math.logprob import categorical_logp, normal_logp

SHAPES = st.tuples(
    st.integers(1, 20), st.lists(st.integers(1, 80), min_size=0, max_size=3), st.integers(1, 7), st.integers(1, 150)
)
NONE = np.empty(0)


def net(sizes: list[int], activation: str, seed: int) -> MLP:
    made = MLP(sizes, activation, out_gain=1.0, generator=torch.Generator().manual_seed(seed))
    rng = np.random.default_rng(seed)
    with torch.no_grad():  # biases that are not zero
        for layer in made.layers:
            layer.bias.copy_(torch.from_numpy(rng.standard_normal(layer.bias.shape)))
    return made


def flat(module: torch.nn.Module) -> np.ndarray:
    return side_by_side([*module.parameters()]).numpy()


def test_tanh() -> None:
    x = np.concatenate([np.linspace(-20, 20, 20_001), np.linspace(-0.01, 0.01, 2001), [1e30, -1e30]])
    x = x.astype(np.float32)
    y = np.array([kernels.tanh(v) for v in x])
    assert np.abs(y - np.tanh(x.astype(np.float64))).max() < 1e-6
    assert np.abs(y).max() <= 1.0
    assert np.isnan(kernels.tanh(np.float32(np.nan)))


@settings(max_examples=30, deadline=None)
@given(SHAPES, st.sampled_from(["tanh", "relu"]), st.integers(0, 10_000))
def test_forward_and_backward(shape: tuple[int, list[int], int, int], activation: str, seed: int) -> None:
    size, hidden, outputs, n = shape
    sizes = [size, *hidden, outputs]
    module, rng = net(sizes, activation, seed), np.random.default_rng(seed)
    x, weight = (rng.standard_normal((n, k)).astype(np.float32) for k in (size, outputs))
    want = module(torch.from_numpy(x))
    (want * torch.from_numpy(weight)).sum().backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in module.parameters() if p.grad is not None]).numpy()

    theta, widths = flat(module), np.array(sizes)
    acts, deltas = np.empty((2, sum(sizes) * n), np.float32)
    acts[: size * n] = x.T.ravel()
    kernels.forward(theta, widths, activation == "relu", acts, n)
    got = acts[-outputs * n :].reshape(outputs, n).T
    np.testing.assert_allclose(got, want.detach().numpy(), atol=1e-5, rtol=1e-5)
    deltas[-outputs * n :] = weight.T.ravel()
    found = np.ones_like(theta)  # the kernel adds
    kernels.backward(theta, found, widths, activation == "relu", acts, deltas, n)
    np.testing.assert_allclose(found - 1, gradient, atol=1e-5 * (1 + np.abs(gradient).max()))


@settings(max_examples=30, deadline=None)
@given(SHAPES, st.sampled_from(["tanh", "relu"]), st.booleans(), st.integers(0, 10_000))
def test_act_normal(shape: tuple[int, list[int], int, int], activation: str, normalise: bool, seed: int) -> None:
    size, hidden, outputs, n = shape
    policy, obs = make_policy("normal", [size, *hidden, outputs], activation, normalise, n, seed)
    action, logp = sampler(policy)(obs, np.random.default_rng(seed))
    want, want_logp = policy.sample(torch.from_numpy(obs), np.random.default_rng(seed))
    np.testing.assert_allclose(action, want.numpy(), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(logp, want_logp.numpy(), atol=1e-5, rtol=1e-5)
    mean = policy.output(torch.from_numpy(obs))
    again = normal_logp(mean, policy.log_std, torch.from_numpy(action)).detach().numpy()
    np.testing.assert_allclose(logp, again, atol=2e-5, rtol=2e-5)


@settings(max_examples=30, deadline=None)
@given(SHAPES, st.sampled_from(["tanh", "relu"]), st.booleans(), st.integers(0, 10_000))
def test_act_categorical(shape: tuple[int, list[int], int, int], activation: str, normalise: bool, seed: int) -> None:
    size, hidden, outputs, n = shape
    policy, obs = make_policy("categorical", [size, *hidden, outputs], activation, normalise, n, seed)
    action, logp = sampler(policy)(obs, np.random.default_rng(seed))
    logits = policy.output(torch.from_numpy(obs)).detach()
    want = categorical_logp(logits, torch.from_numpy(action)).numpy()
    np.testing.assert_allclose(logp, want, atol=1e-5, rtol=1e-5)
    uniform = np.random.default_rng(seed).random(n, dtype=np.float32)
    reach = np.concatenate([np.zeros((n, 1)), logits.double().softmax(-1).numpy().cumsum(1)], 1)
    row = np.arange(n)
    assert (reach[row, action] <= uniform + 1e-5).all()  # the interval of the action holds u, up to rounding
    assert (uniform <= reach[row, action + 1] + 1e-5).all()


def make_policy(
    kind: str, sizes: list[int], activation: str, normalise: bool, n: int, seed: int
) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(seed)
    obs = (rng.standard_normal((n, sizes[0])) * 3).astype(np.float32)
    normalizer = ObsNormalizer(sizes[0], 2.0) if normalise else None
    if normalizer is not None:
        normalizer.update(torch.from_numpy(rng.standard_normal((50, sizes[0])) * 2 + 1))
    module, layout = net(sizes, activation, seed), Layout(None, sizes[0], sees=False)
    if kind == "categorical":
        return Policy(module, normalizer, layout, Categorical(sizes[-1])), obs
    policy = Policy(module, normalizer, layout, Normal(sizes[-1]))
    with torch.no_grad():
        policy.log_std.copy_(torch.from_numpy(rng.uniform(-2, 1, sizes[-1])))
    return policy, obs


@pytest.mark.parametrize("u", [0.0, 0.5, float(np.nextafter(np.float32(1), np.float32(0)))])
@pytest.mark.parametrize("logits", [[0, -200, -200], [-200, 0, -200], [-200, -200, 0], [-200, 0, 0, 0, 0, 0, -200]])
def test_categorical_never_takes_an_action_of_no_probability(u: float, logits: list[float]) -> None:
    sizes, theta = np.array([1, len(logits)]), np.array([0.0] * len(logits) + logits, np.float32)
    noise = np.full(3, u, np.float32)
    observation = np.zeros((3, 1), np.float32)
    action, logp = kernels.act_categorical(theta, sizes, False, observation, NONE, NONE, np.float32(1), noise)
    assert all(logits[a] == 0 for a in action)
    assert np.isfinite(logp).all()


def test_categorical_frequencies() -> None:
    p = np.array([0.1, 0.0, 0.6, 0.3])
    with np.errstate(divide="ignore"):
        theta = np.concatenate([np.zeros(4), np.maximum(np.log(p), -300)]).astype(np.float32)
    u = ((np.arange(10_000) + 0.5) / 10_000).astype(np.float32)
    action, _ = kernels.act_categorical(
        theta, np.array([1, 4]), False, np.zeros((10_000, 1), np.float32), NONE, NONE, np.float32(1), u
    )
    np.testing.assert_allclose(np.bincount(action, minlength=4) / 10_000, p, atol=2e-4)
    assert (np.diff(action) >= 0).all()  # inverse CDF: monotone in u


def test_nan_reaches_the_log_probability() -> None:
    sizes, theta = np.array([1, 3, 2]), np.full(14, np.nan, np.float32)
    noise = np.full(2, 0.5, np.float32)
    action, logp = kernels.act_categorical(
        theta, sizes, False, np.ones((2, 1), np.float32), NONE, NONE, np.float32(1), noise
    )
    assert np.isnan(logp).all()
    assert ((action >= 0) & (action < 2)).all()


def test_side_by_side_moves_once_and_keeps_everything() -> None:
    module = net([3, 5, 2], "tanh", 0)
    parameters = [*module.parameters()]
    before = [p.detach().clone() for p in parameters]
    whole = side_by_side(parameters)
    assert whole.shape == (sum(p.numel() for p in parameters),)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    assert side_by_side(parameters).data_ptr() == whole.data_ptr()
    part = side_by_side(parameters[2:])  # a run inside of the whole is left where it is
    assert part.data_ptr() == parameters[2].data_ptr()
    assert len(part) == sum(p.numel() for p in parameters[2:])
    whole.zero_()
    assert all((p == 0).all() for p in parameters)
    assert side_by_side([parameters[1], parameters[0]]).data_ptr() != whole.data_ptr()
