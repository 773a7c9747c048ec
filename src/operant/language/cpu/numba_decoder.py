"""Decoding of small float32 models on a CPU by `operant.language.cpu.decode_kernels`.

The weights are laid out again at each call (a copy of the model, adapters merged; a few milliseconds for five million
parameters), so that sampling always reads what training left.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from operant.language.cpu import decode_kernels as kernels
from operant.language.cpu.activation_cache import LARGEST as LARGEST_TAPE
from operant.language.cpu.activation_cache import Tape
from operant.language.cpu.activation_cache import obstacle as tape_obstacle
from operant.language.cpu.decode_kernels import LANES, WIDE, Cache, How, Record, Rows, Scratch, Weights
from operant.language.model.decoder_layouts import Absolute, Rotary
from operant.language.model.language_model import LanguageModel
from operant.language.sample.decode_state import Job, Slots
from operant.language.sample.sampling import Completion, Sampling
from operant.language.sample.torch_decoder import beside, prefill

LARGEST = 2**26
"""Parameters of the largest model that is laid out again."""
STEPS = 8
"""Between two looks at which rows have ended."""
TOGETHER = 32
"""Rows that a thread decodes at a time."""
FEW = 4
"""Rows up to which one thread decodes."""

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
    decoder = policy.decoder
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
    for name, module in policy.base.named_modules():
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


def weights(policy: LanguageModel, longest: int) -> Weights:
    """The model laid out for the kernels, for positions below `longest`."""
    decoder: Any = policy.decoder
    absolute = isinstance(decoder, Absolute)
    blocks, d, width = list(decoder.layers), decoder.head_dim, decoder.width
    none = np.zeros((0, d), np.float32)

    def norm(module: Any) -> Tensor:
        shift = getattr(module, "bias", None)
        scale = 1.0 + module.weight if policy.base.config.model_type == "gemma" else module.weight
        return torch.stack([scale, torch.zeros_like(scale) if shift is None else shift])

    if absolute:
        table, places = decoder.model.wte, decoder.model.wpe.weight.detach().numpy()
        cos = sin = none
        norms = [norm(m) for b in blocks for m in (b.ln_1, b.ln_2)] + [norm(decoder.model.ln_f)]
        eps, heads_norm, heads_eps = decoder.model.ln_f.eps, np.zeros((0, 2, d), np.float32), 0.0
        qkv = _blocks([[_weight(b.attn.c_attn)] for b in blocks])
        out = _blocks([[_weight(b.attn.c_proj)] for b in blocks])
        up = _blocks([[_weight(b.mlp.c_fc)] for b in blocks])
        last = [[_weight(b.mlp.c_proj)] for b in blocks]
    else:
        table, places = decoder.model.embed_tokens, np.zeros((0, width), np.float32)
        turns = decoder.model.rotary_emb(table.weight[:1], position_ids=torch.arange(longest)[None])
        cos, sin = (x[0].contiguous().numpy() for x in turns)
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


class Compiled:
    """Rows decoded by compiled code, a share of them on each of torch's threads.

    A prompt's keys and values are computed once, some prompts ahead, and read by all its samples.
    """

    refills = True

    def __init__(
        self,
        policy: LanguageModel,
        jobs: Sequence[Job],
        sampling: Sampling,
        seed: int,
        count: int,
        samples: int,
        *,
        record: bool = False,
    ) -> None:
        self.decoder, self.sampling = policy.decoder, sampling
        columns = 1 + max(sampling.max_tokens - job.prompt.drawn for job in jobs)
        self.prompts = {job.order: job.prompt.tokens[:-1] for job in jobs}
        self.left = dict.fromkeys(self.prompts, samples)  # samples that have not ended
        self.ahead = max(1, count // samples)
        self.places: dict[int, int] = {}  # of each prompt in the cache
        self.empty = list(range(min(len(self.prompts), count + self.ahead)))
        longest = max(len(p) for p in self.prompts.values())
        self.slots = Slots(count, columns, seed, torch.device("cpu"))
        self.weights = weights(policy, longest + columns)
        depth, k, d = self.decoder.depth, self.decoder.kv_heads, self.decoder.head_dim
        before, behind = -(-longest // LANES), -(-columns // LANES)
        self.cache = Cache(  # memory is taken as it is written
            prompt_k=np.zeros((depth, before, len(self.empty), k, d, LANES), np.float32),
            prompt_v=np.zeros((depth, before, len(self.empty), k, LANES, d), np.float32),
            k=np.zeros((depth, behind, count, k, d, LANES), np.float32),
            v=np.zeros((depth, behind, count, k, LANES, d), np.float32),
        )
        s = self.slots
        self.rows = Rows(
            tokens=s.tokens.numpy(),
            logp=s.logp.numpy(),
            kept=s.kept.numpy(),
            acted=s.acted.numpy(),
            known=s.known.numpy(),
            at=s.at.numpy(),
            limit=s.limit.numpy(),
            start=s.start.numpy(),
            key=s.key.numpy().view(np.uint64),
            offset=s.offset.numpy(),
            busy=s.busy.numpy(),
            prompt=np.zeros(count, np.int64),
        )
        stop = np.zeros(policy.vocab, bool)
        stop[[t for t in sampling.stop if 0 <= t < policy.vocab]] = True
        self.how = How(np.float32(sampling.temperature), sampling.top_k, sampling.top_p, sampling.min_p, stop)
        self.threads = min(torch.get_num_threads(), max(1, count // FEW))
        self.pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None
        share = min(TOGETHER, -(-count // self.threads))
        self.columns, before = columns, sum(map(len, self.prompts.values()))
        self.tape = _tape(policy, len(jobs) * columns + before) if record else None
        if self.tape is not None:
            self.tape.begin(len(jobs) * columns, before, sampling.temperature or 1.0)
        self.record = _record(self.tape, count)
        self.scratch = [self._scratch(share, longest + columns, policy.vocab) for _ in range(self.threads)]

    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """Computes the prompts that are not at hand, and some ahead."""
        self.slots.place(slots, jobs, self.sampling.max_tokens)
        missing = sorted({job.order for job in jobs} - self.places.keys())
        if missing:
            last = missing[-1]
            ahead = [o for o in range(last + 1, last + 1 + self.ahead) if o in self.prompts and o not in self.places]
            self._prefill((missing + ahead)[: len(self.empty)])
        for slot, job in zip(slots, jobs, strict=True):
            self.rows.prompt[slot] = self.places[job.order]
            self.record.base[slot] = job.number * self.columns

    def advance(self) -> None:
        """`STEPS` steps, each thread on its own."""
        busy = np.flatnonzero(self.rows.busy)
        w, cache, rows, how = self.weights, self.cache, self.rows, self.how
        if self.pool is None or len(busy) <= FEW:
            kernels.advance(w, cache, rows, how, self.scratch[0], busy, STEPS, self.record)
            return
        shares = zip(np.array_split(busy, self.threads), self.scratch, strict=True)
        under_way = [
            self.pool.submit(kernels.advance, w, cache, rows, how, s, mine, STEPS, self.record) for mine, s in shares
        ]
        for one in under_way:
            one.result()

    def hold(self, done: Sequence[Completion]) -> None:
        """All completions have ended: the tape is told which stand where."""
        for number, c in enumerate(done if self.tape is not None else ()):
            assert self.tape is not None
            last = len(c.acted) - c.acted[::-1].index(True) if True in c.acted else 0
            tokens = (*c.prompt.tokens, *c.tokens[:last])
            self.tape.hold(tokens, len(c.prompt.tokens) - 1, number * self.columns, c.logp[:last])

    def release(self, job: Job) -> None:
        """The place of a prompt is free once all its samples have ended."""
        self.left[job.order] -= 1
        if self.left[job.order] == 0:
            self.empty.append(self.places.pop(job.order))

    def _prefill(self, orders: Sequence[int]) -> None:
        places = [self.empty.pop() for _ in orders]
        self.places |= dict(zip(orders, places, strict=True))
        some = [self.prompts[order] for order in orders]
        width = max(len(p) for p in some)
        if width == 0:
            return
        if self.tape is not None:
            keys, values = self.tape.prefill(some)
        else:
            keys, values = prefill(self.decoder, beside(some, torch.device("cpu")))
        for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
            for b in range(-(-width // LANES)):
                some, stop = slice(b * LANES, (b + 1) * LANES), min(LANES, width - b * LANES)
                self.cache.prompt_k[layer, b, places, :, :, :stop] = k[:, :, some].transpose(-1, -2).numpy()
                self.cache.prompt_v[layer, b, places, :, :stop] = v[:, :, some].numpy()

    def _scratch(self, rows: int, positions: int, vocab: int) -> Scratch:
        w = self.weights

        def floats(*shape: int) -> np.ndarray:
            return np.empty(shape, np.float32)

        width, inner = w.embed.shape[1], w.down.shape[2]
        blocks = max(w.qkv.shape[1], w.out.shape[1], w.up.shape[1], w.down.shape[1], w.head.shape[0])
        return Scratch(
            active=np.empty(rows, np.int64),
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
