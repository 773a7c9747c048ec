"""Ratios of sequences, weighted terms, the steered coefficient, and each estimator's gradient by enumeration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from operant.math.divergence import adapted, k1, k2, k3, kl_categorical, steered
from operant.math.objective import clipped_surrogate
from operant.math.ratio import masked, near, reweighted, sequence_level, sequence_weight, step_weight, truncated
from operant.math.reduce import sequence_mean

V, T = 5, 2


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_ratio_of_a_sequence_is_the_geometric_mean_of_its_steps() -> None:
    logp, old = drawn(3, 6, seed=1), drawn(3, 6, seed=2)
    acted = drawn(3, 6, seed=3) > -0.5
    ratio = (logp - sequence_level(logp, old, acted)).exp()
    for row in range(3):
        steps = (logp - old)[row][acted[row]].tolist()
        expected = math.exp(sum(steps) / len(steps))
        assert ratio[row][acted[row]].tolist() == pytest.approx([expected] * len(steps))


def test_gspo_has_the_loss_and_gradient_of_its_equation() -> None:
    logp, old, acted = drawn(4, 5, seed=1).requires_grad_(), drawn(4, 5, seed=2), drawn(4, 5, seed=4) > -1.0
    adv = drawn(4, seed=5)
    s = (torch.where(acted, logp - old, 0.0).sum(-1) / acted.sum(-1)).exp()  # equation 7
    expected = -torch.minimum(s * adv, s.clamp(0.8, 1.3) * adv).mean()  # equation 5
    gradient = torch.autograd.grad(expected, logp)[0]
    loss, _ = clipped_surrogate(
        logp, sequence_level(logp, old, acted), adv[:, None].expand(4, 5), acted, clip=0.2, clip_high=0.3,
        reduce=sequence_mean,
    )  # fmt: skip
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logp)[0], gradient)


def test_padding_is_not_read() -> None:
    bad = torch.tensor([[0.5, float("nan")]])
    acted = torch.tensor([[True, False]])
    assert sequence_level(bad, bad, acted).tolist() == [[0.5, 0.0]]
    assert reweighted(bad, bad, bad, acted).tolist() == [[0.5, 0.0]]


def test_the_coefficient_is_halved_or_doubled_by_the_rule_of_the_paper() -> None:
    """Schulman et al. (2017), section 4, by hand for d_targ = 0.03: the edges are 0.02 and 0.045."""
    told = [0.0, 0.019, 0.021, 0.03, 0.044, 0.046, 9.0]
    assert [adapted(0.4, d, target=0.03) for d in told] == [0.2, 0.2, 0.4, 0.4, 0.4, 0.8, 0.8]
    with pytest.raises(ValueError, match="target"):
        adapted(0.4, 0.1, target=0.0)


def test_the_coefficient_is_steered_by_the_clipped_error() -> None:
    assert steered(0.1, 6.0, target=6.0, horizon=100, n=10) == 0.1
    assert steered(0.1, 60.0, target=6.0, horizon=100, n=10) == pytest.approx(0.1 * 1.02)
    assert steered(0.1, 0.0, target=6.0, horizon=100, n=10) == pytest.approx(0.1 * 0.98)
    assert steered(0.1, 6.6, target=6.0, horizon=100, n=10) == pytest.approx(0.1 * 1.01)
    with pytest.raises(ValueError, match="target must be above 0"):
        steered(0.1, 6.0, target=0.0, horizon=100, n=10)


# A language of five tokens and sentences of two: logits θ[0] for the first, θ[1 + first] for the second.
def sentences(theta: Tensor) -> tuple[Tensor, Tensor]:
    """log π [25, 2] of each token of each sentence."""
    words = torch.tensor(list(itertools.product(range(V), repeat=T)))
    table = theta.log_softmax(-1)
    return torch.stack((table[0, words[:, 0]], table[1 + words[:, 0], words[:, 1]]), 1), words


def exact(theta: Tensor, ref: Tensor) -> Tensor:
    """KL(π || π_ref) of whole sentences."""
    logp, refp = sentences(theta)[0].sum(-1), sentences(ref)[0].sum(-1)
    return (logp.exp() * (logp - refp)).sum()


def by_state(theta: Tensor, ref: Tensor, *, forward: bool = False) -> Tensor:
    """Σ of the divergences of each state, in the frequencies of π held fixed: what a term per token can see."""
    kl = kl_categorical(ref, theta) if forward else kl_categorical(theta, ref)
    return kl[0] + (theta[0].softmax(-1).detach() * kl[1:]).sum()


def gradient(f: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    theta = theta.clone().requires_grad_()
    return torch.autograd.grad(f(theta), theta)[0]


def in_loss(k: Callable[[Tensor, Tensor], Tensor], theta: Tensor, ref: Tensor, *, corrected: bool = False) -> Tensor:
    """E_π[∇ Σ_t k_t], by enumeration."""

    def expected(theta: Tensor) -> Tensor:
        logp, refp = sentences(theta)[0], sentences(ref)[0]
        term = k(logp, refp)
        if corrected:
            term = reweighted(term, logp, logp.detach(), torch.ones_like(term, dtype=torch.bool))
        return (logp.detach().sum(-1).exp() * term.sum(-1)).sum()

    return gradient(expected, theta)


THETA, REF = drawn(1 + V, V, seed=6), drawn(1 + V, V, seed=7)


def test_k1_in_the_reward_has_the_gradient_of_the_divergence() -> None:
    def expected(theta: Tensor) -> Tensor:
        logp, refp = sentences(theta)[0], sentences(REF)[0]
        charge = k1(logp, refp).detach()
        to_go = charge.flip(-1).cumsum(-1).flip(-1)
        return (logp.detach().sum(-1).exp() * (to_go * logp).sum(-1)).sum()

    torch.testing.assert_close(gradient(expected, THETA), gradient(lambda theta: exact(theta, REF), THETA))


def test_k1_in_the_loss_has_none() -> None:
    assert in_loss(k1, THETA, REF).abs().max() < 1e-15
    assert gradient(lambda theta: exact(theta, REF), THETA).abs().max() > 0.1


def test_k2_in_the_loss_has_the_divergences_at_each_state() -> None:
    torch.testing.assert_close(in_loss(k2, THETA, REF), gradient(lambda theta: by_state(theta, REF), THETA))


def test_k3_in_the_loss_has_the_other_divergences() -> None:
    other = gradient(lambda theta: by_state(theta, REF, forward=True), THETA)
    torch.testing.assert_close(in_loss(k3, THETA, REF), other)
    assert (other - gradient(lambda theta: by_state(theta, REF), THETA)).abs().max() > 0.05


@pytest.mark.parametrize("k", [k1, k3])
def test_corrected_k1_and_k3_have_the_divergences_at_each_state(k: Callable[[Tensor, Tensor], Tensor]) -> None:
    right = gradient(lambda theta: by_state(theta, REF), THETA)
    torch.testing.assert_close(in_loss(k, THETA, REF, corrected=True), right)
    # The term per token does not see that the first token decides which state is next: only the reward does.
    assert (right - gradient(lambda theta: exact(theta, REF), THETA)).abs().max() > 1e-3


def test_corrected_k2_has_not() -> None:
    wrong = in_loss(k2, THETA, REF, corrected=True) - gradient(lambda theta: by_state(theta, REF), THETA)
    assert wrong.abs().max() > 0.05


def test_importance_weights_undo_another_sampler() -> None:
    """Weighted by π/μ, what μ drew has the mean of π: by step exactly, and by sequence for the whole row."""
    g = torch.Generator().manual_seed(0)
    pi, mu = (torch.randn(4, 4, generator=g, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    worth = torch.randn(4, 4, generator=g, dtype=torch.float64)  # of two actions in a row, independent of each other
    a, b = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    logp = torch.stack((pi[0][a.flatten()], pi[1][b.flatten()]), -1)
    sampled = torch.stack((mu[0][a.flatten()], mu[1][b.flatten()]), -1)
    acted = torch.ones(16, 2, dtype=torch.bool)
    p_mu = sampled.sum(-1).exp()
    weight = sequence_weight(logp, sampled, acted)
    assert float((p_mu * weight[:, 0] * worth.flatten()).sum()) == pytest.approx(
        float((logp.sum(-1).exp() * worth.flatten()).sum())
    )
    assert torch.allclose(step_weight(logp, sampled, acted).prod(-1), weight[:, 1])
    assert step_weight(logp, sampled, ~acted).unique().tolist() == [1.0]


def test_weights_are_bounded_or_silenced() -> None:
    weight = torch.tensor([0.1, 0.7, 1.0, 2.9, 3.1])
    assert truncated(weight, low=0.5, high=3.0).tolist() == pytest.approx([0.5, 0.7, 1.0, 2.9, 3.0])
    assert masked(weight, low=0.5, high=3.0).tolist() == pytest.approx([0.0, 0.7, 1.0, 2.9, 0.0])


def test_what_the_policy_left_behind_is_not_pushed_further() -> None:
    sampled = torch.zeros(3, 3)
    logp = torch.tensor([[-1.0, -1.0, -9.0], [-0.1, 0.0, -9.0], [-1.0, -1.0, -9.0]])
    adv = torch.tensor([[-1.0], [-1.0], [1.0]]).expand(3, 3)
    acted = torch.tensor([True, True, False]).expand(3, 3)
    assert near(adv, logp, sampled, acted, threshold=0.5)[:, 0].tolist() == [False, True, True]
