"""What a legged robot is told: gains, commands, weights of rewards, and when it has fallen; a TOML file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from operant.config.errors import EnvError
from operant.config.schema import Section
from operant.config.toml import read_toml

SHIPPED = Path(__file__).parent
Pair = tuple[float, float]


class Commands(Section):
    """What is asked for: velocities in the plane of the robot, and a rate of turning."""

    vx: Pair = Field(default=(-1.0, 1.0), description="m/s ahead, the least and the most")
    vy: Pair = Field(default=(-1.0, 1.0), description="m/s to the left, the least and the most")
    yaw: Pair = Field(default=(-1.0, 1.0), description="rad/s to the left, the least and the most")
    resample: PositiveFloat = Field(default=10.0, description="seconds after which another one is drawn")
    least: NonNegativeFloat = Field(default=0.2, description="m/s: a slower one in the plane is to stand still")


class Scales(Section):
    """What observations are multiplied by."""

    lin_vel: float = Field(default=2.0, description="of the velocity, m/s")
    ang_vel: float = Field(default=0.25, description="of the rate of turning, rad/s")
    position: float = Field(default=1.0, description="of the angles of joints from those it stands with, rad")
    speed: float = Field(default=0.05, description="of the speeds of joints, rad/s")
    command: float = Field(default=1.0, description="of the command, beside lin_vel and ang_vel; 0 hides it")


class LeggedConfig(Section):
    """A legged robot. Names of joints, bodies and geoms are patterns as file names have them: `*_foot`."""

    xml_file: str = Field(default="", description="MJCF or URDF; a path, or gymnasium:ant.xml, data:g1_12dof.xml")
    meshes: bool = Field(default=True, description="keep geoms that are meshes")
    free_joint: bool = Field(default=False, description="let the first body float, which URDF does not say")
    motors: bool = Field(default=False, description="give a motor to every joint but the root's")
    self_collisions: bool = Field(default=False, description="let parts of the robot touch one another")
    armature: NonNegativeFloat | None = Field(default=None, description="kg m² of every joint; the file's if unset")
    timestep: PositiveFloat = Field(default=0.005, description="seconds of a step of the simulator")
    decimation: PositiveInt = Field(default=4, description="steps of the simulator for one of the policy")
    seconds: PositiveFloat = Field(default=20.0, description="after which an episode is cut")

    kp: dict[str, NonNegativeFloat] = Field(default_factory=dict, description="N m/rad, by joints' names")
    kd: dict[str, NonNegativeFloat] = Field(default_factory=dict, description="N m s/rad, by joints' names")
    action_scale: PositiveFloat = Field(default=0.25, description="rad that an action of 1 moves a target by")
    action_limit: PositiveFloat = Field(default=4.0, description="the most that an action may be")
    stand: dict[str, float] = Field(default_factory=dict, description="rad of action 0, by joints' names; 0 if none")
    height: PositiveFloat = Field(default=1.0, description="m, of the root when an episode begins")
    spread: float = Field(default=0.5, description="it begins with stand times 1 ± this", ge=0.0, le=1.0)
    hurry: NonNegativeFloat = Field(default=0.5, description="m/s and rad/s, the most that the root begins with")

    feet: tuple[str, ...] = Field(default=(), description="bodies that are feet, or geoms of theirs")
    penalised: tuple[str, ...] = Field(default=(), description="bodies, or geoms of theirs, that shall touch nothing")
    ending: tuple[str, ...] = Field(default=(), description="bodies, or geoms of theirs, whose touch ends an episode")
    touch: PositiveFloat = Field(
        default=1.0, description="N: a foot that bears more stands, a body that bears more fell"
    )
    hips: tuple[str, ...] = Field(default=(), description="joints that hip_pos holds near 0")
    tilt: PositiveFloat = Field(default=1.0, description="rad from the upright beyond which an episode ends")
    fallen: float = Field(default=0.0, description="m, of the root, below which an episode ends")

    rewards: dict[str, float] = Field(default_factory=dict, description="weights of reward terms, by their names")
    sigma: PositiveFloat = Field(default=0.25, description="of exp(−error²/sigma), (m/s)² and (rad/s)²")
    positive: bool = Field(default=True, description="a sum below 0 pays 0")
    base_height: float = Field(default=1.0, description="m, of the root, that base_height holds it to")
    soft_limit: float = Field(default=0.9, description="share of a joint's range that is free", gt=0.0, le=1.0)
    air_time: float = Field(default=0.5, description="seconds in the air above which feet_air_time pays")
    swing: float = Field(default=0.08, description="m, of a foot in the air, for feet_swing_height")
    period: NonNegativeFloat = Field(default=0.0, description="seconds of a gait's clock, seen and paid; none if 0")
    offsets: tuple[float, ...] = Field(default=(), description="of each foot in that clock, as shares of it")
    stance: float = Field(default=0.55, description="share of the clock that a foot is to stand", ge=0.0, le=1.0)

    see_velocity: bool = Field(default=True, description="show the velocity, which a robot does not measure")
    commands: Commands = Field(default_factory=Commands)
    scales: Scales = Field(default_factory=Scales)


def legged_config(file: str | Path, changes: Mapping[str, Any]) -> LeggedConfig:
    """The settings of a file, and changes over them, table by table.

    Args:
        file: TOML, none if empty.
        changes: by the names of `LeggedConfig`; what is given of a table leaves the rest of it, and of `kp`, `kd` and
            `stand` later patterns win over earlier ones.

    Raises:
        EnvError: for a setting that is none, or is not what it should be.
        ConfigError: for a file that is no TOML.
    """
    tree = read_toml(Path(file))[0] if file else {}
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(tree.get(name), dict):
            tree[name] |= value
        else:
            tree[name] = value
    try:
        return LeggedConfig.model_validate(tree)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5]]
        raise EnvError(f"settings of a legged robot, {'; '.join(lines)}. See operant.robots.LeggedConfig") from None
