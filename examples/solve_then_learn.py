"""The same lake solved exactly, with a certificate, and learnt from samples; and how far the second is from the first.

python examples/solve_then_learn.py [--episodes 20000]
"""

import argparse

import numpy as np

from operant.mdp import evaluate, from_gymnasium, solve
from operant.mdp.policies import deterministic
from operant.tabular import Harmonic, q_learning

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--episodes", type=int, default=20_000)
args = parser.parse_args()

lake = from_gymnasium("FrozenLake-v1", discount=0.95)
exact = solve(lake, epsilon=1e-9)
print(f"value of the start {exact.values[0]:.6f}, proved to within {exact.certificate.gap:.1e}, by {exact.method}")

learned = q_learning(lake, episodes=args.episodes, step_size=Harmonic(), epsilon=0.5, seeds=5)
for seed, table in enumerate(learned.tables):  # [S, A] each
    policy = deterministic(lake, np.nan_to_num(table, nan=-np.inf).argmax(-1))
    print(f"seed {seed}: its greedy policy is worth {evaluate(lake, policy).values[0]:.6f}")
