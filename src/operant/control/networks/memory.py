"""Recurrent layers over whole rows: state carried from step to step, and zero where an episode begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

LARGEST = 256
"""Units of the largest layer whose product with one row does not start threads: larger ones are torch's alone."""


class Memory(nn.Module):
    """An LSTM or a GRU whose state is one flat vector [S]: of an LSTM h and c side by side, of a GRU h.

    A row [T] may hold several episodes. On a CPU compiled kernels go along the rows and forget where one begins
    (`recurrent.py`). Elsewhere a row is cut where episodes begin, the pieces run side by side as one batch, each from
    zero but for the first, which goes on from the row's state: a loop over T in torch's code and never in Python. The
    numbers are the same up to rounding.

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

    def reach(self, span: float, generator: torch.Generator) -> None:
        """Begin with units that keep what they hold for 1 to `span` steps: chrono initialisation.

        A gate σ(b) with b = log(u − 1) keeps 1 − 1/u of a state. Each unit draws u − 1 uniformly from [1, span − 1]:
        of an LSTM the forget gate's bias is that b and the input gate's −b, of a GRU the update gate's is b. With
        biases of zero half of a state is gone after each step, and of what was seen 20 steps ago a millionth is left.

        Source: Tallec and Ollivier (2018), Can recurrent neural networks warp time?, section 2.
        """
        size = self.size
        bias: Any = self.cell.bias_ih_l0
        drawn = (1.0 + (span - 2.0) * torch.rand(size, generator=generator)).log()
        with torch.no_grad():
            bias[size : 2 * size] = drawn
            if self.state > size:
                bias[:size] = -drawn

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """[N, F], [N, S] → [N, H], the state after it [N, S]."""
        if not torch.is_grad_enabled() and self._compiles(x):
            nothing = torch.zeros(len(x), 1, dtype=torch.bool)
            out, after, *_ = _forwards(x.unsqueeze(1), state, nothing, *self._weights())
            return out.squeeze(1), after
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
        if self._compiles(x) and not state.requires_grad:
            return _Rows.apply(self.in_pieces, x, state, begins, *self._weights())  # pyright: ignore[reportReturnType]
        return self.in_pieces(x, state, begins)

    def in_pieces(self, x: Tensor, state: Tensor, begins: Tensor) -> Tensor:
        """`forward` by torch."""
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

    def _compiles(self, x: Tensor) -> bool:
        """Whether the kernels take such numbers, outside of a graph that is drawn for another program."""
        known = x.dtype == torch.float32 and x.device.type == "cpu" and self.size <= LARGEST and x.numel() > 0
        return known and not torch.compiler.is_exporting() and _kernels() is not None

    def _weights(self) -> list[Tensor]:
        """Of the input and of h, then the biases of both."""
        return [*self.cell.parameters()]

    def _unpacked(self, state: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if self.state == self.size:
            return state.unsqueeze(0).contiguous()
        hidden, cell = state.split(self.size, -1)
        return hidden.unsqueeze(0).contiguous(), cell.unsqueeze(0).contiguous()

    def _packed(self, after: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        return after.squeeze(0) if isinstance(after, Tensor) else torch.cat([x.squeeze(0) for x in after], -1)


class _Rows(torch.autograd.Function):
    """`Memory.forward` by the kernels. A gradient of its gradient is torch's."""

    @staticmethod
    def forward(
        ctx: Any, again: Callable[..., Tensor], x: Tensor, state: Tensor, begins: Tensor, *weights: Tensor
    ) -> Tensor:
        out, _, gates, kept = _forwards(x, state, begins, *weights)
        ctx.again = again
        ctx.save_for_backward(x, state, begins, *weights, out, gates, kept)
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        x, state, begins, *weights, out, gates, kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            wanted = [t for t in (x, *weights) if t.requires_grad]
            found = iter(torch.autograd.grad(ctx.again(x, state, begins), wanted, slopes, create_graph=True))
            return (None, *(next(found) if t.requires_grad else None for t in (x, state, begins, *weights)))
        dz, dh = _backwards(slopes[0], state, begins, weights[1], out, gates, kept)
        flat, hidden = dz.flatten(0, 1), dh.flatten(0, 1)
        before = _before(out, state[:, : out.shape[-1]], begins).flatten(0, 1)
        dx = (flat @ weights[0]).view_as(x) if x.requires_grad else None
        return None, dx, None, None, flat.T @ x.flatten(0, 1), hidden.T @ before, flat.sum(0), hidden.sum(0)


def _forwards(
    x: Tensor, state: Tensor, begins: Tensor, inward: Tensor, own: Tensor, inward_bias: Tensor, own_bias: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """h [B, T, H], the state behind it, values of the gates, and c or what a GRU's reset gate weighs."""
    lstm, size = 4 * own.shape[1] == len(own), own.shape[1]
    gates = functional.linear(x, inward, inward_bias).detach().contiguous()
    after = state.detach().clone(memory_format=torch.contiguous_format)
    out = gates.new_empty(*gates.shape[:2], size)
    kept = torch.empty_like(out)
    arrays = (gates, own.detach(), own_bias.detach(), begins.contiguous(), after, out, kept)
    (_kernels().lstm if lstm else _kernels().gru)(*(t.numpy() for t in arrays))
    return out, after, gates, kept


def _backwards(
    slope: Tensor, state: Tensor, begins: Tensor, own: Tensor, out: Tensor, gates: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor]:
    """dLoss/d(W x + b) and dLoss/d(W h + b)."""
    size, gates = out.shape[-1], gates.clone()
    common = (gates, own.detach(), begins.contiguous())
    if 4 * size == len(own):
        arrays = (*common, _before(kept, state[:, size:], begins), kept, slope.contiguous())
        _kernels().lstm_slope(*(t.numpy() for t in arrays))
        return gates, gates
    kept = kept.clone()
    arrays = (*common, _before(out, state, begins), kept, slope.contiguous())
    _kernels().gru_slope(*(t.numpy() for t in arrays))
    return gates, torch.cat([gates[..., : 2 * size], kept], -1)


def _before(after: Tensor, state: Tensor, begins: Tensor) -> Tensor:
    """[B, T, H] before each step, of those behind it and of the rows' state [B, H]."""
    before = torch.cat([state.unsqueeze(1), after[:, :-1]], 1)
    return torch.where(begins.unsqueeze(-1), 0.0, before)


@cache
def _kernels() -> Any:
    """The compiled layers; None where nothing can be compiled."""
    try:
        return import_module("operant.control.networks.recurrent")
    except ImportError:
        return None


def _alike(length: Tensor, most: int) -> list[Tensor]:
    """Which pieces run together: all, where padded to the longest they hold at most so many steps; else those of a
    length up to 1, 2, 4, …, so that one long episode does not pad many short ones.
    """
    if len(length) * int(length.max()) <= most:
        return [torch.arange(len(length), device=length.device)]
    power = length.double().log2().ceil()
    return [(power == p).nonzero().squeeze(1) for p in power.unique().tolist()]
