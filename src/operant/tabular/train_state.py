"""A tabular learner as a checkpoint keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.run.begin import fitting, refuse_kind
from operant.run.disk import fits_memory, save_tensors
from operant.tabular.resumable import Resumable
from operant.tabular.table import TablePolicy
from operant.tabular.tiled import TilesPolicy


class Tables:
    """A learner whose policy is a table, or linear over tiles: `Learned` without a gradient.

    Args:
        learner: the learner.
        tables: its tables of values by name, views, all of one shape.
        epsilon: gives the ε of the policy that acts, as it is now.
        policy: acts on one of them.
    """

    def __init__(
        self,
        learner: Resumable,
        tables: Mapping[str, NDArray[np.float64]],
        epsilon: Callable[[], float],
        policy: TablePolicy | TilesPolicy,
    ) -> None:
        self.learner, self.tables, self._epsilon, self._agent = learner, tables, epsilon, policy

    @property
    def agent(self) -> TablePolicy | TilesPolicy:
        """The policy; its values are those of the learner."""
        self._agent.epsilon = self._epsilon()
        return self._agent

    @property
    def parameters(self) -> int:
        """How many values are learnt."""
        return sum(table.size for table in self.tables.values())

    def size(self) -> int:
        """Bytes of the policy's values and of all that the learner keeps."""
        return next(iter(self.tables.values())).nbytes + sum(array.nbytes for array in self.learner.state().values())

    def save(self, folder: Path) -> None:
        """Write the policy's two files, and `optim.safetensors` with the learner's arrays."""
        self.agent.save(folder)
        save_tensors({name: np.ascontiguousarray(x) for name, x in self.learner.state().items()}, folder / OPTIM)

    def load(self, folder: Path) -> None:
        """Become what was saved, bit for bit.

        Raises:
            ConfigError: if a file cannot be read or is of another learner; nothing was changed then.
        """
        try:
            spec: Any = load_json(folder / "policy.json")
            arrays = load_file(fits_memory(folder / OPTIM))
        except (OSError, ValueError, SafetensorError) as error:
            raise ConfigError(f"{folder}: its files cannot be read ({error}). Use another checkpoint.") from error
        own = self._agent.spec.as_json()
        if isinstance(spec, dict):  # a checkpoint of an earlier version holds no spaces
            own = {k: x for k, x in own.items() if k in spec or not k.endswith("_space")}
        differ = [k for k in own if k != "epsilon" and (not isinstance(spec, dict) or spec.get(k) != own[k])]
        differ = [k for k in differ if not k.endswith("_space")] or differ  # which follow from the others
        if differ:
            raise ConfigError(f"{folder / 'policy.json'} is of another agent: {', '.join(differ)} differ.")
        try:
            self.learner.load(arrays)
        except ConfigError as error:
            raise ConfigError(f"{folder / OPTIM}: {error} Use another checkpoint.") from error

    def begin_from(self, folder: Path) -> None:
        """Begin with the action values in a folder, every table with the same; counts and models stay new.

        Raises:
            ConfigError: if they are of another kind of policy, or of another size; says of which.
        """
        refuse_kind(folder, self._agent.spec.kind)
        there, own = type(self._agent).load(folder).spec.as_json(), self._agent.spec.as_json()
        differ = {k: (there[k], own[k]) for k in ("low", "high", "tiles", "tilings") if k in own and there[k] != own[k]}
        (values,) = fitting(folder, self._agent.stored(), differ).values()
        for table in self.tables.values():
            table[...] = values.numpy()

    def finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        return all(np.isfinite(table).all() for table in self.tables.values())

    def named(self) -> dict[str, Tensor]:
        """The tables by name."""
        return {name: torch.from_numpy(np.ascontiguousarray(table)) for name, table in self.tables.items()}


OPTIM = "optim.safetensors"
