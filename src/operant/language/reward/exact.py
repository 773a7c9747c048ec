r"""The value of an expression: an exact fraction where it is rational, else many digits and how far off they may be.

Every step is bounded, so that no expression takes long: the bits of a fraction, the size of an exponent, the digits.
Errors are carried along to first order, so that 10^{-9000} and 10^{-9001} differ, and \sqrt{2}+\sqrt{3} and
\sqrt{5+2\sqrt{6}} do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import comb, factorial, inf
from typing import Any, NamedTuple, TypeAlias

EXACT = 2**17
"""Bits of the largest fraction: 10,000 factorial has 118,458."""
ROUGH = 4096
"""Bits of the largest fraction that stands among irrational numbers."""
COUNT = 10_000
"""The largest number of which a factorial is taken."""
NEAR, FAR = 40, 1500
"""Digits of the first look, and of the last, which are more than `ROUGH` bits hold."""
LARGE, TURNS = 2**11, 2**20
"""The largest exponent of e, so that the digits reach from its power below 1; the largest angle."""

Node: TypeAlias = tuple[Any, ...]
"""("number", fraction), ("letter", name), ("constant", name), ("infinity", 1 or -1), or an operation and its parts."""


_LARGEST = {"ln": inf, "arctan": inf, "exp": LARGE, "sinh": LARGE, "cosh": LARGE, "tanh": LARGE}
_AT_ZERO = {"sin": 0, "tan": 0, "arcsin": 0, "arctan": 0, "sinh": 0, "tanh": 0, "cos": 1, "sec": 1, "exp": 1, "cosh": 1}


class UnreadableError(ValueError):
    """A text that is no expression, has two meanings, has no value, or is too large."""


class NoValueError(UnreadableError):
    """An expression that has no value, or no real one where only a real one is meant."""


class Rough(NamedTuple):
    """A number to the digits in use, and how far off it may be."""

    value: Any
    error: Any


Value: TypeAlias = Fraction | Rough


def letters(node: Node) -> set[str]:
    """The letters of an expression."""
    if node[0] == "letter":
        return {node[1]}
    return set[str]().union(*(letters(part) for part in node[1:] if isinstance(part, tuple)))


def counts(node: Node) -> bool:
    """Whether there is a factorial in it, which is asked for whole numbers."""
    return node[0] in ("!", "binom") or any(counts(part) for part in node[1:] if isinstance(part, tuple))


def placed(node: Node, at: Mapping[str, Fraction]) -> Node:
    """The expression with numbers for its letters."""
    if node[0] == "letter":
        return ("number", at[node[1]])
    return (node[0], *(placed(part, at) if isinstance(part, tuple) else part for part in node[1:]))


def points(names: tuple[str, ...], whole: bool = False) -> list[dict[str, Fraction]]:
    """Values for letters: fractions of either sign, near and far; or whole and positive ones."""
    tops, bottoms = (7, 11, 13, 17, 19, 23, 29, 31, 37, 41), (3, 5, 8, 9)
    found: list[dict[str, Fraction]] = []
    for k in range(6 if whole else 10):
        away = 10 ** (k - 3) if k > 5 else 0
        values = [
            Fraction(tops[(3 * k + 4 * i) % 10] + i, 1 if whole else bottoms[(k + i) % 4]) for i in range(len(names))
        ]
        turned = [-1 if not whole and k >> (i % 3) & 1 else 1 for i in range(len(names))]
        found.append({name: t * (v + away) for name, v, t in zip(names, values, turned, strict=True)})
    return found


def equal(a: Node, b: Node) -> bool:
    """Whether two expressions are one: fractions exactly, others to `FAR` digits, those with letters at many points.

    Where one has a value and the other none, they are not.
    """
    if a == b:
        return True
    if "infinity" in (a[0], b[0]):
        return False
    names, apart = tuple(sorted(letters(a) | letters(b))), ("-", a, b)
    if not names:
        return is_zero(apart)
    at = points(names, counts(apart))
    tries = [(point, NEAR) for point in at] + [(point, FAR // 5) for point in at[:3]]
    told = [_told(a, b, point, digits) for point, digits in tries]
    return False not in told and told.count(True) >= 6


def _told(a: Node, b: Node, at: Mapping[str, Fraction], digits: int) -> bool | None:
    """Whether two expressions are equal where their letters are these; None where that cannot be told."""
    try:
        return zero(evaluate(("-", a, b), at, digits))
    except NoValueError:
        return None if has_value(a, at) == has_value(b, at) else False
    except UnreadableError:
        return None


def has_value(node: Node, at: Mapping[str, Fraction]) -> bool:
    """Whether an expression has a value there."""
    try:
        evaluate(node, at)
    except NoValueError:
        return False
    except UnreadableError:
        return True  # too large a one
    return True


def is_zero(node: Node) -> bool:
    """Whether an expression without letters is 0."""
    return zero(evaluate(node, {}, NEAR)) and zero(evaluate(node, {}, FAR))


def zero(value: Value) -> bool:
    """Whether a value cannot be told from 0."""
    return value == 0 if isinstance(value, Fraction) else abs(value.value) <= value.error


def evaluate(node: Node, at: Mapping[str, Fraction], digits: int = NEAR) -> Value:
    """The value of an expression where its letters are these.

    Raises:
        UnreadableError: where it has none, or one that is too large.
    """
    import mpmath

    with mpmath.workdps(digits):
        try:
            return _Evaluation(mpmath, at).of(node)
        except UnreadableError:
            raise
        except (ArithmeticError, ValueError) as error:
            raise UnreadableError(f"it cannot be worked out: {error}") from error


class _Evaluation:
    """Goes through an expression from its leaves to its root, with mpmath's numbers of the precision in use."""

    def __init__(self, mp: Any, at: Mapping[str, Fraction]) -> None:
        self.mp, self.at = mp, at
        self.step = 8 * mp.eps
        self.degree: Value = Fraction(1)

    def of(self, node: Node) -> Value:
        kind = node[0]
        if kind == "number":
            return node[1]
        if kind == "letter":
            return self.at[node[1]]
        if kind == "constant":
            return self.constant(node[1])
        if kind == "infinity":
            raise NoValueError("infinity is no number")
        if kind in ("sin", "cos", "tan", "cot", "sec", "csc"):
            outer, self.degree = self.degree, self.over(self.rounded(self.mp.pi), Fraction(180))
            inside = self.of(node[1])
            self.degree = outer
            return self.function(kind, inside)
        parts = [self.of(part) for part in node[1:]]
        match kind:
            case "+" | "-":
                return self.plus(parts[0], parts[1], 1 if kind == "+" else -1)
            case "*":
                return self.times(parts[0], parts[1])
            case "/":
                return self.over(parts[0], parts[1])
            case "^":
                return self.power(parts[0], parts[1])
            case "root":
                return self.power(parts[0], self.over(Fraction(1), parts[1]))
            case "log":
                return self.over(self.function("ln", parts[0]), self.function("ln", parts[1]))
            case "!" | "binom":
                return self.count(kind, parts)
            case _:
                return self.function(kind, parts[0])

    def constant(self, name: str) -> Value:
        if name == "degree":
            return self.degree
        return self.rounded({"pi": self.mp.pi, "e": self.mp.e, "i": self.mp.mpc(0, 1)}[name])

    def rounded(self, value: Any, error: Any = 0) -> Rough:
        value = +value
        if not self.mp.isfinite(value):
            raise UnreadableError("it is too large")
        return Rough(value, error + abs(value) * self.step)

    def rough(self, value: Value) -> Rough:
        if isinstance(value, Rough):
            return value
        if bits(value) > ROUGH:
            raise UnreadableError("it is too large to be among irrational numbers")
        return self.rounded(self.mp.mpf(value.numerator) / value.denominator)

    def exact(self, value: Fraction) -> Fraction:
        if bits(value) > EXACT:
            raise UnreadableError("it is too large")
        return value

    def plus(self, a: Value, b: Value, sign: int) -> Value:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return self.exact(a + sign * b)
        x, y = self.rough(a), self.rough(b)
        return self.rounded(x.value + sign * y.value, x.error + y.error)

    def times(self, a: Value, b: Value) -> Value:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return self.exact(a * b)
        if 0 in (a, b):
            return Fraction(0)
        x, y = self.rough(a), self.rough(b)
        return self.rounded(x.value * y.value, abs(x.value) * y.error + abs(y.value) * x.error)

    def over(self, a: Value, b: Value) -> Value:
        if zero(b):
            raise NoValueError("it divides by 0")
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return self.exact(a / b)
        x, y = self.rough(a), self.rough(b)
        value = x.value / y.value
        return self.rounded(value, (x.error + abs(value) * y.error) / abs(y.value))

    def power(self, a: Value, b: Value) -> Value:
        if zero(a):
            if isinstance(b, Fraction) and b > 0:
                return Fraction(0)
            raise NoValueError("a power of 0")
        if isinstance(a, Fraction) and isinstance(b, Fraction) and b.denominator == 1:
            if bits(a) * abs(b.numerator) > EXACT and a not in (1, -1):
                raise UnreadableError("a power is too large")
            return a**b.numerator if a not in (1, -1) else a ** (b.numerator % 2)
        if isinstance(b, Fraction) and b.denominator % 2 and self.negative(a):  # the real root, as with its sign
            value = self.power(self.plus(Fraction(0), a, -1), b)
            return self.plus(Fraction(0), value, -1) if b.numerator % 2 else value
        x, y = self.rough(a), self.rough(b)
        log = self.mp.log(x.value)
        if abs(y.value * log) > LARGE:
            raise UnreadableError("a power is too large")
        value = self.mp.exp(y.value * log)
        relative = abs(y.value) * x.error / abs(x.value) + abs(log) * y.error + abs(y.value * log) * self.step
        return self.rounded(value, abs(value) * relative)

    def negative(self, a: Value) -> bool:
        if isinstance(a, Fraction):
            return a < 0
        return bool(self.mp.im(a.value) == 0 and self.mp.re(a.value) < 0)

    def count(self, kind: str, parts: list[Value]) -> Value:
        whole = [int(part) for part in parts if isinstance(part, Fraction) and part.denominator == 1]
        if len(whole) < len(parts) or not all(0 <= n <= COUNT for n in whole):
            raise NoValueError("a factorial of this")
        return self.exact(Fraction(factorial(whole[0]) if kind == "!" else comb(whole[0], whole[1])))

    def function(self, name: str, a: Value) -> Value:
        if name in ("abs", "floor", "ceil"):
            return self.whole(name, a)
        if a == 0 and name in _AT_ZERO:
            return Fraction(_AT_ZERO[name])
        mp, x = self.mp, self.rough(a)
        if abs(x.value) > _LARGEST.get(name, TURNS):
            raise UnreadableError("an argument is too large")
        if name in ("arcsin", "arccos") and (mp.im(x.value) != 0 or abs(x.value) - x.error > 1):
            raise NoValueError("a function where it is not real")
        if name == "ln" and (zero(x) or (mp.im(x.value) == 0 and x.value < 0)):
            raise NoValueError("a function where it is not real")
        value = {
            "sin": mp.sin, "cos": mp.cos, "tan": mp.tan, "cot": mp.cot, "sec": mp.sec, "csc": mp.csc, "ln": mp.log,
            "exp": mp.exp, "arcsin": self.arcsin, "arccos": self.arccos, "arctan": mp.atan,
            "sinh": mp.sinh, "cosh": mp.cosh, "tanh": mp.tanh,
        }[name](x.value)  # fmt: skip
        if (name in ("tan", "sec") and abs(mp.cos(x.value)) <= x.error) or (
            name in ("cot", "csc") and abs(mp.sin(x.value)) <= x.error
        ):
            raise NoValueError("a function where it has no value")
        return self.rounded(value, self.slope(name, x, value) * x.error)

    def arcsin(self, x: Any) -> Any:
        return self.mp.asin(max(-1, min(1, self.mp.re(x))))

    def arccos(self, x: Any) -> Any:
        return self.mp.pi / 2 - self.arcsin(x)

    def slope(self, name: str, x: Rough, value: Any) -> Any:
        """How much an error of the argument counts, at most."""
        mp = self.mp
        if name in ("arcsin", "arccos"):
            return 2 / mp.sqrt(max(abs(1 - x.value**2), x.error)) if x.error else 0
        steep = {"ln": lambda: 1 / abs(x.value), "arctan": lambda: 1 / max(abs(1 + x.value**2), x.error)}
        if name in steep:
            return steep[name]()
        return 2 + 2 * abs(value) ** 2 if name in ("tan", "cot", "sec", "csc") else 1 + abs(value)

    def whole(self, name: str, a: Value) -> Value:
        mp = self.mp
        if name == "abs":
            return abs(a) if isinstance(a, Fraction) else self.rounded(abs(a.value), a.error)
        if isinstance(a, Fraction):
            return Fraction(a.numerator // a.denominator if name == "floor" else -(-a.numerator // a.denominator))
        if mp.im(a.value) != 0:
            raise NoValueError("a whole part of no real number")
        near = mp.nint(mp.re(a.value))
        if abs(near - a.value) > a.error:
            near = mp.floor(mp.re(a.value)) if name == "floor" else mp.ceil(mp.re(a.value))
        return self.exact(Fraction(int(near))) if abs(near) < TURNS**2 else self.rounded(near)


def bits(value: Fraction) -> int:
    """Bits of the larger of numerator and denominator."""
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def sign(value: Value) -> int:
    """The sign of a real value, 0 where it has none."""
    if isinstance(value, Fraction):
        return (value > 0) - (value < 0)
    real = not hasattr(value.value, "imag") or value.value.imag == 0
    return 0 if zero(value) or not real else 1 if value.value.real > 0 else -1
