"""Bugs published in other libraries, written down again: the suite's own comparisons must refuse each of them."""

from functools import partial

import pytest
import torch

from operant.math import advantage
from operant.math.advantage import gae
from operant.math.baseline import whiten
from operant.math.bellman import distributional_projection
from operant.math.logprob import normal_logp, squashed_normal_logp
from operant.math.objective import clipped_surrogate
from operant.math.reduce import token_mean
from operant.math.scan import reverse_scan
from reference import distributions, losses
from reference.compare import (
    compare_clipped_surrogate,
    compare_gae,
    compare_reduction,
    compare_retrace,
    compare_reward_to_go,
    compare_squashed,
    compare_vtrace,
    compare_whiten,
)
from reference.rows import close, every, make


def zero_bootstrap_on_a_time_limit(reward, value, terminated, truncated, acted, *, discount, lam):
    """`done = terminated | truncated`, and both end the value: a time limit becomes a death."""
    ended = terminated | truncated
    return gae(reward, value, ended, torch.zeros_like(ended), acted, discount=discount, lam=lam)


def _gae(next_value, decay, reward, value, acted, discount):
    delta = reward + discount * next_value - value[:, :-1]
    return torch.where(acted, reverse_scan(torch.where(acted, delta, 0.0), decay), 0.0)


def _parts(value, terminated, truncated, acted, factor):
    done = terminated | truncated
    next_value = advantage._next_value(value, terminated, truncated, acted)
    decay = torch.where(acted, factor, torch.ones_like(value[:, 1:])).masked_fill(done, 0.0)
    return done, next_value, decay


def previous_value_on_a_time_limit(reward, value, terminated, truncated, acted, *, discount, lam):
    """The bootstrap at a truncation is V(s_t), the state the action was taken in, for V(s_{t+1})."""
    _, next_value, decay = _parts(value, terminated, truncated, acted, discount * lam)
    next_value = torch.where(truncated & ~terminated, value[:, :-1], next_value)
    return _gae(next_value, decay, reward, value, acted, discount)


def value_of_the_reset_state(reward, value, terminated, truncated, acted, *, discount, lam):
    """After an autoreset the next decision's state is another episode's first; its value follows the truncation."""
    _, next_value, decay = _parts(value, terminated, truncated, acted, discount * lam)
    nothing = torch.zeros_like(truncated)
    reset = advantage._next_value(value, nothing, nothing, acted)
    return _gae(torch.where(truncated & ~terminated, reset, next_value), decay, reward, value, acted, discount)


def trace_not_cut_at_truncation(reward, value, terminated, truncated, acted, *, discount, lam):
    """`1 - terminated` where `1 - done` belongs: one episode's errors flow into the one before."""
    _, next_value, _ = _parts(value, terminated, truncated, acted, discount * lam)
    decay = torch.where(acted, discount * lam, torch.ones_like(reward)).masked_fill(terminated, 0.0)
    return _gae(next_value, decay, reward, value, acted, discount)


def masked_step_decays_the_trace(reward, value, terminated, truncated, acted, *, discount, lam):
    """A tool's tokens multiply the trace by γλ each, as if the policy had written them."""
    done, next_value, _ = _parts(value, terminated, truncated, acted, discount * lam)
    decay = (discount * lam * torch.ones_like(reward)).masked_fill(done, 0.0)
    return _gae(next_value, decay, reward, value, acted, discount)


def masked_step_cuts_the_trace(reward, value, terminated, truncated, acted, *, discount, lam):
    """`lastgaelam * mask`: a gap between two turns ends the credit of the first."""
    done, next_value, _ = _parts(value, terminated, truncated, acted, discount * lam)
    decay = (discount * lam * torch.ones_like(reward)).masked_fill(done | ~acted, 0.0)
    return _gae(next_value, decay, reward, value, acted, discount)


def value_of_a_masked_state(reward, value, terminated, truncated, acted, *, discount, lam):
    """The next value is `value[t + 1]` even where the next state is not one the policy decides in."""
    _, _, decay = _parts(value, terminated, truncated, acted, discount * lam)
    return _gae(value[:, 1:].masked_fill(terminated, 0.0), decay, reward, value, acted, discount)


def terminated_bootstrapped(reward, value, terminated, truncated, acted, *, discount, lam):
    """The value of a terminal state is added: an endless task in place of the one that ended."""
    ended = terminated | truncated
    return gae(reward, value, torch.zeros_like(ended), ended, acted, discount=discount, lam=lam)


@pytest.mark.parametrize(
    "wrong",
    [
        zero_bootstrap_on_a_time_limit,
        previous_value_on_a_time_limit,
        value_of_the_reset_state,
        trace_not_cut_at_truncation,
        masked_step_decays_the_trace,
        masked_step_cuts_the_trace,
        value_of_a_masked_state,
        terminated_bootstrapped,
    ],
    ids=lambda f: f.__name__,
)
def test_wrong_gae_is_detected(wrong):
    plain = make(torch.zeros(2, 20).numpy(), seed=0)
    compare_gae(wrong, plain)  # where nothing ends and nothing is masked, each of them is right: hence their long life
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        every(partial(compare_gae, wrong))


