"""operant: reinforcement learning, all the way."""

__version__ = "0.1.0"
