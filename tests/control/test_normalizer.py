import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.control.normalizer import ObsNormalizer, RewardScale


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 20), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_merged_moments_equal_those_of_everything_seen(sizes, seed):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(5, 3, (n, 2)) * 1e3 for n in sizes]
    norm = ObsNormalizer(2, clip=10.0)
    for part in parts:
        norm.update(torch.from_numpy(part))
    everything = np.concatenate(parts)
    if not len(everything):
        assert norm.mean.tolist() == [0, 0]
        assert norm.var.tolist() == [1, 1]
        return
    np.testing.assert_allclose(norm.mean, everything.mean(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(norm.var, everything.var(0), rtol=1e-9, atol=1e-6)
    assert norm.count == len(everything)


def test_observations_are_shifted_scaled_and_clipped():
    norm = ObsNormalizer(1, clip=2.0)
    norm.update(torch.tensor([[0.0], [2.0], [4.0]]))
    out = norm(torch.tensor([[2.0], [4.0], [1e6]]))
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out.ravel(), [0.0, 2 / np.sqrt(8 / 3), 2.0], rtol=1e-6)


def slow_returns(reward, ended, acted, discount, carry):
    out = []
    for n in range(len(reward)):
        g = carry[n]
        for t in range(reward.shape[1]):
            if acted[n, t]:
                g = discount * g + reward[n, t]
                out.append(g)
            if ended[n, t]:
                g = 0.0
        carry[n] = g
    return out


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 60))
def test_reward_scale_equals_the_slow_loop_across_segments(seed, width):
    rng = np.random.default_rng(seed)
    scale, carry, returns = RewardScale(clip=1e9), np.zeros(3), []
    for _ in range(3):
        acted = rng.random((3, width)) < 0.8
        ended = (rng.random((3, width)) < 0.2) & acted
        reward = rng.normal(size=(3, width)) * acted
        out = scale(torch.from_numpy(reward), torch.from_numpy(ended), torch.from_numpy(acted), 0.9)
        returns += slow_returns(reward, ended, acted, 0.9, carry)
        deviation = np.sqrt(np.var(returns) + 1e-8) if returns else np.sqrt(1 + 1e-8)
        np.testing.assert_allclose(out, reward / deviation, rtol=1e-6, atol=1e-9)


def test_scaled_rewards_are_clipped_and_the_running_return_is_not_stored():
    scale = RewardScale(clip=0.5)
    yes, no = torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 3, dtype=torch.bool)
    out = scale(torch.tensor([[1.0, -1.0, 1.0]]), no, yes, 0.0)
    assert out.abs().max() == 0.5
    assert set(scale.state_dict()) == {"mean", "var", "count"}
