"""Gradients of log-probabilities from a tape: the backward pass of a Llama, written by hand.

For a layer x' = m + W_d h, h = act(W_g y₁) ∘ W_u y₁, y₁ = norm(m), m = x + W_o a, a = attention(W_qkv norm(x)), from
the last to the first:

    dh = dx' W_d          dW_d = dx'ᵀ h          dm = dx' + norm'(W_guᵀ d(gate, up))      dW_gu = d(gate, up)ᵀ y₁
    da = dm W_o           dW_o = dmᵀ a           dx = dm + norm'(W_qkvᵀ dqkv)             dW_qkv = dqkvᵀ y₀

The products are torch's; norms, gates and attention are `operant.language.cpu.backward_kernels`. Tokens go through in
chunks of whole groups, so that what a layer needs stays in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from operant.language.cpu import backward_kernels as kernels
from operant.language.cpu.activation_cache import ACTIVATIONS, Held, Tape
from operant.language.model.seeing import Sighted
from operant.language.text.pictures import FIRST

CHUNK = 256
"""Tokens of a chunk, at least, where there are as many."""
SCORES = 2**20
"""Logits held at once."""

Gradients = dict[Tensor, Tensor]
Integers = NDArray[np.int64]
NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Chunk:
    """M tokens of whole groups."""

    index: Tensor  # [M] place on the tape; prompts stand behind what was sampled
    token: Tensor  # [M]
    rows: kernels.Rows
    scored: Tensor  # [A] tokens whose successor is scored
    target: Tensor  # [A] the successors
    output: Tensor  # [A] which score each is
    longest: int


def tape_logp(tape: Tape, held: Sequence[Held], acted: Tensor) -> Tensor:
    """log π of the decisions acted [N, T] of rows held on a tape, [number of decisions] in order of `acted.nonzero()`.

    The values are those that the sampler wrote; their gradient is the model's.
    """
    row, t = acted.nonzero(as_tuple=True)
    ends = np.searchsorted(row.numpy(), np.arange(len(held) + 1))  # decisions come row by row
    columns = np.split(t.numpy(), ends[1:-1])
    found = [np.array(one.logp, np.float32)[c - one.start] for one, c in zip(held, columns, strict=True)]
    logp = torch.from_numpy(np.concatenate(found))
    if not torch.is_grad_enabled():
        return logp
    seen, first = _seen(tape, held)
    scored: Any = _TapeLogp.apply(tape, held, row, t, logp, first, seen, *tape.trained)
    return scored


def _seen(tape: Tape, held: Sequence[Held]) -> tuple[Tensor, dict[int, int]]:
    """What the decoder reads of the rows' pictures, [P, D] with its graph, and the row at which each begins."""
    prompts = dict.fromkeys(one.tokens[: one.start] for one in held)
    tokens = torch.tensor([t for prompt in prompts for t in prompt if t >= FIRST], dtype=torch.int64)
    if not isinstance(tape.decoder, Sighted) or not len(tokens):
        return torch.zeros(0, tape.decoder.width), {}
    return tape.decoder.features(tape.decoder.pictures.listed(tokens))


