from functools import partial

import pytest
import torch

from operant.math.reduce import fixed, sequence_mean, token_mean
from reference import losses
from reference.compare import compare_reduction
from reference.rows import Rows, close, every

FIXED = partial(fixed, length=7)


@pytest.mark.parametrize(
    ("implementation", "loop"),
    [(token_mean, losses.token_mean), (sequence_mean, losses.sequence_mean), (FIXED, partial(losses.fixed, length=7))],
)
def test_equals_the_loop_and_reads_nothing_where_masked(implementation, loop):
    every(partial(compare_reduction, implementation, loop))


@pytest.mark.parametrize(
    ("reduce", "count"),
    [
        (token_mean, lambda mask: mask.sum()),
        (sequence_mean, lambda mask: int(mask.any(-1).sum())),
        (FIXED, lambda mask: float(len(mask))),
    ],
    ids=["token_mean", "sequence_mean", "fixed"],
)
def test_micro_batches_equal_the_full_batch_given_the_denominator(reduce, count):
    def compare(r: Rows) -> None:
        x = r.reward.clone().requires_grad_()
        if not r.acted.any():
            return
        (whole,) = torch.autograd.grad(reduce(x, r.acted), x)
        part = partial(reduce, denominator=count(r.acted))
        losses_of_rows = [part(x[i : i + 1], r.acted[i : i + 1]) for i in range(len(x))]
        close(sum(losses_of_rows).detach(), reduce(r.reward, r.acted))
        (parts,) = torch.autograd.grad(sum(losses_of_rows), x)
        close(parts, whole)

    every(compare)


@pytest.mark.parametrize("reduce", [token_mean, sequence_mean, FIXED])
def test_gradient_is_zero_where_masked_and_an_empty_mask_gives_zero(reduce):
    x = torch.tensor([[1.0, torch.nan], [torch.inf, 2.0]], requires_grad=True)
    mask = torch.tensor([[True, False], [False, True]])
    (grad,) = torch.autograd.grad(reduce(x, mask), x)
    assert bool((grad[~mask] == 0).all())
    assert bool((grad[mask] > 0).all())
    assert float(reduce(x, torch.zeros_like(mask)).detach()) == 0.0


def test_errors_name_the_argument():
    x, mask = torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)
    for reduce in (token_mean, sequence_mean, FIXED):
        with pytest.raises(TypeError, match=r"mask is a mask and must be torch\.bool, got torch\.float32"):
            reduce(x, x)
        with pytest.raises(TypeError, match=r"x must be a floating-point tensor, got torch\.bool"):
            reduce(mask, mask)
        with pytest.raises(ValueError, match=r"mask must have shape \[2, 3\], got \[2, 2\]"):
            reduce(x, mask[:, 1:])
    for reduce in (sequence_mean, FIXED):
        with pytest.raises(ValueError, match="x must have at least 2 dimension"):
            reduce(x[0], mask[0])
    with pytest.raises(ValueError, match="length must be above 0"):
        fixed(x, mask, length=0)
