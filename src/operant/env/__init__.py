"""Adapters to environments, and environments of our own."""

from operant.env.check import Problem, check_env
from operant.env.leaf import Part
from operant.env.make import EnvLike, make, make_one
from operant.env.process import Processes, Supervisor
from operant.env.registry import registered
from operant.env.spaces import ActionKind, Actions, Observations, action_kind
from operant.env.vector import Step, VectorEnv

__all__ = [
    "ActionKind",
    "Actions",
    "EnvLike",
    "Observations",
    "Part",
    "Problem",
    "Processes",
    "Step",
    "Supervisor",
    "VectorEnv",
    "action_kind",
    "check_env",
    "make",
    "make_one",
    "registered",
]
