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
from operant.language.sample.attention import attention
from operant.language.sample.decode_state import Decoding, Job, Prompts, Slots, Where, places_for
from operant.language.sample.torch_decoder import absorb, beside, one_token, prefill, stop_mask

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
    return policy.device.type == "cuda" and not policy.sees


def bucket(count: int, least: int, most: int) -> int:
    """The smallest of least, 2 least, 4 least … and `most` that holds `count`."""
    size = least
    while size < count:
        size *= 2
    return min(size, most)


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


def reopened(old: Static | None, policy: LanguageModel, jobs: Sequence[Job], count: int, samples: int) -> Static:
    """`old` begun anew where its caches hold these jobs, else another in its place."""
    longest, columns = max(len(job.prompt.tokens) - 1 for job in jobs), max(job.columns for job in jobs)
    prompts = len({job.order for job in jobs})
    if old is None or not old.holds(count, longest, columns, prompts, samples):
        if old is not None:  # as large in each respect, or calls that take turns would be for ever at it
            _, _, places, _, before, _ = old.shared.shape
            longest, columns, prompts = max(longest, before), max(columns, old.own.shape[4]), max(prompts, places)
            count = max(count, old.asked)
            old.drop()
        old = Static(policy, count, longest, columns, prompts, samples)
    old.open(jobs, samples)
    return old


class Static(Decoding):
    """S rows over caches that stay in place: of prompts [layer, 2, P, K, A, d] and of rows [layer, 2, S, K, C, d].

    Args:
        policy: the model, of a layout that the slim forward reads.
        count: rows decoded together; fewer, where the device has no room for their keys.
        longest: tokens of a prompt but its last.
        columns: of the longest completion and one.
        prompts: in all.
        samples: of each.
    """

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
        self.slots = Slots(rows, behind, self.device)

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

    def open(self, jobs: Sequence[Job], samples: int) -> None:
        """Begin a call, whose jobs are all drawn alike."""
        self.sampling = sampling = jobs[0].sampling
        self.prompts = Prompts(self.shared.shape[2], max(1, len(self.slots.busy) // samples))
        self.prompts.expect(jobs)
        self.under: dict[int, int] = {}  # from the number of a job to its row
        self.limit: dict[int, int] = {}  # by row
        self.stepping: tuple[int, list[int]] = (0, [])  # size of the bucket, and rows under way in it
        off = any(getattr(m, "disable_adapters", False) is True for m in self.policy.model.modules())
        how = replace(sampling, max_tokens=1, stop=())  # the rest stands in a graph; these two do not
        self.captured = (how, off, *(p.data_ptr() for p in self.policy.parameters() if self.pool is not None))
        self.slots.busy.fill_(False)
        self.stop.copy_(stop_mask(sampling.stop, len(self.stop), self.device))

    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """Computes the prompts that are not at hand, and some ahead."""
        self.slots.place(slots, jobs)
        self._prefill(self.prompts.missing(jobs))
        for slot, job in zip(slots, jobs, strict=True):
            self.under[job.number] = slot
            self.limit[slot] = job.columns
        places = torch.tensor([self.prompts.places[job.order] for job in jobs], device=self.device)
        self.place[torch.tensor(slots, device=self.device)] = places

    def release(self, job: Job) -> None:
        """The place of a prompt is free once all its samples have ended."""
        del self.under[job.number]
        self.prompts.release(job)

    def advance(self, steps: int | None = None) -> None:
        """Up to `LOOK` steps of the rows under way, none of which is looked at."""
        rows, at = sorted(self.under.values()), self.slots.at.tolist()
        steps = min(steps or LOOK, max(self.limit[r] - 1 - at[r] for r in rows))
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
        prompts = [self.prompts.tokens[order] for order in orders]
        width = max(map(len, prompts), default=0)
        if width == 0:
            return
        places, some = [self.prompts.places[order] for order in orders], max(1, PREFILL // width)
        for first in range(0, len(orders), some):
            to = torch.tensor(places[first : first + some], device=self.device)
            found = prefill(self.decoder, beside(prompts[first : first + some], self.device))
            for layer, pair in enumerate(zip(*found, strict=True)):
                for which, x in enumerate(pair):
                    self.shared[layer, which, to, :, : x.shape[2]] = x

    def _step(self, rows: Tensor, reach: int) -> None:
        """One token of the rows [B], whose columns are below `reach`."""
        s, decoder = self.slots, self.decoder
        at, start = s.at[rows], s.start[rows]
        where = Where(rows, self.place[rows], start, at)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            own = self.own[layer]
            own[0][rows, :, at], own[1][rows, :, at] = k, v
            return self.attend(q, self.shared[layer], own[:, :, :, :reach], where, decoder.scale)

        logits = one_token(decoder, s.tokens[rows, at], start + at, attend)
        absorb(s, rows, logits, self.sampling, self.stop)


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
