"""Reads one number, exactly: the whole text must be it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

LONGEST = 64
"""Characters of the longest number that is read."""

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_DECIMAL = re.compile(rf"({_DIGITS}?\.\d+|{_DIGITS}\.?)(?:[eE]([-+]?\d{{1,3}}))?")
_RATIO = re.compile(rf"(?:({_DIGITS})\s+)?({_DIGITS})\s*/\s*({_DIGITS})")
_LATEX = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")


def number(text: str, units: Sequence[str] = ()) -> Fraction | None:
    """The number that `text` is, or None if it is anything else, a list of numbers included.

    Read are a sign, a currency sign before it ($, €, £), thousands separators in groups of three, decimals, an
    exponent, fractions (3/4, \\frac{3}{4}), mixed numbers (1 1/2), and a percent sign, which divides by 100. One of
    `units` may follow. A full stop may end it.
    """
    text = text.strip().replace("−", "-").replace("\\$", "$").removesuffix(".").rstrip()
    if len(text) > LONGEST:
        return None
    for unit in sorted(units, key=len, reverse=True):
        if text.lower().endswith(unit.lower()):
            before = text[: -len(unit)]
            if before.rstrip() and not (unit[0].isalpha() and before[-1].isalpha()):
                text = before.rstrip()
                break
    text = text.removeprefix("$").removesuffix("$") if text.startswith("$") and text.endswith("$") else text
    percent = text.endswith("%")
    text = text.removesuffix("\\%" if text.endswith("\\%") else "%").rstrip()
    sign = -1 if text.startswith("-") else 1
    text = text[1:].lstrip() if text[:1] in ("-", "+") else text
    if text[:1] in ("$", "€", "£"):
        text = text[1:].lstrip()
        if sign == 1 and text.startswith("-"):
            sign, text = -1, text[1:]
    value = _unsigned(text)
    return None if value is None else sign * value / (100 if percent else 1)


def _unsigned(text: str) -> Fraction | None:
    if match := _DECIMAL.fullmatch(text):
        value = Fraction(match[1].replace(",", "").rstrip(".") or "0")
        return value * Fraction(10) ** int(match[2] or 0)
    if match := _LATEX.fullmatch(text):
        return Fraction(int(match[1]), int(match[2])) if int(match[2]) else None
    if match := _RATIO.fullmatch(text):
        whole, above, below = (int((part or "0").replace(",", "")) for part in match.groups())
        return whole + Fraction(above, below) if below else None
    return None
