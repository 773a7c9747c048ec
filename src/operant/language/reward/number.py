r"""One grammar of numbers, for one that is a whole text and for those that stand in one.

A number is a sign, a currency, and digits: thousands in groups, a decimal point or comma, an exponent of ten, a power,
a factorial; or a fraction of two such, or a mixed number; then a scale (million) and a percent sign. Dashes and digits
of every script count as what they mean, vulgar fractions and raised digits too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import factorial

from operant.language.reward.units import split_unit

LONGEST = 64
"""Characters of the longest number that is read."""
LARGEST = 4096
"""Bits of the largest power that is read; an exponent of ten has three digits at most."""


class _Plain(dict[int, int | str]):
    """What each character stands for, one for one; filled as they come."""

    def __missing__(self, code: int) -> int | str:
        letter = chr(code)
        self[code] = str(unicodedata.decimal(letter)) if letter.isdecimal() else code
        return self[code]


_PLAIN = _Plain(
    str.maketrans("−–—‐‑﹣－＋﹢．，٫٬٪％／⁄∕∗✕⋅∙＝（）！ｅＥ＄", "-------++.,.,%%///*×··=()!eE$")
    | dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2005\u2007\u2008\u2009\u200a\u202f\u205f\u3000"), " ")
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_VULGAR = {letter: Fraction(unicodedata.numeric(letter)).limit_denominator(10) for letter in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"}
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}

_GAP = r"(?:\s|\\[,;:! ]){0,3}"
_POINT = r"(?:,|\{,\})"
_END = r"(?![,.]?\d|\{,\}\d)"
_APART = (",", r"\{,\}", r",\\!\s?", r"\\[,! ]", "['’ ]")
_DIGITS = "|".join([
    rf"[1-9]\d{{0,2}}(?:\.\d{{3}}){{2,9}}(?:{_POINT}\d++)?{_END}",  # 1.000.000,5
    rf"[1-9]\d{{0,2}}(?:\.\d{{3}}|['’ ]\d{{3}}){{1,9}}{_POINT}\d++{_END}",  # 1.000,5 and 1 000,5
    *(rf"[1-9]\d{{0,2}}(?:{s}\d{{3}}){{1,9}}(?:\.\d++)?{_END}" for s in _APART),
    rf"[1-9]\d?(?:,\d\d){{1,9}},\d{{3}}(?:\.\d++)?{_END}",  # 12,34,567
    rf"(?<![(\[])(?<!\\\{{)(?<!\d,)(?<!\d\{{,\}})\d++{_POINT}\d++{_END}",
    r"\d++(?:\.\d++)?",
    r"(?<![\d.])\.\d++",
])  # fmt: skip
_EXPONENT = rf"(?:\{{{_GAP}[-+]?\d{{1,4}}{_GAP}\}}|\([-+]?\d{{1,4}}\)|[-+]?\d{{1,4}})"
_POWER = rf"(?:{_GAP}(?:\^|\*\*)\s?{_EXPONENT}|[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{{1,4}})"
_TEN = rf"(?:\.?[eE][-+]?\d{{1,3}}(?!\w)|{_GAP}(?:\\times|\\cdot|[xX×·*]){_GAP}10{_POWER})"
_ONE = rf"(?:(?:{_DIGITS})(?:{_TEN}|{_POWER}|!(?![!=]))?)"
_BRACED = rf"(?:\{{\s?[-+]?\s?(?:{_DIGITS})\s?\}}|\d)"
_FRAC = rf"\\[dtc]?frac\s?{_BRACED}\s?{_BRACED}"
_SMALL = "[" + "".join(_VULGAR) + "]"
_MIXED = rf"\d++(?:(?:\s|\\[,; ]){{1,3}}\d++\s?/\s?\d++|{_GAP}{_FRAC}|\s?{_SMALL})"
_UNSIGNED = rf"{_MIXED}|{_FRAC}|{_ONE}\s?/\s?[-+]?{_ONE}|{_SMALL}|{_ONE}"
_MONEY = r"(?:(?<![^\W_])(?:US|CA|AU|NZ|HK)?\\?\$|[€£¥₹₩₽₪₫₺₴₦₱฿]|(?<![^\W_])(?:USD|EUR|GBP|JPY|CHF|CNY|INR|RMB|Rs\.?))"
NUMBER = re.compile(
    rf"(?P<sign>[-+]\s{{0,2}})?(?:(?P<money>{_MONEY})\s?(?P<inner>[-+])?)?(?P<unsigned>{_UNSIGNED})"
    rf"(?P<scale>(?:\s?(?:{'|'.join(_SCALES)})(?![A-Za-z])){{0,2}})"
    rf"(?P<percent>{_GAP}(?:\\?%|(?:percent|per cent|pct)(?![A-Za-z])))?"
)
_READ = {name: re.compile(form) for name, form in {
    "mixed": rf"(\d+)(?:(?:\s|\\[,; ])+(\d+\s?/.*)|{_GAP}(\\[dtc]?frac.*)|\s?({_SMALL}))",
    "frac": rf"\\[dtc]?frac\s?({_BRACED})\s?({_BRACED})",
    "ratio": rf"({_ONE})\s?/\s?([-+]?)({_ONE})",
    "power": rf"({_DIGITS})({_POWER})",
    "factorial": rf"({_DIGITS})!",
    "ten": rf"({_DIGITS})\.?({_TEN})?",
}.items()}  # fmt: skip
_AROUND = re.compile(
    r"\$\$?([^$]+)\$\$?|\\\((.*)\\\)|\\\[(.*)\\\]|\*\*?([^*]+)\*\*?|`([^`]+)`|\{(.*)\}|\((.*)\)"
    r"|\\(?:boxed|fbox|text|textbf|mathrm|mathbf|mbox)\s?\{(.*)\}",
    re.DOTALL,
)


def plain(text: str) -> str:
    """The text with digits, dashes, signs and blanks of any script as those of ASCII, character for character."""
    return text if text.isascii() else text.translate(_PLAIN)


def number(text: str, units: Sequence[str] = (), *, strict: bool = False) -> Fraction | None:
    r"""The number that `text` is, or None if it is anything else, a list of numbers included.

    Read are -3, −3, 1,234.5, 1{,}000, 1 000, 1.000,50, 0,5, ½, 1e3, 3×10^5, 2^{10}, 5!, 3/4, \frac{3}{4}, 1 1/2,
    2 million, $5, and 45%, which is 0.45. Around it may stand $…$, \(…\), \boxed{…}, \text{…}, **…** and parentheses,
    and a full stop behind. One of `units` may follow; where none are given, one of the common ones.

    Args:
        text: the whole of it is read.
        units: what may follow, as ("cm", "dollars"), in any case.
        strict: for a gold answer: no unit that was not given, and no decimal comma alone (1,5 may be a list of two).
    """
    if len(text) > 8 * LONGEST:
        return None
    text = _stop(plain(text))
    listed = strict  # a comma may part two numbers
    text = _without(text, units)
    for _ in range(4):
        if not (match := _AROUND.fullmatch(text)):
            break
        listed = listed or text.startswith("(")
        text = _stop(next(inner for inner in match.groups() if inner is not None))
        text = _without(text, units)
    if not units and not strict:
        text = split_unit(text).text
    if len(text) > LONGEST:
        return None
    if text[:1] in ("-", "+") and (match := re.fullmatch(r"[-+]\s?\(([^()]+)\)", text)):
        value = number(match[1], strict=strict)
        return -value if value is not None and text[0] == "-" else value
    match = NUMBER.fullmatch(text)
    if match is None or (match["sign"] and match["inner"]):
        return None
    if listed and re.fullmatch(r"\d+,\d+", match["unsigned"]) and "," in _drop(match["unsigned"]):
        return None
    value = _unsigned(match["unsigned"])
    if value is None:
        return None
    for word in match["scale"].split():
        value *= 10 ** _SCALES[word]
    sign = -1 if "-" in ((match["sign"] or "") + (match["inner"] or "")) else 1
    return sign * value / (100 if match["percent"] else 1)


def _stop(text: str) -> str:
    text = text.strip()
    return text if text.endswith("..") else text.removesuffix(".").rstrip()


def _without(text: str, units: Sequence[str]) -> str:
    """The text before the unit that it ends in, if it does."""
    for unit in sorted(units, key=len, reverse=True):
        before = text[: -len(unit)]
        if (
            unit
            and text.lower().endswith(unit.lower())
            and before.strip()
            and not (unit[0].isalpha() and before[-1].isalpha())
        ):
            return before.rstrip()
    return text


def _drop(digits: str) -> str:
    """Digits without what groups them; a comma that is left is a decimal one."""
    digits = digits.replace("{,}", ",").replace(",\\!", ",").translate(_RAISED)
    digits = re.sub(r"\\[,! ]|['’\s]", "", digits)
    if re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+,\d+|[1-9]\d{0,2}(?:\.\d{3}){2,}", digits):
        return digits.replace(".", "")
    grouped = re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|[1-9]\d?(?:,\d\d)+,\d{3}(?:\.\d+)?", digits)
    return digits.replace(",", "") if grouped else digits


def _unsigned(text: str) -> Fraction | None:
    """The value of what `_UNSIGNED` matched; None where it divides by 0 or is too large."""
    if text in _VULGAR:
        return _VULGAR[text]
    for name, form in _READ.items():
        if match := form.fullmatch(text):
            parts = [part for part in match.groups() if part is not None]
            return _VALUES[name](*parts)
    return None


def _decimal(digits: str) -> Fraction:
    return Fraction(_drop(digits).replace(",", "."))


def _mixed(whole: str, rest: str) -> Fraction | None:
    part = _unsigned(rest)
    return None if part is None or not 0 <= part < 1 else int(whole) + part


def _divide(above: Fraction | None, below: Fraction | None) -> Fraction | None:
    return None if above is None or below is None or below == 0 else above / below


def _braced(text: str) -> Fraction:
    text = text.strip("{} ")
    value = _decimal(text.lstrip("+- "))
    return -value if text.startswith("-") else value


def _ratio(above: str, sign: str, below: str) -> Fraction | None:
    value = _divide(_unsigned(above), _unsigned(below))
    return -value if value is not None and sign == "-" else value


def _power(digits: str, power: str) -> Fraction | None:
    base, exponent = _decimal(digits), int(re.sub(r"[^\d-]", "", power.translate(_RAISED)))
    size = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(exponent)
    return None if size > LARGEST or (base == 0 and exponent <= 0) else base**exponent


def _factorial(digits: str) -> Fraction | None:
    value = _decimal(digits)
    return Fraction(factorial(int(value))) if value.denominator == 1 and value <= 400 else None


def _ten(digits: str, ten: str = "") -> Fraction | None:
    scale = re.sub(r"\\[,;:! ]|\s", "", ten).lstrip(".")
    power = scale[1:] if scale[:1] in ("e", "E") else scale.partition("10")[2]
    exponent = int(re.sub(r"[^\d-]", "", power.translate(_RAISED)) or 0)
    return _decimal(digits) * Fraction(10) ** exponent if abs(exponent) < 1000 else None


def _frac(above: str, below: str) -> Fraction | None:
    return _divide(_braced(above), _braced(below))


_VALUES: dict[str, Callable[..., Fraction | None]] = {
    "mixed": _mixed, "frac": _frac, "ratio": _ratio, "power": _power, "factorial": _factorial, "ten": _ten,
}  # fmt: skip
