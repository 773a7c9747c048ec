"""Tasks: examples with rewards that judge completions. Importing this imports nothing heavy."""

from operant.language.reward.trace import Reward, Trace, reward
from operant.language.task.score import Scores, score
from operant.language.task.task import Demonstration, Example, Lazy, Task

__all__ = ["Demonstration", "Example", "Lazy", "Reward", "Scores", "Task", "Trace", "reward", "score"]
