r"""Exact comparison of what SymPy holds, and its bounds: how large a number may be, to how many digits it is told."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

EXACT = 2**17
"""Bits of the largest rational number: 10,000 factorial has 118,458."""
ROUGH = 4096
"""Bits of the largest number under a root or in a function."""
DIGITS = 1500
"""Decimal digits to which irrational numbers are compared; more than `ROUGH` bits hold."""


class UnreadableError(ValueError):
    """A text that is no expression, has two meanings, or is too large."""


def equal(a: Any, b: Any) -> bool:
    """Whether two expressions are one: rational numbers exactly, others to `DIGITS`, functions at several points."""
    if a == b:
        return True
    import sympy

    if a in (sympy.oo, -sympy.oo) or b in (sympy.oo, -sympy.oo):
        return False
    return is_zero(a - b)


def is_zero(value: Any) -> bool:
    """Whether an expression is 0, for all values of its letters."""
    letters = sorted(value.free_symbols, key=str)
    if not letters:
        return _no_number(value) is None and _zero(value)
    at = points(tuple(letters), whole=_counts(value))
    seen = [_zero(each) for each in (value.xreplace(point) for point in at) if not _no_number(each)]
    return len(seen) >= 3 and all(seen)


@lru_cache(maxsize=64)
def points(letters: tuple[Any, ...], whole: bool = False) -> list[dict[Any, Any]]:
    """Values for letters: six points of rational numbers of either sign, or of whole positive ones."""
    import sympy

    tops, bottoms = (7, 11, 13, 17, 19, 23, 29, 31, 37, 41), (3, 5, 8, 9)
    found: list[dict[Any, Any]] = []
    for k in range(6):
        values = [
            sympy.Rational(tops[(3 * k + 4 * i) % 10] + i, 1 if whole else bottoms[(k + i) % 4])
            for i in range(len(letters))
        ]
        found.append(
            {
                x: -v if not whole and k >> (i % 3) & 1 else v
                for i, (x, v) in enumerate(zip(letters, values, strict=True))
            }
        )
    return found


def sign(value: Any) -> int:
    """The sign of a real number, 0 where it has none."""
    real = value.evalf(10, maxn=DIGITS)
    return 0 if not real.is_real else 1 if real > 0 else -1 if real < 0 else 0


def _counts(value: Any) -> bool:
    """Whether it holds a factorial of a letter, which is asked for whole numbers."""
    import sympy

    return value.has(sympy.factorial, sympy.binomial)


def _no_number(value: Any) -> bool | None:
    import sympy

    return value.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo) or None


def _zero(value: Any) -> bool:
    if value.is_Rational:
        return bool(value == 0)
    near = value.evalf(2, maxn=DIGITS)
    return near.is_number and all(part == 0 or getattr(part, "_prec", 9) == 1 for part in near.as_real_imag())


def size(value: Any) -> float:
    """Bits that a number takes, or its logarithm, at most; letters stand for small numbers."""
    import sympy

    if value.is_Rational:
        return max(int(value.p).bit_length(), int(value.q).bit_length())
    if not value.args:
        return 2 if value.is_number else 6
    sizes = [size(each) for each in value.args]
    if isinstance(value, sympy.Pow):
        exponent = abs(float(value.exp)) if value.exp.is_Rational and sizes[1] < 60 else 2 ** min(sizes[1], 60)
        return sizes[0] * max(1.0, exponent)
    if isinstance(value, (sympy.exp, sympy.sinh, sympy.cosh, sympy.tanh, sympy.factorial, sympy.binomial)):
        return 2 ** min(max(sizes), 60) * (1.5 if len(sizes) == 1 and not value.has(sympy.factorial) else max(sizes))
    return (max(sizes) if value.is_Add else sum(sizes)) + len(sizes)
