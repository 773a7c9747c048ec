r"""What an answer in mathematics is, read into a tree of parts.

Numbers and expressions (`operant.language.reward.expression`), words, lists, sets, tuples and intervals, unions,
equations and inequalities, matrices, numerals of a base. `operant.language.reward.sameness` says when two are one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from operant.language.reward.exact import UnreadableError, letters
from operant.language.reward.expression import expression
from operant.language.reward.sameness import NAME, Answer, is_name, same, spoken
from operant.language.reward.spelling import balanced, spelt, split, within
from operant.language.reward.units import Unit, split_unit

LONGEST = 400
"""Characters of the longest answer that is read."""
ITEMS = 40
"""Items of the longest list that is read."""

_WORDS = re.compile(r"[A-Za-z][A-Za-z'’]{2,}(?:-[A-Za-z]{2,}|\s+[A-Za-z0-9'’]+)*|[A-Za-z]+(?:\s+[A-Za-z'’-]{2,})+")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}[.,]?")
_COUNTED = re.compile(
    r"(-?(?:[\d.,]+|\\frac\{\d+\}\{\d+\}))\s*\\text\s*\{\s*"
    r"(?!(?:th|st|nd|rd|more|less|not|mod|to|than|least|most|about|if|for|each|only|or|and|over)\b)([a-z]+)\s*\}"
)
_MONEY = {"\\$": "dollar", "$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee"}
_NO_WORDS = {"sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt", "infty"}
_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")


@lru_cache(maxsize=512)
def read(text: str) -> Answer:
    """The answer that a text is.

    Raises:
        UnreadableError: if it is none that can be read.
    """
    if len(text) > LONGEST or not balanced(text):
        raise UnreadableError("too long, or a brace is not closed")
    text = spelt(text)
    if len(text) > 2 * LONGEST:
        raise UnreadableError("too long")
    return _read(text, outermost=True)


def _read(text: str, outermost: bool = False) -> Answer:
    written = re.sub(r"\s", "", text)
    if not text:
        raise UnreadableError("nothing")
    for reader in (_words, _lists, _relations, _sets, _bracketed, _unions, _matrix, _numeral):
        if (found := reader(text, outermost)) is not None:
            return Answer(found.kind, found.parts, found.value, found.text or written, found.unit)
    if "\\pm" in text or "\\mp" in text:
        both = [_read(text.replace("\\pm", a).replace("\\mp", b)) for a, b in (("+", "-"), ("-", "+"))]
        return Answer("list", tuple(both), text=written)
    rest, unit = unit_of(text)
    text = text if unit == "degree" else rest
    if outermost or _GROUPED.fullmatch(text):
        text = _GROUPED.sub(lambda m: m[0].replace(",", ""), text)
    return Answer("number", value=expression(text.replace("\\$", "")), text=written, unit=unit)


def unit_of(text: str) -> Unit:
    """What stands before a unit, and the unit, of a text as it is spelt; "" for none."""
    rest, unit = split_unit(text, formula=True)
    if not unit and (match := _COUNTED.fullmatch(text)) is not None:
        rest, unit = match[1], match[2].removesuffix("s")  # a unit that is not known: it must be the same
    money = next((unit for sign, unit in _MONEY.items() if text.lstrip("+- ").startswith(sign)), "")
    return Unit(rest, unit or money)


def _words(text: str, outermost: bool) -> Answer | None:
    match = _TEXT.fullmatch(text)
    inside = match[1].strip() if match else text if _WORDS.fullmatch(text) else None
    if inside is None or (not match and re.split(r"\W", inside)[0] in _NO_WORDS) or not any(map(str.isalpha, inside)):
        return None
    return Answer("words", text=spoken(inside))


def _lists(text: str, outermost: bool) -> Answer | None:
    for mark in (";", ","):
        spans = [match.span() for match in _GROUPED.finditer(text)] if outermost and mark == "," else []
        pieces, found = split(text, mark, keep=lambda i, spans=spans: any(a < i < b for a, b in spans))
        if found:
            pieces = [piece for piece in pieces if piece]
            if len(pieces) > ITEMS:
                raise UnreadableError("too long a list")
            return pieces_of("list", [_read(piece, outermost) for piece in pieces])
    return None


def pieces_of(kind: str, parts: Sequence[Answer], value: Any = None) -> Answer:
    """A list or set of parts; a part that is two (±) counts as both."""
    flat = [each for part in parts for each in (part.parts if part.kind == "list" and "pm" in part.text else (part,))]
    return Answer(kind, tuple(flat), value)


def _relations(text: str, outermost: bool) -> Answer | None:
    sides, marks = split(text, "\\approx")
    if marks:
        exact = sides[0] if sides[0] and ("=" in sides[0] or not _is_letter(sides[0])) else sides[1]
        return _read(exact, outermost)
    sides, marks = split(text, "=", "<", ">", "\\le", "\\ge", "\\ne", "\\in")
    if not marks:
        return None
    if not sides[0] and len(marks) == 1 and marks[0] == "=":
        return _read(sides[1], outermost)
    first = Answer("words", text=sides[0]) if NAME.fullmatch(sides[0]) else _read(sides[0], outermost)
    parts = [first, *(_read(side, outermost) for side in sides[1:])]
    if marks == ["\\in"] and is_name(parts[0]):
        return Answer("named", tuple(parts))
    if set(marks) == {"="}:
        return _equation(parts)
    if "=" in marks or "\\in" in marks or ("\\ne" in marks and len(marks) > 1):
        raise UnreadableError("signs that do not go together")
    return Answer("order", tuple(parts), tuple(marks))


def _is_letter(text: str) -> bool:
    return re.fullmatch(r"\\?[A-Za-z]+(?:_(?:\w|\{\w+\}))?", text) is not None


def _equation(parts: Sequence[Answer]) -> Answer:
    """x = …, an equation, or a chain whose links must all be equal, and which is then worth the last."""
    first, *rest = parts
    if any(not same(link, rest[-1]) for link in rest[:-1]):
        raise UnreadableError("a chain of what is not equal")
    if is_name(first):
        return Answer("named", (first, rest[-1]))
    if first.kind == "number" and not letters(first.value):
        if same(first, rest[-1]):
            return rest[-1]
        if rest[-1].kind != "number" or not letters(rest[-1].value):
            raise UnreadableError("an equation that is false")
    if len(rest) > 1 or first.kind != "number" or rest[0].kind != "number":
        raise UnreadableError("a chain that begins with no name")
    return Answer("equation", tuple(parts))


def _sets(text: str, outermost: bool) -> Answer | None:
    if text == "\\emptyset":
        return Answer("set")
    if text == "\\mathbb{R}":
        ends = tuple(expression(x) for x in ("-\\infty", "\\infty"))
        return Answer("brackets", tuple(Answer("number", value=x) for x in ends), "()")
    inside = within(text, "\\{", "\\}") or (within(text, "{", "}") if "," in text else None)
    if inside is None:
        return None
    if split(inside, "|", ":")[1]:
        raise UnreadableError("a set by a condition")
    found = _read(inside)
    return pieces_of("set", found.parts if found.kind == "list" else [found])


def _bracketed(text: str, outermost: bool) -> Answer | None:
    for opening in "([":
        for closing in ")]":
            if (inside := within(text, opening, closing)) is not None:
                pieces, found = split(inside, ",", ";")
                if found:
                    return Answer("brackets", tuple(_read(piece) for piece in pieces), opening + closing)
                if opening + closing == "()":
                    return _read(inside)
    return None


def _unions(text: str, outermost: bool) -> Answer | None:
    pieces, found = split(text, "\\cup")
    return pieces_of("union", [_read(piece) for piece in pieces]) if found else None


def _matrix(text: str, outermost: bool) -> Answer | None:
    inside = within(text, "\\begin{matrix}", "\\end{matrix}")
    if inside is None:
        return None
    rows = [[*split(row, "&")[0]] for row in re.split(r"\\\\", inside) if row.strip()]
    if len({len(row) for row in rows}) != 1:
        raise UnreadableError("rows of different lengths")
    return Answer("matrix", tuple(_read(x) for row in rows for x in row), (len(rows), len(rows[0])))


def _numeral(text: str, outermost: bool) -> Answer | None:
    match = re.fullmatch(r"([0-9A-F]*\d[0-9A-F]*)_(?:(\d)|\{\s*(\d{1,2})\s*\})", text)
    return None if match is None else Answer("numeral", text=match[1].lstrip("0") or "0", value=match[2] or match[3])
