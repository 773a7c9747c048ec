"""Language to rewards: a sentence sets the parameters of a reward, and planning does what is asked for at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from operant.data.streams import Streams
from operant.design import TASKS, Planning, Reward, controlled, corrected, translate
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial

STEPS, LAST = 120, 20
Step = Mapping[str, Any]


class Command(NamedTuple):
    """A sentence, whom it is said to, and within which bounds the mean of a value has to be at the end."""

    task: str
    said: str
    value: Callable[[Step], float]
    low: float = -np.inf
    high: float = np.inf
    then: str = ""  # a correction, before it is done


def of(name: str) -> Callable[[Step], float]:
    """A quantity."""
    return lambda step: float(step[name])


def norm(name: str) -> Callable[[Step], float]:
    """The length of a vector."""
    return lambda step: float(np.linalg.norm(step[name]))


def plus(a: Callable[[Step], float], b: Callable[[Step], float], share: float) -> Callable[[Step], float]:
    """One value and a share of another."""
    return lambda step: a(step) + share * b(step)


COMMANDS = (
    Command("pendulum", "swing it up and hold it there", of("height"), 0.95),
    Command("pendulum", "whirl it to the left as fast as you can", of("spin"), 4.0),
    Command("pendulum", "whirl it to the right as fast as you can", of("spin"), high=-4.0),
    Command("pendulum", "hold it leaning by 0.3", of("angle"), 0.2, 0.4),
    Command("swing-up", "swing it up and hold it there", of("height"), 0.9),
    Command("swing-up", "park at 1.5 metres", of("position"), 1.3, 1.7),
    Command("swing-up", "park at -1 metres", of("position"), -1.2, -0.8),
    Command("swing-up", "whirl the pole to the left as fast as you can", of("spin"), 4.0),
    Command("swing-up", "hang still at 1 metres", of("position"), 0.8, 1.2),
    Command("swing-up", "park at 1.5 metres", of("position"), -1.2, -0.8, then="at -1 metres"),
    Command("reacher", "touch the target", norm("to_target"), high=0.04),
    Command("reacher", "stay away from the target", norm("to_target"), 0.15),
    Command("reacher", "whirl the arm", norm("joint_speed"), 6.0),
    Command("reacher", "touch the target gently", plus(norm("to_target"), norm("joint_speed"), 0.04), high=0.08),
)
MOTIONS = (
    (r"swing it up and hold it there", "bring height to 1; keep spin at 0 weakly"),
    (r"whirl (?:it|the pole) to the left.*", "make spin large"),
    (r"whirl it to the right.*", "make spin small"),
    (r"hold it leaning by (\S+)", r"bring angle to \1 strongly; keep spin at 0 weakly"),
    (r"park at (\S+) metres", r"bring position to \1 strongly; keep velocity at 0 weakly"),
    (r"hang still at (\S+) metres", r"bring position to \1 strongly; keep spin at 0; keep velocity at 0 weakly"),
    (r"at (\S+) metres", r"bring position to \1 strongly"),
    (r"touch the target", "bring to_target to 0 strongly; keep torque at 0 weakly"),
    (r"stay away from the target", "make to_target large"), (r"whirl the arm", "make joint_speed large"),
    (r"touch the target gently", "bring to_target to 0 strongly; keep joint_speed at 0 weakly"),
)  # fmt: skip
"""The descriptor of motions: what is said, and what it is for the translator of rewards."""
LIBRARY = {
    "pendulum": ("swing it up and hold it there", "whirl it to the left as fast as you can"),
    "swing-up": ("swing it up and hold it there", "park at 0 metres"),
    "reacher": ("touch the target", "whirl the arm"),
}
"""Skills that stand ready, by what they are called; they take no numbers."""


def described(said: str) -> str:
    """The description of a sentence."""
    return next(m.expand(motion) for form, motion in MOTIONS if (m := re.fullmatch(form, said)))


def meant(command: Command, arm: str, rng: np.random.Generator) -> Reward:
    """The reward that an arm plans for."""
    task, said = TASKS[command.task], command.said
    if arm == "primitives":
        words = {*(command.then or said).split()}
        return translate(described(max(LIBRARY[task.name], key=lambda skill: len(words & {*skill.split()}))), task)
    if arm == "blind":
        others = [each.said for each in COMMANDS if each.task == task.name and each.said != said]
        return translate(described(str(rng.choice(others))), task)
    made = translate(described(said), task)
    return corrected(made, described(command.then), task) if command.then else made


def trial(t: Trial) -> Mapping[str, float]:
    """The share of commands that are done."""
    rng, cfg = Streams(t.seed).numpy(t.arm), Planning(horizon=6, samples=3) if t.miniature else Planning()
    done = list[float]()
    for k, command in enumerate(COMMANDS[::5] if t.miniature else COMMANDS):
        reward = meant(command, t.arm, rng)
        steps = 6 if t.miniature else STEPS
        seen = controlled(TASKS[command.task], reward, cfg, steps=steps, seed=1_000 * t.seed + k, rng=rng)
        value = fmean(command.value(step) for step in seen[-LAST:])
        done.append(float(command.low <= value <= command.high))
        t.say(f"{command.task}, {command.said} {command.then}: {value:.2f}{'' if done[-1] else ', not done'}")
    return {"done": fmean(done)}


RECIPE = Recipe(
    name="l2r",
    title="Language to rewards",
    source="Yu et al. (2023), Language to rewards for robotic skill synthesis, arXiv:2306.08647",
    paper="GPT-4 described a motion in words, and wrote from these the parameters of a reward for a simulated "
    "dog or arm; MuJoCo MPC did at once what was asked for. Of 17 tasks 90 % were done, 50 % by code that "
    "calls a library of skills.",
    here="Fourteen commands to a pendulum, a cart with a pole and the arm of Reacher, one with a correction. In "
    "place of GPT-4 a grammar of sentences describes the motion; the second half, from the description to weighted "
    "residuals, is the interface of `operant.design`. Predictive sampling of 16 plans of 24 steps in copies of the "
    "simulator; a command is done where the mean of its last 20 of 120 steps is.",
    mechanism="Words set the parameters of a reward, which is planned for. Without it they call one of two skills that "
    "stand ready: `primitives`.",
    arms={"l2r": "a reward of the sentence", "primitives": "the skill that shares the most words",
          "blind": "a reward of another sentence"},
    controls=("primitives", "blind"),
    claims=(
        Claim(text="four of five commands are done", metric="done", arm="l2r", bar=0.8),
        Claim(text="by other sentences few are", metric="done", arm="blind", bar=0.4, most=True),
        Claim(text="rewards do 25 points more than a library of skills", metric="done", arm="l2r", over="primitives",
              bar=0.25, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=30.0,
)  # fmt: skip
