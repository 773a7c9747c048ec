"""A small language of arithmetic over named quantities, with a parser, types and a compiler of its own.

Text becomes a tree, the tree is typed against what an environment offers, and the typed tree becomes a NumPy closure.
Nothing is ever given to Python to evaluate, so a text can ask for arithmetic and for nothing else.

    exp(-abs(angle) / 0.5)        where(height > 0.9, 1, 0)        -norm(to_target)

A number is a scalar, a vector has its length in its kind, and a truth is what a comparison gives: it can be chosen by
(`where`) and joined (`both`, `either`), and is no number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are

LONGEST, DEEPEST = 1_000, 40
"""Characters of a text, and levels of a tree, at most."""
TRUTH, NUMBER = -1, 0
"""Kinds; n ≥ 1 is a vector of n numbers."""

Kinds = Mapping[str, int]
"""What an environment offers, by name."""
State = Mapping[str, Any]
"""What it has now: a number, or an array [..., n] of a vector; leading axes are copies."""
Closure = Callable[[State], Any]


@dataclass(frozen=True, slots=True)
class Number:
    """A constant, finite."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A quantity of the environment."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator, of one to three trees."""

    name: str
    args: tuple[Node, ...]


Node = Number | Name | Call


class ExpressionError(ConfigError):
    """A text that is no expression, or one whose types do not fit. Exit code 2."""


def _dot(a: Any, b: Any) -> Any:
    return np.sum(a * b, -1)


def _norm(a: Any) -> Any:
    return np.sqrt(np.sum(a * a, -1))


def _largest(a: Any) -> Any:
    return np.max(a, -1)


def _total(a: Any) -> Any:
    return np.sum(a, -1)


def _clip(a: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(a, low), high)


OPERATORS: dict[str, tuple[int, Callable[..., Any]]] = {
    "<": (1, np.less), "<=": (1, np.less_equal), ">": (1, np.greater), ">=": (1, np.greater_equal),
    "+": (2, np.add), "-": (2, np.subtract), "*": (3, np.multiply), "/": (3, np.divide),
}  # fmt: skip
"""Operators between two, how tightly each binds, and what it is."""
EACH: dict[str, tuple[int, Callable[..., Any]]] = {
    "exp": (1, np.exp), "log": (1, np.log), "sqrt": (1, np.sqrt), "square": (1, np.square), "abs": (1, np.abs),
    "tanh": (1, np.tanh), "sin": (1, np.sin), "cos": (1, np.cos), "neg": (1, np.negative),
    "min": (2, np.minimum), "max": (2, np.maximum), "clip": (3, _clip),
}  # fmt: skip
"""Functions of numbers, and of each number of a vector, and how many they take."""
OF_VECTORS: dict[str, tuple[int, Callable[..., Any]]] = {
    "norm": (1, _norm), "dot": (2, _dot), "sum": (1, _total), "largest": (1, _largest),
}  # fmt: skip
"""Functions from vectors to a number."""
OF_TRUTHS: dict[str, tuple[int, Callable[..., Any]]] = {
    "both": (2, np.logical_and), "either": (2, np.logical_or), "not": (1, np.logical_not),
}  # fmt: skip
CHOICE = ("where", 3, np.where)
FUNCTIONS = {name: n for name, (n, _) in (EACH | OF_VECTORS | OF_TRUTHS).items() if name != "neg"} | {"where": 3}
"""Every function that a text may name, and how many it takes."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<sign><=|>=|[-+*/<>(),]))",
    re.ASCII,
)


def parse(text: str) -> Node:
    """The tree of a text.

    Raises:
        ExpressionError: if it is none; says where.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"an expression of {len(text):,} characters: at most {LONGEST:,} are read")
    return _Parser(text).whole()


class _Parser:
    """Precedence climbing over the tokens of a text."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.kind, self.token = "", ""
        self.start = 0
        self._advance()

    def whole(self) -> Node:
        found = self._binary(1)
        if self.kind:
            self._fail(f"{self.token!r} where the expression should end")
        return found

    def _advance(self) -> None:
        rest = self.text[self.at :]
        if not rest.strip():
            self.kind, self.token, self.start = "", "", len(self.text)
            return
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            self.start = len(self.text) - len(rest.lstrip())
            self._fail(f"{self.text[self.start]!r} is not of the language")
        self.kind, self.at = str(match.lastgroup), match.end()
        self.token, self.start = match[self.kind], match.start(self.kind)

    def _fail(self, what: str) -> NoReturn:
        raise ExpressionError(f"{self.text.strip()[:80]!r}, character {self.start + 1}: {what}")

    def _binary(self, least: int) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self._fail(f"more than {DEEPEST} levels")
        left = self._unary()
        while self.kind == "sign" and OPERATORS.get(self.token, (0,))[0] >= least:
            sign, tight = self.token, OPERATORS[self.token][0]
            self._advance()
            left = Call(sign, (left, self._binary(tight + 1)))
            if tight == 1 and self.token in OPERATORS and OPERATORS[self.token][0] == 1:
                self._fail("comparisons do not chain: join them by both(a, b)")
        self.depth -= 1
        return left

    def _unary(self) -> Node:
        if self.token != "-":
            return self._leaf()
        self.depth += 1
        if self.depth > DEEPEST:
            self._fail(f"more than {DEEPEST} levels")
        self._advance()
        inner = self._unary()
        self.depth -= 1
        if isinstance(inner, Number):
            return Number(-inner.value)
        return Call("neg", (inner,))

    def _leaf(self) -> Node:
        kind, token = self.kind, self.token
        if kind == "number":
            value = float(token)
            if not math.isfinite(value):
                self._fail(f"{token} is too large")
            self._advance()
            return Number(value)
        if kind == "name":
            self._advance()
            return self._call(token) if self.token == "(" else Name(token)
        if token == "(":
            self._advance()
            found = self._binary(1)
            self._expect(")")
            return found
        return self._fail(f"{token!r} where a number or a name should be" if kind else "the end came too early")

    def _call(self, name: str) -> Node:
        if name not in FUNCTIONS:
            self._fail(f"there is no function {name}{nearest_are(name, FUNCTIONS)}. There are {', '.join(FUNCTIONS)}")
        self._advance()
        args = [self._binary(1)]
        while self.token == ",":
            self._advance()
            args.append(self._binary(1))
        self._expect(")")
        if len(args) != FUNCTIONS[name]:
            self._fail(f"{name} takes {FUNCTIONS[name]}, not {len(args)}")
        return Call(name, tuple(args))

    def _expect(self, sign: str) -> None:
        if self.token != sign:
            self._fail(f"{sign!r} is missing" + (f" before {self.token!r}" if self.kind else ""))
        self._advance()


