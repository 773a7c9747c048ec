"""One call for every method: chooses by structure, says why, and never answers without a certificate."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from operant.mdp import average, total
from operant.mdp.model import MDP, Floats, ModelError
from operant.mdp.solution import Solution, Watch


@dataclass(frozen=True, slots=True)
class Method:
    """A solver that is imported when it is first called; `fits` are the kinds of problems that it solves."""

    where: str
    fits: frozenset[str]

    def load(self) -> Callable[..., Solution]:
        """The function itself."""
        module, name = self.where.split(":")
        return getattr(import_module(f"operant.mdp.{module}"), name)

    def __call__(self, mdp: MDP, **options: Any) -> Solution:
        return self.load()(mdp, **options)


@cache
def parameters(method: Method) -> frozenset[str]:
    """The names of what a method takes."""
    return frozenset(inspect.signature(method.load()).parameters)


def _method(where: str, *fits: str) -> Method:
    return Method(where, frozenset(fits))


METHODS: dict[str, Method] = {
    "value-iteration": _method("value_iteration:value_iteration", "discounted"),
    "gauss-seidel": _method("value_iteration:gauss_seidel", "discounted"),
    "red-black": _method("value_iteration:red_black", "discounted"),
    "q-value-iteration": _method("value_iteration:q_value_iteration", "discounted"),
    "policy-iteration": _method("policy_iteration:policy_iteration", "discounted"),
    "modified-policy-iteration": _method("policy_iteration:modified_policy_iteration", "discounted"),
    "inexact-policy-iteration": _method("krylov:inexact_policy_iteration", "discounted"),
    "prioritised-sweeping": _method("prioritised:prioritised_sweeping", "discounted"),
    "topological": _method("topological:topological", "discounted"),
    "anderson": _method("anderson:anderson", "discounted"),
    "linear-programming": _method("linear_programming:linear_programming", "discounted"),
    "finite-horizon": _method("finite_horizon:finite_horizon", "finite-horizon"),
    "relative-value-iteration": _method("average:relative_value_iteration", "average"),
    "multichain-policy-iteration": _method("average:multichain_policy_iteration", "average"),
    "interval-iteration": _method("total:interval_iteration", "total"),
    "optimistic-value-iteration": _method("total:optimistic_value_iteration", "total"),
}
"""Every method by its name, and the kinds of problems that it fits."""


AUTO = _method("auto:auto", "discounted")
"""What "auto" runs for a discounted model."""


def kind_of(mdp: MDP) -> str:
    """ "finite-horizon" if the model has a horizon, else its criterion."""
    return mdp.criterion if mdp.horizon is None else "finite-horizon"


def solve(
    mdp: MDP,
    epsilon: float = 1e-6,
    method: str = "auto",
    *,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
    initial: Floats | None = None,
) -> Solution:
    """Solve a model: values within ε of v*, a policy that loses at most ε, and the certificate of both.

    Args:
        mdp: the model; its criterion and horizon say which problem is meant.
        epsilon: how far values, and the return of the policy, may be off.
        method: a name of `METHODS`, or "auto": chosen by the structure of the model, with the reason in `.why`.
        watch: called as (iteration, certified gap so far, values [S]) after each sweep or improvement.
        max_iterations: stop then, with whatever the certificate states.
        threads: how many; None for all, or one if the model is small. The answer does not depend on it.
        initial: values [S] to start from; None always starts cold.

    Raises:
        ModelError: for an unknown method, one that does not fit the problem, or an ε that cannot be certified.
    """
    kind, why = kind_of(mdp), ""
    if method == "auto":
        method, why = choose(mdp)
    elif method not in METHODS:
        near = max(METHODS, key=lambda name: (method.lower() in name, _likeness(method, name)))
        raise ModelError(f"there is no method {method!r}: did you mean {near!r}? All: {', '.join(METHODS)}, auto.")
    chosen = AUTO if method == "auto" else METHODS[method]
    if kind not in chosen.fits:
        fitting = ", ".join(name for name, other in METHODS.items() if kind in other.fits)
        raise ModelError(f"{method} does not solve a {kind} problem: use one of {fitting}, or auto.")
    given: dict[str, Any] = {"epsilon": epsilon, "watch": watch, "max_iterations": max_iterations}
    known = parameters(chosen)
    for name, value in (("threads", threads), ("initial", initial)):
        if name in known:
            given[name] = value
        elif name == "initial" and value is not None:
            raise ModelError(f"{method} does not start from values: leave `initial` out.")
    solution = chosen(mdp, **given)
    return dataclasses.replace(solution, why=f"{why}; {solution.why}") if why else solution


def choose(mdp: MDP) -> tuple[str, str]:
    """The method that "auto" takes, and why; "auto" itself for discounted models (see `operant.mdp.auto`)."""
    match kind_of(mdp):
        case "finite-horizon":
            return "finite-horizon", f"backward induction: the model has a horizon of {mdp.horizon}"
        case "total":
            return total.choose(mdp)
        case "average":
            return average.choose(mdp)
        case _:
            return "auto", ""


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(a=one.lower(), b=other).ratio()
