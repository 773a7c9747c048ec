"""Beam search over the steps of a tiny model's answers."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")

from operant.language.learn.verifier import Verifier
from operant.language.model.language_model import Scalar
from operant.language.sample.engine import Engine, Prompt, Sampling
from operant.language.sample.guided_beam import by_likelihood, by_reward, by_steps, guided
from reference.rlhf import token_policy
from reference.tiny_language import tiny_language

CLOSING, LIKED = 2, 3


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(token_policy(8, seed=3), seed=0)


def liked(states):
    return [float(state.count(LIKED)) for state in states]


def test_steps_end_where_they_close_and_every_sample_is_drawn_once(engine: Engine, monkeypatch) -> None:
    keys: list[tuple[int, int, int]] = []
    generate = engine.generate

    def listening(prompts, sampling, *, samples=1, after=None):
        keys.extend((p.id, p.sample + k, p.drawn) for p in prompts for k in range(samples))
        return generate(prompts, sampling, samples=samples, after=after)

    monkeypatch.setattr(engine, "generate", listening)
    sampling = Sampling(max_tokens=24, stop=(1,))
    found = guided(engine, Prompt(id=7, tokens=(4, 5)), liked, sampling, closing=(CLOSING,), width=3, branch=4, steps=4)
    assert len({(i, k) for i, k, _ in keys}) == len(keys)
    assert {i for i, _, _ in keys} == {7}
    assert {drawn > 0 for _, _, drawn in keys} == {False, True}
    assert [b.score for b in found] == sorted((b.score for b in found), reverse=True)
    for b in found:
        assert b.score == b.state.count(LIKED)
        assert b.ended == (b.state[-1] == 1 or len(b.state) == 24)
        assert b.state.count(CLOSING) <= 4
        assert 1 not in b.state[:-1]


def test_it_finds_better_answers_than_whole_samples(engine: Engine) -> None:
    """Beginnings of several lengths are compared by how far they are ahead of chance."""

    def ahead(states):
        return [state.count(LIKED) - len(state) / 8 for state in states]

    sampling = Sampling(max_tokens=24)
    beams, samples = 0.0, 0.0
    for i in range(8):
        prompt = Prompt(id=i, tokens=(4, 5))
        best = guided(engine, prompt, ahead, sampling, closing=(CLOSING,), width=4, branch=8, steps=24)[0]
        beams += best.state.count(LIKED)
        done = engine.generate([prompt], sampling, samples=32)
        samples += max(liked([c.tokens for c in done]))
    assert beams > samples


def test_a_reward_model_and_a_process_reward_model_guide() -> None:
    model = Scalar(tiny_language("llama", layers=1))
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    states = [(9, 10), (11,), (12, 13, 14)]
    with torch.no_grad():
        wanted = [float(model(torch.tensor([(5, 6, *state)]))[0, -1]) for state in states]
    assert by_reward(model, (5, 6))(states) == pytest.approx(wanted, abs=1e-5)

    judge, tokenizer = Verifier(model, separator="="), model.backbone.tokenizer
    texts = ["1+1=2=", "1+1=2", "3"]
    found = by_steps(judge, "say: ", tokenizer.decode)([tuple(tokenizer(t)["input_ids"]) for t in texts])
    assert found[0] == pytest.approx(found[1])  # an open beginning has as many steps as it has closed
    encoded = [tokenizer(t)["input_ids"] for t in ("say: ", "1+1=", "2=")]
    with torch.no_grad():
        p = model(torch.tensor([[token for part in encoded for token in part]]))[0].sigmoid()
    first = len(encoded[0]) + len(encoded[1]) - 1
    assert found[0] == pytest.approx(float(p[first] * p[-1]), rel=1e-5)


def test_the_likelihood_is_the_mean_of_what_the_model_gives_its_own_tokens(engine: Engine) -> None:
    """Scores are those of the sampler, whatever else stands in the batch."""
    done = engine.generate([Prompt(id=3, tokens=(4, 5))], Sampling(max_tokens=6, stop=(1,)), samples=4)
    sure = by_likelihood(engine.policy, (4, 5))([c.tokens for c in done])
    assert sure == pytest.approx([sum(c.logp) / len(c.logp) for c in done], abs=1e-5)
