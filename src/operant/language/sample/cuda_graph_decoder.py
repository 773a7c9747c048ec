"""Decoding of static shapes, for CUDA: a step is one graph that the host replays without looking.

A step takes B rows from the embedding to the drawn token as device operations alone: no shape depends on data, nothing
is read back. B and the number of columns that attention reads come in buckets; on CUDA a step of each pair is captured
once as a graph and replayed, elsewhere it is called. The host looks at which rows have ended every `LOOK` steps, and
fills their places. A prompt's keys and values are computed once and read by all rows of its group. What is captured
stays with the engine: a later call of the same shapes captures nothing.

On a CPU all of this is tested but the capture itself; the module has not been run on a CUDA device.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from operant.language.model.language_model import LanguageModel
from operant.language.sample.attention import Where, attention
from operant.language.sample.decode_state import Job, Slots
from operant.language.sample.drawing import draw_lean
from operant.language.sample.sampling import Sampling, uniform_at
from operant.language.sample.torch_decoder import beside, prefill

LOOK = 16
"""Steps between two looks of the host."""
ROUND = 64
"""Columns by which caches are rounded up, and the fewest that attention reads."""
FEWEST = 8
"""Rows of the smallest bucket."""
PREFILL = 2**15
"""Tokens of prompts that go through the model at once."""
SHARE = 0.8
"""Of the free memory of a device, what caches may take."""


def serves(policy: LanguageModel) -> bool:
    """Whether this is the way to decode the model where it is."""
    return policy.device.type == "cuda"


def bucket(count: int, least: int, most: int) -> int:
    """The smallest of least, 2 least, 4 least … and `most` that holds `count`."""
    size = least
    while size < count:
        size *= 2
    return min(size, most)


def places_for(rows: int, prompts: int, samples: int) -> int:
    """Prompts whose keys are held at once: one for each row at worst, and those computed ahead."""
    return min(prompts, rows + max(1, rows // samples))


def rows_that_fit(count: int, room: float, need: Callable[[int], float]) -> int:
    """The most rows, up to `count` and at least 1, whose `need` is within `room`, of which it rises."""
    low, high = 1, count
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if need(middle) <= room else (low, middle - 1)
    return low


def room(device: torch.device) -> float:
    """Bytes that caches may take."""
    if device.type != "cuda":
        return math.inf
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return SHARE * (torch.cuda.mem_get_info(device)[0] + unused)


def reopened(
    old: Static | None, policy: LanguageModel, jobs: Sequence[Job], sampling: Sampling, seed: int, count: int,
    samples: int,
) -> Static:  # fmt: skip
    """`old` begun anew where its caches hold these jobs, else another in its place."""
    longest = max(len(job.prompt.tokens) - 1 for job in jobs)
    columns = 1 + max(sampling.max_tokens - job.prompt.drawn for job in jobs)
    prompts = len({job.order for job in jobs})
    if old is None or not old.holds(count, longest, columns, prompts, samples):
        if old is not None:  # as large in each respect, or calls that take turns would be for ever at it
            _, _, places, _, before, _ = old.shared.shape
            longest, columns, prompts = max(longest, before), max(columns, old.own.shape[4]), max(prompts, places)
            count = max(count, old.asked)
            old.drop()
        old = Static(policy, count, longest, columns, prompts, samples)
    old.open(jobs, sampling, seed, samples)
    return old


class Static:
    """S rows over caches that stay in place: of prompts [layer, 2, P, K, A, d] and of rows [layer, 2, S, K, C, d].

    Args:
        policy: the model, of a layout that the slim forward reads.
        count: rows decoded together; fewer, where the device has no room for their keys.
        longest: tokens of a prompt but its last.
        columns: of the longest completion and one.
        prompts: in all.
        samples: of each.
    """

    refills = True

    def __init__(
        self, policy: LanguageModel, count: int, longest: int, columns: int, prompts: int, samples: int
    ) -> None:
        self.policy, self.decoder, self.device, self.asked = policy, policy.decoder, policy.device, count
        self.attend = attention(self.device)
        decoder, dtype = self.decoder, next(policy.parameters()).dtype
        behind, before = -(-columns // ROUND) * ROUND, -(-longest // ROUND) * ROUND
        token = 2 * decoder.depth * decoder.kv_heads * decoder.head_dim * dtype.itemsize  # bytes

        def need(rows: int) -> float:
            return token * (rows * behind + places_for(rows, prompts, samples) * before)

        rows = rows_that_fit(count, room(self.device), need)
        self.slots = Slots(rows, behind, 0, self.device)

        def cache(number: int, width: int) -> Tensor:
            shape = (decoder.depth, 2, number, decoder.kv_heads, width, decoder.head_dim)
            return torch.zeros(shape, dtype=dtype, device=self.device)

        self.shared, self.own = cache(places_for(rows, prompts, samples), before), cache(rows, behind)
        self.place = torch.zeros(rows, dtype=torch.int64, device=self.device)  # of each row's prompt in `shared`
        self.stop = torch.zeros(policy.vocab, dtype=torch.bool, device=self.device)
        self.graphs: dict[object, Callable[[], None]] = {}
        self.active: dict[int, Tensor] = {}  # by B, the rows of a step
        self.pool = torch.cuda.graph_pool_handle() if self.device.type == "cuda" else None

    def holds(self, count: int, longest: int, columns: int, prompts: int, samples: int) -> bool:
        """Whether the caches serve such a call."""
        places, before = self.shared.shape[2], self.shared.shape[4]
        fits = longest <= before and columns <= self.own.shape[4] and count <= self.asked
        return fits and places_for(len(self.slots.busy), prompts, samples) <= places

    def drop(self) -> None:
        """Let go of the memory, before others are made."""
        self.graphs.clear()
        self.shared = self.own = torch.empty(0, device=self.device)

    def open(self, jobs: Sequence[Job], sampling: Sampling, seed: int, samples: int) -> None:
        """Begin a call."""
        self.sampling, self.slots.seed = sampling, seed
        self.prompts = {job.order: job.prompt.tokens[:-1] for job in jobs}
        self.left = dict.fromkeys(self.prompts, samples)  # samples that have not ended
        self.ahead = max(1, len(self.slots.busy) // samples)
        self.places: dict[int, int] = {}  # by prompt
        self.empty = list(range(self.shared.shape[2]))
        self.under: dict[int, int] = {}  # from the number of a job to its row
        self.limit: dict[int, int] = {}  # by row
        self.stepping: tuple[int, list[int]] = (0, [])  # size of the bucket, and rows under way in it
        off = any(getattr(m, "disable_adapters", False) is True for m in self.policy.model.modules())
        how = replace(sampling, max_tokens=1, stop=())  # the rest stands in a graph; these two do not
        self.captured = (how, off, *(p.data_ptr() for p in self.policy.parameters() if self.pool is not None))
        self.slots.busy.fill_(False)
        known = [t for t in sampling.stop if 0 <= t < len(self.stop)]
        self.stop.fill_(False)
        self.stop.index_fill_(0, torch.tensor(known, dtype=torch.int64, device=self.device), True)

    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """Computes the prompts that are not at hand, and some ahead."""
        self.slots.place(slots, jobs, self.sampling.max_tokens)
        missing = sorted({job.order for job in jobs} - self.places.keys())
        if missing:
            last = missing[-1]
            ahead = [o for o in range(last + 1, last + 1 + self.ahead) if o in self.prompts and o not in self.places]
            self._prefill((missing + ahead)[: len(self.empty)])
        for slot, job in zip(slots, jobs, strict=True):
            self.under[job.number] = slot
            self.limit[slot] = 1 + self.sampling.max_tokens - job.prompt.drawn
        places = torch.tensor([self.places[job.order] for job in jobs], device=self.device)
        self.place[torch.tensor(slots, device=self.device)] = places

    def release(self, job: Job) -> None:
        """The place of a prompt is free once all its samples have ended."""
        del self.under[job.number]
        self.left[job.order] -= 1
        if self.left[job.order] == 0:
            self.empty.append(self.places.pop(job.order))

    def advance(self) -> None:
        """Up to `LOOK` steps of the rows under way, none of which is looked at."""
        rows, at = sorted(self.under.values()), self.slots.at.tolist()
        steps = min(LOOK, max(self.limit[r] - 1 - at[r] for r in rows))
        size = bucket(len(rows), FEWEST, len(self.slots.busy))
        reach = bucket(max(at[r] for r in rows) + steps, ROUND, self.own.shape[4])
        with torch.cuda.device(self.device) if self.pool is not None else contextlib.nullcontext():
            step = self._bucket(self._active(rows, size), reach)
            for _ in range(steps):
                step()

    def _active(self, rows: list[int], size: int) -> Tensor:
        """These rows and as many idle ones as fill the bucket, in the place where the graphs of its size read them."""
        if size not in self.active:
            self.active[size] = torch.zeros(size, dtype=torch.int64, device=self.device)
        if self.stepping != (size, rows):
            idle = sorted(set(range(len(self.slots.busy))) - set(rows))
            self.active[size].copy_(torch.tensor([*rows, *idle[: size - len(rows)]]))
            self.stepping = (size, rows)
        return self.active[size]

    def _bucket(self, active: Tensor, reach: int) -> Callable[[], None]:
        """What does a step of these rows, whose columns are below `reach`: on CUDA a graph."""

        def step() -> None:
            self._step(active, reach)

        if self.pool is None:
            return step
        key = (*self.captured, len(active), reach)
        if key not in self.graphs:
            self.graphs[key] = capture(step, self.slots, self.pool)
        return self.graphs[key]

    def _prefill(self, orders: Sequence[int]) -> None:
        places = [self.empty.pop() for _ in orders]
        self.places |= dict(zip(orders, places, strict=True))
        width = max(len(self.prompts[order]) for order in orders)
        if width == 0:
            return
        some = max(1, PREFILL // width)
        for first in range(0, len(orders), some):
            part = [self.prompts[order] for order in orders[first : first + some]]
            to = torch.tensor(places[first : first + some], device=self.device)
            found = prefill(self.decoder, beside(part, self.device))
            for layer, pair in enumerate(zip(*found, strict=True)):
                for which, x in enumerate(pair):
                    self.shared[layer, which, to, :, : x.shape[2]] = x

    def _step(self, rows: Tensor, reach: int) -> None:
        """One token of the rows [B], whose columns are below `reach`."""
        decoder, s = self.decoder, self.slots
        at, start = s.at[rows], s.start[rows]
        where = Where(rows, self.place[rows], start, at)
        x, turn = decoder.embed(s.tokens[rows, at][:, None], (start + at)[:, None])
        for layer in range(decoder.depth):
            q, k, v = decoder.qkv(layer, x, turn)
            own = self.own[layer]
            own[0][rows, :, at], own[1][rows, :, at] = k[:, :, 0], v[:, :, 0]
            y = self.attend(q[:, :, 0], self.shared[layer], own[:, :, :, :reach], where, decoder.scale)
            x = decoder.finish(layer, x, y[:, :, None])
        absorb(s, rows, decoder.head(decoder.norm(x[:, 0])), self.sampling, self.stop)


def absorb(s: Slots, rows: Tensor, logits: Tensor, sampling: Sampling, stop: Tensor) -> None:
    """The end of a step of the rows [B]: from logits [B, V] a token where none is forced; `stop` [V] tells the last."""
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


def capture(step: Callable[[], None], slots: Slots, pool: Any) -> Callable[[], None]:
    """The step as a CUDA graph.

    It is run once before, for what a capture may not do (workspaces, lazily loaded kernels); what it changed of the
    rows is put back. Of the caches it wrote a column that the next step writes again.
    """
    state = [slots.tokens, slots.logp, slots.kept, slots.acted, slots.known, slots.at, slots.busy]
    before = [x.clone() for x in state]
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        step()
    for x, old in zip(state, before, strict=True):
        x.copy_(old)
    return graph.replay
