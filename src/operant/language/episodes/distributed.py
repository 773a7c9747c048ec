"""What several processes share: rows that each sampled, and sums. Alone, every function here does nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed


def rank() -> int:
    """This process's number."""
    return distributed.get_rank() if _initialised() else 0


def world_size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if _initialised() else 1


def all_gather(mine: Any) -> list[Any]:
    """What every process gave, in the order of their ranks; sent as JSON, so tuples come back as lists."""
    if world_size() == 1:
        return [mine]
    text = torch.frombuffer(bytearray(json.dumps(mine).encode()), dtype=torch.uint8)
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(world_size())]
    distributed.all_gather(lengths, torch.tensor([len(text)]))
    longest = max(int(n) for n in lengths)
    parts = [torch.zeros(longest, dtype=torch.uint8) for _ in lengths]
    distributed.all_gather(parts, torch.cat((text, text.new_zeros(longest - len(text)))))
    return [json.loads(bytes(part[: int(n)].tolist())) for part, n in zip(parts, lengths, strict=True)]


def all_reduce(tensors: Iterable[Tensor]) -> None:
    """Put the sum over all processes in the place of each tensor (gradients whose denominators are global)."""
    if world_size() > 1:
        for tensor in tensors:
            distributed.all_reduce(tensor)


def shard(x: Sequence[Any]) -> list[Any]:
    """This process's share: every n-th item, of n processes, beginning with its rank."""
    return list(x[rank() :: world_size()])


def _initialised() -> bool:
    return distributed.is_available() and distributed.is_initialized()
