"""Exact finite Markov decision processes: models, solvers with certificates, and the oracles of every estimator."""

from operant.mdp.model import MDP, ModelError, Rows
from operant.mdp.solution import Certificate, Solution

__all__ = ["MDP", "Certificate", "ModelError", "Rows", "Solution"]
