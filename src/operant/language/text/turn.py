"""How a chat template writes an answer, and what a model makes of the pictures in a message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a chat template writes an answer.

    Attributes:
        lead: what it writes where generation begins and leaves out once there is an answer, as `<think>` and a newline.
        closing: its tokens behind what was said, up to the one that ends the answer.
        end: that token: the first control token behind what was said; None where there is none.
        tail: the tokens behind that, which no sampler writes.
    """

    lead: str
    closing: tuple[int, ...]
    end: int | None
    tail: tuple[int, ...]

    @property
    def opening(self) -> str:
        """The lead where an answer goes on inside of it; empty where it is closed, or there is none."""
        return "" if self._closer is None or self._closer in self.lead else self.lead

    def begun(self, said: str) -> str | None:
        """What a sampler writes of an answer, behind its opening; None where the answer never closes it.

        An answer that begins with the opening itself has it once.
        """
        opening = self.opening
        if not opening:
            return said
        tag = opening.strip()
        if said.lstrip().startswith(tag):
            return said.lstrip().removeprefix(tag).removeprefix(opening[opening.index(tag) + len(tag) :])
        return said if str(self._closer) in said else None

    @property
    def _closer(self) -> str | None:
        """`</think>` of `<think>`, `[/THINK]` of `[THINK]`; None where the lead names no tag."""
        found = re.search(r"([<\[])([^\s<>\[\]/]+)([>\]])", self.lead)
        return None if found is None else f"{found[1]}/{found[2]}{found[3]}"


class Sight(Protocol):
    """What a tokenizer's model makes of pictures; it stands on the tokenizer as its attribute `pictures`."""

    marker: str  # the token that a chat template writes where a picture stands

    def tokens(self, name: str) -> list[int]:
        """A picture's tokens: its reference at each place that it takes, and what the model has around them."""
        ...

    def places(self, token: int) -> int:
        """How many places a reference takes for one picture."""
        ...
