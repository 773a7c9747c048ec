"""From examples to rows: padded, one example each, or packed, several in a row."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from operant.language.text.conversation import Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """N rows of L tokens, padded on the right."""

    tokens: Tensor  # [N, L] int64
    acted: Tensor  # [N, L-1] bool; acted[:, t] belongs to tokens[:, t+1]
    length: Tensor  # [N] int64; tokens that are not padding
    position: Tensor | None = None  # [N, L] int64, within each example; None where a row is one example
    segment: Tensor | None = None  # [N, L] int64; 1, 2, … number a row's examples, 0 is padding

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice) -> Rows:
        return self._each(lambda x: x[rows])

    def to(self, device: torch.device | str) -> Rows:
        """The same on a device."""
        return self._each(lambda x: x.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Rows:
        return Rows(
            tokens=change(self.tokens),
            acted=change(self.acted),
            length=change(self.length),
            position=None if self.position is None else change(self.position),
            segment=None if self.segment is None else change(self.segment),
        )


def padded(examples: Sequence[Encoded], pad: int) -> Rows:
    """One example a row, as wide as the longest.

    Args:
        examples: at least one.
        pad: the token to fill with; it is never acted, whichever it is.
    """
    width = max(len(e.tokens) for e in examples)
    tokens = torch.full((len(examples), width), pad)
    acted = torch.zeros(len(examples), width - 1, dtype=torch.bool)
    for i, e in enumerate(examples):
        tokens[i, : len(e.tokens)] = torch.tensor(e.tokens)
        acted[i, : len(e.acted)] = torch.tensor(e.acted, dtype=torch.bool)
    return Rows(tokens=tokens, acted=acted, length=torch.tensor([len(e.tokens) for e in examples]))


def packed(examples: Sequence[Encoded], pad: int, *, length: int) -> Rows:
    """Examples side by side in as few rows of `length` tokens as best-fit decreasing finds.

    No token sees another example's, none is learnt from another's last, and positions start anew: the loss is that of
    the padded rows.

    Args:
        examples: at least one, none longer than `length`.
        pad: the token to fill with.
        length: tokens in a row; rows end with the fullest.

    Raises:
        ValueError: if an example is longer than a row.
    """
    rows = best_fit([len(e.tokens) for e in examples], length)
    width = max(sum(len(examples[i].tokens) for i in row) for row in rows)
    tokens = torch.full((len(rows), width), pad)
    acted = torch.zeros(len(rows), width - 1, dtype=torch.bool)
    position, segment = torch.zeros(len(rows), width, dtype=torch.int64), torch.zeros_like(tokens)
    for n, row in enumerate(rows):
        at = 0
        for number, i in enumerate(row, 1):
            e, size = examples[i], len(examples[i].tokens)
            tokens[n, at : at + size] = torch.tensor(e.tokens)
            acted[n, at : at + size - 1] = torch.tensor(e.acted, dtype=torch.bool)
            position[n, at : at + size] = torch.arange(size)
            segment[n, at : at + size] = number
            at += size
    return Rows(tokens=tokens, acted=acted, length=(segment > 0).sum(-1), position=position, segment=segment)


def best_fit(sizes: Sequence[int], capacity: int) -> list[list[int]]:
    """Which sizes share a bin: the largest first, each into the fullest bin that has room for it (the first of equals).

    Args:
        sizes: of the items.
        capacity: of a bin.

    Returns:
        The items of each bin, as indices; at most 11/9 of the fewest bins possible (and 6/9 of one).

    Raises:
        ValueError: if an item is larger than a bin.

    Source: Johnson (1973), Near-optimal bin packing algorithms; for language models Ding et al. (2024), Fewer
    truncations improve language modeling.
    """
    bins: list[list[int]] = []
    by_room: dict[int, list[int]] = {}  # from the room left to the bins that have it
    for item in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if sizes[item] > capacity:
            raise ValueError(f"example {item} has {sizes[item]} tokens; a row has {capacity}")
        room = next((r for r in range(sizes[item], capacity + 1) if by_room.get(r)), None)
        if room is None:
            bins.append([])
            place, room = len(bins) - 1, capacity
        else:
            place = heapq.heappop(by_room[room])
        bins[place].append(item)
        heapq.heappush(by_room.setdefault(room - sizes[item], []), place)
    return bins


def within(widths: Sequence[int], rows: Sequence[int], tokens: int) -> list[list[int]]:
    """Items in parts of at most `tokens` tokens each, padding included (or of one item), the widest first.

    Args:
        widths: of each item, the longest of its rows.
        rows: how many rows each item has.
        tokens: the budget.

    Returns:
        The items of each part, as indices.
    """
    parts: list[list[int]] = []
    height = widest = 0
    for item in sorted(range(len(widths)), key=lambda i: (-widths[i], i)):
        if not parts or (height + rows[item]) * widest > tokens:
            parts.append([])
            height, widest = 0, widths[item]
        parts[-1].append(item)
        height += rows[item]
    return parts
