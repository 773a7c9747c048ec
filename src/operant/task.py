"""Tasks: examples with rewards that judge completions. Importing this imports nothing heavy."""

from operant.language.task import (
    Demonstration,
    Example,
    Lazy,
    Reward,
    Scores,
    Task,
    Trace,
    reward,
    score,
)

__all__ = [
    "Demonstration",
    "Example",
    "Lazy",
    "Reward",
    "Scores",
    "Task",
    "Trace",
    "reward",
    "score",
]
