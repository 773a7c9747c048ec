"""Each estimator equals its loop over random masks and ends; the comparisons are what the known-bug tests run too."""

from functools import partial

import pytest
import torch

from operant.math.advantage import gae, n_step, retrace, reward_to_go, vtrace
from reference.compare import compare_gae, compare_n_step, compare_retrace, compare_reward_to_go, compare_vtrace
from reference.rows import Rows, close, every, make


@pytest.mark.parametrize(
    ("compare", "implementation"),
    [
        (compare_gae, gae),
        (compare_reward_to_go, reward_to_go),
        (compare_n_step, n_step),
        (compare_vtrace, vtrace),
        (compare_retrace, retrace),
    ],
    ids=lambda f: f.__name__,
)
def test_equals_the_loop(compare, implementation):
    every(partial(compare, implementation))


def test_numbers_where_not_acted_are_not_read():
    def compare(r: Rows) -> None:
        reward = r.reward.masked_fill(~r.acted, torch.nan)
        # a value is read at decisions, after a truncation, at the row's end unless all are cut before: poison the rest
        ends_later = (r.terminated | r.truncated).flip(1).cummax(1).values.flip(1)
        read = torch.cat((r.acted, (r.acted & ~ends_later).any(1, keepdim=True)), 1)
        read[:, 1:] |= r.truncated & ~r.terminated
        value = r.value.masked_fill(~read, torch.nan)
        logp = r.logp.masked_fill(~r.acted, torch.nan)
        masks = r.terminated, r.truncated, r.acted
        close(gae(reward, value, *masks, discount=0.9, lam=0.8), gae(*r.steps, discount=0.9, lam=0.8))
        close(n_step(reward, value, *masks, n=3, discount=0.9), n_step(*r.steps, n=3, discount=0.9))
        close(
            reward_to_go(reward, *masks, discount=0.9, value=value),
            reward_to_go(r.reward, *masks, discount=0.9, value=r.value),
        )
        got = vtrace(logp, r.behaviour_logp, reward, value, *masks, discount=0.9)
        want = vtrace(r.logp, r.behaviour_logp, *r.steps, discount=0.9)
        close(got[1], want[1])
        close(got[0][r.acted], want[0][r.acted])

    every(compare, 30)


def test_leading_dimensions_are_rows():
    r = make(torch.arange(4 * 6).reshape(4, 6).numpy() % 14, seed=1)
    folded = [x.reshape(2, 2, -1) for x in r.steps]
    close(gae(*folded, discount=0.9, lam=0.8).reshape(4, 6), gae(*r.steps, discount=0.9, lam=0.8))
    close(n_step(*folded, n=2, discount=0.9).reshape(4, 6), n_step(*r.steps, n=2, discount=0.9))
    row = [x[0] for x in r.steps]
    close(gae(*row, discount=0.9, lam=0.8), gae(*r.steps, discount=0.9, lam=0.8)[0])


def test_rows_do_not_see_one_another():
    r = make(torch.arange(3 * 20).reshape(3, 20).numpy() % 18, seed=2)
    together = gae(*r.steps, discount=0.9, lam=0.8)
    for n in range(3):
        close(gae(*[x[n : n + 1] for x in r.steps], discount=0.9, lam=0.8)[0], together[n])


@pytest.mark.parametrize("T", [6, 20])
def test_gradients(T):
    r = make(torch.arange(2 * T).reshape(2, T).numpy() * 7 % 18, seed=3)
    masks = r.terminated, r.truncated, r.acted
    reward, value, q = (x.clone().requires_grad_() for x in (r.reward, r.value, r.q))
    check = torch.autograd.gradcheck
    assert check(lambda x, v: gae(x, v, *masks, discount=0.9, lam=0.8), (reward, value))
    assert check(lambda x, v: reward_to_go(x, *masks, discount=0.9, value=v), (reward, value))
    assert check(lambda x, v: n_step(x, v, *masks, n=3, discount=0.9), (reward, value))
    assert check(lambda x, v: vtrace(r.logp, r.behaviour_logp, x, v, *masks, discount=0.9), (reward, value))
    assert check(lambda x, y, v: retrace(r.logp, r.behaviour_logp, x, y, v, *masks, discount=0.9), (reward, q, value))


def test_float32_stays_float32():
    r = make(torch.arange(2 * 20).reshape(2, 20).numpy() % 18, seed=4)
    reward, value = r.reward.float(), r.value.float()
    masks = r.terminated, r.truncated, r.acted
    assert gae(reward, value, *masks, discount=0.9, lam=0.8).dtype is torch.float32
    assert reward_to_go(reward, *masks, discount=0.9).dtype is torch.float32
    assert n_step(reward, value, *masks, n=2, discount=0.9).dtype is torch.float32


def test_errors_name_the_argument():
    r = make(torch.zeros(2, 5).numpy().astype(int), seed=5)
    reward, value, terminated, truncated, acted = r.steps
    good = {"discount": 0.9, "lam": 0.8}
    with pytest.raises(TypeError, match=r"acted is a mask and must be torch\.bool, got torch\.float64"):
        gae(reward, value, terminated, truncated, acted.double(), **good)
    with pytest.raises(TypeError, match=r"truncated is a mask .* got torch\.int64"):
        gae(reward, value, terminated, truncated.long(), acted, **good)
    with pytest.raises(ValueError, match=r"value must have shape \[2, 6\], got \[2, 5\]"):
        gae(reward, value[:, 1:], terminated, truncated, acted, **good)
    with pytest.raises(ValueError, match=r"terminated must have shape \[2, 5\], got \[2, 4\]"):
        gae(reward, value, terminated[:, 1:], truncated, acted, **good)
    with pytest.raises(ValueError, match=r"discount must lie in \[0, 1\], got 1\.01"):
        gae(reward, value, terminated, truncated, acted, discount=1.01, lam=0.8)
    with pytest.raises(ValueError, match=r"lam must lie in \[0, 1\], got nan"):
        gae(reward, value, terminated, truncated, acted, discount=0.9, lam=float("nan"))
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        n_step(reward, value, terminated, truncated, acted, n=0, discount=0.9)
    with pytest.raises(ValueError, match="clip_c must be at least 0, got -1"):
        vtrace(r.logp, r.logp, *r.steps, discount=0.9, clip_c=-1.0)
    with pytest.raises(ValueError, match=r"q must have shape \[2, 5\], got \[2, 6\]"):
        retrace(r.logp, r.logp, reward, value, value, terminated, truncated, acted, discount=0.9)
    with pytest.raises(TypeError, match="reward must be a floating-point tensor"):
        reward_to_go(reward.long(), terminated, truncated, acted, discount=0.9)
