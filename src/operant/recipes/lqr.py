"""Optimal control against reinforcement learning, where the optimum is known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from operant.api import train
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial
from operant.search.ilqr import Plan, ilqr
from operant.search.lqr import finite_lqr, lqr

DT, HORIZON, BOUND = 0.1, 20, 10.0
A, B = np.kron(np.eye(2), [[1.0, DT], [0.0, 1.0]]), np.kron(np.eye(2), [[0.0], [DT]])
Q, R = np.diag([1.0, 0.1, 1.0, 0.1]) * DT, 0.1 * np.eye(2) * DT
STARTS = 100
Control = Callable[[np.ndarray, int], np.ndarray]


class PointMass(gymnasium.Env[np.ndarray, np.ndarray]):
    """A mass on a plane, pushed to the origin: reward −(xᵀQx + uᵀRu), for two seconds; its bounds bind nowhere."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = spaces.Box(-BOUND, BOUND, (2,), np.float32)
        self.x, self._steps = np.zeros(4), 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin in [−1, 1]⁴."""
        super().reset(seed=seed, options=options)
        self.x, self._steps = self.np_random.uniform(-1.0, 1.0, 4), 0
        return self.x.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push for a tenth of a second."""
        u = np.clip(np.asarray(action, np.float64), -BOUND, BOUND)
        paid = -float(self.x @ Q @ self.x + u @ R @ u)
        self.x, self._steps = A @ self.x + B @ u, self._steps + 1
        return self.x.astype(np.float32), paid, False, self._steps == HORIZON, {}


def trial(t: Trial) -> Mapping[str, float]:
    """The mean cost of the same starts under one arm, the optimum, and by how much it is above that on each."""
    starts = STARTS // 10 if t.miniature else STARTS
    costs, best = np.zeros((2, starts))
    control = ARMS[t.arm](t)
    optimum, env = finite_lqr(A, B, Q, R, horizon=HORIZON), PointMass()
    for k in range(starts):
        x, _ = env.reset(seed=10_000 * t.seed + k)
        best[k] = float(optimum.expected_cost(env.x))
        for step in range(HORIZON):
            x, paid, *_ = env.step(control(x, step))
            costs[k] -= paid
    return {
        "cost": float(costs.mean()), "optimum": float(best.mean()), "over optimum": float(costs.mean() / best.mean()),
        "least excess": float(((costs - best) / best).min()),
    }  # fmt: skip


def exact(_: Trial) -> Control:
    """The Riccati solution of the horizon."""
    return finite_lqr(A, B, Q, R, horizon=HORIZON).control


def endless(_: Trial) -> Control:
    """The Riccati solution of an infinite horizon: one gain, which does not know that there is an end."""
    its = lqr(A, B, Q, R)
    return lambda x, _: its.control(x)


def planned(_: Trial) -> Control:
    """Iterative LQR from no control at all, planned once at each start and followed with its gains."""
    a, b, q, r = (torch.from_numpy(x) for x in (A, B, Q, R))
    made: dict[str, Plan] = {}

    def control(x: np.ndarray, step: int) -> np.ndarray:
        now = torch.from_numpy(x.astype(np.float64))
        if step == 0:
            none = torch.zeros(HORIZON, 2, dtype=torch.float64)
            made["plan"] = ilqr(
                lambda s, u: a @ s + b @ u, lambda s, u: s @ q @ s + u @ r @ u, lambda s: 0.0 * s.sum(), now, none
            )  # fmt: skip
        plan = made["plan"]
        return (plan.controls[step] + plan.gains[step] @ (now - plan.states[step])).numpy()

    return control


def learnt(algorithm: str) -> Callable[[Trial], Control]:
    """A method of the ladder, with the settings that it has for any environment."""

    def made(t: Trial) -> Control:
        steps = (200_000 if algorithm == "ppo" else 10_000) if not t.miniature else 1024
        more: dict[str, Any] = (
            {"policy.normalize_obs": True, "policy.normalize_reward": True} if algorithm == "ppo" else {}
        )
        more |= {"save.videos": False, "save.report": False, "eval.episodes": 1, "algo.discount": 0.99}
        run = train(algorithm, PointMass, seed=t.seed, total_steps=steps, runs=t.folder, quiet=True, **more)
        return lambda x, _: np.asarray(run.policy.act(x))

    return made


def nothing(_: Trial) -> Control:
    """No control: what there is to gain."""
    return lambda _, __: np.zeros(2)


ARMS: dict[str, Callable[[Trial], Control]] = {
    "lqr": exact, "lqr-endless": endless, "ilqr": planned, "ppo": learnt("ppo"), "sac": learnt("sac"), "none": nothing,
}  # fmt: skip
RECIPE = Recipe(
    name="lqr",
    title="Optimal control and reinforcement learning: the linear-quadratic regulator",
    source="Kalman (1960), Contributions to the theory of optimal control; Recht (2019), A tour of reinforcement "
    "learning: the view from continuous control, arXiv:1806.09460",
    paper="Where dynamics are linear and known and costs quadratic, the optimum is a matrix: no method that learns can "
    "cost less, and Recht's survey asks how much more they do.",
    here="A point mass on a plane, 20 steps of a tenth of a second, 100 starts a seed; known matrices for optimal "
    "control, 200,000 steps of experience for PPO and 10,000 for SAC. Nothing is approximated but by learning.",
    mechanism="The Riccati recursion. Without it (the gain of an endless horizon) the last second costs too much.",
    arms={
        "lqr": "the Riccati solution of the horizon", "lqr-endless": "that of an infinite horizon",
        "ilqr": "iterative LQR by derivatives of the dynamics", "ppo": "PPO, 200,000 steps",
        "sac": "SAC, 10,000 steps", "none": "no control",
    },
    controls=("lqr-endless", "none"),
    claims=(
        Claim(text="the Riccati solution costs what it says", metric="over optimum", arm="lqr", bar=1.0001, most=True),
        Claim(text="the gain of an endless horizon costs more", metric="over optimum", arm="lqr-endless", over="lqr",
              bar=0.001),
        Claim(text="iterative LQR is there, too", metric="over optimum", arm="ilqr", bar=1.0001, most=True),
        Claim(text="on no start does PPO cost less than the optimum", metric="least excess", arm="ppo", bar=-1e-5),
        Claim(text="on no start does SAC cost less than the optimum", metric="least excess", arm="sac", bar=-1e-5),
        Claim(text="PPO comes within a tenth of the optimum", metric="over optimum", arm="ppo", bar=1.1, most=True,
              must=False),
        Claim(text="SAC comes within a tenth of the optimum", metric="over optimum", arm="sac", bar=1.1, most=True,
              must=False),
    ),
    trial=trial,
    minutes=10.0,
)  # fmt: skip
