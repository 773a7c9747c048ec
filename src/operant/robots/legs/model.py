"""From the description of a robot, MJCF or URDF, to a MuJoCo model with a floor, and to what PD control needs of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.robots.legs.settings import SHIPPED, LeggedConfig

FREE, SLIDE, HINGE = 0, 2, 3
PLANAR = ((SLIDE, (1.0, 0.0, 0.0)), (SLIDE, (0.0, 0.0, 1.0)), (HINGE, (0.0, 1.0, 0.0)))
"""Type and axis of the three joints of a root that stays in the plane y = 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot:
    """A model, and where in it N joints with motors, F feet and other bodies are.

    Attributes:
        model: MuJoCo's.
        floating: whether the root has a free joint; three joints in the plane otherwise.
        root: its body.
        joints: [N] names, in the order of the model's positions.
        at, dof, actuator: [N] where each has its position, its speed and its motor.
        gear: [N], what a motor's control is multiplied by.
        most: [N] N m, the largest torque; infinite where none is said.
        limits: [N, 2] rad, of the range; infinite where none is said.
        feet, penalised, ending: bodies.
    """

    model: Any
    floating: bool
    root: int
    joints: tuple[str, ...]
    at: NDArray[np.int64]
    dof: NDArray[np.int64]
    actuator: NDArray[np.int64]
    gear: NDArray[np.float64]
    most: NDArray[np.float64]
    limits: NDArray[np.float64]
    feet: NDArray[np.int64]
    penalised: NDArray[np.int64]
    ending: NDArray[np.int64]

    def each(self, values: Mapping[str, float], what: str, default: float | None = None) -> NDArray[np.float64]:
        """[N] numbers of joints by patterns of their names, of which the last that fits counts.

        Raises:
            EnvError: for a pattern that fits no joint, and a joint that none fits where there is no default.
        """
        for pattern in values:
            if not any(fnmatchcase(name, pattern) for name in self.joints):
                raise EnvError(f"{what}: no joint is called {pattern!r}. Joints with motors: {', '.join(self.joints)}")
        found: list[float] = []
        for name in self.joints:
            fitting = [x for pattern, x in values.items() if fnmatchcase(name, pattern)]
            if not fitting and default is None:
                raise EnvError(f'{what} says nothing of the joint {name}: give {what}."{name}", or {what}."*" for all')
            found.append(fitting[-1] if fitting else float(default or 0.0))
        return np.array(found)


def loaded(cfg: LeggedConfig) -> Robot:
    """The robot that settings describe.

    Raises:
        EnvError: for a file that is missing or that MuJoCo does not read, and a robot that lacks a root which moves
            (free, or two slides and a hinge in the plane y = 0), motors on joints, or feet; says what to do.
    """
    mujoco: Any = import_module("mujoco")
    file = _place(cfg.xml_file)
    try:
        spec = mujoco.MjSpec.from_file(str(file))
        _adapt(mujoco, spec, cfg, file)
        model = spec.compile()
    except ValueError as error:
        more = ". Without its meshes: meshes = false" if cfg.meshes and "mesh" in str(error).lower() else ""
        raise EnvError(f"{file}: MuJoCo does not take it: {' '.join(str(error).split())}{more}") from None
    model.opt.timestep = cfg.timestep
    model.opt.integrator = int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST)
    floating = _root(model, file)
    joints = np.arange(1 if floating else 3, model.njnt)
    motors = _motors(mujoco, model, joints, file)
    driven = np.array([*motors], np.int64)
    actuator = np.array([*motors.values()], np.int64)
    gear = model.actuator_gear[actuator, 0].copy()
    control, force = (
        np.where(limited[:, None], bounds, [-np.inf, np.inf])
        for limited, bounds in (
            (model.actuator_ctrllimited[actuator], model.actuator_ctrlrange[actuator]),
            (model.jnt_actfrclimited[driven], model.jnt_actfrcrange[driven]),
        )
    )
    limits = np.where(model.jnt_limited[driven][:, None], model.jnt_range[driven], [-np.inf, np.inf])
    feet = _bodies(model, cfg.feet, "feet", file)
    if not len(feet):
        raise EnvError(f"{file}: which bodies are feet? Give feet, names or patterns of: {', '.join(_names(model))}")
    return Robot(
        model=model, floating=floating, root=int(model.jnt_bodyid[0]),
        joints=tuple(model.joint(int(j)).name for j in driven),
        at=model.jnt_qposadr[driven].astype(np.int64), dof=model.jnt_dofadr[driven].astype(np.int64),
        actuator=actuator, gear=gear, most=np.minimum(control[:, 1] * np.abs(gear), force[:, 1]), limits=limits,
        feet=feet, penalised=_bodies(model, cfg.penalised, "penalised", file),
        ending=_bodies(model, cfg.ending, "ending", file),
    )  # fmt: skip


