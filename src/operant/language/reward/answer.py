r"""Where in a completion the answer stands. The first place in a stated order that is there at all decides.

A place is a text, so that a config can hold it:

- "tag:NAME"     between <NAME> and </NAME>; two pairs, or half a pair, are no answer
- "boxed"        inside the last \boxed{…} or \fbox{…}, braces balanced; one that is not closed is no answer. Without
                 braces (\boxed 5), what follows up to the end of the formula, where that is one piece
- "after:MARK"   from the last MARK to the end of its line
- "last_number"  the last number in the text, as `operant.language.reward.number` reads it; where the last is only a
                 part of an expression (x/2, 10-5), no answer
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
from operant.language.reward.standing import last_standing
from operant.language.reward.trace import Trace

PLACES = ("tag:NAME", "boxed", "after:MARK", "last_number", "whole")
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_OPEN = re.compile(r"[ .,'’/^\\{×·-]*")
"""What a number may go on with, where the text is cut behind it."""


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
            return _BOX.search(text) is not None, boxed(text, cut=cut)
        case "after":
            _, mark, rest = text.rpartition(name)
            line, ended, _ = rest.partition("\n")
            return bool(mark), None if cut and not ended else line
        case "last_number":
            last = last_standing(text)
            unfinished = cut and last is not None and _OPEN.fullmatch(text, last.end) is not None
            return last is not None, None if last is None or unfinished else last.text
        case _:
            return True, None if cut else text


def tagged(text: str, name: str) -> str | None:
    """What stands between <name> and </name>; None unless each occurs exactly once, in this order."""
    opening, closing = f"<{name}>", f"</{name}>"
    if text.count(opening) != 1 or text.count(closing) != 1:
        return None
    start, end = text.index(opening) + len(opening), text.index(closing)
    return text[start:end] if start <= end else None


def boxed(text: str, *, cut: bool = False) -> str | None:
    r"""What the last \boxed{…} holds; None where there is none, its braces do not close, or it was cut."""
    boxes = [*_BOX.finditer(text)]
    if not boxes:
        return None
    rest = text[boxes[-1].end() :].lstrip()
    if not rest.startswith("{"):
        formula = re.split(r"\$|\n|\\[)\]]", rest, maxsplit=1)
        piece = formula[0].strip().removesuffix(".")
        return None if (cut and len(formula) == 1) or not re.fullmatch(r"[-+−]?\s?\S+", piece) else piece
    end = closing_brace(rest)
    return None if end is None else rest[1:end]


def closing_brace(text: str) -> int | None:
    r"""Where the brace that opens a text is closed; \{ and \} are none. None where it is not."""
    depth = 0
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0 and match[0] == "}":
            return match.start()
    return None


def last_number(text: str) -> str | None:
    """The last number in the text, as it is written; None where there is none, or the last is a part of an expression.

    `operant.language.reward.number.number` reads what this gives, and as the same number that the author wrote.
    """
    last = last_standing(text)
    return None if last is None else last.text
