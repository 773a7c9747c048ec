"""Recurrent layers over whole rows: state carried from step to step, and zero where an episode begins."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """An LSTM or a GRU whose state is one flat vector [S]: of an LSTM h and c side by side, of a GRU h.

    A row [T] may hold several episodes. It is cut where they begin, the pieces run side by side as one batch, each from
    zero but for the first, which goes on from the row's state: a loop over T in compiled code and never in Python.

    Weights are orthogonal of gain 1, biases zero (details 32 to 36 of Huang et al. 2022).

    Args:
        kind: "lstm" (Hochreiter and Schmidhuber 1997) or "gru" (Cho et al. 2014).
        inputs: F.
        size: H.
        generator: where the weights come from.
    """

    def __init__(self, kind: Literal["lstm", "gru"], inputs: int, size: int, generator: torch.Generator) -> None:
        super().__init__()
        layer = nn.LSTM if kind == "lstm" else nn.GRU
        with torch.random.fork_rng(devices=[]):  # torch's own initialisation draws from its global generator
            self.cell = layer(inputs, size, batch_first=True)
        for name, parameter in self.cell.named_parameters():
            if name.startswith("weight"):
                nn.init.orthogonal_(parameter, 1.0, generator=generator)
            else:
                nn.init.zeros_(parameter)
        self.size, self.state = size, 2 * size if kind == "lstm" else size

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """[N, F], [N, S] → [N, H], the state after it [N, S]."""
        out, after = self.cell(x.unsqueeze(1), self._unpacked(state))
        return out.squeeze(1), self._packed(after)

    def forward(self, x: Tensor, state: Tensor, begins: Tensor) -> Tensor:
        """Whole rows.

        Args:
            x: [B, T, F].
            state: [B, S] before each row's first step.
            begins: [B, T] bool, where an episode begins, so that what was before is forgotten.

        Returns:
            [B, T, H].
        """
        rows, steps = begins.shape
        first = begins.clone()
        first[:, 0] = True
        start = first.reshape(-1).nonzero().squeeze(1)  # [C], pieces follow one another along the flattened rows
        length = torch.diff(start, append=start.new_tensor([rows * steps]))
        carried = (start % steps == 0) & ~begins.reshape(-1)[start]
        before = torch.where(carried.unsqueeze(1), state[start // steps], 0.0)
        flat = x.reshape(rows * steps, -1)
        out = flat.new_empty(rows * steps, self.size)
        for piece in _alike(length, 2 * rows * steps):
            reach = torch.arange(int(length[piece].max()), device=x.device)
            index = start[piece].unsqueeze(1) + reach  # [c, L]
            inside = reach < length[piece].unsqueeze(1)
            padded = flat[index.clamp(max=rows * steps - 1)]
            after, _ = self.cell(padded, self._unpacked(before[piece]))
            out = out.index_put((index[inside],), after[inside])
        return out.reshape(rows, steps, self.size)

    def _unpacked(self, state: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if self.state == self.size:
            return state.unsqueeze(0).contiguous()
        hidden, cell = state.split(self.size, -1)
        return hidden.unsqueeze(0).contiguous(), cell.unsqueeze(0).contiguous()

    def _packed(self, after: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        return after.squeeze(0) if isinstance(after, Tensor) else torch.cat([x.squeeze(0) for x in after], -1)


def _alike(length: Tensor, most: int) -> list[Tensor]:
    """Which pieces run together: all, where padded to the longest they hold at most so many steps; else those of a
    length up to 1, 2, 4, …, so that one long episode does not pad many short ones.
    """
    if len(length) * int(length.max()) <= most:
        return [torch.arange(len(length), device=length.device)]
    power = length.double().log2().ceil()
    return [(power == p).nonzero().squeeze(1) for p in power.unique().tolist()]
