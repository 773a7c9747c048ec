"""Legged locomotion after legged_gym (Rudin et al. 2021, arXiv:2109.11978): commanded velocities, PD targets."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.headless import prepare_mujoco
from operant.robots.legs.model import loaded
from operant.robots.legs.rewards import Floats, Moment, weighted
from operant.robots.legs.settings import SHIPPED, LeggedConfig, legged_config

SIZE = 360, 480
TOUCH = 0.1
"""N, above which a penalised body is touched."""


class Legged(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """A robot of N joints with motors that is told v_x, v_y (m/s) and a yaw rate (rad/s), and paid for following.

    An action a [N] sets targets q* = stand + action_scale a, and at each of `decimation` steps of the simulator
    τ = clip(kp (q* − q) − kd q̇, ±most). Seen, in this order and times the scales of the settings: the velocity [3]
    (left out without `see_velocity`), the rates of turning [3], both in the root's frame, the direction of gravity [3]
    in it, the command [3], q − stand [N], q̇ [N], the last action [N], and sine and cosine of the gait's clock [2] if
    it has one. Paid is what `rewards.py` says. An episode ends where a body of `ending` is touched by more than
    `touch`, the root is tilted by more than `tilt`, or is lower than `fallen`; it is cut after `seconds`.

    A command is drawn at the reset and every `resample` seconds; `options["command"]` of a reset gives one that stays.

    Args:
        cfg: the settings.
        render_mode: "rgb_array", or None.

    Attributes:
        robot: the model and where its parts are.
        moment: the last step, as rewards are paid for it.
        paid: what each term came to, times its weight, in the last step, before Δt and clipping.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, cfg: LeggedConfig, render_mode: str | None = None) -> None:
        if render_mode is not None:
            prepare_mujoco("a legged robot")
        self._mujoco: Any = import_module("mujoco")
        self.cfg, self.robot, self.render_mode = cfg, loaded(cfg), render_mode
        its = self.robot
        self.model, self.data = its.model, self._mujoco.MjData(its.model)
        self._kp, self._kd = its.each(cfg.kp, "kp"), its.each(cfg.kd, "kd")
        self._stand = np.clip(its.each(cfg.stand, "stand", 0.0), its.limits[:, 0], its.limits[:, 1])
        self._hips = its.each(dict.fromkeys(cfg.hips, 1.0), "hips", 0.0) > 0.0
        self._soft = _soft(its.limits, cfg.soft_limit)
        self._terms = weighted(cfg.rewards)
        if not self._terms:
            raise EnvError("rewards is empty: give weights of reward terms, tracking_lin_vel = 1.0, say")
        named = {name for name, *_ in self._terms}
        if "contact" in named and (cfg.period == 0.0 or len(cfg.offsets) != len(its.feet)):
            raise EnvError(f"rewards.contact needs period and offsets of the {len(its.feet)} feet in it: give both")
        self._offsets = np.array(cfg.offsets) if len(cfg.offsets) == len(its.feet) else np.zeros(len(its.feet))
        self._speeds = "contact_no_vel" in named
        self.seconds = cfg.timestep * cfg.decimation
        self.metadata = self.metadata | {"render_fps": round(1.0 / self.seconds)}
        self._limit, self._resample = (max(round(s / self.seconds), 1) for s in (cfg.seconds, cfg.commands.resample))
        count = len(its.joints)
        size = (12 if cfg.see_velocity else 9) + 3 * count + 2 * (cfg.period > 0.0)
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = spaces.Box(-cfg.action_limit, cfg.action_limit, (count,), np.float32)
        self._scales = cfg.scales.command * np.array([cfg.scales.lin_vel, cfg.scales.lin_vel, cfg.scales.ang_vel])
        self.command, self._told = np.zeros(3), False
        self._renderer: Any = None
        self._steps = 0
        self.paid: dict[str, float] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Stand at `height`, joints and speeds a little off, under a new command.

        Raises:
            EnvError: for a command that is not three finite numbers.
        """
        super().reset(seed=seed)
        self._mujoco.mj_resetData(self.model, self.data)
        cfg, its, draw = self.cfg, self.robot, self.np_random
        start = self._stand * draw.uniform(1.0 - cfg.spread, 1.0 + cfg.spread, len(self._stand))
        self.data.qpos[its.at] = np.clip(start, its.limits[:, 0], its.limits[:, 1])
        if its.floating:
            self.data.qpos[:7] = 0.0, 0.0, cfg.height, 1.0, 0.0, 0.0, 0.0
            self.data.qvel[:6] = draw.uniform(-cfg.hurry, cfg.hurry, 6)
        else:
            self.data.qpos[:3] = 0.0, cfg.height - float(self.model.body_pos[its.root][2]), 0.0
            self.data.qvel[:3] = draw.uniform(-cfg.hurry, cfg.hurry, 3)
        self._mujoco.mj_forward(self.model, self.data)
        self._told = "command" in (options or {})
        self.command = _given(options["command"]) if options and self._told else self._drawn()
        self._steps, count, feet = 0, len(its.joints), len(its.feet)
        self._action, self._torque = np.zeros(count), np.zeros(count)
        self._air, self._touched = np.zeros(feet), np.zeros(feet, np.bool_)
        self.moment = self._now(self._action, self.data.qvel[its.dof].copy(), np.zeros(feet, np.bool_))
        return self._seen(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """`decimation` steps of the simulator under PD control."""
        its, data = self.robot, self.data
        told = np.clip(np.asarray(action, np.float64), -self.cfg.action_limit, self.cfg.action_limit)
        before = data.qvel[its.dof].copy()
        for _ in range(self.cfg.decimation):
            self._torque = self.torque(told)
            data.ctrl[its.actuator] = self._torque / its.gear
            self._mujoco.mj_step(self.model, data)
        self._mujoco.mj_rnePostConstraint(self.model, data)  # forces of contacts, body by body
        self._steps += 1
        # a foot that touched in one of two steps counts as standing, as contacts flicker
        touching = data.cfrc_ext[its.feet, 5] > self.cfg.touch
        standing = touching | self._touched
        landed, self._touched = (self._air > 0.0) & standing, touching
        self._air = self._air + self.seconds
        self.moment = self._now(told, before, landed)
        self.paid = {name: weight * term(self.moment) for name, term, weight in self._terms}
        total = sum(self.paid.values())
        reward = self.seconds * (max(total, 0.0) if self.cfg.positive else total)
        self._air = self._air * ~standing
        self._action = told
        if self._steps % self._resample == 0 and not self._told:
            self.command = self._drawn()
        return self._seen(), float(reward), self._over(), self._steps >= self._limit, {}

    def torque(self, action: Floats) -> Floats:
        """[N] N m that PD control applies now for an action."""
        its = self.robot
        error = self._stand + self.cfg.action_scale * action - self.data.qpos[its.at]
        wanted = self._kp * error - self._kd * self.data.qvel[its.dof]
        return np.minimum(np.maximum(wanted, -its.most), its.most)

    def _drawn(self) -> Floats:
        """A command; one that is slower in the plane than `least` is to stand there."""
        its = self.cfg.commands
        command = np.array([self.np_random.uniform(*pair) for pair in (its.vx, its.vy, its.yaw)])
        command[:2] *= np.hypot(command[0], command[1]) > its.least
        return command

    def _now(self, action: Floats, before: Floats, landed: NDArray[np.bool_]) -> Moment:
        its, data, cfg = self.robot, self.data, self.cfg
        turned, lin_vel, ang_vel, height = self._root()
        forces = data.cfrc_ext[:, 3:]
        pushed = np.sqrt((forces[its.penalised] ** 2).sum(1)) > TOUCH
        clock = (self._steps * self.seconds % cfg.period) / cfg.period if cfg.period else 0.0
        return Moment(
            cfg=cfg, seconds=self.seconds, lin_vel=turned.T @ lin_vel, ang_vel=ang_vel, gravity=-turned[2],
            height=height, command=self.command, position=data.qpos[its.at], speed=data.qvel[its.dof], before=before,
            stand=self._stand, hips=self._hips, soft=self._soft, torque=self._torque, action=action,
            last_action=self._action, forces=forces[its.feet], touched=pushed, air=self._air, landed=landed,
            feet=data.xpos[its.feet], feet_speed=self._feet_speed(), phase=(clock + self._offsets) % 1.0,
        )  # fmt: skip

    def _root(self) -> tuple[Floats, Floats, Floats, float]:
        """Its turning [3, 3], its velocity [3] in the world's frame, rates of turning [3] in its own, its height."""
        data, turned = self.data, np.empty(9)
        if self.robot.floating:
            self._mujoco.mju_quat2Mat(turned, data.qpos[3:7])
            return turned.reshape(3, 3), data.qvel[:3].copy(), data.qvel[3:6].copy(), float(data.qpos[2])
        sine, cosine = np.sin(data.qpos[2]), np.cos(data.qpos[2])
        turned = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
        height = float(data.qpos[1] + self.model.body_pos[self.robot.root][2])
        return turned, np.array([data.qvel[0], 0.0, data.qvel[1]]), np.array([0.0, data.qvel[2], 0.0]), height

    def _feet_speed(self) -> Floats:
        """[F, 3], where a term asks for it."""
        found = np.zeros((len(self.robot.feet), 6))
        if self._speeds:
            kind = self._mujoco.mjtObj.mjOBJ_XBODY
            for row, body in zip(found, self.robot.feet, strict=True):
                self._mujoco.mj_objectVelocity(self.model, self.data, kind, int(body), row, 0)
        return found[:, 3:]

    def _seen(self) -> NDArray[np.float32]:
        m, scales = self.moment, self.cfg.scales
        parts = [scales.lin_vel * m.lin_vel] if self.cfg.see_velocity else []
        parts += [scales.ang_vel * m.ang_vel, m.gravity, self._scales * self.command]
        parts += [scales.position * (m.position - m.stand), scales.speed * m.speed, m.action]
        if self.cfg.period:
            angle = 2.0 * np.pi * self._steps * self.seconds / self.cfg.period
            parts.append(np.array([np.sin(angle), np.cos(angle)]))
        return np.concatenate(parts).astype(np.float32)

    def _over(self) -> bool:
        """Whether it has fallen."""
        m, forces = self.moment, self.data.cfrc_ext[self.robot.ending, 3:]
        hit = bool(((forces**2).sum(1) > self.cfg.touch**2).any())
        return hit or bool(-m.gravity[2] < np.cos(self.cfg.tilt)) or m.height < self.cfg.fallen

    def render(self) -> NDArray[np.uint8] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """From the side, going with the robot, [360, 480, 3]."""
        if self.render_mode is None:
            return None
        if self._renderer is None:
            kind = int(self._mujoco.mjtCamera.mjCAMERA_TRACKING)
            away = 2.8 * self.cfg.height + 0.5
            camera = {"type": kind, "trackbodyid": self.robot.root, "distance": away, "azimuth": 110, "elevation": -15}
            made = import_module("gymnasium.envs.mujoco.mujoco_rendering").MujocoRenderer
            self._renderer = made(self.model, self.data, camera, SIZE[1], SIZE[0])
        return self._renderer.render("rgb_array")

    def close(self) -> None:
        """Close what draws."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _given(command: Any) -> Floats:
    """A command that somebody gave."""
    found = np.asarray(command, np.float64)
    if found.shape != (3,) or not np.isfinite(found).all():
        raise EnvError(f"the command {command!r} is not three finite numbers: give v_x, v_y and the yaw rate")
    return found


def _soft(limits: Floats, share: float) -> Floats:
    """[N, 2], the middle share of each range; what has no range stays without."""
    bounded = np.isfinite(limits).all(1)
    middle, half = np.zeros(len(limits)), np.full(len(limits), np.inf)
    middle[bounded] = limits[bounded].mean(1)
    half[bounded] = share * (limits[bounded, 1] - limits[bounded, 0]) / 2.0
    return np.stack([middle - half, middle + half], 1)


def legged(xml_file: str = "", *, settings: str = "", render_mode: str | None = None, **changes: Any) -> Legged:
    """A robot of one's own: `operant train ppo operant.robots:legged --env.kwargs.settings mine.toml`.

    Args:
        xml_file: its description; that of the settings if empty.
        settings: a TOML file of `LeggedConfig`; none if empty.
        render_mode: as `Legged` has it.
        changes: settings by name, over those of the file.

    Raises:
        EnvError: for settings that are none, and a robot that lacks something; says what.
    """
    return Legged(legged_config(settings, changes | ({"xml_file": xml_file} if xml_file else {})), render_mode)


def _shipped(name: str) -> Callable[..., Legged]:
    def make(*, render_mode: str | None = None, **changes: Any) -> Legged:
        return Legged(legged_config(SHIPPED / f"{name}.toml", changes), render_mode)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"The robot of {name}.toml, with changes of its settings by name."
    return make


ant, biped, g1, go2 = (_shipped(name) for name in ("ant", "biped", "g1", "go2"))
"""By name, as the command line takes them: `operant train ppo operant.robots:go2`. Two of them lie in OPERANT_DATA."""
