"""The sampler of a token policy: prompts in, completions with their log-probabilities out. Knows nothing of rewards.

A draw depends on (seed, prompt id, sample index, position) alone, not on what else is in the batch: the uniform number
behind each token is a hash of these four.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.math.logprob import categorical_sample
from operant.policy.language import LanguageModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float = 1.0  # 0: the most probable token
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    min_p: float = 0.0
    max_tokens: int = 256
    stop: tuple[int, ...] = ()  # tokens that end a completion; they belong to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Tokens to go on from, and the number that keys their randomness."""

    id: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sample."""

    prompt: Prompt
    sample: int  # 0 … samples-1
    tokens: tuple[int, ...]
    logp: tuple[float, ...]  # log π(token) at the temperature, over the whole vocabulary
    kept: tuple[
        float, ...
    ]  # log of the probability that top-k, top-p and min-p kept: the sampler's log μ is logp - kept
    acted: tuple[bool, ...]  # False where the token was forced (a tool's output)
    finish: Literal["stop", "length"]


def uniform(seed: int, prompt: Tensor, sample: Tensor, position: Tensor) -> Tensor:
    """[...] float64 in [0, 1), a hash (SplitMix64's finaliser) of the four numbers; int64 arithmetic wraps."""

    def mix(x: Tensor) -> Tensor:
        x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
        x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
        return x ^ ((x >> 31) & 0x1FFFFFFFF)

    golden = torch.tensor(-7046029254386353131, device=prompt.device)
    x = mix(prompt + torch.tensor(seed, device=prompt.device) * golden)
    x = mix(x + sample * golden)
    x = mix(x + position * golden)
    return ((x >> 11) & 0x1FFFFFFFFFFFFF).double() * 2.0**-53


class Engine:
    """Samples from a language model.

    Args:
        policy: the model; its own parameters are read, so that it samples as it is at each call.
        seed: of all draws.
        slots: sequences decoded together.

    Attributes:
        tokens, seconds: sampled so far.
    """

    def __init__(self, policy: LanguageModel, *, seed: int, slots: int = 64) -> None:
        self.policy, self.seed, self.slots = policy, seed, slots
        self.tokens, self.seconds = 0, 0.0

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, samples: int = 1) -> list[Completion]:
        """`samples` completions of each prompt, prompt by prompt."""
        start = time.perf_counter()
        jobs = [(prompt, k) for prompt in prompts for k in range(samples)]
        done = [c for i in range(0, len(jobs), self.slots) for c in self._batch(jobs[i : i + self.slots], sampling)]
        self.tokens += sum(len(c.tokens) for c in done)
        self.seconds += time.perf_counter() - start
        return done

    def _batch(self, jobs: list[tuple[Prompt, int]], sampling: Sampling) -> list[Completion]:
        decoder, device = self.policy.decoder, self.policy.device
        lengths = torch.tensor([len(p.tokens) for p, _ in jobs], device=device)
        width, n = int(lengths.max()), len(jobs)
        tokens = torch.zeros(n, width, dtype=torch.int64, device=device)
        for row, (prompt, _) in enumerate(jobs):
            tokens[row, : len(prompt.tokens)] = torch.tensor(prompt.tokens)
        ids = torch.tensor([p.id for p, _ in jobs], device=device)
        index = torch.tensor([k for _, k in jobs], device=device)
        size = width + sampling.max_tokens
        cache = torch.zeros(decoder.depth, 2, n, decoder.kv_heads, size, decoder.head_dim, device=device)
        x, at = decoder.embed(tokens, torch.arange(width, device=device).expand(n, -1))
        for layer in range(decoder.depth):
            q, k, v = decoder.qkv(layer, x, at)
            cache[layer, 0, :, :, :width], cache[layer, 1, :, :, :width] = k, v
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=decoder.scale, enable_gqa=True)
            x = decoder.finish(layer, x, y)
        rows = torch.arange(n, device=device)
        last = decoder.norm(x[rows, lengths - 1])
        out = torch.zeros(n, sampling.max_tokens, dtype=torch.int64, device=device)
        logp, kept = torch.zeros(2, n, sampling.max_tokens, device=device)
        done, count = torch.zeros(n, dtype=torch.bool, device=device), torch.zeros(n, dtype=torch.int64, device=device)
        stop = torch.tensor(sampling.stop, dtype=torch.int64, device=device)
        columns = torch.arange(size, device=device)
        for step in range(sampling.max_tokens):
            token, logp[:, step], kept[:, step] = draw(
                decoder.head(last).float(), sampling, uniform(self.seed, ids, index, torch.full_like(ids, step))
            )
            out[:, step] = token
            count += ~done
            done |= torch.isin(token, stop)
            if bool(done.all()) or step + 1 == sampling.max_tokens:
                break
            place = lengths + step  # [n]
            x, at = decoder.embed(token[:, None], place[:, None])
            seen = (columns <= place[:, None])[:, None, None]
            for layer in range(decoder.depth):
                q, k, v = decoder.qkv(layer, x, at)
                cache[layer, 0, rows, :, place], cache[layer, 1, rows, :, place] = k[:, :, 0], v[:, :, 0]
                y = F.scaled_dot_product_attention(
                    q, cache[layer, 0], cache[layer, 1], attn_mask=seen, scale=decoder.scale, enable_gqa=True
                )
                x = decoder.finish(layer, x, y)
            last = decoder.norm(x[:, 0])
        found: list[Completion] = []
        for row, (prompt, k) in enumerate(jobs):
            m = int(count[row])
            found.append(
                Completion(
                    prompt=prompt,
                    sample=k,
                    tokens=tuple(out[row, :m].tolist()),
                    logp=tuple(logp[row, :m].tolist()),
                    kept=tuple(kept[row, :m].tolist()),
                    acted=(True,) * m,
                    finish="stop" if bool(done[row]) else "length",
                )
            )
        return found


