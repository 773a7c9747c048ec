"""Networks and their optimiser as a checkpoint keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.spec import AgentSpec
from operant.data.finite import State
from operant.run.begin import fitting, refuse_kind
from operant.run.disk import fits_memory, save_tensors
from operant.run.optimizer_state import read_moments, shape_of, store_moments, tensors_of
from operant.run.train_state import Filed

SHAPED = (
    "action_kind", "activation", "network", "memory", "shared", "std", "squash", "critics", "action_mask", "head",
    "atoms", "value_min", "value_max", "dueling", "layer_norm", "batch_renorm", "components", "bins",
    "flow",
)  # fmt: skip
"""Of `policy.json`, what decides what weights mean and is not seen in their shapes."""


class Networks:
    """An agent, the optimiser that trains it, and what the agent has `beside`: `Learned` by gradient.

    Args:
        agent: its parameters and running statistics.
        optimizer: its state, and its settings (learning rate, ε, …).
    """

    def __init__(self, agent: Agent, optimizer: torch.optim.Optimizer) -> None:
        self.agent, self.optimizer = agent, optimizer
        self._state = State(agent, optimizer)

    @property
    def parameters(self) -> int:
        """How many parameters the agent has."""
        return sum(p.numel() for p in self.agent.parameters())

    def size(self) -> int:
        """Bytes of the tensors; an optimiser that has not stepped is taken to need two moments for each parameter."""
        optimizer = self.optimizer
        moments = [*tensors_of(optimizer).values()] or 2 * [
            p for group in optimizer.param_groups for p in group["params"]
        ]
        kept = self.agent.beside.values()
        beside = [x for each in kept if not isinstance(each, Filed) for x in each.tensors().values()]
        files = sum(each.size() for each in kept if isinstance(each, Filed))
        return files + sum(x.numel() * x.element_size() for x in (*self.agent.stored().values(), *moments, *beside))

    def shared(self) -> int:
        """Bytes of the files that checkpoints share."""
        return sum(each.shared() for each in self.agent.beside.values() if isinstance(each, Filed))

    def save(self, folder: Path) -> None:
        """Write the agent's two files, `optim.safetensors` and what it has beside, under its name each."""
        for name, kept in self.agent.beside.items():  # first: noise on the weights is taken off by it
            if isinstance(kept, Filed):
                kept.save(folder, name)
            else:
                save_tensors({k: x.detach().cpu().clone() for k, x in kept.tensors().items()}, _beside(folder, name))
        self.agent.save(folder)
        store_moments(self.optimizer, folder / "optim.safetensors")

    def load(self, folder: Path) -> None:
        """Copy what was saved into the agent and its optimiser, bit for bit.

        Tensors are copied into those that exist, so parameters and moments stay where they are in memory; an optimiser
        that has not stepped yet gets new ones. Its settings (learning rate, ε, …) become those of the checkpoint.

        Raises:
            ConfigError: if a file cannot be read, or is of another agent or optimiser; nothing was changed then.
        """
        agent, optimizer = self.agent, self.optimizer
        try:
            spec = load_json(folder / "policy.json")
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder / 'policy.json'} cannot be read ({error}). Use another checkpoint.") from error
        own = json.loads(json.dumps(agent.spec.as_json()))
        if isinstance(spec, dict):  # a checkpoint of an earlier version holds no spaces
            own = {k: x for k, x in own.items() if k in spec or not k.endswith("_space")}
        if spec != own:
            differ = [k for k in own if not isinstance(spec, dict) or spec.get(k, None) != own[k]] or ["keys"]
            differ = [k for k in differ if not k.endswith("_space")] or differ  # which follow from the others
            raise ConfigError(f"{folder / 'policy.json'} is of another agent: {', '.join(differ)} differ.")
        model = _read(folder / "model.safetensors")
        into = agent.stored()
        _fits(model, into, folder / "model.safetensors")
        fill = read_moments(optimizer, folder / "optim.safetensors")
        fills = [
            kept.read(folder, name)
            if isinstance(kept, Filed)
            else kept.prepared(_read(_beside(folder, name)), _beside(folder, name))
            for name, kept in agent.beside.items()
        ]
        with torch.no_grad():
            for name, x in into.items():
                x.copy_(model[name])
        for each in (fill, *fills):
            each()

    def begin_from(self, folder: Path) -> None:
        """Take over networks and running statistics from a folder; the optimiser stays new (`operant.run.begin`)."""
        refuse_kind(folder, self.agent.kind)
        usual = {f.name: f.default for f in fields(AgentSpec) if f.name in SHAPED}
        there: Any = usual | load_json(folder / "policy.json")
        own = usual | self.agent.spec.as_json()
        differ = {k: (there.get(k), own[k]) for k in SHAPED if there.get(k) != own[k]}
        into = self.agent.stored()
        model = fitting(folder, into, differ)
        with torch.no_grad():
            for name, x in into.items():
                x.copy_(model[name])

    def finite(self) -> bool:
        """Whether no parameter, buffer or moment is NaN or infinite."""
        return self._state.finite()

    def named(self) -> dict[str, Tensor]:
        """Parameters, buffers and moments by name."""
        return self._state.named()


def _beside(folder: Path, name: str) -> Path:
    """The file of what an agent has beside, under that name."""
    return folder / f"{name}.safetensors"


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(fits_memory(file))
    except (OSError, SafetensorError, ValueError) as error:
        raise ConfigError(f"{file.parent}: its tensors cannot be read ({error}). Use another checkpoint.") from error


def _fits(model: Mapping[str, Tensor], into: Mapping[str, Tensor], file: Path) -> None:
    """Refuse tensors that are missing, unknown, or of another shape or type."""
    for name in sorted(model.keys() ^ into.keys()):
        raise ConfigError(f"{file} {'has an unknown' if name in model else 'lacks the'} tensor {name} of this agent.")
    for name, x in into.items():
        if model[name].shape != x.shape or model[name].dtype != x.dtype:
            raise ConfigError(f"{file}: {name} is {shape_of(model[name])}; this agent's is {shape_of(x)}.")
