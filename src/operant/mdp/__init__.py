"""Exact finite Markov decision processes: models, solvers with certificates, and the oracles of every estimator.

Models
    made of arrays and dictionaries: MDP (MDP.from_arrays for actions first), from_mdptoolbox, Rows, Grid
    made of something that runs: from_gymnasium, from_step, from_simulator, enumerate_mdp, enumerate_compiled
    made of text and files: grid_world, load, from_prism, to_prism
    made of data: from_logs
    as large as a disk: open_mapped, save_mapped, check_mapped, MappedWriter, memory, memory_of, Forecast
    looked at: check, Problem, ModelError, components, Components, maximal_end_components, EndComponents, reachable,
    can_terminate, proper
Solvers
    by name, or chosen for you: solve, METHODS; what they return: Solution, Certificate
    one problem each: finite_horizon, linear_programming, interval_iteration, optimistic_value_iteration,
    relative_value_iteration, multichain_policy_iteration, bias_policy_iteration, best_epsilon_soft,
    monotone_policy_iteration, MonotoneStep
    in fractions: solve_exactly, breakpoints, ExactSolution, Piece
    of other problems: soft_value_iteration, soft_policy_iteration, robust_value_iteration, Intervals, Distance,
    maxent_irl, Explanation
    at scale: solve_on_device, solve_petsc, solve_matrix_free, MatrixFree, MatrixFreeBatches, MatrixFreeSolution
Analyses
    what a policy is worth: evaluate, Evaluation, evaluate_exactly, evaluation_sweeps, finite_horizon_values,
    soft_evaluate, action_values, return_variance, td_fixed_point
    where it goes: simulate, occupancy, expected_steps, stationary, feature_expectations
    how it changes: exact_policy_gradient, ExactGradient

Importing this imports nothing heavy: NumPy and the compiled kernels come with the first name that needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from operant.mdp.analyse.evaluation import Evaluation, evaluate, evaluation_sweeps
    from operant.mdp.analyse.finite_horizon import finite_horizon_values
    from operant.mdp.analyse.gradient import ExactGradient, exact_policy_gradient
    from operant.mdp.analyse.occupancy import expected_steps, occupancy, return_variance, stationary
    from operant.mdp.analyse.rational import ExactSolution, Piece, breakpoints, evaluate_exactly, solve_exactly
    from operant.mdp.analyse.sampler import simulate
    from operant.mdp.analyse.td_fixed_point import td_fixed_point
    from operant.mdp.build.enumerate import enumerate_compiled, enumerate_mdp
    from operant.mdp.build.estimate import from_logs
    from operant.mdp.build.forecast import Forecast, memory, memory_of
    from operant.mdp.build.grid import grid_world
    from operant.mdp.build.gymnasium import from_gymnasium
    from operant.mdp.build.mdptoolbox import from_mdptoolbox
    from operant.mdp.build.simulator import from_simulator, from_step
    from operant.mdp.graph.check import Problem, check
    from operant.mdp.graph.graph import Components, EndComponents
    from operant.mdp.graph.reachability import can_terminate, components, maximal_end_components, proper, reachable
    from operant.mdp.io.files import load
    from operant.mdp.io.mapped import MappedWriter, check_mapped, open_mapped, save_mapped
    from operant.mdp.io.prism import from_prism, to_prism
    from operant.mdp.methods import METHODS
    from operant.mdp.model import MDP
    from operant.mdp.policies import action_values
    from operant.mdp.rows import Grid, ModelError, Rows
    from operant.mdp.solution import Certificate, Solution
    from operant.mdp.solvers.average import (
        bias_policy_iteration,
        multichain_policy_iteration,
        relative_value_iteration,
    )
    from operant.mdp.solvers.device import solve_on_device
    from operant.mdp.solvers.epsilon_soft import best_epsilon_soft
    from operant.mdp.solvers.finite_horizon import finite_horizon
    from operant.mdp.solvers.irl import Explanation, feature_expectations, maxent_irl
    from operant.mdp.solvers.linear_programming import linear_programming
    from operant.mdp.solvers.matrix_free import MatrixFree, MatrixFreeBatches, MatrixFreeSolution, solve_matrix_free
    from operant.mdp.solvers.monotone import MonotoneStep, monotone_policy_iteration
    from operant.mdp.solvers.petsc import solve_petsc
    from operant.mdp.solvers.robust import Distance, Intervals, robust_value_iteration
    from operant.mdp.solvers.soft import soft_evaluate, soft_policy_iteration, soft_value_iteration
    from operant.mdp.solvers.solve import solve
    from operant.mdp.solvers.total import interval_iteration, optimistic_value_iteration

__all__ = [
    "MDP",
    "METHODS",
    "Certificate",
    "Components",
    "Distance",
    "EndComponents",
    "Evaluation",
    "ExactGradient",
    "ExactSolution",
    "Explanation",
    "Forecast",
    "Grid",
    "Intervals",
    "MappedWriter",
    "MatrixFree",
    "MatrixFreeBatches",
    "MatrixFreeSolution",
    "ModelError",
    "MonotoneStep",
    "Piece",
    "Problem",
    "Rows",
    "Solution",
    "action_values",
    "best_epsilon_soft",
    "bias_policy_iteration",
    "breakpoints",
    "can_terminate",
    "check",
    "check_mapped",
    "components",
    "enumerate_compiled",
    "enumerate_mdp",
    "evaluate",
    "evaluate_exactly",
    "evaluation_sweeps",
    "exact_policy_gradient",
    "expected_steps",
    "feature_expectations",
    "finite_horizon",
    "finite_horizon_values",
    "from_gymnasium",
    "from_logs",
    "from_mdptoolbox",
    "from_prism",
    "from_simulator",
    "from_step",
    "grid_world",
    "interval_iteration",
    "linear_programming",
    "load",
    "maxent_irl",
    "maximal_end_components",
    "memory",
    "memory_of",
    "monotone_policy_iteration",
    "multichain_policy_iteration",
    "occupancy",
    "open_mapped",
    "optimistic_value_iteration",
    "proper",
    "reachable",
    "relative_value_iteration",
    "return_variance",
    "robust_value_iteration",
    "save_mapped",
    "simulate",
    "soft_evaluate",
    "soft_policy_iteration",
    "soft_value_iteration",
    "solve",
    "solve_exactly",
    "solve_matrix_free",
    "solve_on_device",
    "solve_petsc",
    "stationary",
    "td_fixed_point",
    "to_prism",
]

_MODULES = """
    methods rows model policies solution solvers.solve io.files build.grid analyse.evaluation analyse.finite_horizon
    analyse.gradient analyse.occupancy analyse.rational analyse.sampler analyse.td_fixed_point build.enumerate
    build.estimate build.forecast build.gymnasium build.mdptoolbox build.simulator graph.check graph.graph
    graph.reachability io.mapped io.prism solvers.average solvers.device solvers.epsilon_soft solvers.finite_horizon
    solvers.irl solvers.linear_programming solvers.matrix_free solvers.monotone solvers.petsc solvers.robust
    solvers.soft solvers.total
"""
"""Where the names lie, in the order in which they are looked for."""


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in (import_module(f"{__name__}.{path}") for path in _MODULES.split()):
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
