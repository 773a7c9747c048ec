"""Exact finite Markov decision processes: models, solvers with certificates, and the oracles of every estimator."""

from operant.mdp.evaluation import Evaluation, best_epsilon_soft, evaluate, evaluation_sweeps
from operant.mdp.finite_horizon import finite_horizon, finite_horizon_values
from operant.mdp.grid import grid_world
from operant.mdp.gymnasium import from_gymnasium
from operant.mdp.model import MDP, Grid, ModelError, Rows
from operant.mdp.occupancy import expected_steps, occupancy, return_variance, stationary
from operant.mdp.solution import Certificate, Solution
from operant.mdp.solve import METHODS, solve

__all__ = [
    "MDP",
    "METHODS",
    "Certificate",
    "Evaluation",
    "Grid",
    "ModelError",
    "Rows",
    "Solution",
    "best_epsilon_soft",
    "evaluate",
    "evaluation_sweeps",
    "expected_steps",
    "finite_horizon",
    "finite_horizon_values",
    "from_gymnasium",
    "grid_world",
    "occupancy",
    "return_variance",
    "solve",
    "stationary",
]
