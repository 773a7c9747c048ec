r"""One spelling for every sign of a formula, and where its brackets and its pieces are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from operant.language.reward.number import plain

_LETTERS = {
    "×": r"\times ", "÷": r"\div ", "√": r"\sqrt ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "∪": r"\cup ", "∈": r"\in ", "∅": r"\emptyset ", "±": r"\pm ", "∓": r"\mp ", "°": r"^\circ ", "≈": r"\approx ",
    "⋅": r"\cdot ", "·": r"\cdot ", "ℝ": r"\mathbb{R}",
}  # fmt: skip
_APART = "|".join(
    rf"(?<![\d.,])[1-9]\d{{0,2}}(?:{mark}\d{{3}})+(?!\d|\s?/)" for mark in (r"\{,\}", r",?\\!\s?", r"\\[, ]", "['’ ]")
)
_SPELLINGS: list[tuple[str, str]] = [
    (r"\\(?:left|right)(?![A-Za-z])\.?|\\(?:[bB]igg?[lrm]?|displaystyle|textstyle|limits)(?![A-Za-z])", ""),
    (r"(?<!\\)(?:\$|\\[()\[\]])", ""), (r"(?<=\d)\{,\}(?=\d)", "."), (r"(?<!\\)\\(?:[,;:! ]|q?quad)|~", " "),
    (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"), (r"\\(?:leqslant|leq)(?![A-Za-z])|<=", r"\\le "),
    (r"\\(?:geqslant|geq)(?![A-Za-z])|>=", r"\\ge "), (r"\\neq(?![A-Za-z])|!=", r"\\ne "), (r"\\lt(?![A-Za-z])", "<"),
    (r"\\gt(?![A-Za-z])", ">"), (r"\\lbrace(?![A-Za-z])", r"\\{"), (r"\\rbrace(?![A-Za-z])", r"\\}"),
    (r"\\[lr]?vert(?![A-Za-z])|\\mid(?![A-Za-z])", "|"), (r"\\operatorname\{([a-z]+)\}", r"\\\1 "),
    (r"\\(?:textbf|textit|textrm|textnormal|mbox)(?![A-Za-z])", r"\\text"),
    (r"(?<![A-Za-z\\])inf(?:inity)?(?![A-Za-z])", r"\\infty "), (r"\\(?:simeq|sim)(?![A-Za-z])", r"\\approx "),
    (r"\\(?:varnothing|empty)(?![A-Za-z])|\\\{\s*\\\}", r"\\emptyset "),
    (r"\s*(?:\\%|%|(?<=\d)\s?(?:percent(?:age)?|pct)\b|\\text\{\s*(?:percent|pct)\s*\})", r"\\%"),
    (r"\\(begin|end)\{(?:[pb]matrix|array)\}(?:\{[^}]*\})?", r"\\\1{matrix}"),
    (r"([\[(])\s*(\\begin\{matrix\}.*\\end\{matrix\})\s*[\])]", r"\2"),
    (r",?\s*(?:\\text\{\s*,?\s*(?:and|or)\s*\}|(?<![A-Za-z\\{])(?:and|or)(?![A-Za-z}]))", ","),
    (r"\\text\{([\d\s.,+/-]+)\}", r"\1"),
    (r"(?<=[\d}])\s*(?:degrees?\b|\\text\{\s*degrees?\s*\}|\\degrees?)", r"^\\circ "),
]  # fmt: skip
"""Forms that mean the same, and the one that is kept; in this order."""
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉", "0123456789+-0123456789")
_OPEN, _CLOSE = ("(", "[", "{", "\\{", "\\begin{matrix}"), (")", "]", "}", "\\}", "\\end{matrix}")
_PIECE = re.compile(r"\\begin\{matrix\}|\\end\{matrix\}|\\[A-Za-z]+|\\.|.", re.DOTALL)


def spelt(text: str) -> str:
    """The text with one spelling for each sign; blanks, sizes and fonts that mean nothing are gone."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+", lambda m: "^{" + m[0].translate(_RAISED) + "}", text)
    text = re.sub(r"[₀₁₂₃₄₅₆₇₈₉]+", lambda m: "_{" + m[0].translate(_RAISED) + "}", text)
    text = re.sub(r"√\s?(\d+(?:\.\d+)?|[A-Za-z])", r"\\sqrt{\1}", text)
    text = "".join(_LETTERS.get(c) or (c if c.isascii() else _letter(c)) for c in plain(text))
    if "matrix" not in text and "array" not in text:
        text = re.sub(r"\\\\(?=[A-Za-z])", r"\\", text)  # a backslash that was escaped once too often
    text = re.sub(_APART, lambda match: re.sub(r"\D", "", match[0]), text)
    for form, to in _SPELLINGS:
        text = re.sub(form, to, text)
    if text.count("\\boxed") == 1:
        inside = within(text.strip().removeprefix("\\boxed").lstrip(), "{", "}")
        text = text.replace("\\boxed", "") if inside is None else inside
    text = text.strip()
    return text[:-1].rstrip() if text[-1:] in (".", "?", ",", ";", ":") and text[-2:-1] != text[-1:] else text


def _letter(letter: str) -> str:
    name = unicodedata.name(letter, "")
    if name.startswith("VULGAR FRACTION") and letter != "⅟":
        above, _, below = unicodedata.normalize("NFKC", letter).partition("⁄")
        return rf"\frac{{{above}}}{{{below}}}"
    if (match := re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", name)) is not None:
        return "\\" + (match[2].lower() if match[1] == "SMALL" else match[2].title()) + " "
    return letter


def split(text: str, *marks: str, keep: Callable[[int], bool] | None = None) -> tuple[list[str], list[str]]:
    """The pieces of a text between marks outside of all brackets, and the marks."""
    pieces, found, depth, start = list[str](), list[str](), 0, 0
    for match in _PIECE.finditer(text):
        piece = match[0]
        depth += (piece in _OPEN) - (piece in _CLOSE)
        if depth == 0 and piece in marks and not (keep and keep(match.start())):
            pieces.append(text[start : match.start()].strip())
            found.append(piece)
            start = match.end()
    return [*pieces, text[start:].strip()], found


def balanced(text: str) -> bool:
    """Whether every brace is closed."""
    depth = 0
    for match in _PIECE.finditer(text):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth < 0:
            return False
    return depth == 0


def within(text: str, opening: str, closing: str) -> str | None:
    """What stands between brackets that open at the start and are closed at the end, and not before."""
    if not (text.startswith(opening) and text.endswith(closing)):
        return None
    depth = 0
    for match in _PIECE.finditer(text):
        depth += (match[0] in _OPEN) - (match[0] in _CLOSE)
        if depth == 0:
            return text[len(opening) : match.start()] if match.end() == len(text) else None
    return None
