"""Exact finite Markov decision processes: models, solvers with certificates, and the oracles of every estimator."""

from operant.mdp.model import MDP, ModelError, Rows
from operant.mdp.solution import Certificate, Solution
from operant.mdp.solve import METHODS, solve

__all__ = ["MDP", "METHODS", "Certificate", "ModelError", "Rows", "Solution", "solve"]
