"""How fast tokens are sampled, against `generate` of transformers: two Llamas, batches, equal and heavy-tailed lengths.

Each case is a process of its own in which both sides sample in turn (A B A B …) from one random model, from prompts of
16 tokens in groups of 8 that share one. Equal lengths: every completion has `--tokens` tokens. Heavy-tailed lengths: a
stop token ends a completion at each step with probability 1/16 (the head is bent so), at most 4 `--tokens`; there are
4 times as many completions as rows, which our sampler refills, and `generate` takes in batches of as many rows.

Prints one JSON line per case: tokens a second of both (of the best round, each), their ratio, milliseconds per step
of all rows, and the share of what the machine could do at most: of its arithmetic (2 multiplications and additions for
each weight and token, at the speed of a large product of matrices measured beside it) or of its bandwidth (each weight
read once a step, at the speed of a sum over 256 MB), whichever of the two takes longer. On a machine with neighbours
`--clock cpu --threads 1` counts the time of this process alone.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

from _interleave import quiet, say

SIZES = {  # million parameters: vocabulary, width, layers, heads, MLP
    "0.8": (300, 128, 4, 4, 320),
    "4.7": (1000, 256, 6, 8, 640),
}
BATCHES = (1, 16, 64, 256)
PROMPT, GROUP, STOP = 16, 8, 1
STOPPING = 1 / 16
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def model_of(size: str, heavy: bool) -> Any:
    """A random Llama; with heavy tails its head gives the stop token a probability of about 1/16 everywhere."""
    from transformers import LlamaConfig, LlamaForCausalLM

    vocab, width, layers, heads, inner = SIZES[size]
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=heads, intermediate_size=inner, max_position_embeddings=1024, bos_token_id=None,
        eos_token_id=STOP, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    if heavy:
        # hidden states are normed: with a first feature that is large and constant, the head's first column is a bias
        with torch.no_grad():
            model.model.embed_tokens.weight[:, 0] = 1.0
            for layer in model.model.layers:
                layer.self_attn.o_proj.weight[0] = 0.0
                layer.mlp.down_proj.weight[0] = 0.0
            states = model.model(torch.arange(2, 258)[None]).last_hidden_state[0, 1:]
            model.lm_head.weight.mul_(0.1)
            model.lm_head.weight[:, 0] = 0.0
            model.lm_head.weight[STOP] = 0.0
            model.lm_head.weight[STOP, 0] = math.log(STOPPING * vocab / (1 - STOPPING)) / float(states[:, 0].mean())
    return model


def sides(size: str, batch: int, heavy: bool, tokens: int) -> tuple[Callable[[int], int], Callable[[int], int], Any]:
    """Ours and the peer's: from a seed to the number of tokens sampled."""
    from operant.language.model.language_model import LanguageModel
    from operant.language.sample.engine import Engine, Prompt, Sampling

    model = model_of(size, heavy)
    policy = LanguageModel(model, None)
    group = min(GROUP, batch)
    count, longest = (4 * batch, 4 * tokens) if heavy else (batch, tokens)
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(2, SIZES[size][0], (count // group, PROMPT), generator=generator)
    prompts = [Prompt(id=i, tokens=tuple(row)) for i, row in enumerate(rows.tolist())]
    sampling = Sampling(max_tokens=longest, stop=(STOP,) if heavy else ())

    def ours(seed: int) -> int:
        done = Engine(policy, seed=seed, slots=batch).generate(prompts, sampling, samples=group)
        return sum(len(c.tokens) for c in done)

    def peer(seed: int) -> int:
        torch.manual_seed(seed)
        given, found = rows.repeat_interleave(group, 0), 0
        for some in given.split(batch):
            out = model.generate(
                input_ids=some, attention_mask=torch.ones_like(some), do_sample=True, top_k=0, top_p=1.0,
                max_new_tokens=longest, min_new_tokens=None if heavy else longest,
                eos_token_id=STOP if heavy else None, pad_token_id=0,
            )[:, PROMPT:]  # fmt: skip
            ended = (out == STOP).cumsum(1) - (out == STOP).long() > 0
            found += int((~ended).sum()) if heavy else out.numel()
        return found

    return ours, peer, model


def limits(clock: Callable[[], float]) -> tuple[float, float]:
    """Floating-point operations and bytes a second: a product of two 1024 × 1024 matrices, a sum over 256 MB."""
    a, b = torch.randn(2, 1024, 1024)
    large = torch.randn(2**26)
    best = [math.inf, math.inf]
    for _ in range(8):
        for i, work in enumerate((lambda: a @ b, large.sum)):
            began = clock()
            work()
            best[i] = min(best[i], clock() - began)
    return 2 * 1024**3 / best[0], 4 * 2**26 / best[1]


def measure(size: str, batch: int, heavy: bool, tokens: int, rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """One case."""
    import transformers

    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    ours, peer, model = sides(size, batch, heavy, tokens)
    with torch.no_grad():
        ours(0), peer(0)
        times: tuple[list[tuple[float, int]], list[tuple[float, int]]] = ([], [])
        for seed in range(1, rounds + 1):
            for side, found in ((ours, times[0]), (peer, times[1])):
                began = clock()
                count = side(seed)
                found.append((clock() - began, count))
    speed = [max(n / seconds for seconds, n in found) for found in times]
    ratios = sorted(a[1] / a[0] * b[0] / b[1] for a, b in zip(*times, strict=True))
    weights = sum(p.numel() for p in model.parameters()) - model.model.embed_tokens.weight.numel()
    operations, bandwidth = limits(clock)
    floor = max(2 * weights * batch / operations, 4 * weights / bandwidth)  # seconds a step of all rows
    line = {
        "case": f"sampler {size}M batch {batch} {'heavy-tailed' if heavy else 'equal'}",
        "ours": round(speed[0], 1),
        "peer": round(speed[1], 1),
        "peer_name": "transformers generate",
        "peer_version": transformers.__version__,
        "unit": "tokens/s",
        "ratio": round(speed[0] / speed[1], 2),
        "ratio_rounds": [round(r, 2) for r in ratios],
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": [sum(n for _, n in found) for found in times],
        "threads": torch.get_num_threads(),
    }
    if not heavy:
        line["ms_per_step"] = [round(1e3 * batch / s, 3) for s in speed]
    limit = "arithmetic" if 2 * weights * batch / operations > 4 * weights / bandwidth else "bandwidth"
    return line | {"limit": limit, "share_of_limit": [round(s * floor / batch, 3) for s in speed]}


def main() -> None:
    """Every case, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--lengths", nargs="+", choices=("equal", "heavy"), default=["equal", "heavy"])
    parser.add_argument("--one", nargs=3, metavar=("SIZE", "BATCH", "LENGTHS"), help="one case, in this process")
    given = parser.parse_args()
    if not given.one and given.clock == "wall":
        quiet()
    if given.one:
        torch.set_num_threads(given.threads)
        size, batch, lengths = given.one
        line = measure(size, int(batch), lengths == "heavy", given.tokens, given.rounds, CLOCKS[given.clock])
        print(json.dumps(line | {"clock": given.clock}))
        return
    same = ["--tokens", str(given.tokens), "--rounds", str(given.rounds), "--threads", str(given.threads)]
    same += ["--clock", given.clock]
    for lengths in given.lengths:
        for size in given.sizes:
            for batch in given.batches:
                command = [sys.executable, __file__, *same, "--one", size, str(batch), lengths]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
                say(f"  {size}M batch {batch} {lengths}: {json.loads(done.stdout.splitlines()[-1])['ratio']}")
                print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
