"""What every way of decoding must do: compiled code, torch and transformers."""

import math
import warnings

import pytest
import torch
from scipy import stats

from operant.config.errors import ConfigError
from operant.language.cpu import numba_decoder as compiled
from operant.language.model.language_model import LanguageModel
from operant.language.model.lora import LoraSpec
from operant.language.sample import cuda_graph_decoder as static
from operant.language.sample.decode_state import Job
from operant.language.sample.engine import Completion, Engine, Prompt, Sampling
from operant.language.sample.sampling import keep
from reference import tiny

pytest.importorskip("transformers")

FAMILIES = (*tiny.SLIM, *tiny.WHOLE)
WAYS = {"compiled": "qwen3", "eager": "qwen3", "static": "qwen3", "through": "mistral"}


@pytest.fixture(scope="module")
def models():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {family: LanguageModel(tiny.model_of(family), tiny.tokenizer()) for family in FAMILIES}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch, models):
    """A policy, and the decoding forced upon it."""
    if request.param in ("eager", "static"):
        monkeypatch.setattr(compiled, "obstacle", lambda policy: "a test")
    monkeypatch.setattr(static, "serves", lambda policy: request.param == "static")
    policy = models[WAYS[request.param]]
    if request.param == "compiled":
        assert compiled.obstacle(policy) is None
    return policy


def prompts_of(lengths, seed=0):
    return [Prompt(id=100 + i, tokens=tuple(r.tolist())) for i, r in enumerate(tiny.rows(lengths, seed))]


def greedy_by_transformers(policy, prompts, sampling):
    """Left-padded, as transformers wants it; cut after the stop token."""
    width = max(len(p.tokens) for p in prompts)
    left, seen = torch.zeros(2, len(prompts), width, dtype=torch.int64)
    for i, p in enumerate(prompts):
        left[i, width - len(p.tokens) :], seen[i, width - len(p.tokens) :] = torch.tensor(p.tokens), 1
    out = policy.model.generate(
        input_ids=left, attention_mask=seen, do_sample=False, max_new_tokens=sampling.max_tokens,
        eos_token_id=list(sampling.stop), pad_token_id=0,
    )[:, width:].tolist()  # fmt: skip
    cut = [next((t + 1 for t, token in enumerate(row) if token in sampling.stop), len(row)) for row in out]
    return [tuple(row[:n]) for row, n in zip(out, cut, strict=True)]


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_decoding_is_that_of_transformers(models, family, eager, monkeypatch):
    if eager and family in tiny.WHOLE:
        pytest.skip("goes through transformers either way")
    if eager:
        monkeypatch.setattr(compiled, "obstacle", lambda policy: "a test")
    policy, prompts = models[family], prompts_of((5, 1, 9, 20, 20))
    free = greedy_by_transformers(policy, prompts, Sampling(temperature=0.0, max_tokens=24, stop=(0,)))
    stop = tuple({row[k] for row, k in zip(free, (3, 7, 11, 2, 15), strict=True) if k < len(row)} - {0})
    sampling = Sampling(temperature=0.0, max_tokens=24, stop=stop)
    expected = greedy_by_transformers(policy, prompts, sampling)
    found = Engine(policy, seed=0, slots=3).generate(prompts, sampling)
    assert [c.tokens for c in found] == expected
    assert [c.finish for c in found] == ["stop" if row[-1] in stop else "length" for row in expected]
    assert {c.finish for c in found} >= {"stop"}


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_those_of_the_trainer(models, family):
    policy, sampling = models[family], Sampling(temperature=0.8, max_tokens=10, stop=(7, 8), top_p=0.9)
    found = Engine(policy, seed=3, slots=4).generate(prompts_of((5, 1, 9)), sampling, samples=3)
    assert_scored(policy, found, 0.8)


def assert_scored(policy, found, temperature):
    rows = [torch.tensor([*c.prompt.tokens, *c.tokens]) for c in found]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    acted = torch.zeros(len(rows), tokens.shape[1] - 1, dtype=torch.bool)
    for i, c in enumerate(found):
        first = len(c.prompt.tokens) - 1
        acted[i, first : first + len(c.tokens)] = torch.tensor(c.acted)
    with torch.no_grad():
        logp, _ = policy.evaluate(tokens, acted, temperature=temperature)
    expected = torch.tensor([x for c in found for x, ours in zip(c.logp, c.acted, strict=True) if ours])
    torch.testing.assert_close(logp[acted], expected, atol=1e-5, rtol=1e-5)


def test_a_sample_is_the_same_whatever_its_batch_and_slot(way):
    prompts, sampling = prompts_of((6, 3, 11, 1)), Sampling(max_tokens=20, stop=tuple(range(2, 30)), top_p=0.95)
    whole = Engine(way, seed=5, slots=64).generate(prompts, sampling, samples=4)
    assert len({len(c.tokens) for c in whole}) > 3
    for slots in (1, 3, 7):
        again = Engine(way, seed=5, slots=slots).generate(prompts, sampling, samples=4)
        assert [c.tokens for c in again] == [c.tokens for c in whole]
    alone = Engine(way, seed=5).generate(prompts[2:3], sampling, samples=4)
    assert [c.tokens for c in alone] == [c.tokens for c in whole[8:12]]
    back = Engine(way, seed=5, slots=5).generate(prompts[::-1], sampling, samples=4)
    assert [c.tokens for c in back[:4]] == [c.tokens for c in whole[12:]]
    other = Engine(way, seed=6).generate(prompts, sampling, samples=4)
    assert [c.tokens for c in other] != [c.tokens for c in whole]
    assert len({c.tokens for c in whole[8:12]}) == 4


