"""The Triton kernel of a decoding step, by Triton's interpreter in a process of its own, and compiled for a device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

CASES = """
import torch
from operant.language.sample import attention_triton as kernels
from operant.language.sample.attention import dense
from operant.language.sample.decode_state import Where

def case(heads, kv_heads, d, dtype, before, behind):
    gen = torch.Generator().manual_seed(0)
    rows = Where(
        torch.tensor([8, 0, 3, 5, 1, 2, 7]), torch.tensor([2, 0, 0, 1, 1, 2, 2]),
        torch.tensor([before, 0, 0, min(1, before), before // 2, before // 3, 0]),
        torch.tensor([0, 0, behind - 1, min(63, behind - 1), min(64, behind - 1), behind // 2, 3]),
    )
    q = torch.randn(7, heads, d, generator=gen)
    shared = torch.randn(2, 3, kv_heads, before, d, generator=gen)
    own = torch.randn(2, 9, kv_heads, behind + 30, d, generator=gen)[:, :, :, :behind]
    return q.to(dtype), shared.to(dtype), own.to(dtype), rows

for programs in (1, 10_000):
    kernels.PROGRAMS = programs
    for heads, kv_heads, d, before, behind in (
        (4, 4, 8, 130, 150), (14, 2, 64, 300, 600), (3, 1, 24, 0, 128), (20, 1, 16, 64, 257)
    ):
        q, shared, own, where = case(heads, kv_heads, d, torch.float32, before, behind)
        columns = before + behind
        assert (kernels.shares(7 * kv_heads, columns) > 1) == (programs > 1 and columns >= 256), (programs, columns)
        found = kernels.split_keys(q, shared, own, where, 0.3)
        torch.testing.assert_close(found, dense(q, shared, own, where, 0.3), atol=1e-5, rtol=1e-4)
        half = (x.half() for x in (q, shared, own))
        found = kernels.split_keys(*half, where, 0.3)
        torch.testing.assert_close(found.float(), dense(q, shared, own, where, 0.3), atol=2e-2, rtol=2e-2)
        print(programs, heads, d, "agree")

logits = 5 * torch.randn(3, 5003, generator=torch.Generator().manual_seed(1))[:, :5000]
padded = torch.nn.functional.pad(logits / 0.7, (0, 120), value=-torch.inf).unflatten(-1, (-1, 1024))
torch.testing.assert_close(kernels.block_masses(logits, 1 / 0.7), padded.logsumexp(-1), atol=1e-5, rtol=1e-6)
print("masses agree")
"""

AHEAD = """
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from operant.language.sample import attention_triton as kernels

for kind in ("bf16", "fp32"):
    for shares in (1, 4):
        for capability in (80, 90):
            out = "fp32" if shares > 1 else kind
            cache = dict.fromkeys(("q_at", "shared_k", "shared_v", "own_k", "own_v"), "*" + kind)
            index = dict.fromkeys(("rows", "prompts", "aheads", "ats"), "*i64")
            to = {"out": "*" + out, "tops": "*fp32", "totals": "*fp32", "scale": "fp32"}
            strides = dict.fromkeys(
                ("q_row", "q_head", "shared_prompt", "shared_head", "shared_key", "own_row", "own_head", "own_key"),
                "i32",
            )
            fixed = {"KV_HEADS": 2, "EACH": 7, "HEADS": 16, "D": 64, "WIDTH": 64, "SHARES": shares, "BLOCK": 64}
            signature = cache | index | to | strides | dict.fromkeys(fixed, "constexpr")
            source = ASTSource(kernels._share, signature, constexprs=fixed)
            made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
            assert len(made.asm["cubin"]) > 1000
fixed = {"D": 64, "WIDTH": 64, "SHARES": 4}
signature = {"parts": "*fp32", "tops": "*fp32", "totals": "*fp32", "out": "*bf16"} | dict.fromkeys(fixed, "constexpr")
made = triton.compile(ASTSource(kernels._join, signature, constexprs=fixed), target=GPUTarget("cuda", 90, 32))
signature = {"logits": "*bf16", "out": "*fp32", "vocab": "i32", "blocks": "i32", "stride": "i32", "inverse": "fp32"}
source = ASTSource(kernels._mass, signature | {"WORDS": "constexpr"}, constexprs={"WORDS": 1024})
triton.compile(source, target=GPUTarget("cuda", 90, 32))
print("compiled", made.metadata.shared)
"""


def run(code, folder, **env):
    environ = os.environ | {"TRITON_CACHE_DIR": str(folder)} | env
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_interpreted_it_is_attention_over_both_caches(tmp_path: Path):
    assert run(CASES, tmp_path, TRITON_INTERPRET="1").count("agree") == 9


def test_it_compiles_for_devices_that_are_not_there(tmp_path: Path):
    assert "compiled" in run(AHEAD, tmp_path)
