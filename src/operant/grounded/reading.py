"""Sentences as the learned rewards of this room read them."""

from __future__ import annotations

import torch

from operant.control.networks.layout import Script
from operant.control.networks.text import Reader, Reading
from operant.env.text import Codes, Words


def reader(words: Words, size: int, generator: torch.Generator, *, first: int = 0) -> Reader:
    """A GRU over the codes [B, L] of sentences, H = `size`; they begin at the column `first` of a row."""
    codes = Codes(words)
    script = Script(slice(first, first + codes.length), False, codes.length, codes.count)
    return Reader([script], Reading("gru", size), generator)
