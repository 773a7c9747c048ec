"""What a row was not fed is computed at once, as if it had been fed token by token."""

import pytest
import torch

from operant.language.sample.decode_state import Job
from operant.language.sample.engine import Engine, Prompt, Sampling
from reference.tiny_language import tiny_language

SAMPLING = Sampling(max_tokens=7)


def two_turns(policy, prompt, behind, at_once):
    """Tokens and log-probabilities of a turn of seven tokens and, `behind` it, another."""
    with torch.no_grad():
        decoding = Engine(policy, seed=3).open(2)
        job = Job(0, 0, Prompt(id=5, tokens=prompt), 0, Sampling(max_tokens=400), 3)
        decoding.expect([job])
        decoding.begin([1], [job])
        slots = decoding.slots
        slots.limit[1] = 8
        while bool(slots.busy[1]):
            decoding.advance()
        slots.follow(1, behind, Job(0, 0, Prompt(id=5, tokens=prompt), 1, SAMPLING, 3))
        if at_once:
            decoding.feed(1)
            assert int(slots.at[1]) == int(slots.known[1]) - 1
        while bool(slots.busy[1]):
            decoding.advance()
        known = int(slots.known[1])
        return slots.tokens[1, :known].tolist(), slots.logp[1, :known].clone()


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3"])
@pytest.mark.parametrize(("before", "behind"), [(1, 40), (20, 1), (70, 130)])
def test_a_row_fed_at_once_goes_on_as_one_fed_token_by_token(family, before, behind):
    policy = tiny_language(family, layers=2, positions=512, seed=4)
    generator = torch.Generator().manual_seed(before)
    prompt = tuple(torch.randint(3, 60, (before,), generator=generator).tolist())
    told = torch.randint(3, 60, (behind,), generator=generator).tolist()
    (one, x), (other, y) = (two_turns(policy, prompt, told, at_once) for at_once in (False, True))
    assert one == other
    assert len(one) == 1 + 7 + behind + 7
    torch.testing.assert_close(x, y, atol=1e-5, rtol=0)