def draw(logits: Tensor, sampling: Sampling, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Token [n], log π at the temperature [n], log kept mass [n], from logits [n, V] and uniform numbers [n].

    Greedy (temperature 0) reports log-probabilities at temperature 1.
    """
    if sampling.temperature == 0.0:
        logp = logits.log_softmax(-1)
        token = logits.argmax(-1)
        return token, logp.gather(-1, token[:, None])[:, 0], torch.zeros_like(u, dtype=logits.dtype)
    logp = (logits / sampling.temperature).log_softmax(-1)
    allowed = keep(logp, sampling)
    cut = logp if allowed is None else logp.masked_fill(~allowed, -torch.inf)
    token = categorical_sample(cut.double(), u)
    mass = torch.zeros_like(logp[:, 0]) if allowed is None else cut.logsumexp(-1)
    return token, logp.gather(-1, token[:, None])[:, 0], mass


def keep(logp: Tensor, sampling: Sampling) -> Tensor | None:
    """Which tokens [n, V] top-k, then top-p, then min-p leave; None where all."""
    if not sampling.top_k and sampling.top_p >= 1.0 and sampling.min_p <= 0.0:
        return None
    allowed = torch.ones_like(logp, dtype=torch.bool)
    if sampling.top_k:
        allowed &= logp >= logp.topk(min(sampling.top_k, logp.shape[-1]), -1).values[:, -1:]
    if sampling.top_p < 1.0:
        order = logp.masked_fill(~allowed, -torch.inf).sort(-1, descending=True)
        p = order.values.softmax(-1)
        inside = p.cumsum(-1) - p < sampling.top_p
        allowed &= torch.zeros_like(allowed).scatter(-1, order.indices, inside)
    if sampling.min_p > 0.0:
        allowed &= logp >= logp.amax(-1, keepdim=True) + torch.log(torch.tensor(sampling.min_p))
    return allowed