def test_the_pieces_of_the_wrong_ones_make_a_right_one():
    def right(reward, value, terminated, truncated, acted, *, discount, lam):
        _, next_value, decay = _parts(value, terminated, truncated, acted, discount * lam)
        return _gae(next_value, decay, reward, value, acted, discount)

    every(partial(compare_gae, right))


def test_reward_to_go_that_forgets_the_truncated_tail_is_detected():
    def wrong(reward, terminated, truncated, acted, *, discount, value=None):
        return advantage.reward_to_go(reward, terminated, truncated, acted, discount=discount)

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        every(partial(compare_reward_to_go, wrong))


def test_importance_weights_left_unclipped_are_detected():
    def wrong(*args, **kwargs):
        return advantage.vtrace(*args, **(kwargs | {"clip_c": 1e9}))

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        every(partial(compare_vtrace, wrong))


def test_retrace_that_weighs_the_given_action_is_detected():
    """c_t in place of c_{t+1}: the action whose value is asked for is itself corrected."""

    def wrong(logp, behaviour_logp, reward, q, value, terminated, truncated, acted, *, discount, lam):
        done = terminated | truncated
        trace = lam * (logp - behaviour_logp).exp().clamp(max=1.0)
        delta = reward + discount * advantage._next_value(value, terminated, truncated, acted) - q
        keep = torch.where(acted, discount * trace, 1.0).masked_fill(done, 0.0)
        return q + torch.where(acted, reverse_scan(torch.where(acted, delta, 0.0), keep), 0.0)

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        every(partial(compare_retrace, wrong))


def test_mask_and_advantage_swapped_is_refused_by_name():
    logp, adv, acted = torch.zeros(2, 3), torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(TypeError, match=r"acted is a mask and must be torch\.bool, got torch\.float32"):
        clipped_surrogate(logp, logp, acted, adv, clip=0.2)  # pyright: ignore[reportArgumentType]


def test_mean_over_padding_is_detected():
    every(partial(compare_reduction, token_mean, losses.token_mean))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        every(partial(compare_reduction, lambda x, mask: (x * mask).mean(), losses.token_mean))


def test_mean_of_micro_batch_means_is_detected():
    """Each half divides by its own count: halves of unequal length then weigh the same."""

    def compare(halves, r):
        close(halves(r.reward, r.acted), losses.token_mean(r.reward, r.acted))

    def cut(x):
        return x[:, : x.shape[1] // 2 + 1], x[:, x.shape[1] // 2 + 1 :]

    def right(x, mask):
        parts = zip(cut(x), cut(mask), strict=True)
        return sum(token_mean(part, keep, mask.sum().clamp(min=1)) for part, keep in parts)

    def wrong(x, mask):
        return sum(token_mean(part, keep) for part, keep in zip(cut(x), cut(mask), strict=True)) / 2

    every(partial(compare, right))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        every(partial(compare, wrong))


def test_clamped_ratio_without_the_minimum_is_detected():
    """clamp(ρ) A alone: a harmful action far above the interval has no gradient to come back."""

    def wrong(logp, old_logp, adv, acted, *, clip, clip_high, reduce):
        ratio = (logp - old_logp).exp().clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
        return reduce(-ratio * adv, acted), {}

    every(partial(compare_clipped_surrogate, clipped_surrogate))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        every(partial(compare_clipped_surrogate, wrong))


def test_whitening_with_the_padding_is_detected():
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        every(partial(compare_whiten, lambda x, mask, eps: whiten(x, torch.ones_like(mask), eps) * mask))


def test_squashed_density_with_a_constant_under_the_logarithm_is_detected():
    """log(1 − tanh² u + 1e-6) stops falling at |u| ≈ 7.25: wrong by tens of nats where a policy saturates."""

    def wrong(mean, log_std, before):
        return normal_logp(mean, log_std, before) - torch.log(1 - before.tanh() ** 2 + 1e-6).sum(-1)

    compare_squashed(squashed_normal_logp)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare_squashed(wrong)


def test_projection_that_loses_an_atom_hit_exactly_is_detected():
    """floor = ceiling gives both neighbours the weight 0, and the probability vanishes."""
    support = torch.linspace(-1.0, 1.0, 5, dtype=torch.float64)
    probability = torch.full((1, 5), 0.2, dtype=torch.float64)
    reward, terminated = torch.tensor([0.5], dtype=torch.float64), torch.tensor([True])

    def wrong(reward, probability, terminated, discount, *, support):
        place = (reward[:, None] + discount * ~terminated[:, None] * support).clamp(-1, 1).sub(-1) / 0.5
        lower, upper = place.floor().long(), place.ceil().long()
        out = torch.zeros_like(probability).scatter_add(-1, lower, probability * (upper - place))
        return out.scatter_add(-1, upper, probability * (place - lower))

    def compare(implementation):
        got = implementation(reward, probability, terminated, 0.9, support=support)
        close(got[0], distributions.projection(0.5, [0.2] * 5, True, 0.9, support.tolist()))

    compare(distributional_projection)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(wrong)
