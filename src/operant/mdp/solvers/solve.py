"""One call for every method, by the names of `operant.mdp.methods`; it never answers without a certificate."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from operant.config.suggest import nearest
from operant.mdp.methods import METHODS
from operant.mdp.model import MDP
from operant.mdp.options import EPSILON, Watch
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Solution
from operant.mdp.validate import parameters, public


@public()
def solve(
    mdp: MDP,
    epsilon: float = EPSILON,
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
        epsilon: how far off values, and the return of the policy, may be.
        method: a name of `METHODS`; "auto" chooses by the structure of the model, with the reason in `.why`.
        watch: called as (iteration, certified gap so far, values [S]) after each sweep or improvement.
        max_iterations: stop then, with whatever the certificate states.
        threads: how many; None for all, or one if the model is small. The answer does not depend on it.
        initial: values [S] to start from; None always starts cold.
        must_terminate: under total reward, only policies that terminate almost surely count (see `solvers/total.py`);
            implied where the model says that an endless play loses.

    Raises:
        ModelError: for an unknown method, one that does not fit the problem, or an ε that cannot be certified.
    """
    kind = mdp.kind
    if method not in METHODS:
        (near,) = nearest(str(method), [name for name in METHODS if str(method).lower() in name] or METHODS, cutoff=0.0)
        raise ModelError(f"there is no method {method!r}: did you mean {near!r}? All: {', '.join(METHODS)}.")
    where = METHODS[method].where.get(kind)
    if where is None:
        fitting = [name for name, other in METHODS.items() if kind in other.fits and name != "auto"]
        raise ModelError(f"{method} does not solve a {kind} problem: use one of {', '.join(fitting)}, or auto.")
    function = _function(where)
    given: dict[str, Any] = {"epsilon": epsilon, "watch": watch, "max_iterations": max_iterations}
    known = parameters(function)
    if threads is not None and "threads" in known:
        given["threads"] = threads
    if initial is not None:
        if "initial" not in known:
            raise ModelError(f"{method} does not start a {kind} problem from values: leave `initial` out.")
        given["initial"] = initial
    if must_terminate:
        if "must_terminate" not in known:
            raise ModelError(f"{method} does not ask whether policies terminate: leave `must_terminate` out.")
        given["must_terminate"] = True
    return function(mdp, **given)


@cache
def _function(where: str) -> Callable[..., Solution]:
    """The function at `module:name`, imported when it is first called for."""
    module, name = where.split(":")
    return getattr(import_module(f"operant.mdp.solvers.{module}"), name)
