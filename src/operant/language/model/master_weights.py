"""AdamW for parameters in bfloat16: steps that are too small for eight bits add up in float32 copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

TOGETHER = 2**27
"""Numbers whose gradients are float32 at the same time."""


class MasterAdamW(torch.optim.AdamW):
    """AdamW of float32 copies of the parameters, which are rounded into place after each step.

    A parameter in bfloat16 moves by at least 1/256 of itself or not at all, which a step of 1e-6 never does. The state
    of each holds `master`, the copy, beside the two moments, all float32: 14 bytes a parameter with the parameter
    itself, and 2 for its gradient. Parameters in float32 are their own masters. Whoever writes to parameters by other
    ways must drop the state.

    Source: Micikevicius et al. (2018), Mixed precision training, section 3.1.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step from the gradients; `closure` is refused, as nothing here computes a loss twice."""
        assert closure is None
        for group in self.param_groups:
            for parameters in _parts([p for p in group["params"] if p.grad is not None]):
                self._step(group, parameters)

    def _step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = [self._state_of(p) for p in parameters]
        masters = [state.get("master", p) for state, p in zip(states, parameters, strict=True)]
        adamw(
            masters,
            [p.grad.float() for p in parameters if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        for p, master in zip(parameters, masters, strict=True):
            if master is not p:
                p.copy_(master)

    def _state_of(self, p: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[p]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(p, dtype=torch.float32)
            state["exp_avg_sq"] = torch.zeros_like(p, dtype=torch.float32)
            if p.dtype != torch.float32:
                state["master"] = p.detach().float()
        return state


def _parts(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of parameters of about `TOGETHER` numbers."""
    part: list[Tensor] = []
    held = 0
    for p in parameters:
        part.append(p)
        held += p.numel()
        if held >= TOGETHER:
            yield part
            part, held = [], 0
    if part:
        yield part
