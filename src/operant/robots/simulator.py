"""What an episode changes in a MuJoCo model, always from the model as it was made, and how it is put back."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from operant.config.randomise import Range
from operant.env.wrappers import Unfit

WRITES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mass": ("body", ("body_mass", "body_inertia")),
    "size": ("geom", ("geom_size", "geom_rbound", "geom_aabb")),
    "friction": ("geom", ("geom_friction",)),
    "damping": ("jnt", ("dof_damping",)),
    "gear": ("actuator", ("actuator_gear",)),
    "gravity": ("", ()),
}
"""The arrays that each factor is multiplied on, by what its parts are."""
_SOLID = (2, 3, 4, 5, 6)
"""Spheres, capsules, ellipsoids, cylinders and boxes: planes, height fields and meshes have sizes of another kind."""
_OWNERS = {"body": "body", "geom": "geom", "jnt": "joint", "actuator": "actuator"}


class Simulator:
    """A MuJoCo model and its data, as `env.unwrapped` has them.

    Factors: `mass` on masses and inertias, `size` on the sizes of solid geoms (what touches what; masses stay),
    `friction` on the sliding friction of geoms, `damping` on that of joints, `gear` on what actuators pull with,
    `gravity` on its vector. What MuJoCo derives from masses is derived anew (`mj_setConst`).

    Raises:
        Unfit: if there is no MuJoCo model, or none of its parts has a name that a range has.
    """

    def __init__(self, env: Any, parameters: Sequence[Range]) -> None:
        self.model: Any = getattr(env.unwrapped, "model", None)
        self.data: Any = getattr(env.unwrapped, "data", None)
        if not hasattr(self.model, "body_mass") or not hasattr(self.data, "qvel"):
            raise Unfit("a MuJoCo model")
        self._mujoco: Any = import_module("mujoco")
        self._made: Any = copy.copy(self.model)
        self._scratch: Any = self._mujoco.MjData(self.model)
        self._arrays = [
            (getattr(self.model, name), getattr(self._made, name)) for name in _changed(self._mujoco, self._made)
        ]
        self._rows = {one.name: self._rows_of(one) for one in parameters if one.kind in WRITES}

    def write(self, values: Mapping[str, float]) -> None:
        """The model as it was made, times these factors; to be followed by a reset of the environment."""
        self.restore()
        changed = {name: x for name, x in values.items() if name in self._rows and x != 1.0}
        for name, factor in changed.items():
            kind = name.partition(":")[0]
            if kind == "gravity":
                self.model.opt.gravity *= factor
            for array in WRITES[kind][1]:
                rows = self._rows[name]
                columns = slice(0, 1) if kind == "friction" else slice(None)
                held = getattr(self.model, array)
                if held.ndim == 1:
                    held[rows] *= factor
                else:
                    held[rows, columns] *= factor
            if kind == "size":  # the boxes that a first look for contacts goes by are of the old sizes
                self.model.opt.disableflags |= int(self._mujoco.mjtDisableBit.mjDSBL_MIDPHASE)
        if any(name.partition(":")[0] == "mass" for name in changed):
            self._mujoco.mj_setConst(self.model, self._scratch)

    def restore(self) -> None:
        """Put the model back, bit for bit."""
        for held, made in self._arrays:
            held[...] = made
        self.model.opt.gravity[:] = self._made.opt.gravity
        self.model.opt.disableflags = self._made.opt.disableflags
        for name in ("meaninertia", "meanmass", "meansize", "extent"):
            setattr(self.model.stat, name, getattr(self._made.stat, name))
        self.model.stat.center[:] = self._made.stat.center

    def push(self, speed: float, generator: np.random.Generator) -> None:
        """Add up to `speed` (m/s, of joints that turn rad/s) to how fast the root moves, in each of its directions.

        Of a root that floats these are its two horizontal ones, of another the joints of its body.
        """
        model = self.model
        first = int(model.jnt_bodyid[0])
        joints = [j for j in range(model.njnt) if int(model.jnt_bodyid[j]) == first]
        if int(model.jnt_type[joints[0]]) == 0:
            start = int(model.jnt_dofadr[joints[0]])
            dofs = [start, start + 1]
        else:
            dofs = [int(model.jnt_dofadr[j]) for j in joints]
        self.data.qvel[dofs] += generator.uniform(-speed, speed, len(dofs))

    def _rows_of(self, one: Range) -> np.ndarray:
        """The rows of the arrays that a range is about."""
        owner, model = WRITES[one.kind][0], self.model
        count = int(getattr(model, f"n{owner if owner != 'actuator' else 'u'}")) if owner else 0
        if owner == "jnt":
            count = int(model.njnt)
        rows = np.arange(count)
        if one.part:
            names = [getattr(model, _OWNERS[owner])(k).name for k in range(count)]
            if one.part not in names:
                known = ", ".join(name for name in names if name)
                raise Unfit(f"a {_OWNERS[owner]} that is called {one.part!r} (of: {known or 'none with a name'})")
            rows = np.array([names.index(one.part)])
        if owner == "jnt":
            return np.flatnonzero(np.isin(model.dof_jntid, rows))
        return rows[np.isin(model.geom_type[rows], _SOLID)] if one.kind == "size" else rows


def _changed(mujoco: Any, made: Any) -> list[str]:
    """The arrays that writing changes, or MuJoCo's deriving of constants, which are others in other versions."""
    tried, generator = copy.copy(made), np.random.default_rng(1)  # equal factors would cancel in what is derived
    for _, arrays in WRITES.values():
        for array in arrays:
            held = getattr(tried, array)
            held[...] *= generator.uniform(1.2, 1.9, held.shape)
    mujoco.mj_setConst(tried, mujoco.MjData(tried))
    pairs = ((name, getattr(tried, name), getattr(made, name)) for name in dir(made) if not name.startswith("_"))
    return [name for name, x, y in pairs if isinstance(x, np.ndarray) and x.tobytes() != y.tobytes()]