class _TapeLogp(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, tape: Tape, held: Sequence[Held], row: Tensor, t: Tensor, logp: Tensor, first: dict[int, int],
        seen: Tensor, *_: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.of, ctx.seen = (tape, held, row, t), (seen, first)
        return logp

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dlogp: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (tape, held, row, t), (seen, first) = ctx.of, ctx.seen
        found = gradients(tape, held, row, t, dlogp, seen, first)
        return None, None, None, None, None, None, found[seen], *(found[p] for p in tape.trained)


@torch.no_grad()
def gradients(
    tape: Tape, held: Sequence[Held], row: Tensor, t: Tensor, dlogp: Tensor, seen: Tensor, first: Mapping[int, int]
) -> Gradients:
    """Σ dlogp ∂ log π for each trained parameter, and for what was `seen`, of decisions at columns t [A] of rows [A].

    Each of torch's threads goes through a share of the chunks by itself, with products on one thread: those of a chunk
    are too small to be shared. The shares are the same in every run, and are added up in their order.
    """
    chunks = _chunks(tape, held, row, t, first)
    threads = torch.get_num_threads()
    shares = _shares(chunks, threads)
    if len(shares) == 1:
        return _backward(tape, chunks, dlogp, seen)
    with ThreadPoolExecutor(len(shares), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found, *others = pool.map(partial(_backward, tape, dlogp=dlogp, seen=seen), shares)
    torch.set_num_threads(threads)  # the count of this thread never changed, but that of threads to come did
    for other in others:
        for p, x in other.items():
            found[p] += x
    return found


def _shares(chunks: Sequence[Chunk], count: int) -> list[list[Chunk]]:
    """At most so many shares of chunks, of about as many tokens: the longest first, to whoever has least."""
    shares: list[list[Chunk]] = [[] for _ in range(min(count, len(chunks)))]
    tokens = [0] * len(shares)
    for chunk in sorted(chunks, key=lambda c: -len(c.index)):
        least = tokens.index(min(tokens))
        shares[least].append(chunk)
        tokens[least] += len(chunk.index)
    return shares


@torch.no_grad()
def _backward(tape: Tape, chunks: Sequence[Chunk], dlogp: Tensor, seen: Tensor) -> Gradients:
    """The gradients of some chunks."""
    decoder = tape.decoder
    grads: Gradients = {x: torch.zeros_like(x) for x in (*tape.trained, seen)}
    blocks: list[Any] = [decoder.layers[i] for i in range(decoder.depth)]
    up = [_Joined((b.mlp.gate_proj, b.mlp.up_proj), grads) for b in blocks]
    qkv = [_Joined([getattr(b.self_attn, f"{n}_proj") for n in "qkv"], grads) for b in blocks]
    size, d = max(len(c.index) for c in chunks), decoder.head_dim
    scratch = kernels.scratch(max(c.longest for c in chunks), d)
    memory = {name: torch.empty(size, width) for name, (_, width) in tape.shapes.items()}
    memory |= {"y": torch.empty(size, decoder.width), "dy": torch.empty(size, decoder.width)}
    memory |= {"dout": torch.empty_like(memory["out"]), "dqkv": torch.empty_like(memory["qkv"])}
    memory |= {"dh": torch.empty(size, memory["gates"].shape[1] // 2), "rate": torch.empty(size)}
    for chunk in chunks:
        here = {name: x[: len(chunk.index)] for name, x in memory.items()}
        dx = _head_backward(tape, chunk, dlogp, here, grads)
        for layer in range(decoder.depth - 1, -1, -1):
            _mlp_backward(tape, layer, chunk, dx, here, grads, up[layer])
            _attention_backward(tape, layer, chunk, dx, here, grads, qkv[layer], scratch)
        table: Any = decoder.model.embed_tokens
        if len(seen):
            at = chunk.token >= FIRST
            grads[seen].index_add_(0, chunk.token[at] - FIRST, dx[at])
            chunk.token[at], dx[at] = 0, 0.0
        if table.weight in grads:
            stretch = decoder.stretch if decoder.stretch is not None else float(getattr(table, "embed_scale", 1.0))
            if table.padding_idx is not None:  # whose row is not trained from here
                dx.masked_fill_((chunk.token == table.padding_idx)[:, None], 0.0)
            grads[table.weight].index_add_(0, chunk.token, dx, alpha=stretch)
    return grads


# ---------------------------------------------------------------------------------------------------- the layers
def _take(tape: Tape, name: str, layer: int, chunk: Chunk, here: dict[str, Tensor]) -> Tensor:
    return torch.index_select(getattr(tape, name)[layer], 0, chunk.index, out=here[name])


def _weight(module: Any, dy: Tensor, x: Tensor, grads: Gradients) -> None:
    """dW += dyᵀ x, db += Σ dy."""
    if module.weight in grads:
        grads[module.weight].addmm_(dy.t(), x)
    if module.bias is not None and module.bias in grads:
        grads[module.bias].add_(dy.sum(0))


def _linear(module: Any, dy: Tensor, x: Tensor, dx: Tensor, grads: Gradients) -> None:
    """The same, and dx = dy W."""
    _weight(module, dy, x, grads)
    torch.mm(dy, module.weight, out=dx)


class _Joined:
    """Linear modules of one input as one: their weights side by side, and gradients that are views of one array."""

    def __init__(self, modules: Sequence[Any], grads: Gradients) -> None:
        self.weight = torch.cat([m.weight for m in modules])
        biases = [m.bias for m in modules if m.bias is not None]
        assert len(biases) in (0, len(modules))
        self.bias = torch.cat(biases) if biases else None
        own = {self.weight: torch.zeros_like(self.weight)}
        parts = own[self.weight].split([len(m.weight) for m in modules])
        grads |= {m.weight: part for m, part in zip(modules, parts, strict=True) if m.weight in grads}
        if self.bias is not None:
            own[self.bias] = torch.zeros_like(self.bias)
            parts = own[self.bias].split([len(b) for b in biases])
            grads |= {b: part for b, part in zip(biases, parts, strict=True) if b in grads}
        self.grads: Gradients = own

    def backward(self, dy: Tensor, x: Tensor, dx: Tensor) -> None:
        """As `_linear`."""
        _linear(self, dy, x, dx, self.grads)


def _scale(norm: Any) -> np.ndarray:
    weight = norm.weight.detach()
    return (weight + 1.0 if "Gemma" in type(norm).__name__ else weight).numpy()


def _eps(norm: Any) -> np.float32:
    return np.float32(norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps)


def _normalise(norm: Any, x: Tensor, y: Tensor, rate: Tensor) -> Tensor:
    kernels.normalise(x.numpy(), _scale(norm), _eps(norm), y.numpy(), rate.numpy())
    return y


def _norm_backward(norm: Any, x: Tensor, rate: Tensor, dy: Tensor, dx: Tensor, grads: Gradients) -> None:
    dscale = grads[norm.weight] if norm.weight in grads else torch.zeros_like(norm.weight)
    kernels.normalise_backward(x.numpy(), _scale(norm), rate.numpy(), dy.numpy(), dx.numpy(), dscale.numpy())


def _head_backward(tape: Tape, chunk: Chunk, dlogp: Tensor, here: dict[str, Tensor], grads: Gradients) -> Tensor:
    """dx [M, D] before the last norm."""
    head, norm = tape.decoder.lm_head, tape.decoder.model.norm
    states = _take(tape, "x", tape.decoder.depth, chunk, here)
    dx = torch.zeros_like(states)
    for scored, target, output in zip(
        *(x.split(max(1, SCORES // tape.decoder.vocab)) for x in (chunk.scored, chunk.target, chunk.output)),
        strict=True,
    ):
        n = len(scored)
        x, y, dy, rate, dpart = (
            states[scored],
            here["y"][:n],
            here["dy"][:n],
            here["rate"][:n],
            torch.zeros(n, dx.shape[1]),
        )
        logits = F.linear(_normalise(norm, x, y, rate), head.weight, head.bias).div_(tape.temperature)
        kernels.score_backward(logits.numpy(), target.numpy(), (dlogp[output] / tape.temperature).numpy())
        _linear(head, logits, y, dy, grads)
        _norm_backward(norm, x, rate, dy, dpart, grads)
        dx[scored] = dpart
    return dx


def _mlp_backward(
    tape: Tape, layer: int, chunk: Chunk, dx: Tensor, here: dict[str, Tensor], grads: Gradients, joined: _Joined
) -> None:
    """dx behind the layer to dx between its halves, in place."""
    block: Any = tape.decoder.layers[layer]
    mid, gates = (_take(tape, name, layer, chunk, here) for name in ("mid", "gates"))
    y, dy, dh, rate, mlp = here["y"], here["dy"], here["dh"], here["rate"], block.mlp
    torch.mm(dx, mlp.down_proj.weight, out=dh)
    kernels.gate_backward(gates.numpy(), dh.numpy(), ACTIVATIONS[type(mlp.act_fn).__name__])  # dh is h now
    _weight(mlp.down_proj, dx, dh, grads)
    norm = block.post_attention_layernorm
    _normalise(norm, mid, y, rate)
    joined.backward(gates, y, dy)
    _norm_backward(norm, mid, rate, dy, dx, grads)


def _attention_backward(
    tape: Tape, layer: int, chunk: Chunk, dx: Tensor, here: dict[str, Tensor], grads: Gradients,
    joined: _Joined, scratch: kernels.Scratch,
) -> None:  # fmt: skip
    """dx between the layer's halves to dx before it, in place."""
    decoder, block = tape.decoder, tape.decoder.layers[layer]
    x, qkv, out = (_take(tape, name, layer, chunk, here) for name in ("x", "qkv", "out"))
    y, dy, dout, dqkv, rate = (here[name] for name in ("y", "dy", "dout", "dqkv", "rate"))
    _linear(block.self_attn.o_proj, dx, out, dout, grads)
    kernels.attention_backward(
        qkv.numpy(),
        out.numpy(),
        dout.numpy(),
        dqkv.numpy(),
        chunk.rows,
        decoder.heads,
        np.float32(decoder.scale),
        scratch,
    )
    norm = block.input_layernorm
    _normalise(norm, x, y, rate)
    joined.backward(dqkv, y, dy)
    _norm_backward(norm, x, rate, dy, dx, grads)


# ---------------------------------------------------------------------------------------------------- the tokens
def _chunks(tape: Tape, held: Sequence[Held], row: Tensor, t: Tensor, first: Mapping[int, int]) -> list[Chunk]:
    """Groups of equal prompts, each whole in one chunk; a picture's tokens are `FIRST` and the rows it has of all."""
    ends = np.searchsorted(row.numpy(), np.arange(len(held) + 1))  # decisions come row by row
    outputs = [np.arange(a, b) for a, b in pairwise(ends.tolist())]
    columns = t.numpy()
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, one in enumerate(held):
        if len(outputs[i]):
            groups.setdefault(one.tokens[: one.start], []).append(i)
    places = torch.arange(max((len(one.tokens) for one in held), default=0))
    cos, sin = tape.decoder.model.rotary_emb(tape.x[0, :1], position_ids=places[None])
    turns = cos[0].numpy(), sin[0].numpy()
    chunks: list[Chunk] = []
    made = _Maker()
    for prompt, members in groups.items():
        made.prompt(_numbered(tape.decoder, prompt, first) if first else prompt, tape.places[prompt])
        for i in members:
            made.row(held[i], outputs[i], columns[outputs[i]])
        if made.count >= CHUNK:
            chunks.append(made.chunk(turns))
            made = _Maker()
    if made.count:
        chunks.append(made.chunk(turns))
    return chunks


def _numbered(decoder: Any, prompt: tuple[int, ...], first: Mapping[int, int]) -> tuple[int, ...]:
    rows = iter(decoder.rows(decoder.pictures.listed(torch.tensor(prompt)), first))
    return tuple(token if token < FIRST else FIRST + next(rows) for token in prompt)


class _Maker:
    """Gathers the tokens of a chunk."""

    def __init__(self) -> None:
        self.count, self.longest = 0, 1
        self.index: list[Integers] = []
        self.token: list[int] = []
        self.position: list[Integers] = []
        self.prompts: list[tuple[int, int]] = []
        self.first: list[int] = [0]
        self.rows: list[tuple[int, int]] = []
        self.scored: list[Integers] = [NONE]
        self.target: list[Integers] = [NONE]
        self.output: list[Integers] = [NONE]

    def prompt(self, tokens: tuple[int, ...], place: int) -> None:
        self.prompts.append((self.count, self.count + len(tokens)))
        self.first.append(len(self.rows))
        self._add(tokens, place, 0)

    def row(self, one: Held, outputs: Integers, columns: Integers) -> None:
        """Up to the last token that is scored."""
        at, n = self.count, int(columns[-1]) + 1 - one.start
        self.rows.append((at, at + n))
        self.first[-1] = len(self.rows)
        self.scored.append(at + columns - one.start)
        self.target.append(np.array(one.tokens)[columns + 1])
        self.output.append(outputs)
        self._add(one.tokens[one.start : one.start + n], one.base, one.start)

    def _add(self, tokens: tuple[int, ...], place: int, position: int) -> None:
        n = len(tokens)
        self.index.append(np.arange(place, place + n))
        self.position.append(np.arange(position, position + n))
        self.token += tokens
        self.count += n
        self.longest = max(self.longest, position + n)

    def chunk(self, turns: tuple[NDArray[np.float32], NDArray[np.float32]]) -> Chunk:
        """What was gathered; `turns` are the cosines and sines [P, d] of all positions."""
        parts = (self.index, self.scored, self.target, self.output)
        index, scored, target, output = (torch.from_numpy(np.concatenate(x)) for x in parts)
        position = np.concatenate(self.position)
        rows = kernels.Rows(
            prompt=np.array(self.prompts, np.int64).reshape(-1, 2),
            first=np.array(self.first, np.int64),
            row=np.array(self.rows, np.int64).reshape(-1, 2),
            cos=turns[0][position],
            sin=turns[1][position],
        )
        return Chunk(index, torch.tensor(self.token), rows, scored, target, output, self.longest)
