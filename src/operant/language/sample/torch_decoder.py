"""Decoding by torch: one token a step for every row, through the slim forward. Any device, any dtype, adapters too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.language.model.decoder_layouts import Decoder
from operant.language.model.language_model import LanguageModel
from operant.language.sample.decode_state import Decoding, Job, Slots
from operant.language.sample.drawing import draw_lean
from operant.language.sample.sampling import Sampling, uniform_at

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


def beside(prompts: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """[N, L] of rows padded on the right with 0."""
    width = max(len(p) for p in prompts)
    return torch.tensor([[*p, *[0] * (width - len(p))] for p in prompts], dtype=torch.int64, device=device)


def one_token(
    decoder: Decoder, tokens: Tensor, place: Tensor, attend: Callable[[int, Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """Logits [B, V] behind a token of each row, [B], which stands at `place` [B].

    Args:
        decoder: the model.
        tokens, place: of each row.
        attend: what the queries [B, H, d] of a layer see, [B, H, d], given its number, them, and the keys and values
            [B, K, d] of the tokens, which it keeps.
    """
    x, at = decoder.embed(tokens[:, None], place[:, None])
    for layer in range(decoder.depth):
        q, k, v = (part[:, :, 0] for part in decoder.qkv(layer, x, at))
        x = decoder.finish(layer, x, attend(layer, q, k, v)[:, :, None])
    return decoder.head(decoder.norm(x[:, 0]))


class Eager(Decoding):
    """Rows with keys and values of their own, of the prompt too, in a cache [layer, 2, S, K, capacity, d] by position.

    The cache grows as rows and columns are used. On an accelerator the host looks every `LOOK` steps; what a call of
    `Engine` does on CUDA is `operant.language.sample.cuda_graph_decoder`.

    Args:
        policy: the model, of a layout that the slim forward reads.
        count: S.
    """

    def __init__(self, policy: LanguageModel, count: int) -> None:
        self.decoder, self.device, self.vocab = policy.decoder, policy.device, policy.vocab
        self.dtype = next(policy.parameters()).dtype
        self.slots = Slots(count, 0, self.device)
        self.clear()

    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """Each prompt's keys and values for its rows, computed once for rows that begin together."""
        self.slots.place(slots, jobs)
        prompts = {job.order: job.prompt.tokens[:-1] for job in jobs}
        width = max(len(p) for p in prompts.values())
        self._grow(self.slots.used, width + 1)
        if width == 0:
            return
        order = {number: i for i, number in enumerate(prompts)}
        source = torch.tensor([order[job.order] for job in jobs], device=self.device)
        rows = torch.tensor(slots, device=self.device)
        keys, values = prefill(self.decoder, beside(list(prompts.values()), self.device))
        for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
            self.cache[layer, 0, rows, :, :width] = k[source]
            self.cache[layer, 1, rows, :, :width] = v[source]

    def advance(self, steps: int | None = None) -> None:
        """One step, or `LOOK` on an accelerator."""
        s, steps = self.slots, steps or (1 if self.device.type == "cpu" else LOOK)
        place = torch.where(s.busy, s.start + s.at, 0)
        columns = int(place.max()) + steps
        self._grow(s.used, columns)
        reach = -(-columns // GROWTH) * GROWTH
        alike = [(how, torch.tensor(rows, device=self.device)) for how, rows in s.alike(range(s.used))]
        for _ in range(steps):
            self._step(reach, alike)

    def clear(self) -> None:
        super().clear()
        shape = (self.decoder.depth, 2, 0, self.decoder.kv_heads, 0, self.decoder.head_dim)
        self.cache = torch.zeros(shape, dtype=self.dtype, device=self.device)

    def _grow(self, rows: int, columns: int) -> None:
        more, wider = rows - self.cache.shape[2], columns - self.cache.shape[4]
        if more <= 0 and wider <= 0:
            return
        # half as much again at least, so that copies cost little beside the steps between them
        more = max(more, self.cache.shape[2] // 2) if more > 0 else 0
        wider = -(-max(wider, self.cache.shape[4] // 2) // GROWTH) * GROWTH if wider > 0 else 0
        self.cache = F.pad(self.cache, (0, 0, 0, wider, 0, 0, 0, more))

    def _step(self, reach: int, alike: Sequence[tuple[Sampling, Tensor]]) -> None:
        """One token of the rows in use, whose columns are below `reach`."""
        s, decoder = self.slots, self.decoder
        rows = torch.arange(s.used, device=self.device)
        place = (s.start + s.at)[: s.used].clamp(max=reach - 1)  # a row that has ended writes beside what is read
        seen = (torch.arange(reach, device=self.device) <= place[:, None])[:, None, None]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.cache[layer, :, : s.used, :, :reach]
            keys[rows, :, place], values[rows, :, place] = k, v
            gqa = k.shape[1] != q.shape[1]
            return F.scaled_dot_product_attention(
                q[:, :, None], keys, values, attn_mask=seen, scale=decoder.scale, enable_gqa=gqa
            )[:, :, 0]

        self.last = one_token(decoder, s.tokens[rows, s.at[: s.used]], place, attend)
        for how, some in alike:
            logits = self.last if len(some) == len(self.last) else self.last[some]
            absorb(s, some, logits, how, stop_mask(how.stop, self.vocab, self.device))


@lru_cache(maxsize=64)
def stop_mask(stop: tuple[int, ...], vocab: int, device: torch.device) -> Tensor:
    """[V] bool: the tokens that end a completion."""
    mask = torch.zeros(vocab, dtype=torch.bool)
    mask[[t for t in stop if 0 <= t < vocab]] = True
    return mask.to(device)


def absorb(s: Slots, rows: Tensor, logits: Tensor, sampling: Sampling, stop: Tensor) -> None:
    """The end of a step of the rows [B]: from logits [B, V] a token where none is forced; `stop` [V] tells the last.

    In place and without a look: a CUDA graph can hold it.
    """
    busy, following = s.busy[rows], s.at[rows] + 1
    token, logp, kept = draw_lean(logits, sampling, uniform_at(s.key[rows], s.offset[rows] + following))
    drawn = busy & (following >= s.known[rows])
    column = following.clamp(max=s.tokens.shape[1] - 1)
    for table, value in ((s.tokens, token), (s.logp, logp), (s.kept, kept), (s.acted, drawn)):
        table[rows, column] = torch.where(drawn, value, table[rows, column])
    known = s.known[rows] + drawn
    s.known[rows] = known
    s.at[rows] = following - 1 + busy
    s.busy[rows] = busy & ~(drawn & (stop[token] | (known >= s.limit[rows])))
