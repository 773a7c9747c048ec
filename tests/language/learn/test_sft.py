from dataclasses import replace

import pytest
import torch

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.learn.sft import sft, split_rows
from operant.language.settings.learning import SFTConfig
from operant.language.text.conversation import Encoded, Encoder
from operant.language.text.epochs import Shuffled
from reference.tiny_language import tiny_language

WORDS = ["one", "two three", "the quick brown fox", "42", "yes, six letters", "sorry", "a b c d e f", "lazy dog"]


@pytest.fixture(scope="module", params=["qwen3", "gpt2"])
def policy(request):
    return tiny_language(request.param)


@pytest.fixture(scope="module")
def examples(policy):
    encoder = Encoder(tokenizer=policy.tokenizer, length=64)
    talk = [
        {"role": "user", "content": "sort 3 1 2"},
        {"role": "assistant", "content": "1 2 3"},
        {"role": "user", "content": "thank you"},
        {"role": "assistant", "content": "please"},
    ]
    texts = [encoder.completion(f"say {w}:", f" {w} {w}", where=w) for w in WORDS[:-1]]
    return [*texts, encoder.conversation(talk, learn="assistant")]


def one_step(policy, examples, **settings):
    """Loss, gradient norm and all gradients of one step that does not move the weights."""
    cfg = SFTConfig(**{"batch": len(examples), "length": 64, "max_grad_norm": 1e9, "warmup": 0.0} | settings)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    data = Shuffled(examples, Streams(0))
    cfg = cfg.model_copy(update={"lr": 0.0})
    metrics = next(sft(cfg, data, policy, optimizer, total_steps=100))
    gradient = torch.cat([p.grad.flatten() for p in policy.parameters()])
    return float(metrics["loss/nll"]), float(metrics["grad/norm"]), gradient, metrics


def test_padded_is_packed_is_one_by_one(policy, examples):
    """And eight micro-batches of one, four of two, one of eight: one loss, one gradient."""
    count = sum(sum(e.acted) for e in examples)
    loss = torch.zeros(())
    policy.zero_grad()
    for e in examples:  # the definition, with transformers' own forward
        tokens = torch.tensor([e.tokens])
        logits = policy.model(tokens).logits[0, :-1].log_softmax(-1)
        logp = logits.gather(-1, tokens[0, 1:, None])[:, 0]
        loss = loss - logp[torch.tensor(e.acted)].sum() / count
    loss.backward()
    want = torch.cat([p.grad.flatten() for p in policy.parameters()])
    longest = max(len(e.tokens) for e in examples)
    for settings in (
        {"packing": False},
        {"packing": False, "tokens": 1},
        {"packing": False, "tokens": 2 * longest},
        {"packing": True},
        {"packing": True, "tokens": 1},
        {"packing": True, "length": longest},
    ):
        got, norm, gradient, metrics = one_step(policy, examples, **settings)
        assert got == pytest.approx(loss.item(), rel=2e-6), settings
        assert norm == pytest.approx(float(want.norm()), rel=1e-5), settings
        torch.testing.assert_close(gradient, want, rtol=1e-4, atol=1e-6)
        assert float(metrics["policy/perplexity"]) == pytest.approx(torch.tensor(got).exp().item(), rel=1e-6)
        assert int(metrics["data/tokens"]) == count
    rows = split_rows(SFTConfig(length=64), examples, 0)
    assert sum(len(r) for r in rows) < len(examples)  # it did pack


def test_what_is_not_acted_is_not_learnt(policy, examples):
    """Other tokens at the end of a row, behind the last that is acted, change nothing."""
    e = examples[0]
    longer = replace(e, tokens=(*e.tokens, 7, 9, 11), acted=(*e.acted, False, False, False))
    first, second = (one_step(policy, [x, examples[3]]) for x in (e, longer))
    assert first[0] == pytest.approx(second[0], rel=1e-6)
    torch.testing.assert_close(first[2], second[2], rtol=1e-4, atol=1e-6)


def test_it_learns():
    policy = tiny_language()
    encoder = Encoder(tokenizer=policy.tokenizer, length=64)
    data = Shuffled([encoder.completion(f"say {w}:", f" {w}") for w in WORDS], Streams(1))
    cfg = SFTConfig(batch=8, length=64, lr=1e-2, lr_schedule="cosine")
    optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr)
    steps = sft(cfg, data, policy, optimizer, total_steps=480)
    losses = [float(next(steps)["loss/nll"]) for _ in range(60)]
    assert losses[0] > 4.0
    assert losses[-1] < 0.2
    assert data.episodes == 60


def test_refusals_name_the_example(policy, examples):
    nothing = Encoded(tokens=(5, 6, 7), acted=(False, False), where="data.jsonl:3")
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match=r"data\.jsonl:3: no token to learn from"):
        next(sft(SFTConfig(), Shuffled([examples[0], nothing], Streams(0)), policy, optimizer, total_steps=1))
    long = Encoded(tokens=(5,) * 600, acted=(True,) * 599, where="data.jsonl:4")
    with pytest.raises(ConfigError, match=r"data\.jsonl:4: 600 tokens, but the model has 512 positions"):
        next(sft(SFTConfig(), Shuffled([long], Streams(0)), policy, optimizer, total_steps=1))
