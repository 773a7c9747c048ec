"""Write docs/map.md: where each registered method stands on the trees by which the field is taught.

    python docs/map.py

A method without a place is an error here, and in the suite.
"""

from __future__ import annotations

import ast
from inspect import getdoc
from pathlib import Path
from typing import Literal, NamedTuple

from operant.config.registry import ALGORITHMS, settings_of

PAGE = Path(__file__).resolve().parent / "map.md"

Branch = Literal["demonstrations", "preferences", "value", "policy", "actor-critic", "plan"]
Data = Literal["on", "off", "fixed"]


class Place(NamedTuple):
    """Where a method stands."""

    branch: Branch
    data: Data
    model: bool = False


PLACES: dict[str, Place] = {
    "gail": Place("demonstrations", "on"),
    "airl": Place("demonstrations", "on"),
    "dagger": Place("demonstrations", "on"),
    "filtered-clone": Place("demonstrations", "on"),
    "bc": Place("demonstrations", "fixed"),
    "decision-transformer": Place("demonstrations", "fixed"),
    "clone": Place("demonstrations", "fixed"),
    "sft": Place("demonstrations", "fixed"),
    "preference-ppo": Place("preferences", "on"),
    "rlhf": Place("preferences", "on"),
    "constitutional": Place("preferences", "on"),
    "reward-model": Place("preferences", "fixed"),
    "process-reward": Place("preferences", "fixed"),
    "dpo": Place("preferences", "fixed"),
    "monte-carlo": Place("value", "on"),
    "sarsa": Place("value", "on"),
    "expected-sarsa": Place("value", "on"),
    "n-step-sarsa": Place("value", "on"),
    "sarsa-lambda": Place("value", "on"),
    "true-online-sarsa": Place("value", "on"),
    "linear-sarsa": Place("value", "on"),
    "off-policy-monte-carlo": Place("value", "off"),
    "linear-q-learning": Place("value", "off"),
    "q-learning": Place("value", "off"),
    "double-q-learning": Place("value", "off"),
    "tree-backup": Place("value", "off"),
    "q-sigma": Place("value", "off"),
    "watkins-q": Place("value", "off"),
    "dqn": Place("value", "off"),
    "c51": Place("value", "off"),
    "qr-dqn": Place("value", "off"),
    "rainbow": Place("value", "off"),
    "pqn": Place("value", "off"),
    "alphazero": Place("actor-critic", "off"),
    "dyna-q": Place("value", "off", model=True),
    "dyna-q-plus": Place("value", "off", model=True),
    "prioritised-sweeping": Place("value", "off", model=True),
    "reinforce": Place("policy", "on"),
    "grpo": Place("policy", "on"),
    "loop": Place("policy", "on"),
    "expert-iteration": Place("policy", "on"),
    "actor-critic": Place("actor-critic", "on"),
    "online-actor-critic": Place("actor-critic", "on"),
    "q-actor-critic": Place("actor-critic", "on"),
    "a2c": Place("actor-critic", "on"),
    "a3c": Place("actor-critic", "on"),
    "natural-gradient": Place("actor-critic", "on"),
    "trpo": Place("actor-critic", "on"),
    "ppo": Place("actor-critic", "on"),
    "ppo-lagrangian": Place("actor-critic", "on"),
    "adr": Place("actor-critic", "on"),
    "turn-ppo": Place("actor-critic", "on"),
    "impala": Place("actor-critic", "off"),
    "off-policy-actor-critic": Place("actor-critic", "off"),
    "ddpg": Place("actor-critic", "off"),
    "td3": Place("actor-critic", "off"),
    "sac": Place("actor-critic", "off"),
    "discrete-sac": Place("actor-critic", "off"),
    "crossq": Place("actor-critic", "off"),
    "pets": Place("plan", "off", model=True),
    "td3-bc": Place("actor-critic", "fixed"),
    "cql": Place("actor-critic", "fixed"),
    "iql": Place("actor-critic", "fixed"),
    "discrete-cql": Place("value", "fixed"),
}
"""On policy is what learns of the policy that acted; of a target policy other than that, or from steps of old ones, it
is off policy; `fixed` is a data set to which nothing is added."""

BRANCHES: dict[Branch, str] = {
    "demonstrations": "From demonstrations: what an expert does",
    "preferences": "From judgements: what somebody prefers",
    "value": "From rewards, by value: what each action is worth, acted on greedily",
    "policy": "From rewards, by policy: the gradient of the return itself",
    "actor-critic": "From rewards, by both: an actor whose steps a critic weighs",
    "plan": "From rewards, by planning: neither value nor policy is learnt, what follows an action is",
}
DATA: dict[Data, str] = {"on": "on policy", "off": "off policy", "fixed": "on a fixed data set"}


def about(name: str) -> str:
    """A method in a line: the first of its file, or, where a file holds several, of its settings."""
    module = ALGORITHMS[name][1].partition(":")[0]
    if sum(where.partition(":")[0] == module for _, where in ALGORITHMS.values()) == 1:
        text = ast.get_docstring(ast.parse((PAGE.parent / source(name)).read_text(encoding="utf-8")))
    else:
        text = getdoc(settings_of(name).model_fields["algo"].annotation)
    return (text or "").split("\n")[0].rstrip(".").replace(", on one page", "")


def source(name: str) -> str:
    """The file that it is, from docs/."""
    module = ALGORITHMS[name][1].partition(":")[0]
    return f"../src/{module.replace('.', '/')}.py"


def page() -> str:
    """The whole page.

    Raises:
        ValueError: if a method has no place.
    """
    if left := ALGORITHMS.keys() - PLACES.keys():
        raise ValueError(f"docs/map.py: without a place: {', '.join(sorted(left))}")
    lines = [
        "# The map",
        "",
        "Every method that `operant train` knows, by what it learns from, by what it learns, and by whose steps. Made",
        "by `python docs/map.py` from the registry; a method without a place fails the suite.",
        "",
        "Where the model is given there is nothing to be learnt: it is solved. That is",
        "[`operant.mdp`](tabular/solvers.md), and, for inverse reinforcement learning, its",
        "[`maxent_irl`](tabular/beyond.md).",
    ]
    for branch, title in BRANCHES.items():
        lines += ["", f"## {title}"]
        for model in (False, True):
            for data, said in DATA.items():
                its = [name for name in ALGORITHMS if PLACES[name] == Place(branch, data, model)]
                if its:
                    heading = f"{said}, with a model that is learnt" if model else said
                    lines += ["", f"**{heading[0].upper()}{heading[1:]}**", ""]
                    lines += [f"- [`{name}`]({source(name)}): {about(name)}" for name in its]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
