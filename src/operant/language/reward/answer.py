"""Where in a completion the answer stands. The first place in a stated order that is there at all decides.

A place is a text, so that a config can hold it:

- "tag:NAME"     between <NAME> and </NAME>; two pairs, or half a pair, are no answer
- "boxed"        inside the last \\boxed{…}, braces balanced; one that is not closed is no answer
- "after:MARK"   from the last MARK to the end of its line
- "last_number"  the last number in the text
- "whole"        everything

When a place is there but holds no answer, the later ones are not tried: else a spoilt tag would open the whole text to
the search, and a number anywhere in it could score.

An answer that the limit on the length cut off is none: the 12 of an unfinished 1234 is not 12. So where the completion
was cut, "whole" holds no answer, nor does a line or a number that ends with the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from operant.config.errors import ConfigError
from operant.language.reward.trace import Trace

PLACES = ("tag:NAME", "boxed", "after:MARK", "last_number", "whole")
NUMBER = re.compile(
    r"(?<![\d.])(?:(?<![\w)])[-+])?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3}(?!\w))?%?"
)
"""A number as people write it: sign, thousands separators, decimals, exponent, percent."""


def extract(text: str, places: Sequence[str], *, cut: bool = False) -> str | None:
    """The answer in `text`, without the blanks around it; None where there is none.

    Args:
        text: the completion.
        places: where to look, in this order.
        cut: whether the completion was cut, and its end is not its end.
    """
    for place in places:
        there, answer = _look(text, place, cut)
        if there:
            return answer.strip() if answer is not None else None
    return None


def answer_of(trace: Trace, places: Sequence[str]) -> str | None:
    """The answer in a trace's completion."""
    return extract(trace.completion, places, cut=trace.finish == "length")


def check_places(places: Sequence[str]) -> None:
    """Raise ConfigError for a place that does not exist, or for none at all."""
    for place in places:
        kind, colon, name = place.partition(":")
        if not (place in PLACES[1:2] + PLACES[3:] or (kind in ("tag", "after") and colon and name)):
            raise ConfigError(f"an answer cannot be looked for at {place!r}: use {', '.join(PLACES)}")
    if isinstance(places, str) or not places:
        raise ConfigError(f"say where the answer stands, as a tuple of {', '.join(PLACES)}")


def _look(text: str, place: str, cut: bool) -> tuple[bool, str | None]:
    """Whether the place is there, and what it holds."""
    kind, _, name = place.partition(":")
    match kind:
        case "tag":
            return f"<{name}>" in text or f"</{name}>" in text, tagged(text, name)
        case "boxed":
            return "\\boxed" in text, boxed(text)
        case "after":
            _, mark, rest = text.rpartition(name)
            line, ended, _ = rest.partition("\n")
            return bool(mark), None if cut and not ended else line
        case "last_number":
            number = last_number(text)
            unfinished = cut and number is not None and text.rstrip(".,").endswith(number)
            return number is not None, None if unfinished else number
        case _:
            return True, None if cut else text


def tagged(text: str, name: str) -> str | None:
    """What stands between <name> and </name>; None unless each occurs exactly once, in this order."""
    opening, closing = f"<{name}>", f"</{name}>"
    if text.count(opening) != 1 or text.count(closing) != 1:
        return None
    start, end = text.index(opening) + len(opening), text.index(closing)
    return text[start:end] if start <= end else None


def boxed(text: str) -> str | None:
    r"""What the last \boxed{…} holds; None where there is none or its braces do not close."""
    start = text.rfind("\\boxed{")
    if start < 0 or start < text.rfind("\\boxed"):
        return None
    start += len("\\boxed{")
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i]
    return None


def last_number(text: str) -> str | None:
    """The last number in the text."""
    found = [match.group() for match in NUMBER.finditer(text)]
    return found[-1] if found else None
