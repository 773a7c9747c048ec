import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.math.divergence import k1, k2, k3, kl_categorical, kl_normal
from operant.math.logprob import masked_logits
from reference import distributions as slow
from reference.rows import close


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_exact_forms_equal_their_loops(seed, K):
    p, q, r, s = normal(seed, 4, 3, K)
    close(kl_categorical(p, q), [slow.kl_categorical(p[i].tolist(), q[i].tolist()) for i in range(3)])
    parts = p, r.exp(), q, s.exp()
    close(kl_normal(*parts), [slow.kl_normal(*(x[i].tolist() for x in parts)) for i in range(3)])
    shared = p, r[0].exp(), q, s[0].exp()
    close(kl_normal(*shared), kl_normal(p, r[0].exp().expand(3, K), q, s[0].exp().expand(3, K)))


def test_estimators():
    logp, ref = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -0.5])
    close(k1(logp, ref), torch.tensor([0.5, -1.5]))
    close(k2(logp, ref), torch.tensor([0.125, 1.125]))
    close(k3(logp, ref), torch.tensor([-0.5, 1.5]).exp() - 1 - torch.tensor([-0.5, 1.5]), tol=1e-6)


def test_k3_is_exact_for_small_ratios():
    """exp(x) − 1 − x cancels in float32 at x = 1e-4; expm1 does not round to a negative number."""
    small = torch.linspace(-1e-4, 1e-4, 101)
    assert bool((k3(small, torch.zeros(101)) >= 0).all())
    close(k3(torch.tensor([1e-3]), torch.zeros(1)), torch.tensor([0.5e-6]), tol=1e-3)


def test_kl_of_masked_logits_is_finite_with_its_gradient():
    p, q = normal(0, 2, 4).requires_grad_(), normal(1, 2, 4)
    allowed = torch.tensor([[True, False, True, True], [False, False, True, False]])
    kl = kl_categorical(masked_logits(p, allowed), masked_logits(q, allowed))
    close(kl.detach()[0], slow.kl_categorical(p[0, [0, 2, 3]].tolist(), q[0, [0, 2, 3]].tolist()))
    assert float(kl.detach()[1]) == 0.0
    assert bool(torch.autograd.grad(kl.sum(), p)[0].isfinite().all())


def test_gradients():
    p, q = normal(2, 2, 4).requires_grad_(), normal(3, 2, 4).requires_grad_()
    for f in (k1, k2, k3, kl_categorical):
        assert torch.autograd.gradcheck(f, (p, q))
    assert torch.autograd.gradcheck(lambda a, b, c, d: kl_normal(a, b.exp(), c, d.exp()), (p, q, q, p))


def test_errors_name_the_argument():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"ref_logp must have shape \[2, 3\], got \[3\]"):
        k1(x, x[0])
    with pytest.raises(ValueError, match=r"logits_q must have shape"):
        kl_categorical(x, x[:, :2])
    with pytest.raises(TypeError, match="logp must be a floating-point tensor"):
        k3(x.long(), x)
    with pytest.raises(ValueError, match=r"std_q must have shape \[2, 3\], got \[2, 1\]"):
        kl_normal(x, x + 1, x, x[:, :1] + 1)
