"""Decoding of static shapes: the tokens of the other ways, and steps that a graph can hold."""

import contextlib
import dataclasses
import math

import pytest
import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from operant.language.cpu import numba_decoder as compiled
from operant.language.model.language_model import LanguageModel
from operant.language.model.lora import LoraSpec
from operant.language.sample import cuda_graph_decoder as static
from operant.language.sample.attention import dense
from operant.language.sample.decode_state import Job, Slots, Where
from operant.language.sample.drawing import draw_lean
from operant.language.sample.engine import Engine, Prompt, Sampling
from operant.language.sample.sampling import draw, keep, row_key, uniform_at
from operant.language.sample.torch_decoder import absorb
from reference import tiny

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def models():
    return {family: LanguageModel(tiny.model_of(family), tiny.tokenizer()) for family in tiny.SLIM}


@pytest.fixture
def still(monkeypatch):
    """Engines made with it decode by static shapes, where told."""

    def engine(policy, **given):
        with monkeypatch.context() as patch:
            patch.setattr(compiled, "obstacle", lambda policy: "a test")
            made = Engine(policy, **given)
        monkeypatch.setattr(static, "serves", lambda policy: True)
        return made

    return engine


def prompts_of(lengths, seed=0, first=100):
    return [Prompt(id=first + i, tokens=tuple(r.tolist())) for i, r in enumerate(tiny.rows(lengths, seed))]


SETTINGS = {
    "greedy": Sampling(temperature=0.0, max_tokens=70, stop=(7, 9)),
    "all": Sampling(max_tokens=70, stop=tuple(range(2, 8))),
    "cut": Sampling(temperature=0.7, top_k=40, top_p=0.9, min_p=0.02, max_tokens=70, stop=tuple(range(2, 22))),
}


@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("family", tiny.SLIM)
def test_tokens_are_those_of_compiled_code(models, still, family, how):
    """Rows of uneven lengths that are refilled, over several buckets of rows and of columns.

    With this seed no draw is within rounding of the border between two words.
    """
    policy, sampling, prompts = models[family], SETTINGS[how], prompts_of((5, 1, 20, 3, 9))
    assert compiled.obstacle(policy) is None
    expected = Engine(policy, seed=5, slots=11).generate(prompts, sampling, samples=4)
    found = still(policy, seed=5, slots=11).generate(prompts, sampling, samples=4)
    assert [c.tokens for c in found] == [c.tokens for c in expected]
    assert [c.finish for c in found] == [c.finish for c in expected]
    if how != "greedy":
        assert len({len(c.tokens) for c in found}) > 1
    for name in ("logp", "kept"):
        ours, theirs = (torch.tensor([x for c in some for x in getattr(c, name)]) for some in (found, expected))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)


def test_what_is_kept_between_calls_changes_nothing(models, still):
    policy, engine = models["qwen2"], still(models["qwen2"], seed=4, slots=16)
    calls = [
        (prompts_of((5, 9)), SETTINGS["all"], 8),
        (prompts_of((3,), first=7), SETTINGS["cut"], 3),  # fewer rows
        (prompts_of((58, 2), first=9), SETTINGS["greedy"], 1),  # longer prompts, that need no wider cache
        (prompts_of((5, 9, 4, 4, 4, 4)), dataclasses.replace(SETTINGS["all"], max_tokens=20, stop=(50,)), 1),
        (prompts_of((5, 9)), SETTINGS["all"], 8),
    ]
    kept = []
    for seed, (prompts, sampling, samples) in enumerate(calls):
        engine.seed = seed
        found = engine.generate(prompts, sampling, samples=samples)
        kept.append(engine._static)
        fresh = still(policy, seed=seed, slots=16).generate(prompts, sampling, samples=samples)
        assert [c.tokens for c in found] == [c.tokens for c in fresh]
        for a, b in zip(found, fresh, strict=True):
            torch.testing.assert_close(torch.tensor(a.logp), torch.tensor(b.logp), atol=1e-4, rtol=1e-5)
    assert kept[0] is kept[1]
    assert kept[2] is kept[1]  # of up to 64 columns
    assert kept[3] is not kept[2]
    assert kept[4] is kept[3]