def _place(name: str) -> Path:
    """The file of a name: a path, or `gymnasium:`, `data:` and `operant:` before one of those that are there."""
    kind, colon, rest = name.partition(":")
    if not name:
        raise EnvError("a legged robot needs its description: give xml_file, an MJCF or URDF file")
    if colon and kind == "gymnasium":
        file = Path(str(import_module("gymnasium").__file__)).parent / "envs" / "mujoco" / "assets" / rest
    elif colon and kind == "operant":
        file = SHIPPED / rest
    elif colon and kind == "data":
        if "OPERANT_DATA" not in os.environ:
            raise EnvError(f"the robot {rest} needs its description: set OPERANT_DATA to the folder of robots/{rest}")
        file = Path(os.environ["OPERANT_DATA"]) / "robots" / rest
        if not file.is_file():
            raise EnvError(f"{file} is not there: put robots/{rest} of unitree_rl_gym into the folder of OPERANT_DATA")
    else:
        file = Path(name)
    if not file.is_file():
        raise EnvError(f"{file}: there is no such file. Give xml_file, an MJCF or URDF file")
    return file


def _adapt(mujoco: Any, spec: Any, cfg: LeggedConfig, file: Path) -> None:
    """Leave out and add what settings say, a floor, and light."""
    spec.compiler.fusestatic = False  # a foot on a fixed joint stays a body of its own
    if not cfg.meshes:
        _sticks(mujoco, spec)
    if cfg.free_joint:
        first = next((body for body in spec.bodies if body.name != "world"), None)
        if first is None:
            raise EnvError(f"{file} has no body")
        first.add_freejoint()
    if cfg.motors:
        for joint in spec.joints:
            if joint.type in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE):
                motor = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
                motor.set_to_motor()
    if cfg.armature is not None:
        for joint in spec.joints:
            if joint.type == mujoco.mjtJoint.mjJNT_HINGE:
                joint.armature = cfg.armature
    ground = [g for g in spec.geoms if g.type in (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)]
    if not cfg.self_collisions:  # parts have type 1 and affinity 0, ground both 1: parts touch the ground alone
        for geom in spec.geoms:
            if geom not in ground and geom.parent.name != "world" and geom.contype:
                geom.contype, geom.conaffinity = 1, 0
    if not ground:
        _ground(mujoco, spec)
    if not [*spec.lights]:
        spec.worldbody.add_light(pos=[0, 0, 4], dir=[0, 0.3, -1], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)


def _sticks(mujoco: Any, spec: Any) -> None:
    """Sticks between joints and balls where masses are, which touch nothing, in place of meshes."""
    spec.compiler.discardvisual = False  # URDF's default would take what is only seen away, the sky too
    for geom in [g for g in spec.geoms if g.type == mujoco.mjtGeom.mjGEOM_MESH]:
        spec.delete(geom)
    for mesh in [*spec.meshes]:
        spec.delete(mesh)
    seen = {"contype": 0, "conaffinity": 0, "density": 0.0, "mass": 0.0, "group": 1, "rgba": [0.35, 0.45, 0.6, 1.0]}
    for body in [b for b in spec.bodies if b.name != "world"]:
        for child in body.bodies:
            if np.linalg.norm(child.pos) > 0.02:
                ends = [0.0, 0.0, 0.0, *child.pos]
                body.add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=ends, size=[0.02, 0, 0], **seen)
        if body.explicitinertial and body.mass > 0.5:
            size = [0.035 * body.mass ** (1 / 3), 0, 0]
            body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, pos=body.ipos, size=size, **seen)


