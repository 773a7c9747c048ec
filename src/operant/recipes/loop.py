"""LOOP on small policies: leave-one-out advantages in worlds of many turns, beside GRPO, REINFORCE, and no mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from operant.api import Run, train
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial

WORLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "desk": ("desk/tiny", {}),
    "calculator": ("text/calculator", {
        "total_steps": 100, "task.options.train": 4_000, "sampling.max_tokens": 32, "sampling.slots": 128,
        "base.width": 144, "base.positions": 256, "base.tokenizer": "words", "base.tied": True, "base.init": 0.085,
        "base.batch": 8, "base.lr": 2e-3, "base.examples": 12_000, "base.traces": 4_000, "base.learn": "all",
        "algo.scenarios": 16, "algo.samples": 6, "algo.epochs": 1, "algo.lr": 3e-4, "algo.lr_schedule": "linear",
        "eval.samples": 1,
    }),
}  # fmt: skip
"""Each world, and its settings where it has no preset: as those of the desk, with rows half as long."""
HOW: dict[str, tuple[str, dict[str, Any]]] = {
    "loop": ("leave-one-out, a ratio for each token", {}),
    "grpo": ("the group's mean and deviation", {"preset": "grpo"}),
    "reinforce": ("the return itself, no ratio", {"preset": "reinforce"}),
    "unmasked": ("LOOP on what the world said, too", {"algo.learn": "all"}),
}
"""What each way of learning is told beside the settings of its world."""
MINIATURE: dict[str, Any] = {
    "total_steps": 1, "algo.scenarios": 2, "algo.samples": 2, "eval.episodes": 2, "sampling.max_tokens": 4,
    "base.width": 16, "base.layers": 1, "base.traces": 4, "base.examples": 4, "base.batch": 2, "save.report": False,
}  # fmt: skip


def trial(t: Trial) -> Numbers:
    """What learning by reward makes of a seed's clone: success on held-out scenarios, greedily and sampled."""
    how, _, name = t.arm.partition("-")
    world, of_world = WORLDS[name]
    return learnt(t, world, of_world | HOW[how][1])


def learnt(t: Trial, world: str, of_arm: Mapping[str, Any]) -> Numbers:
    """What `train loop` with an arm's settings makes of a seed's clone of a world's oracle."""
    settings: dict[str, Any] = {**of_arm, "base.seed": t.seed} | (MINIATURE if t.miniature else {})
    if t.model:
        settings["model.path"] = t.model
    run = train("loop", world, seed=t.seed, runs=t.folder, quiet=True, **settings)
    info = run.folder.info()
    before, after = info["evaluation_before"], info["evaluation"]
    found = {f"{mode} {when}": float(of[f"accuracy_{mode}"])
             for mode in ("greedy", "sampled") for when, of in (("before", before), ("after", after))}  # fmt: skip
    return found | {"gain": found["greedy after"] - found["greedy before"]} | told(run)


def told(run: Run) -> dict[str, float]:
    """What the first and the last steps say of why it learnt, or did not."""
    found: dict[str, float] = {}
    for name, column in (("entropy", "policy/entropy"), ("learnt from", "group/kept")):
        values = np.asarray(run.metrics[column].dropna(), np.float64)
        found |= {f"{name} first": float(values[:5].mean()), f"{name} last": float(values[-5:].mean())}
    return found


def above(a: str, b: str, world: str) -> Claim:
    """An open question: after learning one way is no worse than another."""
    return Claim(text=f"{a} is not below {b}, {WORLDS[world][0]}", metric="greedy after", arm=f"{a}-{world}",
                 over=f"{b}-{world}", bar=0.0, must=False)  # fmt: skip


RECIPE = Recipe(
    name="loop",
    title="LOOP: interactive digital agents that learn by reward",
    source="Chen et al. (2025), Reinforcement learning for long-horizon interactive LLM agents, arXiv:2502.01600",
    paper="Qwen2.5-32B acts in AppWorld by blocks of Python and learns from its training scenarios: PPO without a "
    "critic, whose baseline is the mean of a scenario's other episodes, with a ratio for each token. Of the goals of "
    "test-normal it reached 39.2 % before, 71.3 % by LOOP, 58.0 % by GRPO, 57.2 % by leave-one-out without ratios.",
    here="A Llama of 1.1 million parameters, made from nothing and cloned on oracle traces until about half of what it "
    "does greedily on the small desk succeeds. One policy for its ten kinds of tasks, which writes blocks of Python; "
    "one for the three kinds of a calculator of two turns. 100 steps of 16 scenarios with 6 episodes each, every arm "
    "from the same clone of its seed; 200 held-out scenarios. World, model and language are small, the method is "
    "whole.",
    mechanism="The others of a group are the critic. Without it (`reinforce`) every success is reinforced alike, and "
    "without the mask (`unmasked`) what the world said is learnt as if the policy had said it.",
    arms={f"{how}-{name}": f"{words}, {WORLDS[name][0]}" for name in WORLDS for how, (words, _) in HOW.items()},
    controls=tuple(f"{how}-{name}" for name in WORLDS for how in ("reinforce", "unmasked")),
    claims=(
        Claim(text="a clone of the desk's oracle succeeds in 40 % at least", metric="greedy before", arm="loop-desk",
              bar=0.4),
        Claim(text="and in 60 % at most", metric="greedy before", arm="loop-desk", bar=0.6, most=True),
        Claim(text="LOOP adds 20 points on the desk", metric="gain", arm="loop-desk", bar=0.2),
        *(above(a, b, world) for world in WORLDS
          for a, b in (("loop", "grpo"), ("grpo", "reinforce"), ("loop", "unmasked"))),
    ),
    trial=trial,
    minutes=180.0,
    takes_model=True,
)  # fmt: skip
