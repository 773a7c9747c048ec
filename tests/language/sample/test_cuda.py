"""What only a CUDA device shows: captured graphs and kernels give the tokens of a CPU. Skipped where there is none."""

import importlib.util

import pytest
import torch

from operant.language.model.language_model import LanguageModel
from operant.language.sample import cuda_graph_decoder as static
from operant.language.sample.attention import dense
from operant.language.sample.decode_state import Where
from operant.language.sample.drawing import draw_lean
from operant.language.sample.engine import Engine, Prompt, Sampling
from operant.language.sample.sampling import draw
from reference import tiny

pytest.importorskip("transformers")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


@pytest.fixture(autouse=True)
def exact():
    """Products of matrices in float32 as they are on a CPU."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def prompts_of(lengths):
    return [Prompt(id=100 + i, tokens=tuple(r.tolist())) for i, r in enumerate(tiny.rows(lengths))]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("family", tiny.SLIM)
def test_captured_steps_give_the_tokens_of_a_cpu(family, temperature, monkeypatch):
    captured = []
    capture = static.capture

    def counted(step, slots, pool):
        captured.append(step)
        return capture(step, slots, pool)

    monkeypatch.setattr(static, "capture", counted)
    sampling = Sampling(temperature=temperature, max_tokens=70, stop=tuple(range(2, 8)), top_p=0.95)
    prompts = prompts_of((5, 1, 20, 3, 9))
    expected = Engine(LanguageModel(tiny.model_of(family), None), seed=4, slots=11).generate(
        prompts, sampling, samples=4
    )
    engine = Engine(LanguageModel(tiny.model_of(family).cuda(), None), seed=4, slots=11)
    for _ in range(2):
        found = engine.generate(prompts, sampling, samples=4)
        assert [c.tokens for c in found] == [c.tokens for c in expected]
        ours, theirs = (torch.tensor([x for c in some for x in c.logp]) for some in (found, expected))
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
        assert 0 < len(captured) <= 6


def test_graphs_read_the_weights_as_they_are():
    policy = LanguageModel(tiny.model_of("qwen2").cuda(), None)
    engine, sampling = Engine(policy, seed=4), Sampling(max_tokens=12)
    before = engine.generate(prompts_of((5,)), sampling, samples=4)
    with torch.no_grad():
        for p in policy.parameters():
            p.mul_(0.9)
    after = engine.generate(prompts_of((5,)), sampling, samples=4)
    fresh = Engine(policy, seed=4).generate(prompts_of((5,)), sampling, samples=4)
    assert [c.tokens for c in after] == [c.tokens for c in fresh]
    assert [c.logp for c in after] != [c.logp for c in before]


@needs_triton
@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-4), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "d", "rows"), [(14, 2, 64, 300), (14, 2, 64, 3), (8, 1, 256, 5), (4, 4, 8, 9)]
)
def test_the_kernel_is_attention_over_both_caches(heads, kv_heads, d, rows, dtype, off):
    from operant.language.sample.attention_triton import split_keys

    gen = torch.Generator().manual_seed(0)
    before, behind = 300, 640
    q = torch.randn(rows, heads, d, generator=gen)
    shared = torch.randn(2, 7, kv_heads, before, d, generator=gen)
    own = torch.randn(2, rows, kv_heads, behind, d, generator=gen)
    q, shared, own = (x.to("cuda", dtype) for x in (q, shared, own))
    where = Where(
        torch.randperm(rows, generator=gen), torch.randint(7, (rows,), generator=gen),
        torch.randint(before + 1, (rows,), generator=gen), torch.randint(behind, (rows,), generator=gen),
    )  # fmt: skip
    where = Where(*(x.cuda() for x in where))
    exact = dense(q.float(), shared.float(), own.float(), where, d**-0.5)
    torch.testing.assert_close(split_keys(q, shared, own, where, d**-0.5).float(), exact, atol=off, rtol=off)


@pytest.mark.parametrize("vocab", [9000, 151_936])
def test_lean_drawing_draws_the_same(vocab):
    gen = torch.Generator().manual_seed(vocab)
    logits = (3 * torch.randn(64, vocab, generator=gen)).bfloat16()
    u = torch.rand(64, generator=gen, dtype=torch.float64)
    expected = draw(logits.float(), Sampling(), u)
    found = draw_lean(logits.cuda(), Sampling(), u.cuda())
    assert (found[0].cpu() == expected[0]).float().mean() > 0.98  # but for borders between two words
    same = found[0].cpu() == expected[0]
    torch.testing.assert_close(found[1].cpu()[same], expected[1][same], atol=1e-4, rtol=1e-4)