def test_shares_of_the_rows_on_threads_draw_the_same(models, monkeypatch):
    prompts, sampling = prompts_of((6, 3, 11, 1, 8)), Sampling(max_tokens=20, stop=tuple(range(2, 30)))
    alone = Engine(models["qwen3"], seed=5, slots=17).generate(prompts, sampling, samples=5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    shared = Engine(models["qwen3"], seed=5, slots=17).generate(prompts, sampling, samples=5)
    assert [c.tokens for c in shared] == [c.tokens for c in alone]


def test_few_rows_at_a_time_draw_the_same(models, monkeypatch):
    prompts, sampling = prompts_of((6, 3, 11, 1, 8)), Sampling(max_tokens=20, stop=tuple(range(2, 30)))
    whole = Engine(models["qwen3"], seed=5, slots=17).generate(prompts, sampling, samples=5)
    monkeypatch.setattr(compiled, "TOGETHER", 3)
    few = Engine(models["qwen3"], seed=5, slots=17).generate(prompts, sampling, samples=5)
    assert [c.tokens for c in few] == [c.tokens for c in whole]


def test_a_completion_cut_half_way_goes_on_as_it_would_have(way):
    sampling = Sampling(max_tokens=16, stop=(5, 6))
    prompts = prompts_of((6, 3))
    whole = Engine(way, seed=5).generate(prompts, sampling, samples=3)
    some = [c for c in whole if len(c.tokens) > 7]
    assert len(some) > 3
    cut = [
        Prompt(id=c.prompt.id, tokens=(*c.prompt.tokens, *c.tokens[:n]), sample=c.sample, drawn=n)
        for n, c in enumerate(some, 2)
    ]
    rest = Engine(way, seed=5, slots=2).generate(cut, sampling)
    for c, again in zip(some, rest, strict=True):
        n = again.prompt.drawn
        assert again.tokens == c.tokens[n:]
        assert again.sample == c.sample
        assert again.finish == c.finish
        torch.testing.assert_close(torch.tensor(again.logp), torch.tensor(c.logp[n:]), atol=1e-5, rtol=1e-5)


def test_forced_tokens_are_followed_and_not_acted(way):
    stop = tuple(range(2, 60))
    sampling, asked = Sampling(max_tokens=24, stop=stop), []

    def after(completion: Completion):
        asked.append(completion)
        return (200, 201, 202) if sum(not a for a in completion.acted) < 6 else None

    prompts = prompts_of((6, 3, 1))
    found = Engine(way, seed=9, slots=4).generate(prompts, sampling, samples=3, after=after)
    assert_scored(way, found, 1.0)
    assert any(sum(not a for a in c.acted) == 6 and c.finish == "stop" for c in found)
    for c in found:
        calls = [t for t, (token, ours) in enumerate(zip(c.tokens, c.acted, strict=True)) if ours and token in stop]
        for t in calls[:2]:
            assert c.tokens[t + 1 : t + 4] == (200, 201, 202)[: 24 - t - 1]
            assert not any(c.acted[t + 1 : t + 4])
            assert not any(c.logp[t + 1 : t + 4])
        assert len(c.tokens) <= 24
        assert c.finish == ("stop" if c.acted[-1] and c.tokens[-1] in stop else "length")
    assert all(c.finish == "stop" for c in asked)
    wide = Engine(way, seed=9).generate(prompts, sampling, samples=3, after=after)
    assert [c.tokens for c in wide] == [c.tokens for c in found]


def test_rows_of_transformers_that_have_ended_keep_no_others_waiting(models, monkeypatch):
    """Of two rows that step together one ends, and another completion begins there: each group ends with its own."""
    policy, steps = models["mistral"], []
    step = policy.whole.step
    monkeypatch.setattr(policy.whole, "step", lambda *given: steps.append(given[0].shape[0]) or step(*given))
    decoding, prompts = Engine(policy, seed=0).open(2), prompts_of((4, 4, 3))
    jobs = [Job(i, i, p, 0, Sampling(max_tokens=(2, 6, 12)[i]), 5) for i, p in enumerate(prompts)]
    decoding.expect(jobs)
    with torch.no_grad():
        decoding.begin([0, 1], jobs[:2])
        while decoding.slots.busy[0]:
            decoding.advance()
        (first,) = decoding.slots.take([0], jobs[:1], frozenset())
        decoding.begin([0], jobs[2:])
        while decoding.slots.busy.any():
            decoding.advance()
    assert steps == [2, 2, 2, 1, *[2, 1] * 4, *[1] * 8]
    found = [first, *decoding.slots.take([1, 0], jobs[1:], frozenset())]
    for job, c in zip(jobs, found, strict=True):
        (wanted,) = Engine(policy, seed=5).generate([job.prompt], job.sampling)
        assert c.tokens == wanted.tokens


CUTS = {
    "all": {},
    "cold": {"temperature": 0.5},
    "top_p": {"top_p": 0.8},
    "top_k": {"top_k": 12},
    "min_p": {"min_p": 0.05},
    "each": {"temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.02},
}


@pytest.mark.spread(5)
@pytest.mark.parametrize("cut", CUTS)
def test_fifty_thousand_draws_follow_the_softmax(way, cut, request):
    """Chi-square of the first token against the softmax, cut as told; the second token has other numbers."""
    count = {"compiled": 50_000, "eager": 10_000, "static": 10_000, "through": 2_000}[
        request.node.callspec.params["way"]
    ]
    sampling = Sampling(max_tokens=1, **CUTS[cut])
    prompt = prompts_of((4,), seed=2)[0]
    found = Engine(way, seed=11, slots=1000).generate([prompt], sampling, samples=count)
    with torch.no_grad():
        row = torch.tensor([prompt.tokens])
        logp = (way.model(input_ids=row).logits[0, -1:] / sampling.temperature).log_softmax(-1)
    allowed = keep(logp, sampling)
    p = logp.exp()[0] if allowed is None else torch.where(allowed, logp.exp(), 0.0)[0]
    mass = math.log(float(p.sum()))
    drawn = torch.tensor([c.tokens[0] for c in found])
    seen = torch.bincount(drawn, minlength=300)
    assert not bool(seen[p == 0].any())
    expected = p / p.sum() * count
    often = expected >= 5
    observed = torch.cat([seen[often], seen[~often].sum()[None]]).double()
    wanted = torch.cat([expected[often], expected[~often].sum()[None]]).double()
    some = wanted > 0
    assert stats.chisquare(observed[some], wanted[some] / wanted.sum() * count).pvalue > 1e-3
    torch.testing.assert_close(
        torch.tensor([c.kept[0] for c in found[:50]]), torch.full((50,), mass), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(torch.tensor([c.logp[0] for c in found[:50]]), logp[0, drawn[:50]], atol=1e-5, rtol=1e-5)


def test_sampling_reads_the_weights_as_they_are(models):
    policy, prompts = models["llama"], prompts_of((5,))
    engine, sampling = Engine(policy, seed=0), Sampling(max_tokens=6)
    before = engine.generate(prompts, sampling)[0]
    with torch.no_grad():
        policy.model.model.layers[1].mlp.up_proj.weight.mul_(1.7)
    after = engine.generate(prompts, sampling)
    assert after[0].logp != before.logp
    assert_scored(policy, after, 1.0)
    with torch.no_grad():
        policy.model.model.layers[1].mlp.up_proj.weight.div_(1.7)
    assert engine.tokens == 12
    assert engine.seconds > 0.0


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_adapters_are_sampled_and_left_out(family, tmp_path):
    pytest.importorskip("peft")
    LanguageModel(tiny.model_of(family), tiny.tokenizer()).save(tmp_path)
    policy = LanguageModel.load(tmp_path, lora=LoraSpec(r=4, alpha=8.0, dropout=0.5))
    with torch.no_grad():
        for name, p in policy.named_parameters():
            if "lora_B" in name:
                p.normal_(0.0, 0.2, generator=torch.Generator().manual_seed(1))
    assert compiled.obstacle(policy) is None
    policy.train()
    sampling, prompts = Sampling(max_tokens=8), prompts_of((5, 9))
    found = Engine(policy, seed=1).generate(prompts, sampling, samples=2)
    assert policy.training
    policy.eval()
    assert_scored(policy, found, 1.0)
    with policy.reference():
        plain = Engine(policy, seed=1).generate(prompts, sampling, samples=2)
        assert_scored(policy, plain, 1.0)
    assert [c.logp for c in plain] != [c.logp for c in found]


@pytest.mark.parametrize(
    ("prompt", "sampling", "word"),
    [
        (Prompt(id=4, tokens=()), Sampling(), "prompt 4: has no token"),
        (Prompt(id=4, tokens=(5, 300)), Sampling(), "prompt 4: has a token outside"),
        (Prompt(id=4, tokens=(5,) * 100), Sampling(max_tokens=29), "128 positions"),
        (Prompt(id=4, tokens=(5,) * 9, drawn=8), Sampling(max_tokens=8), "8 tokens drawn"),
    ],
)
def test_prompts_that_cannot_be_gone_on_from_are_named(models, prompt, sampling, word):
    with pytest.raises(ConfigError, match=word):
        Engine(models["llama"], seed=0).generate([prompt], sampling)


@pytest.mark.parametrize(
    "bad", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}, {"min_p": 1.5}, {"max_tokens": 0}]
)
def test_settings_out_of_range_are_named(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Sampling(**bad)


def test_no_prompt_gives_no_completion(models):
    assert Engine(models["llama"], seed=0).generate([], Sampling()) == []
