"""The methods of `operant.mdp.solve`: for each kind of problem that one fits, where its function is.

Nothing is imported here, so that the help of the command line, which lists them, waits for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Method:
    """A solver: for each kind of problem that it fits, its function as `module:name` of `operant.mdp.solvers`."""

    where: Mapping[str, str]

    @property
    def fits(self) -> frozenset[str]:
        """The kinds of problems that it solves: "discounted", "total", "average", "finite-horizon"."""
        return frozenset(self.where)


def _method(**where: str) -> Method:
    return Method({kind.replace("_", "-"): at for kind, at in where.items()})


METHODS: dict[str, Method] = {
    "auto": _method(
        discounted="auto:auto",
        total="total:auto",
        average="average:auto",
        finite_horizon="finite_horizon:auto",
    ),
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
    "bias-policy-iteration": _method(average="average:bias_policy_iteration"),
    "interval-iteration": _method(total="total:interval_iteration"),
    "optimistic-value-iteration": _method(total="total:optimistic_value_iteration"),
}
"""Every method by its name. "auto" chooses by the structure of the model, and says why."""
