"""unitree_rl_gym: robots that walk as they are told, by named rewards, PD targets and randomised worlds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from operant.api import Run, train
from operant.env.make import make_one
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial

RANDOMISED = "randomise friction 0.5 1.25 push 1 1 push_every 750 750 noise 0.02 0.02"
"""As unitree_rl_gym: friction, and once in 15 s a push of up to 1 m/s; its noise is set for each kind of number."""
SHIFTED = "randomise friction 0.3 0.3 push 1.5 1.5 push_every 100 100"
STEPS, PLAYED, SPEED = {"ant": 1_000_000, "go2": 2_000_000, "g1": 2_000_000}, 10.0, 0.5
ROUND = [(SPEED * np.cos(angle), SPEED * np.sin(angle), 0.0) for angle in np.arange(8) * np.pi / 4]
"""Half a metre a second in eight directions, for ten seconds: who stands is off by as much."""
CHANGES: dict[str, dict[str, Any]] = {
    "blind": {"scales": {"command": 0.0}}, "jerky": {"rewards": {"action_rate": 0.0, "dof_acc": 0.0}}
}  # fmt: skip


class Walk(NamedTuple):
    """Of T steps until it fell: off [T] in m/s from the command, ahead [T] m/s, joints [T, N] rad/s, standing and
    landed [T, F], what was paid, the seconds of a step, and how many steps there could be."""

    off: np.ndarray
    ahead: np.ndarray
    joints: np.ndarray
    standing: np.ndarray
    landed: np.ndarray
    paid: float
    seconds: float
    steps: int


def walk(
    run: Run, world: str, kwargs: Mapping[str, Any], command: Sequence[float], lasts: float, shift: str = ""
) -> Walk:
    """An episode under one command, of actions that are the policy's mode."""
    env = make_one(world, kwargs, wrappers=[shift] if shift else [], measured=True)
    (obs, _), its = env.reset(seed=90_000, options={"command": [*command]}), cast(Any, env.unwrapped)
    over, paid, rows, steps = False, 0.0, list[Any](), round(lasts / its.seconds)
    while len(rows) < steps and not over:
        obs, reward, over, _, _ = env.step(np.asarray(run.policy.act(obs)))
        m, paid = its.moment, paid + float(reward)
        off = float(np.linalg.norm(m.command[:2] - m.lin_vel[:2]))
        rows.append((off, m.lin_vel[0], m.speed, m.forces[:, 2] > m.cfg.touch, m.landed & (m.air > 0.1)))
    env.close()
    off, ahead, joints, standing, landed = (np.array(column) for column in zip(*rows, strict=True))
    return Walk(off, ahead, joints, standing, landed, paid, its.seconds, steps)


def error(found: Walk) -> float:
    """The mean distance, m/s, from the command; one that fell is off by the whole of it from there on."""
    return float((found.off.sum() + SPEED * (found.steps - len(found.off))) / found.steps)


def jerk(found: Walk) -> float:
    """The mean size of the third derivative of joints' angles, rad/s³."""
    third = np.diff(found.joints, n=2, axis=0) / found.seconds**2
    return float(np.sqrt((third**2).sum(1)).mean()) if len(third) else 0.0


def diagonal(found: Walk) -> float:
    """The share of steps in which one diagonal pair of feet (front left and rear right, or the others) stands alone."""
    front_left, front_right, rear_left, rear_right = found.standing.T
    return float(((front_left == rear_right) & (front_right == rear_left) & (front_left != front_right)).mean())


def measured(t: Trial, run: Run, world: str, kwargs: Mapping[str, Any]) -> dict[str, float]:
    """What is claimed of an arm."""
    lasts = 0.5 if t.miniature else PLAYED

    def one(command: Sequence[float], shift: str = "") -> Walk:
        return walk(run, world, kwargs, command, lasts, shift)

    ahead = one(ROUND[0])
    found = {"speed": float(ahead.ahead.sum()) / ahead.steps, "upright": len(ahead.off) * ahead.seconds}
    if t.arm == "go2":
        return found | {"error": error(ahead), "diagonal": diagonal(ahead)}
    if t.arm == "g1":
        return found | {"stood": len(one((0.0, 0.0, 0.0)).off) * ahead.seconds, "landings": float(ahead.landed.sum())}
    walks, shifted = ([one(c, shift) for c in (ROUND[:2] if t.miniature else ROUND)] for shift in ("", SHIFTED))
    paid, less = (sum(x.paid for x in each) for each in (walks, shifted))
    errors = float(np.mean([error(x) for x in walks]))
    return found | {"error": errors, "jerk": float(np.mean([*map(jerk, walks)])), "kept": less / max(paid, 1e-9)}


