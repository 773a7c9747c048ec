"""Train PPO, measure it, read its metrics: what most days look like.

python examples/train_and_measure.py [--steps 50000]
"""

import argparse

import operant

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=50_000)
args = parser.parse_args()

run = operant.train("ppo", "CartPole-v1", seed=1, total_steps=args.steps)
result = run.evaluate(episodes=20)
print(f"return {result['mean']:.1f} ± {result['std']:.1f} over {result['episodes']} episodes; the run is {run.path}")

curve = run.metrics[["step", "train/return", "policy/kl"]].dropna()
print(curve.tail(3).to_string(index=False))

same = operant.Run(run.path)  # any time later, in another process too
print("action for a pole that leans right:", same.policy.act([0.0, 0.0, 0.1, 0.0]))