def text(node: Node, tight: int = 0) -> str:
    """A text that `parse` reads as the same tree; numbers keep all their digits."""
    if isinstance(node, Number):
        return f"{node.value!r}" if node.value != int(node.value) or abs(node.value) > 1e6 else f"{int(node.value)}"
    if isinstance(node, Name):
        return node.name
    if node.name == "neg":
        inside = text(node.args[0], 4)
        return f"-({inside})" if isinstance(node.args[0], Number) else f"-{inside}"
    if node.name in OPERATORS:
        mine = OPERATORS[node.name][0]
        found = f"{text(node.args[0], mine + (mine == 1))} {node.name} {text(node.args[1], mine + 1)}"
        return f"({found})" if mine < tight else found
    return f"{node.name}({', '.join(map(text, node.args))})"


def walk(node: Node) -> Iterator[Node]:
    """A tree and all below it."""
    yield node
    if isinstance(node, Call):
        for each in node.args:
            yield from walk(each)


def form(node: Node) -> Node:
    """The tree with every number left out: what is the same in two that differ in their scales alone."""
    if isinstance(node, Number):
        return Number(0.0)
    return node if isinstance(node, Name) else Call(node.name, tuple(map(form, node.args)))


def kind_of(node: Node, kinds: Kinds) -> int:
    """The kind of a tree.

    Raises:
        ExpressionError: if it names what is not offered, or joins what does not fit; says which.
    """
    if isinstance(node, Number):
        return NUMBER
    if isinstance(node, Name):
        if node.name not in kinds:
            near = nearest_are(node.name, kinds)
            raise ExpressionError(f"there is no quantity {node.name}{near}. There are {', '.join(kinds)}")
        return kinds[node.name]
    args = [kind_of(each, kinds) for each in node.args]
    if node.name in OF_TRUTHS:
        _need(node, all(kind == TRUTH for kind in args), "truths, as in x > 0")
        return TRUTH
    if node.name in OF_VECTORS:
        _need(node, all(kind > 0 for kind in args) and len(set(args)) == 1, "vectors of one length")
        return NUMBER
    if node.name == "where":
        _need(node, args[0] == TRUTH, "a truth first, as in x > 0")
        args = args[1:]
    _need(node, TRUTH not in args, "numbers: a truth is none, write where(x > 0, 1, 0)")
    lengths = {kind for kind in args if kind != NUMBER}
    _need(node, len(lengths) <= 1, "vectors of one length")
    kind = max(lengths, default=NUMBER)
    if node.name in OPERATORS and OPERATORS[node.name][0] == 1:
        _need(node, kind == NUMBER, "numbers to compare: take norm(v) of a vector")
        return TRUTH
    if node.name == "where":
        _need(node, kind == NUMBER, "numbers to choose from")
    return kind


def _need(node: Call, holds: bool, what: str) -> None:
    if not holds:
        raise ExpressionError(f"{text(node)[:80]!r}: {node.name} needs {what}")


def compiled(node: Node) -> Closure:
    """The tree, whose types fit, as a function of a state: numbers [...] or vectors [..., n] by NumPy.

    What overflows or divides by zero comes out as no finite number, in silence; who asks has to look.
    """
    if isinstance(node, Number):
        value = np.float64(node.value)
        return lambda _: value
    if isinstance(node, Name):
        name = node.name
        return lambda state: state[name]
    function = _function(node.name)
    args = [compiled(each) for each in node.args]
    if len(args) == 1:
        (a,) = args
        return lambda state: function(a(state))
    if len(args) == 2:
        a, b = args
        return lambda state: function(a(state), b(state))
    a, b, c = args
    return lambda state: function(a(state), b(state), c(state))


def _function(name: str) -> Callable[..., Any]:
    if name == "where":
        return CHOICE[2]
    return (OPERATORS | EACH | OF_VECTORS | OF_TRUTHS)[name][1]
