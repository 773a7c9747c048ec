"""Recurrent layers over whole rows equal a loop over steps that forgets where episodes begin."""

import pytest
import torch

from operant.control.networks.memory import Memory


def by_hand(memory, x, state, begins):
    """Step after step, with the state zero where an episode begins."""
    out = []
    for t in range(x.shape[1]):
        state = torch.where(begins[:, t, None], 0.0, state)
        y, state = memory.step(x[:, t], state)
        out.append(y)
    return torch.stack(out, 1)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_whole_rows_equal_a_loop_over_steps(kind, share):
    gen = torch.Generator().manual_seed(0)
    memory = Memory(kind, 5, 7, gen)
    x, state = torch.randn(6, 40, 5, generator=gen), torch.randn(6, memory.state, generator=gen)
    begins = torch.rand(6, 40, generator=gen) < share
    torch.testing.assert_close(memory(x, state, begins), by_hand(memory, x, state, begins), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_its_gradients_are_those_of_the_loop(kind):
    gen = torch.Generator().manual_seed(1)
    memory = Memory(kind, 3, 4, gen).double()
    x = torch.randn(3, 9, 3, generator=gen, dtype=torch.float64, requires_grad=True)
    state, begins = (
        torch.randn(3, memory.state, generator=gen, dtype=torch.float64),
        torch.rand(3, 9, generator=gen) < 0.3,
    )
    inputs = [x, *memory.parameters()]
    fast = torch.autograd.grad(memory(x, state, begins).square().sum(), inputs)
    slow = torch.autograd.grad(by_hand(memory, x, state, begins).square().sum(), inputs)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b)


def test_what_was_before_an_episode_does_not_matter():
    gen = torch.Generator().manual_seed(2)
    memory = Memory("lstm", 3, 4, gen)
    x, begins = torch.randn(1, 10, 3, generator=gen), torch.zeros(1, 10, dtype=torch.bool)
    begins[0, 6] = True
    one = memory(x, torch.zeros(1, 8), begins)
    x[0, :6] += 1.0
    other = memory(x, torch.ones(1, 8), begins)
    torch.testing.assert_close(one[0, 6:], other[0, 6:])
    assert not torch.allclose(one[0, :6], other[0, :6])


def test_weights_are_orthogonal_and_come_from_the_generator_alone():
    torch.manual_seed(5)
    one = Memory("gru", 4, 8, torch.Generator().manual_seed(3))
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))  # the global generator was not drawn from
    two = Memory("gru", 4, 8, torch.Generator().manual_seed(3))
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
        if ".weight" in name:
            torch.testing.assert_close(a.T @ a, torch.eye(a.shape[1]), rtol=0, atol=1e-5)
        else:
            assert (a == 0).all()


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize(("rows", "size"), [(1, 5), (3, 64), (40, 40), (2, 256)])  # 40 rows of 40 go in pieces
def test_the_kernels_say_what_torch_says(kind, rows, size):
    gen = torch.Generator().manual_seed(0)
    memory = Memory(kind, 5, size, gen)
    with torch.no_grad():
        for p in memory.parameters():
            p += 0.1 * torch.randn(p.shape, generator=gen)
    x = torch.randn(rows, 30, 5, generator=gen).requires_grad_()
    state, begins = torch.randn(rows, memory.state, generator=gen), torch.rand(rows, 30, generator=gen) < 0.1
    weight, inputs = torch.randn(rows, 30, size, generator=gen), [x, *memory.parameters()]
    assert memory._compiles(x)
    one, other = memory(x, state, begins), memory.in_pieces(x, state, begins)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=3e-6)
    kept = state.clone()
    fast, slow = (torch.autograd.grad((y * weight).sum(), inputs) for y in (one, other))
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max() + 1))
    assert torch.equal(kept, state)
    with torch.no_grad():
        step, after = memory.step(x[:, 0], state)
    want, then = memory.step(x[:, 0], state)
    torch.testing.assert_close((step, after), (want, then), rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_gradient_of_a_gradient_is_torchs(kind):
    gen = torch.Generator().manual_seed(4)
    memory = Memory(kind, 3, 6, gen)
    x, state = torch.randn(2, 9, 3, generator=gen), torch.randn(2, memory.state, generator=gen)
    begins, theta = torch.rand(2, 9, generator=gen) < 0.2, [*memory.parameters()]

    def curvature(whole):
        slopes = torch.autograd.grad(whole(x, state, begins).square().sum(), theta, create_graph=True)
        return torch.autograd.grad(sum(s.square().sum() for s in slopes), theta)

    for a, b in zip(curvature(memory), curvature(memory.in_pieces), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_two_gradients_of_one_graph_are_the_same():
    gen = torch.Generator().manual_seed(6)
    memory = Memory("gru", 3, 6, gen)
    out = memory(torch.randn(2, 9, 3, generator=gen), torch.zeros(2, 6), torch.zeros(2, 9, dtype=torch.bool))
    once, again = (torch.autograd.grad(out.sum(), [*memory.parameters()], retain_graph=True) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        assert torch.equal(a, b)
