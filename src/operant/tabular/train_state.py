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
from operant.env.interface import Interface
from operant.run.begin import fitting, refuse_kind
from operant.run.disk import fits_memory, save_tensors
from operant.tabular.resumable import Resumable
from operant.tabular.table import TablePolicy


class Tables:
    """A learner whose policy is a table: `Learned` without a gradient.

    Args:
        learner: the learner.
        tables: its tables of values by name, [S, A] each, views; `table` is the one that is acted on.
        epsilon: gives the ε of the policy that acts, as it is now.
        interface: of the environment's spaces, where they are known.
    """

    def __init__(
        self,
        learner: Resumable,
        tables: Mapping[str, NDArray[np.float64]],
        epsilon: Callable[[], float],
        interface: Interface | None = None,
    ) -> None:
        self.learner, self.tables, self._epsilon = learner, tables, epsilon
        self._agent = TablePolicy(tables["table"], interface=interface)

    @property
    def agent(self) -> TablePolicy:
        """The policy; its table is that of the learner."""
        self._agent.epsilon = self._epsilon()
        return self._agent

    @property
    def parameters(self) -> int:
        """How many values are learnt."""
        return sum(table.size for table in self.tables.values())

    def size(self) -> int:
        """Bytes of the table and of all that the learner keeps."""
        return self.tables["table"].nbytes + sum(array.nbytes for array in self.learner.state().values())

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
            ConfigError: if they are no table, or one of other states and actions; says of which.
        """
        refuse_kind(folder, "table")
        values = TablePolicy.load(folder).table
        fitting(folder, {"q": torch.from_numpy(self.tables["table"])}, {})
        for table in self.tables.values():
            table[...] = values

    def finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        return all(np.isfinite(table).all() for table in self.tables.values())

    def named(self) -> dict[str, Tensor]:
        """The tables by name."""
        return {name: torch.from_numpy(np.ascontiguousarray(table)) for name, table in self.tables.items()}


OPTIM = "optim.safetensors"
