"""Decoding of small float32 models on a CPU by `operant.language.cpu.decode_kernels`.

The weights are laid out again at each call (a copy of the model, adapters merged; a few milliseconds for five million
parameters), so that sampling always reads what training left.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from operant.language.cpu import decode_kernels as kernels
from operant.language.cpu.activation_cache import LARGEST as LARGEST_TAPE
from operant.language.cpu.activation_cache import Tape
from operant.language.cpu.activation_cache import obstacle as tape_obstacle
from operant.language.cpu.decode_kernels import LANES, WIDE, Cache, How, Record, Rows, Scratch, Weights
from operant.language.model.decoder_layouts import Absolute, Rotary
from operant.language.model.language_model import LanguageModel
from operant.language.sample.decode_state import Decoding, Job, Prompts, Slots
from operant.language.sample.sampling import Completion, Sampling
from operant.language.sample.torch_decoder import beside, prefill

LARGEST = 2**26
"""Parameters of the largest model that is laid out again."""
STEPS = 8
"""Between two looks at which rows have ended."""
TOGETHER = 32
"""Rows that a thread decodes at a time."""
STEADY = 8
"""Rows of every product where equal rows are to get equal bits: two blocks of four to OpenBLAS, which round alike."""
FEW = 4
"""Rows up to which one thread decodes."""
ROOM = 1024
"""Columns that rows have room for, if they are not shorter, before they need more."""

ACTIVATIONS = {
    "SiLUActivation": kernels.SILU,
    "SiLU": kernels.SILU,
    "GELUTanh": kernels.GELU_TANH,
    "NewGELUActivation": kernels.GELU_TANH,
    "GELUActivation": kernels.GELU,
    "GELU": kernels.GELU,
    "ReLU": kernels.RELU,
}
"""By the name of the module's class."""


def obstacle(policy: LanguageModel) -> str | None:
    """Why the compiled decoding does not serve this model, in words; None where it does."""
    decoder: Any = policy.decoder
    parameters = list(policy.parameters())
    if any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters):
        return "not all parameters are float32 on the CPU"
    if sum(p.numel() for p in parameters) > LARGEST:
        return f"the model has more than {LARGEST:,} parameters"
    if decoder.head_dim % 4:
        return f"a head has {decoder.head_dim} dimensions, not a multiple of 4"
    block = decoder.layers[0]
    if type(_activation(block)).__name__ not in ACTIVATIONS:
        return f"the activation is {type(_activation(block)).__name__}"
    for name, module in (
        *decoder.model.named_modules(prefix="model"),
        *decoder.lm_head.named_modules(prefix="lm_head"),
    ):
        inner = module.get_base_layer() if hasattr(module, "get_base_layer") else module
        known = isinstance(inner, nn.Linear | nn.Embedding | nn.LayerNorm)
        if hasattr(inner, "weight") and not known and not type(inner).__name__.endswith(("RMSNorm", "Conv1D")):
            return f"{name} is a {type(inner).__name__}"
        if inner is not module and not isinstance(inner, nn.Linear) and type(inner).__name__ != "Conv1D":
            return f"{name} is adapted"
    return None


def _activation(block: Any) -> Any:
    return block.mlp.act_fn if hasattr(block.mlp, "act_fn") else block.mlp.act


def _weight(module: Any) -> Linear:
    """Weight [outputs, inputs] and bias [outputs] of a linear module, with its active adapters merged."""
    plain = module.get_base_layer() if hasattr(module, "get_base_layer") else module
    weight = plain.weight
    if plain is not module and not module.disable_adapters:
        for name in module.active_adapters:
            weight = weight + module.get_delta_weight(name)
    if not isinstance(plain, nn.Linear):
        weight = weight.T
    bias = plain.bias if plain.bias is not None else weight.new_zeros(len(weight))
    return weight, bias


Linear = tuple[Tensor, Tensor]


