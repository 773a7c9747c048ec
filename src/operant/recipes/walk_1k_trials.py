"""Learning to walk in a thousand trials: a gait of a dozen numbers, searched without derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from operant.api import train
from operant.env.make import make_one
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial
from operant.search.black_box import CMAES, BlackBox, CrossEntropy, FiniteDifferences

ANT = "Ant-v5"
ONLY_FORWARD = {"healthy_reward": 0.0, "ctrl_cost_weight": 0.0, "contact_cost_weight": 0.0}
STEPS, DT, TRIALS = 100, 0.05, 1000
# legs: 0 front left, 1 front right, 2 back left, 3 back right, as their joints come in qpos
LIFT = np.array([1.0, -1.0, -1.0, 1.0])  # which way an ankle bends its leg up
SWING = np.array([1.0, 1.0, -1.0, -1.0])  # which way a hip swings its leg forward; Ant walks along x
ACTUATORS = [6, 7, 0, 1, 2, 3, 4, 5]  # the joint (hip 0, ankle 0, hip 1, …) of each actuator
KP, KD = 1.0, 0.05
HAND = {
    "frequency": 1.5, "phase of front right": np.pi, "phase of back left": np.pi, "phase of back right": 0.0,
    "swing in front": 0.4, "swing behind": 0.4, "middle in front": 0.0, "middle behind": 0.0, "lift in front": 0.3,
    "lift behind": 0.3, "height": 1.0, "lift after swing": np.pi / 2,
}  # fmt: skip
"""A trot made by hand: diagonal legs together."""
HAND_MADE = np.array([*HAND.values()])
NEAR = np.array([0.1, 0.3, 0.3, 0.3, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.3])
"""How far the search looks at first, of each number."""


def targets(gait: np.ndarray, time: float) -> np.ndarray:
    """Angles [8] of hips and ankles, leg by leg, in radians."""
    frequency, *phases = gait[:4]
    swing, middle, lift = (np.repeat(pair, 2) for pair in (gait[4:6], gait[6:8], gait[8:10]))
    at = 2 * np.pi * frequency * time + np.array([0.0, *phases])
    hip = SWING * (middle + swing * np.sin(at))
    ankle = LIFT * (gait[10] - lift * np.maximum(np.sin(at + gait[11]), 0.0))
    return np.stack([hip, ankle], 1).ravel()


def speed(env: Any, gait: np.ndarray, seed: int) -> float:
    """Metres a second along x in five seconds of a gait; what falls over stays where it is."""
    env.reset(seed=seed)
    data = env.unwrapped.data
    start = float(data.qpos[0])
    for step in range(STEPS):
        torque = KP * (targets(gait, step * DT) - data.qpos[7:15]) - KD * data.qvel[6:14]
        _, _, fallen, *_ = env.step(np.clip(torque, -1.0, 1.0)[ACTUATORS].astype(np.float32))
        if fallen:
            break
    return (float(data.qpos[0]) - start) / (STEPS * DT)


def trial(t: Trial) -> Mapping[str, float]:
    """The speed that one way of search comes to in its trials, over ten fresh starts, and that of the gait by hand."""
    trials, starts = (15, 1) if t.miniature else (TRIALS, 10)
    env = make_one(ANT, {}, None, (), measured=True)
    try:
        gait = HAND_MADE
        if t.arm in SEARCHES:
            search = SEARCHES[t.arm](HAND_MADE, t.seed)
            while search.evaluations < trials:
                search.tell([speed(env, x, 100_000 * t.seed + search.evaluations) for x in search.ask()])
            gait = search.mean if t.arm != "random" else search.best[0]
        found = learnt(t, trials) if t.arm == "reinforce" else mean_speed(env, gait, starts)
        return {"speed": found, "by hand": mean_speed(env, HAND_MADE, starts)}
    finally:
        env.close()


def mean_speed(env: Any, gait: np.ndarray, starts: int) -> float:
    """Over so many starts that no search has seen."""
    return float(np.mean([speed(env, gait, 9_000 + k) for k in range(starts)]))


class Random(BlackBox):
    """Points about the beginning that it never leaves: the search without its mechanism."""

    def _draw(self) -> np.ndarray:
        return self.mean + 3.0 * self.deviation * self.generator.standard_normal((self.population, len(self.mean)))

    def _move(self, points: np.ndarray, scores: np.ndarray) -> None:
        del points, scores


SEARCHES: dict[str, Callable[[np.ndarray, int], BlackBox]] = {
    "finite-differences": lambda x, seed: FiniteDifferences(x, NEAR, seed=seed),
    "cross-entropy": lambda x, seed: CrossEntropy(x, 2 * NEAR, noise=0.5, seed=seed),
    "cma-es": lambda x, seed: CMAES(x, NEAR, seed=seed),
    "random": lambda x, seed: Random(x, NEAR, population=15, seed=seed),
}


def learnt(t: Trial, trials: int) -> float:
    """The speed of a network of REINFORCE's after as many episodes of as many steps."""
    more: dict[str, Any] = {"env.kwargs": ONLY_FORWARD, "env.wrappers": [f"time-limit {STEPS}"]}
    more |= {"policy.normalize_obs": True, "save.videos": False, "save.report": False, "eval.episodes": 10}
    run = train("reinforce", ANT, seed=t.seed, total_steps=trials * STEPS, runs=t.folder, quiet=True, **more)
    return float(run.folder.info()["evaluation"]["mean"]) / STEPS


RECIPE = Recipe(
    name="walk-1k-trials",
    title="Learning to walk in a thousand trials",
    source="Kohl and Stone (2004), Policy gradient reinforcement learning for fast quadrupedal locomotion",
    paper="An Aibo's trot of twelve numbers was made faster than any gait by hand (291 mm/s) on the robots themselves, "
    "in some thousand trials: neighbours by ±ε in every dimension, means of their speeds, a step of fixed length.",
    here="MuJoCo's Ant, a trot of twelve numbers with PD targets, five seconds a trial; the first gait is by hand. "
    "Simulated, and no noise of a camera that measures speed.",
    mechanism="The slope from neighbours. Without it (points about the first gait) there is luck alone.",
    arms={
        "by hand": "the gait that the others begin with", "finite-differences": "Kohl and Stone's",
        "cross-entropy": "the cross-entropy method", "cma-es": "CMA-ES", "random": "points about the first gait",
        "reinforce": "REINFORCE with a network, as many steps",
    },
    controls=("by hand", "random"),
    claims=(
        Claim(text="finite differences walk twice as fast as the gait by hand", metric="speed",
              arm="finite-differences", over="by hand", ratio=True, bar=2.0),
        Claim(text="they are faster than luck", metric="speed", arm="finite-differences", over="random", bar=0.0,
              must=False),
        Claim(text="CMA-ES is faster than finite differences", metric="speed", arm="cma-es", over="finite-differences",
              bar=0.0, must=False),
        Claim(text="REINFORCE with a network is slower at as many trials", metric="speed", arm="finite-differences",
              over="reinforce", bar=0.0, must=False),
    ),
    trial=trial,
    minutes=30.0,
)  # fmt: skip
