"""Reward terms of legged_gym (Rudin et al. 2021, arXiv:2109.11978) and unitree_rl_gym, each a function of a moment.

A step of Δt seconds pays Δt Σ_k w_k r_k, and nothing where that is below 0 (`positive`). Weights stand in settings. The
terms are written from the formulas of those repositories (BSD-3-Clause), and are held against loops in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.config.suggest import nearest_are
from operant.robots.legs.settings import LeggedConfig

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]
MOVING = 0.1
"""m/s: a command slower than this in the plane is to stand."""


@dataclass(slots=True, kw_only=True)
class Moment:
    """A robot after a step of the policy: N joints, F feet.

    Attributes:
        cfg: its settings.
        seconds: Δt of a step.
        lin_vel: [3] m/s of the root, in its own frame; ang_vel [3] rad/s likewise.
        gravity: [3], of length 1, in the root's frame: (0, 0, −1) where it stands upright.
        height: m, of the root.
        command: [3], v_x, v_y in m/s and the yaw rate in rad/s.
        position, speed, before: [N] rad, rad/s, and rad/s a step ago, of the joints.
        stand: [N] rad, of action 0; hips [N], which of them hip_pos is about.
        soft: [N, 2] rad, between which joints are free.
        torque: [N] N m, of the last step of the simulator.
        action, last_action: [N].
        forces: [F, 3] N, on each foot; touched [P], whether each penalised body is touched.
        air: [F] s, for which each foot was in the air, this step counted; landed [F], whether it came down just now.
        feet, feet_speed: [F, 3] m and m/s, in the world's frame.
        phase: [F] of each foot in the gait's clock, in [0, 1).
    """

    cfg: LeggedConfig
    seconds: float
    lin_vel: Floats
    ang_vel: Floats
    gravity: Floats
    height: float
    command: Floats
    position: Floats
    speed: Floats
    before: Floats
    stand: Floats
    hips: Bits
    soft: Floats
    torque: Floats
    action: Floats
    last_action: Floats
    forces: Floats
    touched: Bits
    air: Floats
    landed: Bits
    feet: Floats
    feet_speed: Floats
    phase: Floats

    @property
    def moving(self) -> bool:
        """Whether it is to move in the plane."""
        return float(np.hypot(self.command[0], self.command[1])) > MOVING


def tracking_lin_vel(m: Moment) -> float:
    """exp(−‖c_xy − v_xy‖² / σ)."""
    error = m.command[:2] - m.lin_vel[:2]
    return float(np.exp(-(error @ error) / m.cfg.sigma))


def tracking_ang_vel(m: Moment) -> float:
    """exp(−(c_yaw − ω_z)² / σ)."""
    return float(np.exp(-((m.command[2] - m.ang_vel[2]) ** 2) / m.cfg.sigma))


def lin_vel_z(m: Moment) -> float:
    """v_z²."""
    return float(m.lin_vel[2] ** 2)


def ang_vel_xy(m: Moment) -> float:
    """ω_x² + ω_y²."""
    return float(m.ang_vel[:2] @ m.ang_vel[:2])


def orientation(m: Moment) -> float:
    """g_x² + g_y²."""
    return float(m.gravity[:2] @ m.gravity[:2])


def base_height(m: Moment) -> float:
    """(z − z*)²."""
    return (m.height - m.cfg.base_height) ** 2


def torques(m: Moment) -> float:
    """Σ τ²."""
    return float(m.torque @ m.torque)


def dof_vel(m: Moment) -> float:
    """Σ q̇²."""
    return float(m.speed @ m.speed)


def dof_acc(m: Moment) -> float:
    """Σ ((q̇ − q̇ a step ago) / Δt)²."""
    change = (m.speed - m.before) / m.seconds
    return float(change @ change)


def action_rate(m: Moment) -> float:
    """Σ (a − a a step ago)²."""
    change = m.action - m.last_action
    return float(change @ change)


def collision(m: Moment) -> float:
    """How many of the penalised bodies are touched, by more than 0.1 N."""
    return float(m.touched.sum())


def feet_air_time(m: Moment) -> float:
    """Σ over feet that came down of (seconds in the air − air_time), where it is to move."""
    return float(((m.air - m.cfg.air_time) * m.landed).sum()) * m.moving


def dof_pos_limits(m: Moment) -> float:
    """Σ by how much joints are beyond their soft limits."""
    below, above = m.soft[:, 0] - m.position, m.position - m.soft[:, 1]
    return float(np.maximum(below, 0.0).sum() + np.maximum(above, 0.0).sum())


def stand_still(m: Moment) -> float:
    """Σ |q − q of action 0|, where it is to stand."""
    return float(np.abs(m.position - m.stand).sum()) * (not m.moving)


def alive(m: Moment) -> float:
    """1."""
    del m
    return 1.0


def hip_pos(m: Moment) -> float:
    """Σ q² of the hips."""
    return float((m.position[m.hips] ** 2).sum())


def contact(m: Moment) -> float:
    """How many feet stand or swing as the gait's clock has it; one stands that bears more than `touch`."""
    return float(((m.forces[:, 2] > m.cfg.touch) == (m.phase < m.cfg.stance)).sum())


def contact_no_vel(m: Moment) -> float:
    """Σ of squared velocities of feet that stand."""
    return float(((m.feet_speed**2).sum(1) * _loaded(m)).sum())


def feet_swing_height(m: Moment) -> float:
    """Σ (z − swing)² of feet that do not."""
    return float(((m.feet[:, 2] - m.cfg.swing) ** 2 * ~_loaded(m)).sum())


def _loaded(m: Moment) -> Bits:
    return np.sqrt((m.forces**2).sum(1)) > m.cfg.touch


Term = Callable[[Moment], float]
TERMS: dict[str, Term] = {
    term.__name__: term
    for term in (
        tracking_lin_vel, tracking_ang_vel, lin_vel_z, ang_vel_xy, orientation, base_height, torques, dof_vel, dof_acc,
        action_rate, collision, feet_air_time, dof_pos_limits, stand_still, alive, hip_pos, contact, contact_no_vel,
        feet_swing_height,
    )
}  # fmt: skip
"""By the names that settings have."""


def weighted(weights: Mapping[str, float]) -> tuple[tuple[str, Term, float], ...]:
    """Name, function and weight of every term whose weight is not 0.

    Raises:
        EnvError: for a name that is none.
    """
    if unknown := [name for name in weights if name not in TERMS]:
        near = nearest_are(unknown[0], TERMS)
        raise EnvError(f"rewards.{unknown[0]}: there is no such reward term{near}. All: {', '.join(TERMS)}")
    return tuple((name, TERMS[name], weight) for name, weight in weights.items() if weight)
