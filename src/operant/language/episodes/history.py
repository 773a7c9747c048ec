"""What of an episode a prompt tells: all of it, the last turns, a line for each turn, or what the model noted itself.

A prompt is held to its budget before anything is generated: the oldest turns go first, then the end of what is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from operant.language.text.rendering import Message

Kind = Literal["full", "last", "lines", "memory"]

EFFECT = 100
"""Characters of an action, and of its effect, in a line."""
LEFT_OUT = " […]"
"""Behind what was shortened."""
SLACK = 0.75
"""Where turns are left out of a full history, so much of the budget is filled: each time begins a new row."""
NOTE = re.compile(r"<memory>(.*?)</memory>", re.DOTALL)
"""How a model writes its memory, among what else it says."""


@dataclass(frozen=True, slots=True)
class Past:
    """One turn that is over."""

    shown: str
    said: str
    effect: str
    pictures: tuple[str, ...] = ()  # that were shown with it


def noted(said: str, memory: str) -> tuple[str, str]:
    """An answer without what it notes, and the memory after it: the last note, or what it was."""
    found = NOTE.findall(said)
    return (NOTE.sub("", said).strip(), found[-1].strip()) if found else (said, memory)


def messages_of(
    kind: Kind, system: str, instruction: str, past: Sequence[Past], now: str, *, memory: str = "", left_out: int = 0,
    pictures: Sequence[str] = (),
) -> list[Message]:  # fmt: skip
    """The messages of a prompt.

    Args:
        kind: what is told of the past.
        system, instruction: what stands first; the instruction not again where the first line shown is it.
        past: turns that are over.
        now: what is shown.
        memory: what the model noted, where `kind` is memory.
        left_out: so many of the oldest turns are not told.
        pictures: that are shown now; those of earlier turns stand where what was shown in them does.
    """
    begun: list[Message] = [{"role": "system", "content": system}] if system else []
    told = past[left_out:]
    gap = f"({left_out} earlier turn{'s' * (left_out > 1)} left out)\n" if left_out else ""
    if kind in ("full", "last"):
        shown = [*((turn.shown, turn.pictures) for turn in told), (now, pictures)]
        found = [*begun, _user(_asked(instruction, gap + shown[0][0]), shown[0][1])]
        for turn, (following, seen) in zip(told, shown[1:], strict=True):
            found += [{"role": "assistant", "content": turn.said}, _user(following, seen)]
        return found
    lines = "".join(f"{_line(turn.said)} → {_line(turn.effect)}\n" for turn in told)
    before = f"Memory: {memory}\n" if kind == "memory" else gap + lines
    return [*begun, _user(_asked(instruction, before + now), pictures)]


def fitting(
    kind: Kind, system: str, instruction: str, past: Sequence[Past], now: str, *,
    memory: str, last: int, left_out: int, budget: int, encode: Callable[[Sequence[Message]], list[int]],
    pictures: Sequence[str] = (),
) -> tuple[list[Message], list[int], int] | None:  # fmt: skip
    """The messages of a prompt of at most `budget` tokens, its tokens, and how many turns it leaves out.

    The oldest turns are left out first (of a full history until `SLACK` of the budget suffices), then what is shown
    loses its end, then it is None.

    Args:
        kind, system, instruction, past, now, memory, pictures: as in `messages_of`.
        last: turns that a history of the last ones tells.
        left_out: turns that an earlier prompt left out already.
        budget: tokens.
        encode: messages to tokens.
    """
    first = max(left_out, len(past) - last) if kind == "last" else left_out
    room = budget
    for skipped in range(first, len(past) + 1):
        messages = messages_of(kind, system, instruction, past, now, memory=memory, left_out=skipped, pictures=pictures)
        tokens = encode(messages)
        if len(tokens) <= room:
            return messages, tokens, skipped
        room = int(SLACK * budget) if kind == "full" else budget
    while len(now) > 1:
        now = now[: len(now) // 2]
        messages = messages_of(
            kind, system, instruction, past, now + LEFT_OUT, memory=memory[-budget:], left_out=len(past),
            pictures=pictures,
        )  # fmt: skip
        tokens = encode(messages)
        if len(tokens) <= budget:
            return messages, tokens, len(past)
    return None


def _user(text: str, pictures: Sequence[str] = ()) -> Message:
    shown = [{"type": "image", "image": name} for name in pictures]
    return {"role": "user", "content": [*shown, {"type": "text", "text": text}] if shown else text}


def _asked(instruction: str, shown: str) -> str:
    """What is shown, behind the instruction unless it begins with it, as a world's own first line does.

    One that stands further down may be the words of a page, which must not take the place of the user's.
    """
    own = re.match(rf"([\w ]{{1,20}}: )?{re.escape(instruction)}(\s|$)", shown)
    return shown if own or not instruction else f"{instruction}\n{shown}".rstrip("\n")


def _line(text: str) -> str:
    """A text in one line of at most `EFFECT` characters."""
    one = " ".join(text.split())
    return one if len(one) <= EFFECT else one[: EFFECT - len(LEFT_OUT)] + LEFT_OUT