def test_graphs_are_captured_once_and_hold_what_changes_between_steps(models, still, monkeypatch):
    """A capture that keeps the step, in the place of one that keeps its kernels."""
    captured = []

    def capture(step, slots, pool):
        captured.append(step)
        return step

    policy = models["llama"]
    monkeypatch.setattr(static, "capture", capture)
    engine, prompts, sampling = still(policy, seed=4, slots=20), prompts_of((5, 9, 3, 1, 2)), SETTINGS["all"]
    expected = still(policy, seed=4, slots=20).generate(prompts, sampling, samples=8)
    made = static.Static.__init__

    def with_a_pool(self, *given):
        made(self, *given)
        self.pool = 1

    monkeypatch.setattr(static.Static, "__init__", with_a_pool)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    assert engine.generate(prompts, sampling, samples=8) == expected
    first, keys = len(captured), list(engine._static.graphs)
    assert {key[-2:] for key in keys} >= {(20, 64), (20, 128), (8, 128)}  # rows, columns
    assert first <= 6
    assert engine.generate(prompts, sampling, samples=8) == expected
    assert len(captured) == first
    engine.generate(prompts, SETTINGS["greedy"], samples=8)
    assert len(captured) > first  # how tokens are drawn stands in a graph
    again = len(captured)
    engine.generate(prompts, dataclasses.replace(sampling, stop=(5,), max_tokens=30), samples=8)
    assert len(captured) == again  # but where they end does not


def test_adapters_are_sampled_and_left_out_by_one_engine(still, tmp_path):
    pytest.importorskip("peft")
    LanguageModel(tiny.model_of("qwen2"), tiny.tokenizer()).save(tmp_path)
    policy = LanguageModel.load(tmp_path, lora=LoraSpec(r=4, alpha=8.0))
    with torch.no_grad():
        for name, p in policy.named_parameters():
            if "lora_B" in name:
                p.normal_(0.0, 0.2, generator=torch.Generator().manual_seed(1))
    sampling, prompts, engine = Sampling(max_tokens=8), prompts_of((5, 9)), still(policy, seed=1)
    adapted = engine.generate(prompts, sampling, samples=2)
    keys = [engine._static.captured]
    with policy.reference():
        plain = engine.generate(prompts, sampling, samples=2)
        keys.append(engine._static.captured)
    assert keys[0] != keys[1]
    monkeyless = Engine(policy, seed=1)
    monkeyless.compiles = True
    assert [c.tokens for c in monkeyless.generate(prompts, sampling, samples=2)] == [c.tokens for c in adapted]
    with policy.reference():
        assert [c.tokens for c in monkeyless.generate(prompts, sampling, samples=2)] == [c.tokens for c in plain]
    assert plain != adapted


def test_a_bfloat16_model_is_sampled_as_it_scores(still):
    policy = LanguageModel(tiny.model_of("qwen2").bfloat16(), tiny.tokenizer())
    found = still(policy, seed=1).generate(prompts_of((5, 9, 30)), Sampling(max_tokens=24, top_p=0.9), samples=4)
    rows = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor([*c.prompt.tokens, *c.tokens]) for c in found], batch_first=True
    )
    acted = torch.zeros(len(rows), rows.shape[1] - 1, dtype=torch.bool)
    for i, c in enumerate(found):
        acted[i, len(c.prompt.tokens) - 1 :][:24] = True
    with torch.no_grad():
        logp, _ = policy.evaluate(rows, acted)
    assert logp.dtype == torch.float32
    off = (logp[acted] - torch.tensor([x for c in found for x in c.logp])).abs()
    assert off.mean() < 0.1  # of logits with deviation 10, in 8 bits


