"""The gap between two worlds: a policy of one simulator in another one, after randomisation, or after measuring it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from operant.api import train
from operant.config.randomise import ranges
from operant.recipes.adr import DELTA, HIGH, LIMITS, LOW, STEPS, held_out, uniform, world
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial
from operant.robots import Randomised, identify, windows

REAL = (
    "mass:pole 1.8 1.8 mass:cart 1.3 1.3 damping 2.5 2.5 gear 0.6 0.6 latency 2 2 backlash 0.03 0.03 noise 0.01 0.01 "
    "bias 0.01 0.01"
)
"""The world that no arm trains in, fixed before any training. Latency, backlash and biased sensors are no parameters
of the simulator that is identified, and a bias is in nobody's ranges."""
MODEL = "mass:pole 0.3 3 mass:cart 0.3 3 damping 0.2 5 gravity 0.5 2 gear 0.4 2.5"
EPISODES, EVALUATIONS = 20, 400


def identified(t: Trial) -> str:
    """The ranges, of no width, that were measured on episodes of random actions in the world that is called real."""
    generator = np.random.default_rng(t.seed)
    real = Randomised(world(), ranges(REAL))
    seen = windows(
        real, lambda _: generator.uniform(-3.0, 3.0, 1), episodes=2 if t.miniature else EPISODES, length=4,
        seed=10_000 * t.seed,
    )  # fmt: skip
    real.close()
    found = identify(
        world(), ranges(MODEL), seen, lambda obs: (obs[:2], obs[2:]), evaluations=8 if t.miniature else EVALUATIONS,
        seed=t.seed,
    )  # fmt: skip
    return " ".join(f"{name} {x:.9g} {x:.9g}" for name, x in found.values.items())


def arm(t: Trial) -> tuple[str, dict[str, Any]]:
    """The algorithm of an arm, and what it is told beside what all are told."""
    if t.arm == "adr":
        return "adr", {"adr.limits": LIMITS, "adr.high": HIGH, "adr.low": LOW, "adr.step": DELTA}
    if t.arm == "none":
        return "ppo", {"env.wrappers": [f"randomise {uniform(0.0)}"]}
    text = {"uniform": uniform(0.5), "real": REAL}.get(t.arm) or identified(t)
    return "ppo", {"env.wrappers": [f"randomise {text}"]}


def trial(t: Trial) -> Mapping[str, float]:
    """The return of an arm's policy in the simulator as it was made, and in the other world, and what it lost there."""
    worlds = 2 if t.miniature else 50
    algorithm, its = arm(t)
    more: dict[str, Any] = {"policy.normalize_obs": True, "eval.episodes": 1 if t.miniature else 10, "env.num": 8}
    more |= {"save.videos": False, "save.report": False, "algo.horizon": 64 if t.miniature else 256}
    steps = 512 if t.miniature else STEPS
    run = train(algorithm, world, seed=t.seed, total_steps=steps, runs=t.folder, quiet=True, **its, **more)
    simulated, real = held_out(run, worlds, uniform(0.0)), held_out(run, worlds, REAL)
    return {"simulated": simulated, "real": real, "drop": 1.0 - real / simulated}


RECIPE = Recipe(
    name="sim-to-sim",
    title="The gap between two worlds",
    source="Tobin et al. (2017), Domain randomization for transferring deep neural networks, arXiv:1703.06907; Peng et "
    "al. (2018), Sim-to-real transfer of robotic control with dynamics randomization, arXiv:1710.06537",
    paper="Policies of a simulator fail on the robot. Randomised masses, friction, delays and noise made one that "
    "pushed a puck on a robot as well as in simulation.",
    here="From simulator to simulator: MuJoCo's InvertedPendulum as it is made, and one with other masses, damping and "
    "gear, with latency, backlash and biased sensors, fixed before any training, in which no arm trains but the "
    "control `real`. 400,000 steps of PPO without memory; 50 episodes.",
    mechanism="Ranges about the simulator. Without them (`none`) the policy knows one world.",
    arms={
        "none": "the simulator as it was made", "uniform": "half of the way to the limits, set by hand",
        "adr": "ranges that grow and shrink with the policy",
        "identified": "the simulator with parameters measured on 20 episodes of random actions in the other world",
        "real": "trained in the other world: what there is to gain",
    },
    controls=("none", "real"),
    claims=(
        Claim(text="there is a gap: the policy of one simulator loses 30 % in the other", metric="drop", arm="none",
              bar=0.3),
        Claim(text="ranges set by hand at least halve what is lost", metric="drop", arm="uniform", over="none",
              ratio=True, bar=0.5, most=True, must=False),
        Claim(text="so do ranges that grow", metric="drop", arm="adr", over="none", ratio=True, bar=0.5, most=True,
              must=False),
        Claim(text="and so does identification", metric="drop", arm="identified", over="none", ratio=True, bar=0.5,
              most=True, must=False),
        Claim(text="ranges that grow come to more than ranges set by hand", metric="real", arm="adr", over="uniform",
              bar=0.0, must=False),
    ),
    trial=trial,
    minutes=40.0,
)  # fmt: skip
