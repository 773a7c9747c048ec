"""Adapters to environments, and environments of our own."""

from operant.env import imitated
from operant.env.check import Problem, check_env
from operant.env.check_data import check_data
from operant.env.dataset import DataSet, Episode
from operant.env.leaf import Part
from operant.env.make import EnvLike, make, make_one
from operant.env.minari import read_data, write_data
from operant.env.process import Processes, Supervisor
from operant.env.record import record_data
from operant.env.registry import registered
from operant.env.spaces import ActionKind, Actions, Observations, action_kind
from operant.env.vector import Step, VectorEnv

__all__ = [
    "ActionKind",
    "Actions",
    "DataSet",
    "EnvLike",
    "Episode",
    "Observations",
    "Part",
    "Problem",
    "Processes",
    "Step",
    "Supervisor",
    "VectorEnv",
    "action_kind",
    "check_data",
    "check_env",
    "imitated",
    "make",
    "make_one",
    "read_data",
    "record_data",
    "registered",
    "write_data",
]
