"""Linear programming by HiGHS: the primal finds values, the dual finds the occupancy of an optimal policy."""

from __future__ import annotations

import time
from typing import Any, Literal, Unpack

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from operant.mdp.analyse.evaluation import evaluate
from operant.mdp.bounds.certify import discounted
from operant.mdp.bounds.sweeps import Choice
from operant.mdp.graph.reachability import must_end
from operant.mdp.model import MDP
from operant.mdp.options import Stop
from operant.mdp.policies import best_of, decides, over_actions
from operant.mdp.rows import Floats, Mask, ModelError
from operant.mdp.solution import Certificate, Solution
from operant.mdp.solvers.epsilon_soft import certify_policy
from operant.mdp.validate import public, stopping

TOLERANCE = 1e-10  # the least that HiGHS takes


@public("discounted", "total")
def linear_programming(
    mdp: MDP,
    *,
    form: Literal["primal", "dual"] = "primal",
    weight: ArrayLike | None = None,
    **stop: Unpack[Stop],
) -> Solution:
    """The linear programs of a discounted model, or of one with total reward in which policies end.

        primal  min Σ_s α(s) v(s)       with  v(s) - γ Σ p(s' | s, a) v(s') ≥ r(s, a)  for every row
        dual    max Σ_s,a μ(s, a) r(s, a)  with  Σ_a μ(s, a) - γ Σ p(s | s', a') μ(s', a') = α(s),  μ ≥ 0

    μ is the occupancy of an optimal policy from α. A program is solved to a tolerance, so the certificate does not
    rest on it: the policy of its basis is evaluated exactly, and one Bellman sweep proves the bounds.

    Args:
        mdp: the model; terminal states keep their value, and are constants of the program.
        form: which of the two is handed to HiGHS; the other comes from its multipliers.
        weight: α [S], above 0 wherever there are rows; evenly 1 / S if None.
        stop: as for every solver; iterations are those of HiGHS, and `watch` is called once.

    Returns:
        `extra`: "occupancy" μ [L], "objective" of the program, "duality_gap" (primal less dual objective, of the
        numbers that HiGHS returned), "program_values" [S].

    Raises:
        ModelError: if the total is unbounded, nothing ends, ε is not reached, or the average criterion is asked for.

    Source: Puterman (1994), sections 6.9 and 7.2.7; d'Epenoux (1963).
    """
    started = time.perf_counter()
    _check(mdp)
    epsilon, watch, most = stopping(stop)
    alpha, has = _weight(mdp, weight), decides(mdp)
    program, occupancy, right, iterations = _program(mdp, alpha[has], has, form, most)
    values, rows, certificate = _certified(mdp, program, occupancy)
    _check_gap(mdp, certificate, epsilon)
    if watch:
        watch(iterations, certificate.gap, values)
    objectives = float(alpha[has] @ program[has]), float(occupancy @ right)
    return Solution(
        mdp=mdp,
        values=values,
        policy=mdp.action_labels(rows),
        rows=rows,
        certificate=certificate,
        method="linear-programming",
        why=f"the {form} program, {iterations} iterations of HiGHS; its basis was evaluated exactly",
        iterations=iterations,
        seconds=time.perf_counter() - started,
        extra={
            "occupancy": occupancy,
            "objective": objectives[form == "dual"],
            "duality_gap": objectives[0] - objectives[1],
            "program_values": program,
        },
    )


def _check(mdp: MDP) -> None:
    must_end(mdp, "linear_programming")
    if mdp.num_rows == 0:
        raise ModelError("every state is terminal: there is nothing to choose.")


def _weight(mdp: MDP, weight: ArrayLike | None) -> Floats:
    if weight is None:
        return np.full(mdp.num_states, 1.0 / mdp.num_states)
    alpha = np.asarray(weight, dtype=np.float64)
    if alpha.shape != (mdp.num_states,):
        raise ModelError(f"weight has shape {alpha.shape}, expected one number for each of {mdp.num_states} states.")
    bad = np.flatnonzero(~(alpha > 0.0) & decides(mdp))
    if len(bad):
        raise ModelError(
            f"weight is {alpha[bad[0]]} at state {mdp.name(int(bad[0]))}: where it is not above 0 the program says "
            "nothing about the value."
        )
    return alpha