class Looks(TorchDispatchMode):
    """Notes operations that a graph cannot hold: that read a value back, or whose shapes depend on data."""

    BANNED = (
        "_local_scalar_dense",
        "nonzero",
        "unique",
        "masked_select",
        "is_nonzero",
        "equal.default",
        "repeat_inter",
    )

    def __init__(self):
        super().__init__()
        self.found, self.count = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        given = [x for a in args for x in (a if isinstance(a, list | tuple) else [a]) if isinstance(x, torch.Tensor)]
        by_mask = "index" in str(func) and any(x.dtype == torch.bool for x in given[1:])
        if any(word in str(func) for word in self.BANNED) or (by_mask and "index_put" not in str(func)):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def a_step(policy, sampling):
    """A static decoding of six rows, and their jobs."""
    made = static.Static(policy, 6, 10, 20, 2, 3)
    prompts = [Prompt(id=i, tokens=tuple(range(2, 7 + 4 * i))) for i in range(2)]
    jobs = [Job(i, i // 3, prompts[i // 3], i % 3, sampling, 3) for i in range(6)]
    made.open(jobs, 3)
    return made, jobs


@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("family", ["qwen3", "gemma", "gpt2"])
def test_a_step_looks_at_nothing(models, family, how):
    made, jobs = a_step(models[family], dataclasses.replace(SETTINGS[how], max_tokens=12, stop=tuple(range(40))))
    with torch.inference_mode():
        made.begin(list(range(6)), jobs)
        with Looks() as looks:
            made._step(torch.arange(6), 64)
    assert looks.count > 50
    assert looks.found == []


def test_uniform_numbers_are_the_same_hash_in_integers():
    """SplitMix64's finaliser by Python's own integers."""

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        return x ^ (x >> 31)

    golden, mask = 0x9E3779B97F4A7C15, 2**64
    for seed, prompt, sample, position in ((0, 0, 0, 0), (5, 123, 7, 2), (2**62, 2**40, 1023, 511)):
        key = mix((mix((prompt + seed * golden) % mask) + sample * golden) % mask)
        expected = (mix((key + position * golden) % mask) >> 11) * 2.0**-53
        row = row_key(seed, torch.tensor([prompt]), torch.tensor([sample]))
        assert float(uniform_at(row, torch.tensor([position]))) == expected


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("vocab", [300, 4097, 9000, 10240])
def test_lean_drawing_from_a_large_vocabulary_draws_the_same(vocab, temperature):
    gen = torch.Generator().manual_seed(vocab)
    logits = 3 * torch.randn(500, vocab, generator=gen)
    u = torch.rand(500, generator=gen, dtype=torch.float64)
    u[:2] = torch.tensor([0.0, 1.0 - 2.0**-53])
    how = Sampling(temperature=temperature)
    for given in (logits, logits.bfloat16()):
        (token, logp, kept), (expected, *others) = draw_lean(given, how, u), draw(given.float(), how, u)
        same = token == expected
        if temperature and not bool(same.all()):  # u lies between them but for the rounding of a sum
            below = (given[~same].double() / temperature).softmax(-1).cumsum(-1)
            low, high = torch.minimum(token, expected)[~same], torch.maximum(token, expected)[~same]
            for edge in (low, high - 1):
                assert (below.gather(1, edge[:, None])[:, 0] - u[~same]).abs().max() < 1e-6
        assert same.float().mean() > 0.99 if temperature else bool(same.all())
        torch.testing.assert_close(logp[same], others[0][same], atol=1e-5, rtol=1e-5)
        assert torch.equal(kept, others[1])


@pytest.mark.parametrize("cut", [{}, {"temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.02}])
def test_fifty_thousand_rows_of_a_step_follow_the_softmax(cut):
    """One step of as many rows with equal logits: keys, uniform numbers and draws together."""
    count, how = 50_000, Sampling(max_tokens=1, **cut)
    logits = torch.randn(1, 60, generator=torch.Generator().manual_seed(5))
    made = Slots(count, 2, torch.device("cpu"))
    prompt = Prompt(id=4, tokens=(5,))
    made.place(list(range(count)), [Job(i, 0, prompt, i, how, 9) for i in range(count)])
    absorb(made, torch.arange(count), logits.expand(count, -1), how, torch.zeros(60, dtype=torch.bool))
    seen = torch.bincount(made.tokens[:, 1], minlength=60)
    logp = (logits / how.temperature).log_softmax(-1)
    allowed = keep(logp, how)
    p = logp.exp()[0] if allowed is None else torch.where(allowed, logp.exp(), 0.0)[0]
    assert not bool(seen[p == 0].any())
    some = p > 0
    assert int(some.sum()) > 5
    wanted = (p / p.sum() * count)[some].double()
    assert stats.chisquare(seen[some].double(), wanted / wanted.sum() * count).pvalue > 1e-3
    assert not bool(made.busy.any())


def test_a_step_with_a_large_vocabulary_looks_at_nothing():
    policy = LanguageModel(tiny.model_of("qwen2", vocab_size=6000), tiny.tokenizer())
    made, jobs = a_step(policy, Sampling(max_tokens=12))
    with torch.inference_mode():
        made.begin(list(range(6)), jobs)
        with Looks() as looks:
            made._step(torch.arange(6), 64)
    assert looks.found == []


def test_rows_that_do_not_fit_wait():
    assert static.rows_that_fit(64, math.inf, float) == 64
    assert static.rows_that_fit(64, 10.5, float) == 10
    assert static.rows_that_fit(64, 0.0, float) == 1
    assert [static.bucket(n, 8, 20) for n in (1, 8, 9, 17, 20)] == [8, 8, 16, 20, 20]


def slow(q, shared, own, where, scale):
    """Row by row, head by head."""
    out = torch.zeros_like(q)
    each = q.shape[1] // shared.shape[2]
    for b in range(len(q)):
        for h in range(q.shape[1]):
            keys, values = (
                torch.cat((
                    shared[i, where.prompt[b], h // each, : where.ahead[b]],
                    own[i, where.row[b], h // each, : where.at[b] + 1],
                ))
                for i in (0, 1)
            )  # fmt: skip
            out[b, h] = (keys @ q[b, h] * scale).softmax(0) @ values
    return out


def attention_case(heads, kv_heads, d, dtype=torch.float32, before=130, behind=150, seed=0):
    gen = torch.Generator().manual_seed(seed)
    count, rows, prompts = 7, 9, 3
    q = torch.randn(count, heads, d, generator=gen)
    shared = torch.randn(2, prompts, kv_heads, before, d, generator=gen)
    own = torch.randn(2, rows, kv_heads, behind, d, generator=gen)
    where = Where(
        torch.tensor([8, 0, 3, 5, 1, 2, 7]), torch.tensor([2, 0, 0, 1, 1, 2, 2]),
        torch.tensor([before, 0, 0, 1, 64, 65, 7]), torch.tensor([0, 0, behind - 1, 63, 64, 127, 3]),
    )  # fmt: skip
    return q.to(dtype), shared.to(dtype), own.to(dtype), where


@pytest.mark.parametrize(("heads", "kv_heads", "d"), [(4, 4, 8), (14, 2, 16), (3, 1, 24)])
def test_attention_over_both_caches_is_that_of_a_loop(heads, kv_heads, d):
    q, shared, own, where = attention_case(heads, kv_heads, d)
    torch.testing.assert_close(dense(q, shared, own, where, 0.3), slow(q, shared, own, where, 0.3), atol=1e-5, rtol=0)
    none = shared[:, :, :, :0]
    alone = where._replace(ahead=torch.zeros_like(where.ahead))
    torch.testing.assert_close(dense(q, none, own, alone, 0.3), slow(q, none, own, alone, 0.3), atol=1e-5, rtol=0)


def test_slots_are_those_of_other_ways():
    made = Slots(3, 5, torch.device("cpu"))
    logits = torch.full((2, 6), -torch.inf)
    logits[0, 4] = logits[1, 2] = 0.0
    made.busy[:] = True
    made.limit[:] = 5
    made.known[:] = 1
    stop = torch.zeros(6, dtype=torch.bool)
    stop[2] = True
    absorb(made, torch.tensor([2, 0]), logits, Sampling(), stop)
    assert made.tokens[:, 1].tolist() == [2, 0, 4]
    assert made.busy.tolist() == [False, True, True]
    assert made.known.tolist() == [2, 1, 2]
    assert made.at.tolist() == [1, 0, 1]
