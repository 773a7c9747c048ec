"""Steps per second of Q-learning: many seeds on a model, against the loop over an environment that everybody writes.

Ours: `operant.tabular.q_learning` on CliffWalking-v1's own table (`from_gymnasium`), `--seeds` runs of 500
episodes on one thread, compiled before the clock starts. Peer: one run in plain Python, Gymnasium's CliffWalking-v1 as
`gymnasium.make` gives it, a NumPy table, ε-greedy with ties at random. Both learn the same thing: α = 0.5, ε = 0.1,
γ = 1. A third side, told beside them, is the library's own learner in the same Gymnasium loop. Seconds are processor
time of one process, so that a busy machine disturbs less. The sides are run in turn; prints one JSON line.

    python bench/tabular.py [--rounds 5] [--seeds 100]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings

import gymnasium as gym
import numpy as np

from _interleave import emit, interleave, measure, quiet

EPISODES = 500
SIDES = ("ours", "peer", "learner")


def ours(seed: int, seeds: int) -> dict[str, float]:
    """The compiled loop; `value` is steps per second."""
    from operant.mdp import from_gymnasium
    from operant.tabular import q_learning

    mdp = from_gymnasium(gym.make("CliffWalking-v1"), discount=1.0)
    q_learning(mdp, seeds=1, episodes=1)
    began = time.process_time()
    runs = q_learning(mdp, seeds=range(1000 * seed, 1000 * seed + seeds), episodes=EPISODES)
    seconds = time.process_time() - began
    return {"value": runs.steps / seconds, "late_return": float(runs.returns[:, 400:].mean())}


def peer(seed: int) -> dict[str, float]:
    """The usual loop; `value` is steps per second."""
    env, random = gym.make("CliffWalking-v1"), np.random.default_rng(seed)
    q, steps, late = np.zeros((48, 4)), 0, []
    began = time.process_time()
    for episode in range(EPISODES):
        state, _ = env.reset(seed=seed if episode == 0 else None)
        total, over = 0.0, False
        while not over:
            if random.random() < 0.1:
                action = int(random.integers(4))
            else:
                action = int(random.choice(np.flatnonzero(q[state] == q[state].max())))
            following, reward, terminated, truncated, _ = env.step(action)
            target = reward + (0.0 if terminated else q[following].max())
            q[state, action] += 0.5 * (target - q[state, action])
            state, over = following, terminated or truncated
            total, steps = total + float(reward), steps + 1
        late += [total] if episode >= 400 else []
    return {"value": steps / (time.process_time() - began), "late_return": statistics.fmean(late)}


def learner(seed: int) -> dict[str, float]:
    """The library's learner in the usual loop; `value` is steps per second."""
    from operant.tabular import Learner, Settings

    env, steps, late = gym.make("CliffWalking-v1"), 0, []
    mind = Learner(48, 4, Settings(step_size=0.5, epsilon=0.1, discount=1.0), np.random.default_rng(seed))
    mind.learn(0, 0, 0.0, 0, False, True)  # compiles; moves nothing
    mind.act(0)
    began = time.process_time()
    for episode in range(EPISODES):
        state, _ = env.reset(seed=seed if episode == 0 else None)
        total, over, action = 0.0, False, mind.act(state)
        while not over:
            following, reward, terminated, truncated, _ = env.step(action)
            action = mind.learn(state, action, float(reward), following, terminated, truncated)
            state, over = following, terminated or truncated
            total, steps = total + float(reward), steps + 1
        late += [total] if episode >= 400 else []
    return {"value": steps / (time.process_time() - began), "late_return": statistics.fmean(late)}


def main() -> None:
    """Run one side, or all in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", choices=SIDES)
    args = parser.parse_args()
    if args.side is None:
        quiet()
    warnings.simplefilter("ignore")
    if args.side:
        found = {"ours": lambda: ours(args.seed, args.seeds), "peer": lambda: peer(args.seed)}
        print(json.dumps(found.get(args.side, lambda: learner(args.seed))()))
        return
    command = {side: [__file__, "--side", side, "--seeds", str(args.seeds)] for side in SIDES}
    measured = interleave(command["ours"], command["peer"], args.rounds)
    own = [measure(command["learner"], seed) for seed in range(1, args.rounds + 1)]
    emit(
        f"Q-learning on CliffWalking-v1, {args.seeds} seeds of {EPISODES} episodes",
        *measured,
        peer_name="Python loop over Gymnasium",
        peer_version=gym.__version__,
        unit="steps/s of processor time",
        learner=round(statistics.median(m["value"] for m in own), 1),
        late_returns=[round(statistics.fmean(m["late_return"] for m in side), 1) for side in (*measured, own)],
    )


if __name__ == "__main__":
    main()
