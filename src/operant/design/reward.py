"""A reward as a sum of named, weighted, transformed components, each of which is logged by itself.

    upright = 1 * exp((height - 1) / 0.5)
    effort = -0.01 * square(torque)

One line each: a name, a weight, and an expression of `operant.design.expression`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from operant.design.expression import (
    NUMBER,
    Call,
    Closure,
    ExpressionError,
    Kinds,
    Node,
    Number,
    State,
    compiled,
    form,
    kind_of,
    parse,
    text,
)

MOST = 12
"""Components of a reward, at most."""
_LINE = re.compile(r"([a-z][a-z0-9_]{0,39})\s*=(.*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Component:
    """weight × expression, by name."""

    name: str
    weight: float
    body: Node

    def text(self) -> str:
        """As a line has it."""
        return f"{self.name} = {text(Number(self.weight))} * {text(self.body, 4)}"


@dataclass(frozen=True, slots=True)
class Reward:
    """The sum of its components."""

    components: tuple[Component, ...]

    def text(self) -> str:
        """A line for each component; `read` gives the same reward back."""
        return "\n".join(each.text() for each in self.components)

    def names(self) -> list[str]:
        """Of its components."""
        return [each.name for each in self.components]


def read(source: str, kinds: Kinds) -> Reward:
    """The reward of a text, whose quantities are those that an environment offers.

    Raises:
        ExpressionError: if a line is no component, a name comes twice, or a component is no number; says which.
    """
    lines = [line.strip() for line in source.splitlines() if line.strip() and not line.strip().startswith("#")]
    if not 0 < len(lines) <= MOST:
        raise ExpressionError(f"a reward of {len(lines)} components: it has 1 to {MOST}, one a line")
    found: list[Component] = []
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ExpressionError(f"{line[:80]!r} is no component: write name = weight * expression")
        weight, body = _split(parse(match[2]))
        kind = kind_of(body, kinds)
        if kind != NUMBER:
            what = "a truth: write where(x > 0, 1, 0)" if kind < 0 else "a vector: take norm(v), or sum(v)"
            raise ExpressionError(f"the component {match[1]} is {what}")
        found.append(Component(match[1], weight, body))
    if len({each.name for each in found}) < len(found):
        raise ExpressionError("two components have one name")
    return Reward(tuple(found))


def _split(node: Node) -> tuple[float, Node]:
    """The weight that a line begins with, and what it weighs; 1 where there is none."""
    if isinstance(node, Call) and node.name == "*" and isinstance(node.args[0], Number):
        return node.args[0].value, node.args[1]
    if isinstance(node, Call) and node.name in "*/" and isinstance(node.args[0], Call):
        weight, rest = _split(node.args[0])  # 2 * x / 3 is read from the left
        if rest is not node.args[0]:
            return weight, Call(node.name, (rest, node.args[1]))
    return (-1.0, node.args[0]) if isinstance(node, Call) and node.name == "neg" else (1.0, node)


class Compiled:
    """A reward as a function of a state: its components by name, weighted."""

    def __init__(self, reward: Reward) -> None:
        self._parts: list[tuple[str, float, Closure]] = [
            (each.name, each.weight, compiled(each.body)) for each in reward.components
        ]

    def __call__(self, state: State) -> Mapping[str, float]:
        """Each component [...]; one that is not finite is left so."""
        with np.errstate(all="ignore"):
            return {name: weight * body(state) for name, weight, body in self._parts}

    def close(self) -> None:
        """Nothing is held."""


def forms(reward: Reward) -> Counter[Node]:
    """What its components are but for their names, weights and numbers."""
    return Counter(form(each.body) for each in reward.components)


def least_mutations(a: Reward, b: Reward) -> int:
    """Mutations that lie between two rewards at the least: each changes, adds or discards one component's form."""
    one, other = forms(a), forms(b)
    return max((one - other).total(), (other - one).total())
