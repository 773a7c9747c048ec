"""A task with two pure rewards of a completion's letters, as the text of its file."""

REWARDS = """\
from operant.task import Example, Task, reward

@reward(pure=True, best=1.0)
def letters(trace):
    return len(set(trace.completion)) / 10

@reward(pure=True, best=None)
def early(trace):
    return sum(c == "e" for c in trace.completion)
"""

TASK = (
    REWARDS
    + """

def task():
    made = [Example(prompt=f"say {i}", gold="", solution="abcdefghij") for i in range(40)]
    return Task(name="mine", train=made[:30], test=made[30:], rewards={"letters": letters, "early": early})
"""
)
