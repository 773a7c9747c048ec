"""Draws from the grammar of rewards, typed by what a task offers, and mutations of one that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from operant.design.expression import Call, Name, Node, Number, walk
from operant.design.reward import MOST, Component, Reward, forms, least_mutations, read
from operant.design.tasks import Task

SEEDS = (3, 4)
"""Components of a fresh reward: at least, at most."""
APART = 2
"""A fresh reward is further than so many mutations from the human's."""
WEIGHTS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
FACTORS = (0.1, 0.3, 3.0, 10.0)
TEMPERATURES = (0.25, 0.5, 2.0, 4.0)
TRIES = 1_000


class Grammar:
    """The rewards of a task, to be drawn from.

    No fresh reward lies within two mutations of the human's: it has three components at least, and so many of them
    have no form (what is left without names and numbers) of the human's that a path needs more.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.human = task, read(task.human, task.kinds)

    def fresh(self, rng: np.random.Generator) -> Reward:
        """A reward of three or four components, no two of one form."""
        for _ in range(TRIES):
            reward = Reward(())
            for _ in range(int(rng.integers(SEEDS[0], SEEDS[1] + 1))):
                reward = self.add(reward, rng)
            if least_mutations(reward, self.human) > APART:
                return reward
        raise AssertionError(f"the grammar of {self.task.name} has nothing far from its human reward")

    def add(self, reward: Reward, rng: np.random.Generator) -> Reward:
        """With a component more, of a form that is not there yet."""
        if len(reward.components) >= MOST:
            return reward
        there, names = forms(reward), reward.names()
        for _ in range(TRIES):
            found = self.component(rng, names)
            if forms(Reward((found,))).keys() - there.keys():
                return Reward((*reward.components, found))
        return reward

    def rewrite(self, reward: Reward, name: str, rng: np.random.Generator) -> Reward:
        """One component is another function of the quantity that it began with."""
        old = next(each for each in reward.components if each.name == name)
        about = next((node.name for node in walk(old.body) if isinstance(node, Name)), None)
        others = [other for other in reward.names() if other != name]
        for _ in range(TRIES):
            new = self.component(rng, others, about=about)
            if new.body != old.body:
                return _with(reward, name, new)
        return reward

    def component(self, rng: np.random.Generator, names: Sequence[str], *, about: str | None = None) -> Component:
        """A weighted function of one quantity, or now and then of two; its name is none of `names`."""
        name = str(rng.choice([*self.task.quantities])) if about is None else about
        value, scale, middle = self._value(name, rng)
        body = _transformed(value, scale, middle, rng)
        if rng.random() < 0.15:
            other = str(rng.choice([*self.task.quantities]))
            body = Call("*", (body, _transformed(*self._value(other, rng), rng)))
        size = scale if body == value else scale**2 if _is_square(body) else 1.0
        weight = float(rng.choice(WEIGHTS)) * float(rng.choice((-1.0, 1.0))) / max(size, 1e-3)
        return Component(_unused(name, names), _short(weight), body)

    def _value(self, name: str, rng: np.random.Generator) -> tuple[Node, float, float]:
        """A number made of a quantity, how large it is, and a value that it may be wanted at."""
        its = self.task.quantities[name]
        scale = max(abs(its.low), abs(its.high))
        if its.size:
            return Call("norm", (Name(name),)), scale, 0.0
        wanted = float(rng.choice([0.0, its.high, its.low, (its.low + its.high) / 2]))
        return Name(name), scale, _short(wanted)


def rescaled(reward: Reward, name: str, rng: np.random.Generator, *, down: bool = False) -> Reward:
    """One component with another weight, or with another temperature (what it divides by), or a smaller weight."""
    old = next(each for each in reward.components if each.name == name)
    if not down and rng.random() < 0.5:
        body = _cooled(old.body, float(rng.choice(TEMPERATURES)))
        if body != old.body:
            return _with(reward, name, replace(old, body=body))
    factor = float(rng.choice(FACTORS[:2] if down else FACTORS))
    return _with(reward, name, replace(old, weight=_short(old.weight * factor)))


def discarded(reward: Reward, name: str) -> Reward:
    """Without one component; the last one stays."""
    kept = tuple(each for each in reward.components if each.name != name)
    return Reward(kept) if kept else reward


def _transformed(value: Node, scale: float, wanted: float, rng: np.random.Generator) -> Node:
    away: Node = Call("-", (value, Number(wanted))) if wanted else value
    warm = Number(_short(scale * float(rng.choice((0.1, 0.3, 1.0)))))
    match int(rng.integers(7)):
        case 0:
            return value
        case 1:
            return Call("abs", (away,))
        case 2:
            return Call("square", (away,))
        case 3:
            return Call("exp", (Call("/", (Call("neg", (Call("abs", (away,)),)), warm)),))
        case 4:
            return Call("exp", (Call("/", (Call("neg", (Call("square", (away,)),)), warm)),))
        case 5:
            return Call("tanh", (Call("/", (away, warm)),))
        case _:
            near = Call("<", (Call("abs", (away,)), warm))
            return Call("where", (near, Number(1.0), Number(0.0)))


def _is_square(node: Node) -> bool:
    return isinstance(node, Call) and node.name == "square"


def _cooled(node: Node, factor: float) -> Node:
    """Every number that something is divided by, times a factor."""
    if not isinstance(node, Call):
        return node
    args = tuple(_cooled(each, factor) for each in node.args)
    if node.name == "/" and isinstance(args[1], Number):
        args = (args[0], Number(_short(args[1].value * factor)))
    return Call(node.name, args)


def _with(reward: Reward, name: str, new: Component) -> Reward:
    return Reward(tuple(new if each.name == name else each for each in reward.components))


def _unused(name: str, names: Sequence[str]) -> str:
    return next(n for n in (name, *(f"{name}_{k}" for k in range(2, MOST + 3))) if n not in names)


def _short(value: float) -> float:
    """Three digits, so that a reward can be read."""
    return float(f"{value:.3g}")
