"""Numbers and times as a page writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

from operant.config import values


def number(value: float | None, digits: int = 4) -> str:
    """Four significant digits, thousands set apart, a true minus sign; NaN and ∞ by name; a dash for nothing."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e9 or size < 1e-4:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    else:
        places = max(0, digits - 1 - math.floor(math.log10(size)))
        text = f"{value:,.{places}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−")


def decimals(values: Iterable[float | None]) -> int:
    """How many decimals a column of these values needs to show four digits of the largest: 2 to none."""
    finite = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = max(finite, default=0.0)
    return 2 if largest < 100 else 1 if largest < 1000 else 0


def fixed(value: float | None, decimals: int) -> str:
    """As `number`, with a fixed count of decimals, so that a column of them lines up."""
    if value is None or not math.isfinite(value) or abs(value) >= 1e9:
        return number(value)
    return f"{value:,.{decimals}f}".replace("-", "−")


def interval(bounds: tuple[float, float] | None, decimals: int, between: str = " to ") -> str:
    """Two bounds as `fixed`; a dash where there are none."""
    if bounds is None or math.isnan(bounds[0]):
        return "–"
    return between.join(fixed(bound, decimals) for bound in bounds)


def count(value: float | None) -> str:
    """A whole number with its thousands set apart."""
    return "–" if value is None else f"{round(value):,}"


def duration(seconds: float | None) -> str:
    """24.3 s, 3 min 12 s, 2 h 05 min; a dash for nothing."""
    return "–" if seconds is None or not math.isfinite(seconds) else values.duration(seconds, decimals=1)


def short_duration(seconds: float) -> str:
    """As `duration`, and 0.9 ms or 14 ms below a tenth of a second."""
    return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else duration(seconds)


def timestamp(stamp: str | None) -> str:
    """An ISO 8601 time as 21 November 2026, 11:25 UTC; as it stands where it is no such time."""
    try:
        at = datetime.fromisoformat(str(stamp).replace("Z", "+00:00"))
    except ValueError:
        return str(stamp) if stamp else "–"
    return f"{at.day} {at:%B %Y, %H:%M} {at.tzname() or ''}".strip()
