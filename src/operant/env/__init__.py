"""Adapters to environments, and environments of our own."""

from operant.env.make import make, make_one
from operant.env.spaces import ActionKind, action_kind
from operant.env.vector import Step, VectorEnv

__all__ = ["ActionKind", "Step", "VectorEnv", "action_kind", "make", "make_one"]
