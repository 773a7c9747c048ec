r"""One mathematical expression, read from LaTeX or plain text: numbers, letters, functions, and nothing else.

A reader of our own, and not a general one, because what cannot be read, or has two meanings, must be refused rather
than guessed at; `operant.language.reward.exact` works it out.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from operant.language.reward.exact import Node, UnreadableError, evaluate, letters

DEPTH = 24
"""Brackets within brackets, at most."""

_TOKEN = re.compile(
    r"\s*(?P<num>\d*\.\d*\\(?:overline|bar)\s?\{\d+\}|\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3}(?!\w))?|\.\d+)"
    r"|\s*(?P<word>\\[A-Za-z]+|(?:arc)?(?:sinh?|cosh?|tanh?|cot|sec|csc)(?![a-z])|(?:sqrt|log|ln|exp|pi)(?![a-z])"
    r"|[A-Z]{2,}(?![a-z])|[^\W\d_])|\s*(?P<sign>\*\*|\\[^A-Za-z]|\S)"
)
_FUNCTIONS = {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
              "ln", "log", "lg", "exp"}  # fmt: skip
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
def expression(text: str) -> Node:
    """The expression that a text is.

    Raises:
        UnreadableError: if it is none, or has no value.
    """
    if text.count(":") > 1:
        raise UnreadableError("a ratio of three")
    reader = _Reader(text)
    node = reader.sum()
    if reader.at < len(reader.tokens):
        raise UnreadableError(f"{reader.tokens[reader.at]!r} is left over")
    if node in (_INFINITY, ("-", _NOTHING, _INFINITY)):
        return ("infinity", 1 if node == _INFINITY else -1)
    if not letters(node):
        evaluate(node, {})
    return node


def rational(node: Node) -> Fraction | None:
    """The value of an expression that is a fraction, None for others."""
    value = None if letters(node) else evaluate(node, {})
    return value if isinstance(value, Fraction) else None


_NOTHING: Node = ("number", Fraction(0))
_INFINITY: Node = ("infinity", 1)
_DEGREE: Node = ("constant", "degree")


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

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > DEPTH:
            raise UnreadableError("it is too deep")
        value = self.product()
        while self.next() in ("+", "-"):
            minus = self.take() == "-"
            if self.next() in ("+", "-"):
                raise UnreadableError("two signs")
            term = self.product()
            value = ("-" if minus else "+", value, term)
        self.depth -= 1
        return value

    def product(self, argument: bool = False) -> Node:
        """Factors up to a sum; of a function's argument without brackets, up to another operation or function."""
        value, divided = self.signed(), False
        while token := self.next():
            if token in _PRODUCTS and not argument:
                divided = _PRODUCTS[self.take()] == "/"
                value = ("/" if divided else "*", value, self.signed())
            elif self.begins(token) and not (argument and token.removeprefix("\\") in _FUNCTIONS):
                if divided or token[0].isdigit() or token[0] == ".":
                    raise UnreadableError("a product that can be meant in two ways")
                value = ("*", value, self.powers())
            else:
                break
        return value

    def begins(self, token: str) -> bool:
        """Whether a factor begins with this."""
        return token[0].isalnum() or token in ("(", "{", "[", ".") or (token[0] == "\\" and self.known(token[1:]))

    def known(self, word: str) -> bool:
        more = {"frac", "sqrt", "binom", "pi", "lfloor", "lceil", "infty"}
        return word in _FUNCTIONS or word in _GREEK or word in _ACCENTS or word in _FONTS or word in more

    def signed(self) -> Node:
        if self.next() in ("+", "-"):
            minus = self.take() == "-"
            if self.next() in ("+", "-"):
                raise UnreadableError("two signs")
            return ("-", _NOTHING, self.powers()) if minus else self.powers()
        return self.powers()

    def powers(self) -> Node:
        value, raised = self.atom(), False
        while (token := self.next()) in ("^", "**", "!", "\\%", "%", "\\degree"):
            self.take()
            if token in ("^", "**") and self.circle():
                value = ("*", value, _DEGREE)
            elif token in ("^", "**"):
                if raised:
                    raise UnreadableError("two exponents")
                value, raised = ("^", value, self.exponent()), True
            elif token == "!":
                if raised or self.next() == "!":
                    raise UnreadableError("a factorial that can be meant in two ways")
                value = ("!", value)
            else:
                value = ("*", value, _DEGREE if token == "\\degree" else ("number", Fraction(1, 100)))
        return value

    def circle(self) -> bool:
        """Take the sign of degrees, where it is the exponent."""
        braced = self.next() == "{" and self.next(1) == "\\circ" and self.next(2) == "}"
        self.at += 3 if braced else self.next() == "\\circ"
        return braced or self.tokens[self.at - 1] == "\\circ"

    def exponent(self) -> Node:
        if self.next() in ("+", "-"):
            minus = self.take() == "-"
            return ("-", _NOTHING, self.atom()) if minus else self.atom()
        return self.atom()

    def group(self, closing: str) -> Node:
        value = self.sum()
        self.take(closing)
        return value

    def atom(self) -> Node:
        token = self.take()
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            return self.numeral(token)
        if token in ("(", "[", "{"):
            return self.group({"(": ")", "[": "]", "{": "}"}[token])
        if token == "|":
            return ("abs", self.group("|"))
        word = token.removeprefix("\\")
        if word in _FUNCTIONS and len(word) > 1:
            return self.function(word)
        if token == "\\frac":
            return ("/", self.argument(), self.argument())
        if word == "sqrt":
            return self.root()
        if token == "\\binom":
            return ("binom", self.argument(), self.argument())
        if token in ("\\lfloor", "\\lceil"):
            inside = self.group("\\rfloor" if token == "\\lfloor" else "\\rceil")
            return ("floor" if token == "\\lfloor" else "ceil", inside)
        if token in ("\\infty", "\\pi", "pi"):
            return _INFINITY if token == "\\infty" else ("constant", "pi")
        return self.letter(token)

    def numeral(self, token: str) -> Node:
        """A number; a whole one before a proper fraction is the whole part of a mixed one."""
        digits, repeated, period = token.partition("\\")
        value = Fraction(digits.rstrip(".") or 0)
        if repeated:
            period = re.sub(r"\D", "", period)
            value += Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(digits.partition(".")[2]))
        number: Node = ("number", value)
        if self.next() == "\\frac":
            part = self.atom()
            return self.mixed(token, value, part)
        if token.isdigit() and self.next().isdigit() and self.next(1) == "/" and self.next(2).isdigit():
            above, below = int(self.take()), int(self.tokens[self.at + 1])
            self.at += 2
            return self.mixed(token, value, ("/", ("number", Fraction(above)), ("number", Fraction(below))))
        return number

    def mixed(self, token: str, whole: Fraction, part: Node) -> Node:
        small = rational(part)
        if small is None:
            return ("*", ("number", whole), part)
        if not (token.isdigit() and 0 < small < 1):
            raise UnreadableError("a mixed number of this")
        return ("number", whole + small)

    def argument(self) -> Node:
        r"""What a command takes: a group, or one letter or digit (\frac12)."""
        token = self.next()
        if token.isdigit() and len(token) > 1:
            self.tokens[self.at] = token[1:]  # the first digit is taken, the rest stays
            return ("number", Fraction(int(token[0])))
        return self.atom()

    def root(self) -> Node:
        degree: Node = ("number", Fraction(2))
        if self.next() == "[":
            self.take()
            degree = self.group("]")
        if self.next().isdigit() and len(self.next()) > 1:
            raise UnreadableError("a root of which digits")
        return ("root", self.atom(), degree)

    def function(self, word: str) -> Node:
        base: Node | None = ("number", Fraction(10)) if word in ("log", "lg") else None
        if word == "log" and self.next() == "_":
            self.take()
            base = self.argument()
        exponent: Node | None = None
        if self.next() in ("^", "**"):
            self.take()
            exponent = self.exponent()
        if exponent is not None and rational(exponent) == -1:
            if word not in ("sin", "cos", "tan"):
                raise UnreadableError("a function to the power -1")
            word, exponent = "arc" + word, None
        inside = self.atom() if self.next() in ("(", "[", "{") else self.product(argument=True)
        if self.tokens[self.at - 1] in (")", "]") and self.next() in ("^", "**") and exponent is not None:
            raise UnreadableError("two exponents")
        value: Node = ("log", inside, base) if base is not None else (word, inside)
        return value if exponent is None else ("^", value, exponent)

    def letter(self, token: str) -> Node:
        """A letter with its accent, its font and its index; e and i are the constants."""
        word = token.removeprefix("\\")
        if word in _FONTS and token[0] == "\\" and self.next() == "{":
            self.take()
            return self.group("}")
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
        return ("constant", name) if name in ("e", "i") else ("letter", name)

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
