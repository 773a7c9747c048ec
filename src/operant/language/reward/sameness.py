r"""When two answers in mathematics are one: of one kind, and the same in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from operant.language.reward.exact import Node, UnreadableError, equal, evaluate, is_zero, letters, placed, points, sign
from operant.language.reward.expression import expression

NAME = re.compile(r"(?:m?\\?[A-Za-z]+'*(?:_(?:\w|\{[^{}]*\}))?(?:\^\{-1\})?)\([^()]*\)|\|[A-Z]{1,3}\||m?\\angle.*")


@dataclass(frozen=True, slots=True)
class Answer:
    """A part of an answer.

    Attributes:
        kind: "number", "words", "list", "set", "brackets" (tuple, point or interval), "union", "named" (x = 3, x ∈ S),
            "equation", "order" (a < b ≤ c, a ≠ b), "matrix" or "numeral" (101_2).
        parts: what it is made of.
        value: the SymPy expression of a number; the brackets, signs, size of a matrix, or base of a numeral.
        text: as it is written, without blanks.
        unit: what stands behind, "" where nothing does.
    """

    kind: str
    parts: tuple[Answer, ...] = ()
    value: Any = None
    text: str = ""
    unit: str = ""


def is_name(part: Answer) -> bool:
    """Whether a side of an equation names what the other side is: a letter, AB, f(x), |AB|, A:B, (p, q), a word."""
    if part.kind == "brackets":
        return all(map(is_name, part.parts))
    if part.kind == "words" or NAME.fullmatch(part.text):
        return True
    return part.kind == "number" and _of_letters(part.value)


def _of_letters(node: Node) -> bool:
    """Whether it is a letter, or one divided by another."""
    return node[0] == "letter" or (node[0] == "/" and node[1][0] == node[2][0] == "letter")


def spoken(text: str) -> str:
    """Words as they are compared: without marks, and without case but for a letter alone."""
    text = " ".join(re.sub(r"[()\".,]", " ", text).split())
    return text.casefold() if len(text) > 1 else text


def same(a: Answer, b: Answer) -> bool:
    """Whether two answers are one, in kind and in value; `a` is the gold answer, where one of them is."""
    if a.unit and b.unit and a.unit != b.unit:
        return False
    if a.kind == "named" and b.kind == "named" and a.parts[0].text == b.parts[0].text:
        return same(a.parts[1], b.parts[1])
    if (a.kind == "named") != (b.kind == "named") and not {a.kind, b.kind} & {"equation", "order"}:
        return same(a.parts[1] if a.kind == "named" else a, b.parts[1] if b.kind == "named" else b)
    if "words" in (a.kind, b.kind):
        return a.kind in ("words", "number") and b.kind in ("words", "number") and spoken(a.text) == spoken(b.text)
    if {a.kind, b.kind} <= {"named", "equation"}:
        return _proportional(a, b)
    if "order" in (a.kind, b.kind):
        return _same_order(a, b)
    if a.kind == b.kind == "number":
        return equal(a.value, b.value)
    if {a.kind, b.kind} <= {"list", "set"} or a.kind == b.kind == "union":
        return _same_items(a, b)
    if {a.kind, b.kind} == {"list", "brackets"}:
        listed, pair = (a, b) if a.kind == "list" else (b, a)
        return pair.value == "()" and all(x.kind == "named" for x in listed.parts) and _pairwise(listed, pair)
    return a.kind == b.kind and a.value == b.value and (a.text == b.text if a.kind == "numeral" else _pairwise(a, b))


def _pairwise(a: Answer, b: Answer) -> bool:
    return len(a.parts) == len(b.parts) and all(map(same, a.parts, b.parts))


def _same_items(a: Answer, b: Answer) -> bool:
    """The same items in any order; in a set none counts twice."""
    left, right = _items(a), _items(b)
    if len(left) != len(right):
        return False
    if len({x.parts[0].text for x in left if x.kind == "named"}) > 1 and not any(x.kind == "named" for x in right):
        return all(map(same, left, right))  # x = 1, y = 2 and 1, 2: whose each is, only the order says
    for item in left:
        at = next((i for i, other in enumerate(right) if same(item, other)), None)
        if at is None:
            return False
        del right[at]
    return True


def _items(a: Answer) -> list[Answer]:
    if a.kind != "set":
        return [*a.parts]
    kept = list[Answer]()
    for part in a.parts:
        if not any(same(part, other) for other in kept):
            kept.append(part)
    return kept


def _difference(a: Answer) -> Node:
    left, right = a.parts
    if left.kind != "number" or right.kind != "number":
        raise UnreadableError("no two expressions")
    return ("-", left.value, right.value)


def _proportional(a: Answer, b: Answer, ordered: bool = False) -> bool:
    """Whether two equations differ by a factor that is not 0; of inequalities, by one that is positive."""
    try:
        f, g = _difference(a), _difference(b)
        if not letters(f) or not letters(g):
            return False
        values = [(placed(f, at), placed(g, at)) for at in points(tuple(sorted(letters(f) | letters(g))))[:6]]
        (f0, g0), *more = values
        if is_zero(f0) or is_zero(g0):
            return False
        if not all(is_zero(("-", ("*", f0, g1), ("*", f1, g0))) for f1, g1 in more):
            return False
        return not ordered or sign(evaluate(("*", f0, g0), {})) > 0
    except UnreadableError:
        return False


_TURNED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\ne": "\\ne"}


def _same_order(a: Answer, b: Answer) -> bool:
    if a.kind == b.kind == "order":
        if len(a.parts) != len(b.parts):
            return False
        turned = Answer("order", b.parts[::-1], tuple(_TURNED[mark] for mark in b.value[::-1]))
        if any(a.value == each.value and _pairwise(a, each) for each in (b, turned)):
            return True
        pair = len(a.parts) == 2
        return pair and any(
            a.value == each.value and _proportional(a, each, ordered=a.value != ("\\ne",)) for each in (b, turned)
        )
    ordered, region = (a, b) if a.kind == "order" else (b, a)
    region = region.parts[1] if region.kind == "named" else region
    interval = _interval(ordered)
    if interval is None or region.kind != "brackets":
        return False
    plainly = (
        a.kind == "order"
        or a.kind == "named"
        or a.value != "()"
        or any(x.kind == "number" and x.value[0] == "infinity" for x in a.parts)
    )
    return plainly and same(interval, region)


def _interval(a: Answer) -> Answer | None:
    """The interval of a < x ≤ b, x > a and their kin; None where there is none."""
    parts, marks = [*a.parts], [*a.value]
    if marks[0] in (">", "\\ge"):
        parts, marks = parts[::-1], [_TURNED[mark] for mark in marks[::-1]]
    if not set(marks) <= {"<", "\\le"} or len(parts) > 3:
        return None
    left, middle, right = parts[0], parts[1], parts[-1]
    if len(parts) == 3:
        return _between(left, marks[0], marks[1], right) if is_name(middle) else None
    if is_name(left) == is_name(right):
        return None
    ends = (_end("-\\infty"), "<", marks[0], right) if is_name(left) else (left, marks[0], "<", _end("\\infty"))
    return _between(*ends)


def _between(low: Answer, first: str, second: str, high: Answer) -> Answer:
    return Answer("brackets", (low, high), ("(" if first == "<" else "[") + (")" if second == "<" else "]"))


def _end(text: str) -> Answer:
    return Answer("number", value=expression(text), text=text)
