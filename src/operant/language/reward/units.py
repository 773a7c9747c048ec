r"""Units that may stand behind a number: their spellings, and how they are split off. They are never converted."""

from __future__ import annotations

import re
from typing import NamedTuple

_SPELLINGS = {
    "dollar": "dollars bucks usd $ \\$", "cent": "cents ¢", "euro": "euros eur €", "pound": "pounds gbp £",
    "yen": "jpy ¥", "yuan": "cny rmb", "rupee": "rupees inr ₹",
    "mm": "millimeter millimeters millimetre millimetres", "cm": "centimeter centimeters centimetre centimetres",
    "m": "meter meters metre metres", "km": "kilometer kilometers kilometre kilometres",
    "inch": "inches", "foot": "feet ft", "yard": "yards yd yds", "mile": "miles mi",
    "mg": "milligram milligrams", "g": "gram grams", "kg": "kilogram kilograms", "ounce": "ounces oz", "lb": "lbs",
    "ton": "tons", "ml": "milliliter milliliters millilitre millilitres mL", "l": "liter liters litre litres L",
    "gallon": "gallons gal", "s": "sec secs second seconds", "min": "mins minute minutes", "h": "hr hrs hour hours",
    "day": "days", "week": "weeks", "month": "months", "year": "years yr yrs", "degree": "degrees deg °",
    "N": "newton newtons", "J": "joule joules", "W": "watt watts", "V": "volt volts", "A": "ampere amperes amps",
    "Hz": "hertz", "kJ": "", "kW": "", "Pa": "pascal pascals", "mol": "moles mole", "K": "kelvin", "°C": "", "°F": "",
    "unit": "units", "mph": "", "km/h": "kmh kph", "m/s": "",
}  # fmt: skip
UNITS = {word: unit for unit, words in _SPELLINGS.items() for word in (unit, *words.split())}
"""The unit that each spelling means."""

_PLAIN = {"cm", "mm", "km", "kg", "ft"}

_WORD = r"(?:[A-Za-z°/]+|[¢€£¥₹]|\\?\$)"
_RAISED = r"(?:\s?\^\s?(?:\{\s?)?-?[23]\s?\}?|[²³])?"
_BEHIND = re.compile(
    rf"(?P<gap>(?:\s|\\[,;:! ]|~|(?<=\d)-(?=[a-z]))*)(?:\\(?:text|textnormal|textrm|textbf|mbox|mathrm|rm)\s?"
    rf"\{{\s*(?P<boxed>(?:(?:square|cubic|sq\.?)\s)?{_WORD})\.?\s*\}}|(?P<bare>(?:(?:square|cubic|sq\.?)\s)?{_WORD})"
    rf"|(?P<circle>\^\s?(?:\{{\s?\\circ\s?\}}|\\circ)|\\degrees?))(?P<raised>{_RAISED})$"
)


class Unit(NamedTuple):
    """A text without the unit behind it; the unit is "" where there is none that is known."""

    text: str
    unit: str


def split_unit(text: str, formula: bool = False) -> Unit:
    r"""Take a unit off the end of a text: "5 dollars", 12\text{ cm}^2, 90^\circ. One letter stands apart: 5 m.

    In a formula a short word is none, unless it is written as text: 2mg and 2 m are products.
    """
    match = _BEHIND.search(text, max(0, len(text) - 48))
    if match is None or not (before := text[: match.start()].rstrip()):
        return Unit(text, "")
    if match["circle"]:
        return Unit(before, "degree") if not match["raised"] else Unit(text, "")
    words = (match["boxed"] or match["bare"]).split()
    unit = UNITS.get(words[-1]) or UNITS.get(words[-1].lower())
    if formula and match["bare"] and words[-1].isalpha() and len(words[-1]) < 3 and words[-1] not in _PLAIN:
        return Unit(text, "")
    apart = match["boxed"] or match["gap"] or len(words[-1]) > 1 or not words[-1].isalpha()
    if unit is None or not apart or (before[-1].isalpha() and not match["boxed"]):
        return Unit(text, "")
    power = "3" if words[0] == "cubic" else "2" if len(words) > 1 else "".join(re.findall(r"-?[23]", match["raised"]))
    power = {"²": "2", "³": "3"}.get(match["raised"], power)
    return Unit(before, unit + power)
