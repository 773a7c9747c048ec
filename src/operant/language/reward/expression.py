r"""One mathematical expression, read from LaTeX or plain text into SymPy: numbers, letters, functions, and no more.

A reader of our own, and not a general one, because what cannot be read must be refused rather than guessed at, and
because everything that a stranger writes is bounded here: the depth, the size of every number, and the digits to which
two irrational numbers are compared.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

from operant.language.reward.exact import EXACT, ROUGH, UnreadableError, size

DEPTH = 24
"""Brackets within brackets, at most."""

_TOKEN = re.compile(
    r"\s*(?P<num>\d*\.\d*\\(?:overline|bar)\s?\{\d+\}|\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3}(?!\w))?|\.\d+)"
    r"|\s*(?P<word>\\[A-Za-z]+|(?:arc)?(?:sinh?|cosh?|tanh?|cot|sec|csc)(?![a-z])|(?:sqrt|log|ln|exp|pi)(?![a-z])"
    r"|[A-Z]{2,}(?![a-z])|[^\W\d_])|\s*(?P<sign>\*\*|\\[^A-Za-z]|\S)"
)
_FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "arcsin": "asin",
    "arccos": "acos", "arctan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "ln": "log", "log": "log",
    "lg": "log", "exp": "exp",
}  # fmt: skip
_INVERSE = {"sin": "asin", "cos": "acos", "tan": "atan"}
_ACCENTS = {"overline", "bar", "vec", "overrightarrow", "hat", "widehat", "tilde", "mathbb", "mathcal", "angle",
            "triangle"}  # fmt: skip
_FONTS = {"mathrm", "mathbf", "mathit", "boldsymbol", "bm", "rm", "bf", "text"}
_GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi", "omega", "Gamma",
    "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega", "ell",
}  # fmt: skip
_PRODUCTS = {"*": "*", "\\cdot": "*", "\\times": "*", "×": "*", "·": "*", "/": "/", ":": "/", "\\div": "/", "÷": "/"}


@lru_cache(maxsize=512)
def expression(text: str) -> Any:
    """The SymPy expression that a text is.

    Raises:
        UnreadableError: if it is none.
    """
    import sympy

    if text.count(":") > 1:
        raise UnreadableError("a ratio of three")
    reader = _Reader(text)
    value = reader.sum()
    if reader.at < len(reader.tokens):
        raise UnreadableError(f"{reader.tokens[reader.at]!r} is left over")
    value = value.xreplace({_degree(): sympy.Integer(1)})
    if not value.is_Rational and size(value) > ROUGH:
        raise UnreadableError("it is too large")
    if value.has(sympy.nan, sympy.zoo) or (value.has(sympy.oo, -sympy.oo) and abs(value) != sympy.oo):
        raise UnreadableError("it divides by 0")
    return value


def _degree() -> Any:
    import sympy

    return sympy.Symbol("°")


def _power(base: Any, exponent: Any) -> Any:
    """A power, unless it is too large, or 0 to a power that is not positive."""
    import sympy

    whole = base.is_Rational and exponent.is_Integer
    if size(sympy.Pow(base, exponent, evaluate=False)) > (EXACT if whole else ROUGH):
        raise UnreadableError("a power is too large")
    if base == 0 and not (exponent.is_Rational and exponent > 0):
        raise UnreadableError("a power of 0")
    return sympy.Pow(base, exponent)


def _whole(value: Any, most: int = 10_000) -> Any:
    if value.is_Integer and not 0 <= value <= most:
        raise UnreadableError("a factorial of this")
    if not value.is_Integer and not value.free_symbols:
        raise UnreadableError("a factorial of what is no whole number")
    return value


class _Reader:
    """Reads by descending: a sum of products of powers of atoms."""

    def __init__(self, text: str) -> None:
        self.tokens = [m["num"] or m["word"] or m["sign"] for m in _TOKEN.finditer(text.rstrip())]
        self.at, self.depth = 0, 0

    def next(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        token = self.next()
        if not token or (expected and token not in expected):
            raise UnreadableError(f"{token!r} stands where one of {expected} belongs")
        self.at += 1
        return token

    def sum(self) -> Any:
        self.depth += 1
        if self.depth > DEPTH:
            raise UnreadableError("it is too deep")
        value = self.product()
        while self.next() in ("+", "-"):
            minus = self.take() == "-"
            if self.next() in ("+", "-"):
                raise UnreadableError("two signs")
            term = self.product()
            value = value - term if minus else value + term
        self.depth -= 1
        return value

    def product(self, argument: bool = False) -> Any:
        """Factors up to a sum; of a function's argument without brackets, up to another operation or function."""
        value, divided = self.signed(), False
        while token := self.next():
            if token in _PRODUCTS and not argument:
                divided = _PRODUCTS[self.take()] == "/"
                factor = self.signed()
                if divided and factor == 0:
                    raise UnreadableError("it divides by 0")
                value = value / factor if divided else value * factor
            elif self.begins(token) and not (argument and token.removeprefix("\\") in _FUNCTIONS):
                if divided or token[0].isdigit() or token[0] == ".":
                    raise UnreadableError("a product that can be meant in two ways")
                value = value * self.powers()
            else:
                break
        return value

    def begins(self, token: str) -> bool:
        """Whether a factor begins with this."""
        return token[0].isalnum() or token in ("(", "{", "[", ".") or (token[0] == "\\" and self.known(token[1:]))

    def known(self, word: str) -> bool:
        more = {"frac", "sqrt", "binom", "pi", "lfloor", "lceil", "infty"}
        return word in _FUNCTIONS or word in _GREEK or word in _ACCENTS or word in _FONTS or word in more

    def signed(self) -> Any:
        if self.next() in ("+", "-"):
            minus = self.take() == "-"
            if self.next() in ("+", "-"):
                raise UnreadableError("two signs")
            return -self.powers() if minus else self.powers()
        return self.powers()

    def powers(self) -> Any:
        import sympy

        value, raised = self.atom(), False
        while (token := self.next()) in ("^", "**", "!", "\\%", "%", "\\degree"):
            self.take()
            if token in ("^", "**") and self.circle():
                value = value * _degree()
            elif token in ("^", "**"):
                if raised:
                    raise UnreadableError("two exponents")
                value, raised = _power(value, self.exponent()), True
            elif token == "!":
                if raised or self.next() == "!":
                    raise UnreadableError("a factorial that can be meant in two ways")
                value = sympy.factorial(_whole(value))
            else:
                value = value * (_degree() if token == "\\degree" else sympy.Rational(1, 100))
        return value

    def circle(self) -> bool:
        """Take the sign of degrees, where it is the exponent."""
        braced = self.next() == "{" and self.next(1) == "\\circ" and self.next(2) == "}"
        self.at += 3 if braced else self.next() == "\\circ"
        return braced or self.tokens[self.at - 1] == "\\circ"

    def exponent(self) -> Any:
        if self.next() in ("+", "-"):
            minus = self.take() == "-"
            return -self.atom() if minus else self.atom()
        return self.atom()

    def group(self, closing: str) -> Any:
        value = self.sum()
        self.take(closing)
        return value

    def atom(self) -> Any:
        import sympy

        token = self.take()
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            return self.numeral(token)
        if token in ("(", "[", "{"):
            return self.group({"(": ")", "[": "]", "{": "}"}[token])
        if token == "|":
            return sympy.Abs(self.group("|"))
        word = token.removeprefix("\\")
        if word in _FUNCTIONS and len(word) > 1:
            return self.function(word)
        if token == "\\frac":
            above, below = self.argument(), self.argument()
            if below == 0:
                raise UnreadableError("it divides by 0")
            return above / below
        if word == "sqrt":
            return self.root()
        if token == "\\binom":
            above, below = _whole(self.argument()), _whole(self.argument())
            return sympy.binomial(above, below)
        if token in ("\\lfloor", "\\lceil"):
            inside = self.group("\\rfloor" if token == "\\lfloor" else "\\rceil")
            return sympy.floor(inside) if token == "\\lfloor" else sympy.ceiling(inside)
        if token in ("\\infty", "\\pi", "pi"):
            return sympy.oo if token == "\\infty" else sympy.pi
        return self.letter(token)

    def numeral(self, token: str) -> Any:
        """A number; a whole one before a proper fraction is the whole part of a mixed one."""
        import sympy

        if "\\" in token:
            digits, _, period = token.partition("\\")
            digits = digits or "0"
            period = re.sub(r"\D", "", period)
            shift = len(digits.partition(".")[2])
            value = Fraction(digits.rstrip(".") or 0) + Fraction(int(period), (10 ** len(period) - 1) * 10**shift)
        else:
            value = Fraction(token)
        number = sympy.Rational(value.numerator, value.denominator)
        if self.next() == "\\frac":
            part = self.atom()
            if not part.is_Rational:
                return number * part
            if not (token.isdigit() and 0 < part < 1):
                raise UnreadableError("a mixed number of this")
            return number + part
        if token.isdigit() and self.next().isdigit() and self.next(1) == "/" and self.next(2).isdigit():
            part = Fraction(int(self.take()), int(self.tokens[self.at + 1]) or 1)
            self.at += 2
            if not 0 < part < 1:
                raise UnreadableError("a mixed number of this")
            return number + sympy.Rational(part.numerator, part.denominator)
        return number

    def argument(self) -> Any:
        r"""What a command takes: a group, or one letter or digit (\frac12)."""
        import sympy

        token = self.next()
        if token.isdigit() and len(token) > 1:
            self.tokens[self.at] = token[1:]  # the first digit is taken, the rest stays
            return sympy.Integer(int(token[0]))
        return self.atom()

    def root(self) -> Any:
        import sympy

        degree = sympy.Integer(2)
        if self.next() == "[":
            self.take()
            degree = self.group("]")
        if self.next().isdigit() and len(self.next()) > 1:
            raise UnreadableError("a root of which digits")
        inside = self.atom()
        if degree.is_Integer and degree % 2 and inside.is_negative:
            return -_power(-inside, 1 / degree)
        return _power(inside, 1 / degree)

    def function(self, word: str) -> Any:
        import sympy

        base: Any = sympy.Integer(10) if word in ("log", "lg") else None
        if word == "log" and self.next() == "_":
            self.take()
            base = self.argument()
        exponent: Any = None
        if self.next() in ("^", "**"):
            self.take()
            exponent = self.exponent()
        name = _FUNCTIONS[word]
        if exponent == -1:
            if name not in _INVERSE:
                raise UnreadableError("a function to the power -1")
            name, exponent = _INVERSE[name], None
        inside = self.atom() if self.next() in ("(", "[", "{") else self.product(argument=True)
        if self.tokens[self.at - 1] in (")", "]") and self.next() in ("^", "**") and exponent is not None:
            raise UnreadableError("two exponents")
        inside = inside.xreplace({_degree(): sympy.pi / 180})
        if size(inside) > ROUGH or (
            name in ("exp", "sinh", "cosh", "tanh") and size(sympy.exp(inside, evaluate=False)) > ROUGH
        ):
            raise UnreadableError("an argument is too large")
        if name == "log" and inside == 0:
            raise UnreadableError("a logarithm of 0")
        value = sympy.log(inside, base) if base is not None else getattr(sympy, name)(inside)
        return value if exponent is None else _power(value, exponent)

    def letter(self, token: str) -> Any:
        """A letter with its accent, its font and its index; e and i are the constants."""
        import sympy

        word = token.removeprefix("\\")
        if word in _FONTS and token[0] == "\\" and self.next() == "{":
            return self.group("}") if self.take() else None
        if word in _ACCENTS and token[0] == "\\":
            name = word + self.raw()
        elif token[0] == "\\" and word not in _GREEK:
            raise UnreadableError(f"{token} is not known")
        elif token[0].isalpha() or token[0] == "\\":
            name = word
        else:
            raise UnreadableError(f"{token!r} is no expression")
        if self.next() == "_":
            self.take()
            name += "_" + self.raw()
        while self.next() == "'":
            name += self.take()
        return {"e": sympy.E, "i": sympy.I}.get(name) or sympy.Symbol(name)

    def raw(self) -> str:
        """The next letter, digit or group as it is written."""
        if self.next() != "{":
            return self.take()
        depth, words = 0, ""
        while True:
            token = self.take()
            depth += {"{": 1, "}": -1}.get(token, 0)
            if depth == 0:
                return words.removeprefix("{")
            words += token
