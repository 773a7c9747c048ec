r"""Numbers that stand in a text: which of them are numbers of their own, and which a part of something else.

In x/2, 2^n, 10-5, 101_2, 3:4 and \sqrt{2} no digit is a number that the text gives: whoever reads one of them reads
something that the author did not say. Such a place is a number that cannot be read, not one that is not there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from operant.language.reward.number import NUMBER, number, plain

NEAR = 48
"""Characters on either side of a number that are looked at."""

_FREE = re.compile(
    r"\\(?:[lg]eq?q?|[lg]t|ne|neq|approx|simeq|sim|cong|equiv|to|(?:[lL]ong)?[rR]ightarrow|implies|iff|in|q?quad"
    r"|boxed|fbox|text\w*|math\w+|mbox|operatorname|displaystyle|begin|end|left|right|item|[lc]?dots|therefore|because"
    r"|newline|hline|tag|square|blacksquare|qed|circ|degrees?|cup|cap|and|or|rangle|langle|[bB]ig[lr]?g?)$"
)
"""Commands that do not bind what stands beside them."""
_COMMAND = re.compile(r"(?<!\\)\\[A-Za-z]+$")
_HEADING = re.compile(
    r"(?:^|[\n(])[\s#*]*(?:question|problem|step|exercise|example|page|figure|fig\.|section|chapter|part|equation|eq\."
    r"|table|lemma|theorem)[\s#]*$",
    re.IGNORECASE,
)
_UNIT_POWER = re.compile(r"(?:/[A-Za-z]+|[A-Za-z]{2,}|(?<![A-Za-z])[mslgL]|\\[a-z]+\{[^{}]*\})\s?\^\s?\{?\s?-?$")
_FUNCTION = re.compile(r"(?:sqrt|pi|sin|cos|tan|log|ln|exp|mod|choose)(?![a-z])")
_ALONE = "mgslhLNJWVAKCF"
"""Letters that are a unit right behind a number (5m); others make it a term (5x)."""
_VARIABLE = r"(?:[A-Za-z](?![A-Za-z])(?!\s[A-Za-z]{2}))"


class Standing(NamedTuple):
    """A number in a text: where it stands, and its text; None for what is a part of an expression, or too large."""

    start: int
    end: int
    text: str | None


def last_standing(text: str) -> Standing | None:
    """The last number in a text, None where there is none.

    The digits of names (x_2, m2) and exponents of units (cm^2) are none. One that counts a heading ("Step 3" at the
    start of a line or parenthesis) is one only where there is no other.
    """
    read = plain(text)
    heading: Standing | None = None
    for match in reversed([*NUMBER.finditer(read)]):
        signed = bool(match["sign"])
        start = match.start("sign" if signed else "inner" if match["inner"] else "unsigned")
        before = read[max(0, match.start() - NEAR) : match.start()]
        if signed and _is_bullet(before, match):
            start, signed = match.start("unsigned"), False
        role = _left(before, signed)
        if role is None:
            continue
        alone = role and _right(read[match.end() : match.end() + NEAR], "." in match["unsigned"])
        found = text[start : match.end()]
        standing = Standing(start, match.end(), found if alone and number(found) is not None else None)
        if not _HEADING.search(before):
            return standing
        heading = heading or standing
    return heading


def _is_bullet(before: str, match: re.Match[str]) -> bool:
    """Whether a dash begins a line of a list: at its start, with a blank behind it."""
    return before.rstrip(" \t").endswith("\n") and match["sign"][-1:].isspace()


def _left(before: str, signed: bool) -> bool | None:
    """Whether what stands before a number leaves it alone; None where it makes a name of it."""
    near = before.rstrip(" \t")
    touching, last = near == before, near[-1:]
    if command := _COMMAND.search(near):
        return _FREE.match(command[0]) is not None
    if not last or last == "\n":
        return True
    if re.search(r"_\{?$", near) or _UNIT_POWER.search(near):
        return None
    if signed:
        return _before_sign(near, touching)
    if re.search(r"\\[a-z]+_(?:\w|\{[^{}]*\})$|(?<![A-Za-z])(?:sqrt|log|ln|sin|cos|tan|exp)$", near):
        return False
    if last.isalpha() or last == "'":
        return None if touching and last.isalpha() else True
    if last in "^/√∛±×÷·+-":
        return False
    if last == "*":
        return not re.search(r"[\w)\]}]\*\*?$" if touching else r"[\w)\]}]\s?\*$", near)
    if last in "({[|" and touching:
        return _opened(near)
    if last in ")}" and touching:
        return re.search(r"\\(?:begin|end|text\w*|mbox)\{[^{}]*\}$", near) is not None
    return not (touching and re.search(r"\d[.:]$", near))


def _before_sign(near: str, touching: bool) -> bool | None:
    """As `_left`, of a number whose sign it would be: between two operands it is an operation."""
    if touching and re.search(r"[A-Za-z]{2}$", near):
        return None  # Covid-19
    if re.search(r"(?<![A-Za-z])[A-Za-z]$", near):
        return False
    return near[-1] not in ("+-^/*_|" if touching else "+-^/*_") and not (
        near[-1].isdigit() or near[-1] in ")]}%!$π∞²³½¼¾"
    )


def _opened(near: str) -> bool:
    """Whether a bracket right before a number stands for itself, and opens no argument, factor or exponent."""
    outer = re.sub(r"(?:\\left)?\\?[({\[|]$", "", near)
    if command := _COMMAND.search(outer):
        return _FREE.match(command[0]) is not None
    return not re.search(r"[\w)}\]^]$", outer)


def _right(after: str, decimal: bool) -> bool:
    """Whether what stands behind a number leaves it alone."""
    if re.match(r"\s?(?:\^\s?\{?\s?\\circ|\*\*(?!\s?\w)|!=)", after) or not after:
        return True
    if word := re.match(r"[A-Za-z]\w*", after):
        unit = re.fullmatch(r"([A-Za-z]+)[23²³]?", word[0])
        return unit is not None and (len(unit[1]) > 1 or unit[1] in _ALONE) and not _FUNCTION.match(word[0])
    if re.match(r"[\^_({!%π√∞²³⁴⁵⁻]|[:.]\d", after) or (decimal and re.match(r"\s?(?:\.\.|…|\\[lc]?dots)", after)):
        return False
    if command := re.match(r"\s?\\[A-Za-z]+", after):
        return _FREE.match(command[0].lstrip()) is not None
    if re.match(r"\s?[π√]", after):
        return False
    return not re.match(rf"\s?(?:[-+/×÷·]|\*(?!\*))\s?(?:[\d(\\]|{_VARIABLE})", after)