def _program(
    mdp: MDP, alpha: Floats, has: Mask, form: Literal["primal", "dual"], max_iterations: int | None
) -> tuple[Floats, Floats, Floats, int]:
    """What HiGHS finds: values [S], occupancy [L]; the right-hand side of the primal [L], and how many iterations."""
    ends = np.where(mdp.rows.terminal, mdp.rows.terminal_value, 0.0)
    matrix: Any = mdp.matrix
    choose = sp.csr_array((np.ones(mdp.num_rows), (np.arange(mdp.num_rows), mdp.row_state)), shape=matrix.shape)
    system = sp.csr_array(choose - mdp.discount * matrix)[:, np.flatnonzero(has)]  # [L, states with rows]
    right = mdp.rows.reward + mdp.discount * (matrix @ ends)  # [L]
    options: dict[str, Any] = {"primal_feasibility_tolerance": TOLERANCE, "dual_feasibility_tolerance": TOLERANCE}
    if max_iterations is not None:
        options["maxiter"] = max_iterations
    result = _solve(system, right, alpha, form, options)
    if result.status == 4:  # the presolve found it infeasible or unbounded, and not which
        result = _solve(system, right, alpha, form, options | {"presolve": False})
    infeasible, unbounded = result.status == 2, result.status == 3
    if infeasible if form == "primal" else unbounded:
        raise ModelError("the total reward is unbounded: a policy that never ends earns more than 0 per round.")
    if unbounded if form == "primal" else infeasible:
        raise ModelError("from some state no policy ends: with γ = 1 there is no total; set a discount below 1.")
    if result.status != 0:
        raise ModelError(f"HiGHS stopped without an optimum: {result.message}")
    if form == "primal":
        inner, occupancy = result.x, -result.ineqlin.marginals
    else:
        inner, occupancy = -result.eqlin.marginals, result.x
    ends[has] = inner
    return ends, np.maximum(np.asarray(occupancy, dtype=np.float64), 0.0), right, int(result.nit)


def _solve(system: Any, right: Floats, alpha: Floats, form: str, options: dict[str, Any]) -> Any:
    from scipy.optimize import linprog  # a fifth of a second to import

    if form == "primal":
        return linprog(alpha, A_ub=-system, b_ub=-right, bounds=(None, None), method="highs", options=options)
    balance = sp.csr_array(system.T)
    return linprog(-right, A_eq=balance, b_eq=alpha, bounds=(0.0, None), method="highs", options=options)


def _check_gap(mdp: MDP, certificate: Certificate, epsilon: float) -> None:
    if certificate.gap <= 2 * epsilon:
        return
    if mdp.criterion == "total" and not np.isfinite(certificate.gap):
        raise ModelError(
            "the program counts only policies that end, and here one may also go on for ever without a loss: use "
            "interval-iteration."
        )
    raise ModelError(
        f"the basis that HiGHS found is certified to {certificate.gap / 2:.2g} only, not to epsilon={epsilon:g}: "
        "raise epsilon, or use another method."
    )


def _certified(mdp: MDP, program: Floats, occupancy: Floats) -> tuple[Floats, Choice, Certificate]:
    """The policy of the largest occupancy, evaluated exactly, and what a Bellman sweep from there proves."""
    most = best_of(mdp, occupancy)[mdp.row_state]
    chosen = (occupancy >= most) & (most > 0.0)
    missing = decides(mdp) & (over_actions(mdp, chosen) == 0.0)
    if missing.any():  # the multipliers lost a state: its greedy action under the program's values
        q = mdp.rows.reward + mdp.discount * (mdp.matrix @ program)
        chosen |= missing[mdp.row_state] & (q >= best_of(mdp, q)[mdp.row_state])
    at = np.flatnonzero(chosen)[::-1]
    rows = np.full(mdp.num_states, -1)
    rows[mdp.row_state[at]] = at
    policy = np.zeros(mdp.num_rows)
    policy[rows[rows >= 0]] = 1.0
    evaluation = evaluate(mdp, policy)
    if mdp.discount < 1.0:
        return discounted(mdp, evaluation.values)
    certificate = certify_policy(evaluation)
    return (certificate.lower + certificate.upper) / 2, rows, certificate
