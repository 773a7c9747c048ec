"""A discriminator's loss and what it pays: forms against one another, potentials that telescope, ends that are free."""

import math

import numpy as np
import pytest
import torch

from operant.math.adversarial import FORMS, absorbed, discriminator_loss, gradient_penalty, shaped
from reference.rows import close


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_loss_equals_its_loop():
    expert, learner = normal(7), normal(5, seed=1)
    there = [1 / (1 + math.exp(-z)) for z in expert.tolist()]
    here = [1 / (1 + math.exp(-z)) for z in learner.tolist()]
    want = -0.5 * (sum(map(math.log, there)) / 7 + sum(math.log(1 - d) for d in here) / 5)
    got, metrics = discriminator_loss(expert, learner)
    close(got, torch.tensor(want, dtype=torch.float64))
    close(metrics["expert_accuracy"], (expert > 0).double().mean())
    close(metrics["learner_accuracy"], (learner < 0).double().mean())


def test_it_is_least_at_the_logarithm_of_the_ratio():
    """Over five kinds of steps with known frequencies, by its gradient and against other logits."""
    expert, learner = normal(5).softmax(-1), normal(5, seed=1).softmax(-1)
    z = (expert / learner).log().requires_grad_()

    def loss(z):
        shares = iter([expert, learner])
        return discriminator_loss(z, z, reduce=lambda x, mask: (next(shares) * x).sum())[0]

    loss(z).backward()
    close(z.grad, torch.zeros(5, dtype=torch.float64))
    at = z.detach()
    assert all(loss(at + 0.3 * normal(5, seed=k)) > loss(at) for k in range(2, 12))


def test_forms_of_the_reward_against_one_another():
    """log D − log(1 − D) is the sum of the two others; their slopes are D, 1 − D and 1; where expert and learner are
    alike, at D = ½, they pay log 2, −log 2 and 0; none overflows."""
    z = torch.tensor([-1e4, -30.0, -1.0, 0.0, 2.0, 30.0, 1e4], dtype=torch.float64, requires_grad=True)
    value = {name: form(z) for name, form in FORMS.items()}
    slope = {name: torch.autograd.grad(x.sum(), z)[0] for name, x in value.items()}
    value = {name: x.detach() for name, x in value.items()}
    close(value["airl"], value["gail"] + value["gail2"])
    d = z.detach().sigmoid()
    close(slope["gail"], d)
    close(slope["gail2"], 1 - d)
    close(slope["airl"], torch.ones_like(d))
    assert (value["gail"] >= 0).all()
    assert (value["gail2"] <= 0).all()
    for name, at_rest in {"gail": np.log(2), "gail2": -np.log(2), "airl": 0.0}.items():
        assert float(value[name][3]) == pytest.approx(at_rest)
        assert torch.isfinite(value[name]).all()


def discounted(reward, discount):
    return float((discount ** torch.arange(len(reward), dtype=torch.float64)) @ reward)


@pytest.mark.parametrize("length", [1, 4, 30])
def test_a_potential_changes_a_return_by_where_it_began_alone(length):
    """Σ γ^t f = Σ γ^t g − h(s_0) of an episode that terminates; with h of its last state left in it is not."""
    g, h, discount = normal(length), normal(length + 1, seed=1), 0.9
    ended = torch.arange(length) == length - 1
    f = shaped(g, h[:-1], h[1:], ended, discount)
    assert discounted(f, discount) == pytest.approx(discounted(g, discount) - float(h[0]))
    wrong = shaped(g, h[:-1], h[1:], torch.zeros_like(ended), discount)
    assert discounted(wrong, discount) != pytest.approx(discounted(f, discount), abs=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_the_length_of_an_episode_is_worth_nothing_where_nothing_is_told(form):
    """Expert and learner are alike, D = ½ everywhere: every episode should be worth the same, however long. Without a
    state behind the end a reward above 0 pays for living, and one below 0 for dying: the survival bias."""
    discount, pays = 0.95, FORMS[form](torch.zeros((), dtype=torch.float64))
    bare, whole = [], []
    for length in (1, 10, 100):
        reward, ended = pays.expand(length), torch.arange(length) == length - 1
        bare.append(discounted(reward, discount))
        whole.append(discounted(absorbed(reward, ended, pays, discount), discount))
    assert whole == pytest.approx([float(pays) / (1 - discount)] * 3)
    sign = {"gail": 1, "gail2": -1, "airl": 0}[form]
    assert np.sign(np.diff(bare)).tolist() == [sign, sign]


def test_a_time_limit_is_no_end():
    reward, cut = normal(5), torch.zeros(5, dtype=torch.bool)
    close(absorbed(reward, cut, torch.tensor(3.0, dtype=torch.float64), 0.9), reward)
    with pytest.raises(ValueError, match="discount"):
        absorbed(reward, cut, torch.tensor(3.0, dtype=torch.float64), 1.0)


def test_the_penalty_on_a_gradient():
    gradient = torch.tensor([[3.0, 4.0], [0.6, 0.8], [0.0, 0.0]])
    close(gradient_penalty(gradient), torch.tensor((16.0 + 0.0 + 1.0) / 3))