def trial(t: Trial) -> Mapping[str, float]:
    """Train an arm, and let it walk."""
    robot = t.arm if t.arm in STEPS else "ant"
    if robot != "ant" and not (Path(os.environ.get("OPERANT_DATA", "")) / "robots").is_dir():
        t.say(f"{t.arm}: its description is not at hand (robots in the folder of OPERANT_DATA)")
        return {}
    world, kwargs = f"operant.robots:{robot}", CHANGES.get(t.arm, {})
    more: dict[str, Any] = {"env.kwargs": kwargs, "env.wrappers": [] if t.arm == "narrow" else [RANDOMISED]}
    more |= {"eval.episodes": 1 if t.miniature else 10, "save.report": False}
    more |= {"save.videos": t.seed == 1 and not t.miniature}
    more |= {"env.num": 2, "algo.horizon": 32, "algo.batch": 32} if t.miniature else {"env.backend": "process"}
    steps = 64 if t.miniature else STEPS[robot]
    run = train("ppo", world, seed=t.seed, total_steps=steps, runs=t.folder, quiet=True, **more)
    return measured(t, run, world, kwargs)


RECIPE = Recipe(
    name="unitree",
    title="Robots that walk as they are told",
    source="Unitree Robotics, unitree_rl_gym, on legged_gym (Rudin et al. 2021, Learning to walk in minutes using "
    "massively parallel deep reinforcement learning, arXiv:2109.11978)",
    paper="PPO on 4,096 robots side by side on a GPU: Go2, H1 and G1 follow commanded velocities, in simulation, in "
    "another simulator and on the robots.",
    here="MuJoCo, 16 robots side by side: Gymnasium's Ant for a million steps, and the robots' own descriptions, "
    "without meshes, of Go2 and G1 for two millions. Rewards, weights, gains, commands, friction and pushes are "
    "unitree_rl_gym's; networks are of 128 and 64 units, G1's policy has no memory. No robot, no second simulator.",
    mechanism="Rewards by name about a command that is seen. Without the command (`blind`) nobody can follow it.",
    arms={
        "ant": "Ant, all terms, worlds that differ", "blind": "the command is paid for and not seen",
        "jerky": "without action_rate and dof_acc", "narrow": "in the world as it was made",
        "go2": "Unitree's Go2", "g1": "Unitree's G1, 12 joints",
    },
    controls=("blind", "jerky", "narrow"),
    claims=(
        Claim(text="Ant told 0.5 m/s, in eight directions: off by 0.25 m/s", metric="error", arm="ant", bar=0.25,
              most=True),
        Claim(text="who does not see the command is off by 0.15 m/s more", metric="error", arm="blind", over="ant",
              bar=0.15, must=False),
        Claim(text="without action_rate and dof_acc joints jerk twice as much", metric="jerk", arm="jerky", over="ant",
              ratio=True, bar=2.0, must=False),
        Claim(text="and it follows as well", metric="error", arm="jerky", over="ant", bar=0.05, most=True, must=False),
        Claim(text="on slippery ground, pushed, 80 % of what is paid is kept", metric="kept", arm="ant", bar=0.8,
              must=False),
        Claim(text="trained in one world, it is not", metric="kept", arm="narrow", bar=0.8, most=True, must=False),
        Claim(text="Go2 told 0.5 m/s goes at 0.4 at least", metric="speed", arm="go2", bar=0.4, must=False),
        Claim(text="and trots: 40 % of steps on one diagonal", metric="diagonal", arm="go2", bar=0.4, must=False),
        Claim(text="G1 stands for 9 of 10 s", metric="stood", arm="g1", bar=9.0, must=False),
        Claim(text="and makes ten steps in 10 s where it is to walk", metric="landings", arm="g1", bar=10.0,
              must=False),
    ),
    trial=trial,
    minutes=180.0,
)  # fmt: skip
