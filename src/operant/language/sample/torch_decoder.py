"""Decoding by torch: one token a step for every row, through the slim forward. Any device, any dtype, adapters too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.language.model.decoder_layouts import Decoder
from operant.language.model.language_model import LanguageModel
from operant.language.sample.decode_state import Job, Slots
from operant.language.sample.sampling import Sampling, draw, uniform_at

GROWTH = 64
"""Columns by which the cache grows: attention reads what exists, rounded up to this."""
LOOK = 8
"""Steps between two looks of the host at an accelerator."""


def prefill(decoder: Decoder, tokens: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Keys and values [N, K, L, d] of each layer, from tokens [N, L] that begin at position 0."""
    keys: list[Tensor] = []
    values: list[Tensor] = []
    x, at = decoder.embed(tokens, torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens))
    for layer in range(decoder.depth):
        q, k, v = decoder.qkv(layer, x, at)
        keys.append(k)
        values.append(v)
        if layer + 1 < decoder.depth:
            y = F.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=decoder.scale, enable_gqa=k.shape[1] != q.shape[1]
            )
            x = decoder.finish(layer, x, y)
    return keys, values


def one_token(decoder: Decoder, cache: Tensor, tokens: Tensor, place: Tensor) -> Tensor:
    """Logits [S, V] float32 behind a token of each row, [S], which stands at `place` [S].

    Args:
        decoder: the model.
        cache: [layer, 2, S, K, L, d]; takes the token's keys and values. A row reads what stands up to its place.
        tokens, place: of each row.
    """
    rows = torch.arange(len(tokens), device=tokens.device)
    x, at = decoder.embed(tokens[:, None], place[:, None])
    seen = (torch.arange(cache.shape[4], device=tokens.device) <= place[:, None])[:, None, None]
    for layer in range(decoder.depth):
        q, k, v = decoder.qkv(layer, x, at)
        keys, values = cache[layer]
        keys[rows, :, place], values[rows, :, place] = k[:, :, 0], v[:, :, 0]
        y = F.scaled_dot_product_attention(
            q, keys, values, attn_mask=seen, scale=decoder.scale, enable_gqa=k.shape[1] != q.shape[1]
        )
        x = decoder.finish(layer, x, y)
    return decoder.head(decoder.norm(x[:, 0])).float()


def beside(prompts: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """[N, L] of rows padded on the right with 0."""
    width = max(len(p) for p in prompts)
    return torch.tensor([[*p, *[0] * (width - len(p))] for p in prompts], dtype=torch.int64, device=device)


class Eager:
    """Rows with a cache [layer, S, K, capacity, d] each, indexed by position; a group's prompt is computed once.

    CUDA has its own way, `operant.language.sample.cuda_graph_decoder`; other accelerators step like this, and the host
    looks every `LOOK` steps.
    """

    refills = True

    def __init__(self, policy: LanguageModel, jobs: Sequence[Job], sampling: Sampling, seed: int, count: int) -> None:
        self.decoder, self.sampling, self.device = policy.decoder, sampling, policy.device
        columns = 1 + max(sampling.max_tokens - job.prompt.drawn for job in jobs)
        self.slots = Slots(count, columns, seed, self.device)
        self.stop = torch.tensor(sampling.stop, dtype=torch.int64, device=self.device)
        shape = (self.decoder.depth, 2, count, self.decoder.kv_heads, 0, self.decoder.head_dim)
        self.cache = torch.zeros(shape, dtype=next(policy.parameters()).dtype, device=self.device)
        self.reach = 0  # at least every busy row's position; the host's own count

    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """Copies of each prompt's keys and values for its rows."""
        self.slots.place(slots, jobs, self.sampling.max_tokens)
        prompts = {job.order: job.prompt.tokens[:-1] for job in jobs}
        width = max(len(p) for p in prompts.values())
        self.reach = max(self.reach, width)
        self._grow(width + 1)
        if width == 0:
            return
        order = {number: i for i, number in enumerate(prompts)}
        source = torch.tensor([order[job.order] for job in jobs], device=self.device)
        rows = torch.tensor(slots, device=self.device)
        keys, values = prefill(self.decoder, beside(list(prompts.values()), self.device))
        for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
            self.cache[layer, 0, rows, :, :width] = k[source]
            self.cache[layer, 1, rows, :, :width] = v[source]

    def advance(self) -> None:
        """One step, or `LOOK` on an accelerator."""
        steps = 1 if self.device.type == "cpu" else LOOK
        place = self.slots.start + self.slots.at
        self.reach = int(torch.where(self.slots.busy, place, 0).max())
        self._grow(self.reach + steps)
        for _ in range(steps):
            self._step()

    def release(self, job: Job) -> None:
        """Nothing is kept for a prompt."""

    def _grow(self, columns: int) -> None:
        missing = columns - self.cache.shape[4]
        if missing > 0:
            self.cache = F.pad(self.cache, (0, 0, 0, -(-missing // GROWTH) * GROWTH))

    def _step(self) -> None:
        s = self.slots
        place = (s.start + s.at).clamp(max=self.cache.shape[4] - 1)  # a row that has ended writes beside what is read
        logits = one_token(self.decoder, self.cache, s.tokens.gather(1, s.at[:, None])[:, 0], place)
        absorb(s, logits, self.sampling, self.stop)


def absorb(s: Slots, logits: Tensor, sampling: Sampling, stop: Tensor) -> None:
    """The end of a step, in place and without a look: logits [S, V] to a drawn token where none is forced."""
    following = s.at + 1
    token, logp, kept = draw(logits, sampling, uniform_at(s.key, s.offset + following))
    drawn = s.busy & (following >= s.known)
    column = following.clamp(max=s.tokens.shape[1] - 1)[:, None]
    for table, value in ((s.tokens, token), (s.logp, logp), (s.kept, kept), (s.acted, drawn)):
        now = table.gather(1, column)[:, 0]
        table.scatter_(1, column, torch.where(drawn, value, now)[:, None])
    s.known.add_(drawn)
    s.at.add_(s.busy)
    s.busy.logical_and_(~(drawn & (torch.isin(token, stop) | (s.known >= s.limit))))
