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

from operant.mdp.model import MDP
from operant.mdp.options import Watch
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Solution
from operant.mdp.solvers import average, total


@dataclass(frozen=True, slots=True)
class Method:
    """A solver: for each kind of problem that it fits, the function `module:name`, imported when first called."""

    where: tuple[tuple[str, str], ...]

    @property
    def fits(self) -> frozenset[str]:
        """The kinds of problems that it solves."""
        return frozenset(kind for kind, _ in self.where)

    def load(self, kind: str) -> Callable[..., Solution]:
        """The function for a kind of problem."""
        module, name = dict(self.where)[kind].split(":")
        return getattr(import_module(f"operant.mdp.solvers.{module}"), name)


@cache
def parameters(function: Callable[..., Solution]) -> frozenset[str]:
    """The names of what a solver takes."""
    return frozenset(inspect.signature(function).parameters)


def _method(**where: str) -> Method:
    return Method(tuple((kind.replace("_", "-"), at) for kind, at in where.items()))


METHODS: dict[str, Method] = {
    "value-iteration": _method(discounted="value_iteration:value_iteration"),
    "gauss-seidel": _method(discounted="value_iteration:gauss_seidel"),
    "red-black": _method(discounted="value_iteration:red_black"),
    "q-value-iteration": _method(discounted="value_iteration:q_value_iteration"),
    "policy-iteration": _method(discounted="policy_iteration:policy_iteration", total="total:policy_iteration"),
    "modified-policy-iteration": _method(discounted="policy_iteration:modified_policy_iteration"),
    "inexact-policy-iteration": _method(discounted="krylov:inexact_policy_iteration"),
    "prioritised-sweeping": _method(discounted="prioritised:prioritised_sweeping"),
    "topological": _method(discounted="topological:topological"),
    "anderson": _method(discounted="anderson:anderson"),
    "linear-programming": _method(
        discounted="linear_programming:linear_programming", total="linear_programming:linear_programming"
    ),
    "finite-horizon": _method(finite_horizon="finite_horizon:finite_horizon"),
    "relative-value-iteration": _method(average="average:relative_value_iteration"),
    "multichain-policy-iteration": _method(average="average:multichain_policy_iteration"),
    "interval-iteration": _method(total="total:interval_iteration"),
    "optimistic-value-iteration": _method(total="total:optimistic_value_iteration"),
}
"""Every method by its name, and the kinds of problems that it fits."""


AUTO = _method(discounted="auto:auto")
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
    must_terminate: bool = False,
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
        must_terminate: under total reward, only policies that terminate almost surely count (see `solvers/total.py`).

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
    function = chosen.load(kind)
    given: dict[str, Any] = {"epsilon": epsilon, "watch": watch, "max_iterations": max_iterations}
    known = parameters(function)
    if threads is not None and "threads" in known:
        given["threads"] = threads
    if initial is not None:
        if "initial" not in known:
            raise ModelError(f"{method} does not start from values: leave `initial` out.")
        given["initial"] = initial
    if must_terminate:
        if "must_terminate" not in known:
            raise ModelError(f"{method} does not ask whether policies terminate: leave `must_terminate` out.")
        given["must_terminate"] = True
    solution = function(mdp, **given)
    return dataclasses.replace(solution, why=f"{why}; {solution.why}") if why else solution


def choose(mdp: MDP) -> tuple[str, str]:
    """The method that "auto" takes, and why; "auto" itself for discounted models (see `operant.mdp.solvers.auto`)."""
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
