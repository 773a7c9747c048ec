"""Parameters and an optimiser's state in memory that several processes share, one after the other in one file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SLOTS: dict[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.RMSprop: ("square_avg",),
    torch.optim.Adam: ("exp_avg", "exp_avg_sq"),
    torch.optim.SGD: (),
}
"""What each optimiser keeps of a parameter, besides its count of steps."""


def numbers(parameters: Sequence[Tensor], kind: type[torch.optim.Optimizer]) -> int:
    """How many float32 the memory must hold."""
    slots = SLOTS[kind]
    return sum(p.numel() * (1 + len(slots)) + bool(slots) for p in parameters)


def move(parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer, memory: np.ndarray, *, fill: bool) -> None:
    """Let parameters and the optimiser's state be views into `memory`; `fill` writes them there first.

    Args:
        parameters: float32 on the CPU, in an order that every process has.
        optimizer: over these; its state is new.
        memory: [`numbers`] float32.
        fill: write the parameters, and zeros, into the memory; else they become what is there.
    """
    flat, at = torch.from_numpy(memory), 0
    slots = SLOTS[type(optimizer)]

    def view(shape: torch.Size) -> Tensor:
        nonlocal at
        part = flat[at : at + shape.numel()].view(shape)
        at += shape.numel()
        return part

    with torch.no_grad():
        if fill:
            flat.zero_()
        for p in parameters:  # side by side, as the compiled sampler reads them
            there = view(p.shape)
            if fill:
                there.copy_(p)
            p.data = there
        for p in parameters if slots else ():
            optimizer.state[p] = {"step": view(torch.Size())} | {name: view(p.shape) for name in slots}
