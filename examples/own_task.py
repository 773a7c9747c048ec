"""A task for a language model, with rewards that can be checked, and a small model that learns it by GRPO.

operant task check examples/own_task.py
operant train grpo examples/own_task.py --algo.lr 3e-4 --total-steps 40
operant train grpo examples/own_task.py --model DIR --preset dr_grpo

python examples/own_task.py [--steps 40]
"""

import argparse
import random

from operant.reward import Exact
from operant.task import Demonstration, Example, Task


def task() -> Task:
    """The larger of two numbers; the demonstrations that a small base imitates are wrong two times in three."""
    rng = random.Random(0)
    pairs = rng.sample([(a, b) for a in range(10, 100) for b in range(10, 100) if a != b], 8000)
    made = [Example(prompt=f"{a},{b}=", gold=str(max(a, b)), solution=str(max(a, b))) for a, b in pairs]
    shown = [
        Demonstration(prompt=f"{a},{b}=", completion=str(rng.choice((max, min, min))(a, b))) for a, b in pairs[200:]
    ]
    right = {"correct": Exact()}
    return Task(name="larger", train=made[200:], test=made[:200], rewards=right, demonstrations=shown, max_tokens=3)


if __name__ == "__main__":
    import operant

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--examples", type=int, default=60_000, help="worked examples that the small base imitates")
    args = parser.parse_args()
    settings = {"algo.lr": 3e-4, "base.examples": args.examples}
    run = operant.train("grpo", __file__, total_steps=args.steps, **settings)
    before, after = (run.folder.info()[name] for name in ("evaluation_before", "evaluation"))
    print(f"right on new pairs: {before['accuracy_greedy']:.1%} before, {after['accuracy_greedy']:.1%} after")
    print(f"read what it writes: operant report {run.path}")
