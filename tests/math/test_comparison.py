from functools import partial

import numpy as np
import pytest
import torch

from operant.math.comparison import bradley_terry, centring, ranking, soft_label, step_correctness
from operant.math.reduce import token_mean
from reference import losses
from reference.rows import close


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.7


def test_pairs_equal_their_loops():
    chosen, rejected, margin = normal(3, 9)
    got, metrics = bradley_terry(chosen, rejected, margin=margin)
    close(got, losses.bradley_terry(chosen.numpy(), rejected.numpy(), margin.numpy()).mean())
    close(metrics["margin"], (chosen - rejected).mean())
    close(metrics["accuracy"], (chosen > rejected).double().mean())
    close(bradley_terry(chosen, rejected)[0], losses.bradley_terry(chosen.numpy(), rejected.numpy(), 0.0).mean())
    p = torch.rand(9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got, metrics = soft_label(chosen, rejected, p)
    close(got, losses.soft_label(chosen.numpy(), rejected.numpy(), p.numpy()).mean())
    close(metrics["accuracy"], ((chosen > rejected) == (p >= 0.5)).double().mean())
    got, metrics = centring(chosen, rejected)
    close(got, ((chosen + rejected) ** 2).mean())
    close(metrics["level"], torch.cat([chosen, rejected]).mean())


def test_a_sure_judge_is_bradley_terry():
    chosen, rejected = normal(2, 7)
    one = torch.ones(7, dtype=torch.float64)
    close(soft_label(chosen, rejected, one)[0], bradley_terry(chosen, rejected)[0])
    close(soft_label(chosen, rejected, 0 * one)[0], bradley_terry(rejected, chosen)[0])


def test_a_soft_label_is_learnt_as_it_is():
    """The loss is least where σ of the difference is the judge's probability."""
    p = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    difference = p.logit().requires_grad_()
    soft_label(difference, torch.zeros_like(p), p)[0].backward()
    close(difference.grad, torch.zeros_like(p))


def test_a_judge_who_is_blind_at_times_is_reckoned_with():
    """P = (1 − ε) σ(Δ) + ε/2 against a loop; at ε = 0 it is the loss without, bit for bit; what cannot be bounds it."""
    first, second = normal(2, 9)
    p = torch.tensor([0.0, 0.5, 1.0] * 3, dtype=torch.float64)
    sure = 0.9 * (first - second).sigmoid() + 0.05
    want = -(p * sure.log() + (1 - p) * (1 - sure).log())
    close(soft_label(first, second, p, error=0.1)[0], want.mean())
    assert torch.equal(soft_label(first, second, p, error=0.0)[0], soft_label(first, second, p)[0])
    wrong = torch.tensor([-1e4], dtype=torch.float64)
    close(
        soft_label(wrong, -wrong, torch.ones_like(wrong), error=0.1)[0], -torch.tensor(0.05, dtype=torch.float64).log()
    )
    with pytest.raises(ValueError, match="error"):
        soft_label(first, second, p, error=1.0)


@pytest.mark.parametrize("k", [2, 4, 9])
def test_a_ranking_is_all_pairs_as_one_element(k):
    """InstructGPT, equation 1: K(K−1)/2 pairs, their mean; ragged and tied prompts are as in the loop."""
    score = normal(5, k)
    rank = torch.stack([torch.randperm(k, generator=torch.Generator().manual_seed(i)) for i in range(5)])
    everyone = torch.ones(5, k, dtype=torch.bool)
    got, _ = ranking(score, rank, everyone)
    want = 0.0
    for s, r in zip(score, rank, strict=True):
        s = s[r.argsort()]  # the best first
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
        assert len(pairs) == k * (k - 1) // 2
        want += sum(float(bradley_terry(s[[i]], s[[j]])[0]) for i, j in pairs) / len(pairs) / 5
    close(got, want)
    tied = rank // 2
    present = some(5, k)
    present[0], present[1] = False, False
    present[1, 0] = True
    got, metrics = ranking(score.masked_fill(~present, torch.nan), tied, present)
    each, has_pair = losses.ranking(score.numpy(), tied.numpy(), present.numpy())
    close(got, each[has_pair].mean() if has_pair.any() else 0.0)
    assert all(bool(m.isfinite()) for m in metrics.values())


def test_a_ranking_of_two_is_a_pair():
    score = normal(6, 2)
    rank = torch.tensor([[0, 1]] * 6)
    everyone = torch.ones(6, 2, dtype=torch.bool)
    got, metrics = ranking(score, rank, everyone)
    want, told = bradley_terry(score[:, 0], score[:, 1])
    close(got, want)
    assert metrics.keys() == told.keys()
    for name in metrics:
        close(metrics[name], told[name])


def test_steps_equal_their_loop():
    logit, judged = normal(4, 6), some(4, 6)
    correct = torch.rand(4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    got, metrics = step_correctness(logit, correct, judged)
    close(got, losses.step_correctness(logit.numpy(), correct.numpy())[judged.numpy()].mean())
    close(metrics["correct"], correct[judged].mean())
    close(metrics["accuracy"], ((logit > 0) == (correct >= 0.5))[judged].double().mean())
    junk = torch.where(judged, logit, torch.nan).requires_grad_()
    step_correctness(junk, correct, judged)[0].backward()
    assert bool((junk.grad[~judged] == 0).all())


def test_halves_sum_to_the_whole():
    score, rank = normal(6, 4), torch.arange(4).expand(6, 4)
    everyone = torch.ones(6, 4, dtype=torch.bool)
    reduce = partial(token_mean, denominator=6)
    halves = [ranking(score[at], rank[at], everyone[at], reduce=reduce)[0] for at in (slice(0, 2), slice(2, 6))]
    close(sum(halves), ranking(score, rank, everyone)[0])


def test_gradients():
    x = normal(2, 5).requires_grad_()
    rank, present = torch.tensor([[0, 1, 2, 2, 1]] * 2), some(2, 5, seed=4)
    assert torch.autograd.gradcheck(lambda x: ranking(x, rank, present)[0], (x,))
    assert torch.autograd.gradcheck(lambda x: bradley_terry(x[0], x[1], margin=0.3)[0] + centring(x[0], x[1])[0], (x,))
    assert torch.autograd.gradcheck(lambda x: step_correctness(x, present.double(), present)[0], (x,))
    probability = torch.full((5,), 0.3, dtype=torch.float64).requires_grad_()
    assert not torch.autograd.grad(soft_label(x[0], x[1], probability)[0], probability, allow_unused=True)[0]


def test_errors_name_the_argument():
    x, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"rejected must have shape \[2, 3\], got \[2\]"):
        bradley_terry(x, x[:, 0])
    with pytest.raises(ValueError, match="probability must have shape"):
        soft_label(x, x, x[0])
    with pytest.raises(TypeError, match="rank holds indices"):
        ranking(x, x, mask)
    with pytest.raises(TypeError, match="present is a mask"):
        ranking(x, x.long(), x)
    with pytest.raises(TypeError, match="judged is a mask"):
        step_correctness(x, x, x)
    assert np.isfinite(float(ranking(x, x.long(), mask)[0]))  # nothing to compare