def _ground(mujoco: Any, spec: Any) -> None:
    """A chequered plane under a pale sky."""
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.75, 0.85, 0.95], rgb2=[1, 1, 1], width=64, height=64,
    )  # fmt: skip
    spec.add_texture(
        name="chequer", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.8, 0.82, 0.84], rgb2=[0.62, 0.66, 0.7], width=64, height=64,
    )  # fmt: skip
    material = spec.add_material(name="chequer", texrepeat=[1, 1], texuniform=True)
    material.textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = "chequer"
    spec.worldbody.add_geom(  # in full, as defaults of the file hold for it
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.1],
        material="chequer",
        contype=1,
        conaffinity=1,
        condim=3,
        friction=[1, 0.005, 1e-4],
    )


def _root(model: Any, file: Path) -> bool:
    """Whether the root floats, or stays in a plane."""
    if model.njnt and int(model.jnt_type[0]) == FREE:
        return True
    first = [(int(t), tuple(np.round(a, 6))) for t, a in zip(model.jnt_type[:3], model.jnt_axis[:3], strict=True)]
    if len(first) == 3 and tuple(first) == PLANAR and len({*model.jnt_bodyid[:3].tolist()}) == 1:
        return False
    raise EnvError(
        f"{file}: its root cannot move. Give the first body a <freejoint/>, or set free_joint = true; or for a robot "
        "in a plane two slides along x and z and a hinge about y"
    )


def _motors(mujoco: Any, model: Any, joints: NDArray[np.int64], file: Path) -> dict[int, int]:
    """The motor of each joint that has one, in the order of joints."""
    found: dict[int, int] = {}
    for k in range(model.nu):
        name = model.actuator(k).name or f"number {k}"
        joint = int(model.actuator_trnid[k, 0])
        on_joint = int(model.actuator_trntype[k]) == int(mujoco.mjtTrn.mjTRN_JOINT) and joint in joints
        gains, biases = model.actuator_gaintype[k], model.actuator_biastype[k]
        plain = model.actuator_dyntype[k] == 0 and gains == 0 and biases == 0 and model.actuator_gainprm[k, 0] == 1.0
        if not on_joint or not plain or joint in found or model.actuator_gear[k, 0] <= 0.0:
            raise EnvError(
                f"{file}: PD control needs one motor a joint, and the actuator {name} is another: use <motor joint=…/>"
            )
        found[joint] = k
    if not found:
        raise EnvError(
            f"{file}: it has no actuators. Add a <motor joint=…/> for each joint that is driven, or set motors = true "
            "for one on each"
        )
    if nameless := [j for j in found if not model.joint(j).name]:
        raise EnvError(f"{file}: joint number {nameless[0]} has a motor and no name: name it")
    return dict(sorted(found.items()))


def _names(model: Any) -> list[str]:
    geoms = [model.geom(g).name for g in range(model.ngeom) if model.geom_bodyid[g]]
    return [name for name in (*(model.body(b).name for b in range(1, model.nbody)), *geoms) if name]


def _bodies(model: Any, patterns: Sequence[str], what: str, file: Path) -> NDArray[np.int64]:
    """Bodies that patterns name, or that have geoms which they name, each once, in the order of the model."""
    found: set[int] = set()
    for pattern in patterns:
        bodies = [b for b in range(1, model.nbody) if fnmatchcase(model.body(b).name, pattern)]
        fitting = [g for g in range(model.ngeom) if fnmatchcase(model.geom(g).name, pattern)]
        geoms = [int(model.geom_bodyid[g]) for g in fitting if model.geom_bodyid[g]]
        if not bodies and not geoms:
            known = ", ".join(_names(model))
            raise EnvError(f"{file}: {what} has {pattern!r}, and no body or geom is called that. They are: {known}")
        found |= {*bodies, *(() if bodies else geoms)}
    return np.array(sorted(found), np.int64)
