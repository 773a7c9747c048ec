"""A face of a cube that an arm of two joints turns by a quarter, holding a knob on it: a MuJoCo model of our own."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.env.headless import prepare_mujoco

MODEL = """
<mujoco model="turner">
  <option timestep="0.005" integrator="implicitfast" gravity="0 0 -9.81"/>
  <default>
    <geom contype="0" conaffinity="0" density="400"/>
    <joint axis="0 0 1" damping="0.002" armature="0.0001"/>
  </default>
  <worldbody>
    <light pos="0 0 1"/>
    <camera name="above" pos="0 0 0.5"/>
    <body name="face">
      <joint name="face" frictionloss="0.004"/>
      <geom type="box" size="0.06 0.06 0.01" rgba="0.9 0.9 0.9 1"/>
      <geom name="knob" type="cylinder" pos="0 0.06 0.02" size="0.008 0.01" rgba="0.8 0.1 0.1 1"/>
      <site name="knob" pos="0 0.06 0.03"/>
    </body>
    <body name="upper" pos="0 -0.12 0.03">
      <joint name="shoulder"/>
      <geom type="capsule" fromto="0 0 0 0.1 0 0" size="0.008" rgba="0.1 0.3 0.7 1"/>
      <body name="lower" pos="0.1 0 0">
        <joint name="elbow"/>
        <geom type="capsule" fromto="0 0 0 0.1 0 0" size="0.007" rgba="0.2 0.5 0.9 1"/>
        <site name="tip" pos="0.1 0 0"/>
      </body>
    </body>
  </worldbody>
  <equality><connect site1="knob" site2="tip" solref="0.01 1"/></equality>
  <actuator>
    <motor name="shoulder" joint="shoulder" gear="0.1" ctrlrange="-1 1"/>
    <motor name="elbow" joint="elbow" gear="0.1" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""
RADIUS, LINK, BASE = 0.06, 0.1, np.array([0.0, -0.12])
QUARTER, CLOSE = np.pi / 2, np.deg2rad(5.0)
FRAMES, LIMIT, AWRY = 4, 60, np.deg2rad(2.0)


class Turner(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """The face is to be turned by 90°, either way, within 60 steps of 0.02 s, and to stay there.

    Seen are sine and cosine of both joints, their speeds, how far the face is from where it should be (in quarter
    turns), its speed, and which way: 9 numbers. Actions are the torques of shoulder and elbow as shares of 0.1 N m. A
    step pays ½ exp(−(e/0.3)²), e in rad, and ½ where e is 5° at most.

    `options["way"]` of a reset is 1 (counter-clockwise) or −1; drawn without. `info["turned"]` of a step says whether
    the face is within 5° of 90°: what counts is that of the last one.

    Source: the paper's cube (OpenAI 2019, arXiv:1910.07113) lies in a hand; its faces count as turned within a
    tolerance as well. The arm is that of Gymnasium's Reacher, of other sizes.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        if render_mode is not None:
            prepare_mujoco("operant.robots:Turner")
        self._mujoco: Any = import_module("mujoco")
        self.model: Any = self._mujoco.MjModel.from_xml_string(MODEL)
        self.data: Any = self._mujoco.MjData(self.model)
        self.observation_space = spaces.Box(-np.inf, np.inf, (9,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.render_mode, self.way = render_mode, 1
        self._renderer: Any = None
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """The face up to 2° awry, the arm at its knob."""
        super().reset(seed=seed)
        self._mujoco.mj_resetData(self.model, self.data)
        drawn = 1 if self.np_random.random() < 0.5 else -1
        self.way = int((options or {}).get("way", drawn))
        angle = self.np_random.uniform(-AWRY, AWRY)
        self.data.qpos[:] = angle, *reached(RADIUS * np.array([-np.sin(angle), np.cos(angle)]) - BASE)
        self._mujoco.mj_forward(self.model, self.data)
        self._steps = 0
        return self._seen(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """0.02 s."""
        self.data.ctrl[:] = np.clip(action, -1.0, 1.0)
        self._mujoco.mj_step(self.model, self.data, FRAMES)
        self._steps += 1
        error = self._error()
        paid = 0.5 * np.exp(-((error / 0.3) ** 2)) + 0.5 * (abs(error) <= CLOSE)
        return self._seen(), float(paid), False, self._steps >= LIMIT, {"turned": bool(abs(error) <= CLOSE)}

    def _error(self) -> float:
        return self.way * QUARTER - float(self.data.qpos[0])

    def _seen(self) -> NDArray[np.float32]:
        joints, speeds = self.data.qpos[1:], self.data.qvel
        its = [*np.sin(joints), *np.cos(joints), *(speeds[1:] / 10), self._error() / QUARTER, speeds[0] / 10, self.way]
        return np.array(its, np.float32)

    def render(self) -> NDArray[np.uint8] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """From above, [240, 240, 3]."""
        if self.render_mode is None:
            return None
        if self._renderer is None:
            made = import_module("gymnasium.envs.mujoco.mujoco_rendering").MujocoRenderer
            self._renderer = made(self.model, self.data, None, 240, 240, camera_name="above")
        return self._renderer.render("rgb_array")

    def close(self) -> None:
        """Close what draws."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def reached(tip: NDArray[np.float64]) -> tuple[float, float]:
    """The angles of shoulder and elbow, the elbow to the right, that bring the tip to this place from the shoulder."""
    elbow = float(np.arccos(tip @ tip / (2 * LINK**2) - 1))
    return float(np.arctan2(tip[1], tip[0])) - elbow / 2, elbow
