"""A task of 750 words, shown with half of the answers wrong: a small base imitates, and GRPO finds out what is right.

operant task check examples/reverse.py      # half of the demonstrations earn the reward
operant train grpo examples/reverse.py      # no model is named: a base is made first, the plan and the time are said

python examples/reverse.py [--steps 100]
"""

import argparse
import random

from operant.reward import Exact
from operant.task import Demonstration, Example, Task


def task() -> Task:
    """`abcd>` is answered `dcba`; every second demonstration copies the word instead."""
    rng = random.Random(0)
    words = sorted({"".join(rng.choice("abcde") for _ in range(3)) for _ in range(4000)})
    words += sorted({"".join(rng.choice("abcde") for _ in range(4)) for _ in range(4000)})
    rng.shuffle(words)
    made = [Example(prompt=f"{w}>", gold=w[::-1], solution=w[::-1]) for w in words]
    shown = [Demonstration(prompt=f"{w}>", completion=w[::-1] if rng.random() < 0.5 else w) for w in words[100:]]
    right = {"correct": Exact()}
    return Task(name="reverse", train=made[100:], test=made[:100], rewards=right, demonstrations=shown, max_tokens=5)


if __name__ == "__main__":
    import operant

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--examples", type=int, default=60_000, help="the most worked examples that the base imitates")
    args = parser.parse_args()
    run = operant.train("grpo", __file__, total_steps=args.steps, **{"base.examples": args.examples})
    before, after = (run.folder.info()[name] for name in ("evaluation_before", "evaluation"))
    print(f"right on new words: {before['accuracy_greedy']:.1%} before, {after['accuracy_greedy']:.1%} after")
    print(f"read what it writes: operant report {run.path}")