def _blocks(layers: Sequence[Sequence[Linear]], inputs: int = 0, apart: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Weights [layer, B, I, 64] and biases [layer, B 64] of projections of one input, side by side in each layer.

    Args:
        layers: weight [O, I] and bias [O] of each projection.
        inputs: at least this many, the rest zero.
        apart: each projection begins a block.
    """
    unit = WIDE if apart else 1
    places = np.cumsum([0] + [-(-len(bias) // unit) * unit for _, bias in layers[0]])
    count = -(-int(places[-1]) // WIDE)
    rows = max(inputs, layers[0][0][0].shape[1])
    weights = np.zeros((len(layers), count, rows, WIDE), np.float32)
    biases = np.zeros((len(layers), count * WIDE), np.float32)
    for packed, shifts, parts in zip(weights, biases, layers, strict=True):
        for first, (weight, bias) in zip(places.tolist(), parts, strict=False):
            kernels.pack(weight.detach().numpy(), packed, first)
            shifts[first : first + len(bias)] = bias.detach().numpy()
    return weights, biases


def turns(decoder: Any, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine [P, d] of each position's rotation; [0, d] where the family has none."""
    if isinstance(decoder, Absolute):
        none = np.zeros((0, decoder.head_dim), np.float32)
        return none, none
    found = decoder.model.rotary_emb(decoder.model.embed_tokens.weight[:1], position_ids=torch.arange(positions)[None])
    cos, sin = (x[0].contiguous().numpy() for x in found)
    return cos, sin


def weights(policy: LanguageModel) -> Weights:
    """The model laid out for the kernels, but for what depends on the number of positions."""
    decoder: Any = policy.decoder
    absolute = isinstance(decoder, Absolute)
    blocks, d, width = list(decoder.layers), decoder.head_dim, decoder.width
    cos, sin = turns(decoder, 0)

    def norm(module: Any) -> Tensor:
        shift = getattr(module, "bias", None)
        scale = 1.0 + module.weight if policy.base.config.get_text_config().model_type == "gemma" else module.weight
        return torch.stack([scale, torch.zeros_like(scale) if shift is None else shift])

    if absolute:
        table, places = decoder.model.wte, decoder.model.wpe.weight.detach().numpy()
        norms = [norm(m) for b in blocks for m in (b.ln_1, b.ln_2)] + [norm(decoder.model.ln_f)]
        eps, heads_norm, heads_eps = decoder.model.ln_f.eps, np.zeros((0, 2, d), np.float32), 0.0
        qkv = _blocks([[_weight(b.attn.c_attn)] for b in blocks])
        out = _blocks([[_weight(b.attn.c_proj)] for b in blocks])
        up = _blocks([[_weight(b.mlp.c_fc)] for b in blocks])
        last = [[_weight(b.mlp.c_proj)] for b in blocks]
    else:
        table, places = decoder.model.embed_tokens, np.zeros((0, width), np.float32)
        norms = [norm(m) for b in blocks for m in (b.input_layernorm, b.post_attention_layernorm)]
        norms.append(norm(decoder.model.norm))
        final, first = decoder.model.norm, blocks[0].self_attn
        eps = final.variance_epsilon if hasattr(final, "variance_epsilon") else final.eps
        heads_norm, heads_eps = np.zeros((0, 2, d), np.float32), 0.0
        if hasattr(first, "q_norm"):
            scales = [torch.stack([b.self_attn.q_norm.weight, b.self_attn.k_norm.weight]) for b in blocks]
            heads_norm, heads_eps = torch.stack(scales).numpy(), first.q_norm.variance_epsilon
        sides = [[_weight(m) for m in (b.self_attn.q_proj, b.self_attn.k_proj, b.self_attn.v_proj)] for b in blocks]
        qkv = _blocks(sides)
        out = _blocks([[_weight(b.self_attn.o_proj)] for b in blocks])
        up = _blocks([[_weight(b.mlp.gate_proj), _weight(b.mlp.up_proj)] for b in blocks], apart=True)
        last = [[_weight(b.mlp.down_proj)] for b in blocks]
    down = _blocks(last, inputs=up[0].shape[1] * WIDE // (1 if absolute else 2))
    stretch = decoder.stretch if not absolute and decoder.stretch is not None else getattr(table, "embed_scale", 1.0)
    return Weights(
        embed=table.weight.detach().numpy(),
        stretch=np.float32(float(stretch)),
        places=places,
        cos=cos,
        sin=sin,
        norms=torch.stack(norms).contiguous().numpy(),
        centred=absolute,
        eps=np.float32(eps),
        heads_norm=heads_norm,
        heads_eps=np.float32(heads_eps),
        qkv=qkv[0],
        qkv_bias=qkv[1],
        out=out[0],
        out_bias=out[1],
        up=up[0],
        up_bias=up[1],
        gated=not absolute,
        activation=ACTIVATIONS[type(_activation(blocks[0])).__name__],
        down=down[0],
        down_bias=down[1],
        head=_blocks([[_weight(decoder.lm_head)]])[0][0],
        heads=decoder.heads,
        kv_heads=decoder.kv_heads,
        scale=np.float32(decoder.scale),
    )


def _tape(policy: LanguageModel, tokens: int) -> Tape | None:
    """The policy's tape with room for so many tokens, if it can have one."""
    parameters = list(policy.parameters())
    decoder = policy.decoder
    if tape_obstacle(decoder, parameters) is not None:
        return None
    assert isinstance(decoder, Rotary)
    policy.tape = policy.tape or Tape(decoder, parameters)
    return policy.tape if policy.tape.bytes(tokens) <= LARGEST_TAPE else None


def _record(tape: Tape | None, count: int) -> Record:
    """The tape as the kernels see it, for so many rows."""
    names = ("x", "qkv", "out", "mid", "gates")
    empty = np.zeros((0, 0, 0), np.float32)
    arrays = [empty] * len(names) if tape is None else [getattr(tape, name).numpy() for name in names]
    return Record(tape is not None, np.zeros(count, np.int64), *arrays)


def _states(decoder: Any, count: int) -> Record:
    """Memory for the last residual stream of so many rows, and for nothing else: kernels keep what has a width."""
    none = np.zeros((decoder.depth, count, 0), np.float32)
    x = np.zeros((decoder.depth + 1, count, decoder.width), np.float32)
    return Record(True, np.zeros(count, np.int64), x, none, none, none, none)


@lru_cache(maxsize=64)
def _how(sampling: Sampling, vocab: int) -> How:
    stop = np.zeros(vocab, bool)
    stop[[t for t in sampling.stop if 0 <= t < vocab]] = True
    return How(np.float32(sampling.temperature), sampling.top_k, sampling.top_p, sampling.min_p, stop)


def _with_blocks(old: np.ndarray, blocks: int, held: Sequence[int]) -> np.ndarray:
    """[depth, ≥ blocks, n, …] with what `old` has of those held, of n; memory is taken as it is written."""
    if blocks <= old.shape[1]:
        return old
    new = np.zeros((old.shape[0], max(blocks, old.shape[1] * 3 // 2), *old.shape[2:]), np.float32)
    new[:, : old.shape[1], held] = old[:, :, held]
    return new


def _keys(cache: np.ndarray, layer: int, row: int, count: int) -> np.ndarray:
    """[K, count, d] of a row's keys, which lie in blocks [layer, B, row, K, d, LANES]."""
    some = cache[layer, : -(-count // LANES), row].transpose(1, 0, 3, 2)
    return some.reshape(some.shape[0], -1, some.shape[3])[:, :count]


def _values(cache: np.ndarray, layer: int, row: int, count: int) -> np.ndarray:
    """[K, count, d] of a row's values, which lie in blocks [layer, B, row, K, LANES, d]."""
    some = cache[layer, : -(-count // LANES), row].transpose(1, 0, 2, 3)
    return some.reshape(some.shape[0], -1, some.shape[3])[:, :count]


class Compiled(Decoding):
    """Rows decoded by compiled code, a share of them on each of torch's threads.

    A prompt's keys and values are computed once, some prompts ahead, and read by all its samples.

    Args:
        policy: the model, which is laid out as it is now.
        count: rows.
        places: prompts whose keys are held at once.
        ahead: prompts computed ahead.
        record: keep what is computed on the policy's tape, where that is possible. All jobs are expected at once then.
        steady: a row's numbers do not depend, bit for bit, on how many others there are; a product has `STEADY` rows.
    """

    feeds = True

    def __init__(
        self, policy: LanguageModel, count: int, places: int, ahead: int, *, record: bool = False, steady: bool = False
    ) -> None:
        self.steady = STEADY if steady else 0
        self.policy, self.decoder, self.record = policy, policy.decoder, record
        self.slots, self.prompts = Slots(count, 0, torch.device("cpu")), Prompts(places, ahead)
        self.weights, self.positions = weights(policy), 0
        self.threads = min(torch.get_num_threads(), max(1, count // FEW))
        self.pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None
        self.prompt = np.zeros(count, np.int64)  # of each row, its place
        self.tape: Tape | None = None
        self.kept, self.states = _record(None, count), _states(self.decoder, count)
        self.asked: set[int] = set()  # rows whose logits are asked for
        self.clear()

    def expect(self, jobs: Sequence[Job]) -> None:
        """Makes room, for long completions as they get long."""
        super().expect(jobs)
        self.prompts.expect(jobs)
        longest, columns = max(len(job.prompt.tokens) - 1 for job in jobs), max(job.columns for job in jobs)
        self._reserve(longest, min(columns, ROOM))
        if longest + columns > self.positions:
            self.positions = longest + columns
            cos, sin = turns(self.decoder, self.positions)
            self.weights = self.weights._replace(cos=cos, sin=sin)
            share = min(TOGETHER, -(-len(self.prompt) // self.threads))
            self.scratch = [self._scratch(share, self.positions) for _ in range(self.threads)]
        if self.record:
            prompts = sum(map(len, self.prompts.tokens.values()))
            self.tape = _tape(self.policy, len(jobs) * columns + prompts)
            if self.tape is not None:
                self.tape.begin(len(jobs) * columns, prompts, jobs[0].sampling.temperature or 1.0)
            self.kept = _record(self.tape, len(self.prompt))
        views = {name: getattr(self.slots, name).numpy() for name in Rows._fields if name != "prompt"}
        self.rows = Rows(**views | {"key": views["key"].view(np.uint64)}, prompt=self.prompt)

    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """Computes the prompts that are not at hand, and some ahead."""
        self.slots.place(slots, jobs)
        self._prefill(self.prompts.missing(jobs))
        for slot, job in zip(slots, jobs, strict=True):
            self.prompt[slot] = self.prompts.places[job.order]
            self.kept.base[slot] = job.number * self.slots.tokens.shape[1]
            (self.asked.add if job.logits else self.asked.discard)(slot)

    def advance(self, steps: int | None = None) -> None:
        """`STEPS` steps, each thread on its own."""
        busy, steps = np.flatnonzero(self.rows.busy), steps or STEPS
        self._reserve(0, min(int(self.rows.at[busy].max()) + steps, self.rows.tokens.shape[1]))
        record = self.kept
        if not self.asked.isdisjoint(busy.tolist()):
            record = self.states
            record.base[busy] = busy - self.rows.at[busy]  # a step's states stand at the row's own number
        for sampling, some in self.slots.alike(busy.tolist()):
            self._advance(np.array(some), _how(sampling, self.policy.vocab), steps, record)

    def _advance(self, mine: np.ndarray, how: How, steps: int, record: Record) -> None:
        w, cache, rows = self.weights, self.cache, self.rows
        if self.pool is None or len(mine) <= FEW:
            kernels.advance(w, cache, rows, how, self.scratch[0], mine, steps, record)
            return
        shares = zip(np.array_split(mine, self.threads), self.scratch, strict=True)
        under_way = [
            self.pool.submit(kernels.advance, w, cache, rows, how, s, some, steps, record) for some, s in shares
        ]
        for one in under_way:
            one.result()

    def logits(self, slots: Sequence[int]) -> Tensor:
        """Computed again from the last residual stream; after single steps."""
        return self.decoder.head(self.decoder.norm(torch.from_numpy(self.states.x[-1, list(slots)])))

    def clear(self) -> None:
        super().clear()
        depth, k, d = self.decoder.depth, self.decoder.kv_heads, self.decoder.head_dim

        def none(count: int, *block: int) -> np.ndarray:
            return np.zeros((depth, 0, count, k, *block), np.float32)

        places, rows = len(self.prompts.empty), len(self.prompt)
        self.cache = Cache(none(places, d, LANES), none(places, LANES, d), none(rows, d, LANES), none(rows, LANES, d))

    def _reserve(self, before: int, behind: int) -> None:
        """Have room for prompts of so many tokens, and for so many columns."""
        before, behind, c = -(-before // LANES), -(-behind // LANES), self.cache
        if before <= c.prompt_k.shape[1] and behind <= c.k.shape[1]:
            return
        prompts, rows = list(self.prompts.places.values()), np.flatnonzero(self.slots.busy.numpy()).tolist()
        self.cache = Cache(
            *(_with_blocks(x, before, prompts) for x in (c.prompt_k, c.prompt_v)),
            *(_with_blocks(x, behind, rows) for x in (c.k, c.v)),
        )

    def hold(self, done: Sequence[Completion]) -> None:
        """All completions have ended: the tape is told which stand where."""
        for number, c in enumerate(done if self.tape is not None else ()):
            assert self.tape is not None
            last = len(c.acted) - c.acted[::-1].index(True) if True in c.acted else 0
            tokens = (*c.prompt.tokens, *c.tokens[:last])
            self.tape.hold(tokens, len(c.prompt.tokens) - 1, number * self.slots.tokens.shape[1], c.logp[:last])

    def release(self, job: Job) -> None:
        """The place of a prompt is free once all its samples have ended."""
        self.prompts.release(job)

    def _prefill(self, orders: Sequence[int]) -> None:
        prompts = [self.prompts.tokens[order] for order in orders]
        width = max(map(len, prompts), default=0)
        if width == 0:
            return
        places = [self.prompts.places[order] for order in orders]
        if self.tape is not None:
            keys, values = self.tape.prefill(prompts)
        else:
            keys, values = prefill(self.decoder, beside(prompts, torch.device("cpu")))
        for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
            for b in range(-(-width // LANES)):
                some, stop = slice(b * LANES, (b + 1) * LANES), min(LANES, width - b * LANES)
                self.cache.prompt_k[layer, b, places, :, :, :stop] = k[:, :, some].transpose(-1, -2).numpy()
                self.cache.prompt_v[layer, b, places, :, :stop] = v[:, :, some].numpy()

    def feed(self, slot: int) -> None:
        """Keys and values of all that a row has and was not fed, but for the last token, in one pass of torch.

        What comes of it depends on the row alone, as where a prompt is computed alone.
        """
        slots, place = self.slots, int(self.prompt[slot])
        first, last, before = int(slots.at[slot]), int(slots.known[slot]) - 1, int(slots.start[slot])
        if last <= first:
            return
        self._reserve(0, last + 1)
        at = torch.arange(before + first, before + last)[None]
        seen = torch.ones(last - first, before + last, dtype=torch.bool).tril(before + first)
        x, at = self.decoder.embed(slots.tokens[slot, first:last][None], at)
        c = self.cache
        for layer in range(self.decoder.depth):
            q, k, v = self.decoder.qkv(layer, x, at)
            for b in range(first // LANES, -(-last // LANES)):
                lo, hi = max(first, b * LANES), min(last, (b + 1) * LANES)
                here, some = slice(lo - b * LANES, hi - b * LANES), slice(lo - first, hi - first)
                c.k[layer, b, slot, :, :, here] = k[0, :, some].transpose(-1, -2).numpy()
                c.v[layer, b, slot, :, here] = v[0, :, some].numpy()
            if layer + 1 == self.decoder.depth:
                break  # what the last layer would say is not asked for
            keys, values = (
                np.concatenate([side(prompts, layer, place, before), side(rows, layer, slot, last)], 1)
                for prompts, rows, side in ((c.prompt_k, c.k, _keys), (c.prompt_v, c.v, _values))
            )
            keys, values = torch.from_numpy(keys), torch.from_numpy(values)
            y = F.scaled_dot_product_attention(
                q, keys[None], values[None], seen, scale=self.decoder.scale, enable_gqa=k.shape[1] != q.shape[1]
            )
            x = self.decoder.finish(layer, x, y)
        slots.at[slot] = last

    def _scratch(self, rows: int, positions: int) -> Scratch:
        w, vocab = self.weights, self.policy.vocab

        def floats(*shape: int) -> np.ndarray:
            return np.empty(shape, np.float32)

        width, inner, rows = w.embed.shape[1], w.down.shape[2], max(rows, self.steady)
        blocks = max(w.qkv.shape[1], w.out.shape[1], w.up.shape[1], w.down.shape[1], w.head.shape[0])
        return Scratch(
            active=np.empty(rows, np.int64),
            steady=self.steady,
            x=floats(rows, width),
            y=floats(rows, width),
            q=floats(rows, w.out.shape[2]),
            h=floats(rows, inner),
            z=floats(blocks, rows, WIDE),
            one=floats(max(w.qkv.shape[1], w.head.shape[0]) * WIDE),
            score=floats(positions + 3 * LANES),
            logits=floats(vocab),
            share=floats(vocab),
            allowed=np.empty(vocab, bool),
        )
