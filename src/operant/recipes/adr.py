"""Automatic domain randomisation: ranges of a simulator that grow as the policy copes with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from operant.api import Run, train
from operant.data.jsonl import lines
from operant.env.make import make_one
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial
from operant.robots import ADR, ADRRun, Bounds, Drawn, Randomised, ranges, replay

ENV, LENGTH, STEPS, WORLDS = "InvertedPendulum-v5", 200, 400_000, 50
LIMITS = (
    "mass:pole 0.3 3 mass:cart 0.3 3 damping 0.2 5 gravity 0.5 2 gear 0.4 2.5 latency 0 3 backlash 0 0.05 noise 0 0.03"
)
WIDTHS = {"uniform-10": 0.1, "uniform-25": 0.25, "uniform-50": 0.5, "uniform-75": 0.75, "uniform-100": 1.0}
"""How far, of the way from what the model has to its limits, episodes are drawn from."""
HIGH, LOW, DELTA = 0.8 * LENGTH, 0.4 * LENGTH, 0.2
"""An episode returns the steps that the pole stood. Ten at each of 13 bounds, in half of all episodes: a round of
decisions takes 52,000 steps, and a bound is at its limit after five at the soonest."""


def uniform(width: float) -> str:
    """The ranges of so large a share of the limits."""
    share = [(one.name, *(one.calibrated + width * (x - one.calibrated) for x in one[1:])) for one in ranges(LIMITS)]
    return " ".join(f"{name} {low:.6g} {high:.6g}" for name, low, high in share)


def world() -> Any:
    """Under a name of its own, for which PPO has no preset: every arm has PPO's settings for any environment."""
    return make_one(ENV, wrappers=[f"time-limit {LENGTH}"])


def arm(name: str) -> tuple[str, dict[str, Any]]:
    """The algorithm of an arm, and what it is told beside what all are told."""
    if name == "adr":
        return "adr", {"adr.limits": LIMITS, "adr.high": HIGH, "adr.low": LOW, "adr.step": DELTA}
    return "ppo", {"env.wrappers": [f"randomise {uniform(WIDTHS.get(name, 0.0))}"]}


def trial(t: Trial) -> Mapping[str, float]:
    """The return of a policy of one arm on worlds that none has seen, and in the world as it was made."""
    steps, worlds = (512, 2) if t.miniature else (STEPS, WORLDS)
    algorithm, its = arm(t.arm)
    more: dict[str, Any] = {"policy.normalize_obs": True, "eval.episodes": 1 if t.miniature else 10, "env.num": 8}
    more |= {"save.videos": False, "save.report": False, "algo.horizon": 64 if t.miniature else 256}
    run = train(algorithm, world, seed=t.seed, total_steps=steps, runs=t.folder, quiet=True, **its, **more)
    told = {"held out": held_out(run, worlds), "as made": held_out(run, worlds, uniform(0.0))}
    return told if algorithm == "ppo" else told | moved(run, t)


def held_out(run: Run, worlds: int, text: str = LIMITS) -> float:
    """The mean return of the policy's mode over worlds drawn from all of the limits, the same for every arm."""
    env, totals = make_one(world, wrappers=[f"randomise {text}"]), list[float]()
    try:
        for k in range(worlds):
            totals.append(episode(env, run.policy.act, 900_000 + k))
    finally:
        env.close()
    return float(np.mean(totals))


def episode(env: Any, act: Callable[[Any], Any], seed: int | None) -> float:
    """The return of an episode."""
    (obs, _), total, over = env.reset(seed=seed), 0.0, False
    while not over:
        obs, reward, terminated, truncated, _ = env.step(np.asarray(act(obs)))
        total, over = total + float(reward), terminated or truncated
    return total


def moved(run: Run, t: Trial) -> dict[str, float]:
    """How far the bounds came, whether the log leads there, and what is left of them when the policy only trembles."""
    cfg, log = run.config, run.path / "adr.jsonl"
    assert isinstance(cfg, ADRRun)
    bounds = replay(cfg.adr, (row for _, row in lines(log)) if log.exists() else ())
    last = run.metrics.iloc[-1]
    same = all(float(last[f"adr/{name}"]) == x for name, x in bounds.named().items())
    return {"share": bounds.share, "replayed": float(same), "share when degraded": degraded(bounds, t)}


def degraded(bounds: Bounds, t: Trial) -> float:
    """The share of the limits that is drawn from after episodes of random actions."""
    generator = np.random.default_rng(t.seed)
    adr = ADR(bounds.cfg, generator)
    adr.bounds = bounds
    env = Randomised(world(), bounds.limits, Drawn(adr))
    for k in range(20 if t.miniature else 2_000):
        episode(env, lambda _: generator.uniform(-3.0, 3.0, 1).astype(np.float32), None if k else t.seed)
    env.close()
    return bounds.share


RECIPE = Recipe(
    name="adr",
    title="Automatic domain randomisation",
    source="OpenAI (2019), Solving Rubik's cube with a robot hand, arXiv:1910.07113, algorithm 1",
    paper="A policy for a robot's hand was trained in simulated worlds alone. Half of the episodes played at one bound "
    "of one parameter; where they went well, its range grew. On the robot it turned a Rubik's cube: 60 % of scrambles "
    "of 15 turns, 20 % of the hardest.",
    here="MuJoCo's InvertedPendulum with eight parameters (two masses, damping, gravity, gear, latency, backlash, "
    "noise), episodes of 200 steps, 400,000 of PPO without memory an arm; 50 worlds drawn from all of the limits, "
    "of which no arm is told beyond its ranges. Simulated to simulated; no hand, no pictures.",
    mechanism="Bounds that returns at them move. Without it ranges stay where they were set: `none`, or by hand.",
    arms={"none": "the world as it was made", **{name: f"{width:.0%} of the way to the limits, set by hand"
                                                for name, width in WIDTHS.items()},
          "adr": "ranges that grow and shrink with the policy"},
    controls=("none",),
    claims=(
        Claim(text="the bounds widen: a tenth of the limits is drawn from", metric="share", arm="adr", bar=0.1),
        Claim(text="the bounds narrow where actions are random", metric="share when degraded", arm="adr", bar=0.05,
              most=True),
        Claim(text="the log leads to the bounds", metric="replayed", arm="adr", bar=1.0),
        Claim(text="on held-out worlds it returns 1.5 times as much as no randomisation", metric="held out", arm="adr",
              over="none", ratio=True, bar=1.5, must=False),
        *(Claim(text=f"and 95 % of ranges set by hand, {width:.0%} of the way", metric="held out", arm="adr", over=name,
                ratio=True, bar=0.95, must=False) for name, width in WIDTHS.items()),
    ),
    trial=trial,
    minutes=40.0,
)  # fmt: skip
