"""What several processes share: rows that each sampled, and sums. Alone, every function here does nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed


def here() -> tuple[int, int]:
    """This process's number, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gather(mine: Any) -> list[Any]:
    """What every process gave, in the order of their numbers; sent as JSON, so tuples come back as lists."""
    world = here()[1]
    if world == 1:
        return [mine]
    text = torch.frombuffer(bytearray(json.dumps(mine).encode()), dtype=torch.uint8)
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(world)]
    distributed.all_gather(lengths, torch.tensor([len(text)]))
    longest = max(int(n) for n in lengths)
    parts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(world)]
    distributed.all_gather(parts, torch.cat((text, text.new_zeros(longest - len(text)))))
    return [json.loads(bytes(part[: int(n)].tolist())) for part, n in zip(parts, lengths, strict=True)]


def add_up(tensors: Iterable[Tensor]) -> None:
    """Put the sum over all processes in the place of each tensor (gradients whose denominators are global)."""
    if here()[1] > 1:
        for tensor in tensors:
            distributed.all_reduce(tensor)


def share(x: Sequence[Any]) -> list[Any]:
    """Every n-th item, of n processes, beginning with this one's number."""
    rank, world = here()
    return list(x[rank::world])
