"""Language to rewards (Yu et al. 2023, arXiv:2306.08647): words become the parameters of a fixed reward interface.

There a language model writes first a description of the motion, then calls of an interface. Here the description is
of a fixed form, so that the second half, which makes the reward, is exact:

    bring height to 1; keep spin at 0 weakly        make height large

Each command sets one residual: −w (q − value)² of a number, −w |v|² of a vector (to be brought to 0), ± w q for large
and small. A correction in words (`corrected`) replaces the residual of what it names, and leaves the others.
"""

from __future__ import annotations

import re

from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are
from operant.design.expression import Call, Name, Node, Number
from operant.design.reward import Component, Reward
from operant.design.tasks import Task

_FIXED = re.compile(r"(?:bring|keep) (\w+) (?:to|at) (-?\d+\.?\d*)( weakly| strongly)?", re.ASCII)
_GROWING = re.compile(r"make (\w+) (large|small)( weakly| strongly)?", re.ASCII)
_WEIGHT = {"": 1.0, " weakly": 0.1, " strongly": 10.0}


def translate(words: str, task: Task) -> Reward:
    """The reward that a description means; each residual is in units of its quantity's range.

    Raises:
        ConfigError: if a part of it is no command, or names no quantity; says which.
    """
    parts = [part.strip(" .") for part in re.split(r"[;\n]", words) if part.strip(" .")]
    if not parts:
        raise ConfigError("an empty description: say bring QUANTITY to VALUE, or make QUANTITY large")
    found: dict[str, Component] = {}
    for part in parts:
        each = _residual(part, task)
        found[each.name] = each
    return Reward(tuple(found.values()))


def corrected(reward: Reward, words: str, task: Task) -> Reward:
    """A reward after a correction: what the words name gets their residual, all else stays.

    Raises:
        ConfigError: as `translate`.
    """
    kept = {each.name: each for each in reward.components}
    return Reward(tuple((kept | {each.name: each for each in translate(words, task).components}).values()))


def _residual(part: str, task: Task) -> Component:
    match = _FIXED.fullmatch(part) or _GROWING.fullmatch(part)
    if match is None:
        raise ConfigError(
            f"{part!r} is no command: say bring QUANTITY to VALUE, keep QUANTITY at VALUE, or make QUANTITY "
            "large (small), with weakly or strongly behind"
        )
    name, how, weight = match[1], match[2], _WEIGHT[match[3] or ""]
    if name not in task.quantities:
        near = nearest_are(name, task.quantities)
        raise ConfigError(f"{task.name} has no quantity {name}{near}. It has {', '.join(task.quantities)}")
    its = task.quantities[name]
    scale = max(abs(its.low), abs(its.high))
    if how in ("large", "small"):
        value: Node = Name(name) if its.size == 0 else Call("norm", (Name(name),))
        return Component(name, _short(weight / scale * (1.0 if how == "large" else -1.0)), value)
    if its.size:
        if float(how) != 0.0:
            raise ConfigError(f"{part!r}: {name} is a vector, and can be brought to 0 alone")
        return Component(name, _short(-weight / scale**2), Call("dot", (Name(name), Name(name))))
    away: Node = Name(name) if float(how) == 0.0 else Call("-", (Name(name), Number(float(how))))
    return Component(name, _short(-weight / scale**2), Call("square", (away,)))


def _short(value: float) -> float:
    return float(f"{value:.3g}")
