"""A language model and its optimiser as a checkpoint keeps them: a Hugging Face folder, and what resuming needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from operant.config.bounded import load_json
from operant.config.errors import ConfigError, shown
from operant.data.finite import State
from operant.language.model.language_model import LanguageModel
from operant.run.disk import fits_memory, save_tensors
from operant.run.optimizer_state import read_moments, store_moments
from operant.run.world import POLICY

ADAPTERS = "adapters.safetensors"
REFERENCE = "reference.safetensors"
EXTRA = "beside.safetensors"
LARGEST = 2**53
"""No counter comes so far."""


class LanguageTrainState:
    """A language model and the optimiser that trains it: `Learned` by gradient.

    `model.safetensors`, `config.json` and the tokenizer's files are a folder that transformers reads, adapters merged.
    Beside them stand `optim.safetensors`, `policy.json` with the counters, and, bit for bit, the adapters, a reward's
    head or other modules, and a moving reference, where there are any.

    Args:
        agent: the model.
        optimizer: its state, and its settings.
        counters: gives what else training changes, as JSON; `restore` takes it back.
        modules: what else is learnt: a reward's head, the weights of groups; by name.
        reference: a reference model that moves, or None.
    """

    def __init__(
        self,
        agent: LanguageModel,
        optimizer: torch.optim.Optimizer,
        *,
        counters: Callable[[], Mapping[str, Any]] = dict,
        restore: Callable[[Mapping[str, Any]], object] = dict,
        modules: Mapping[str, nn.Module] | None = None,
        reference: LanguageModel | None = None,
    ) -> None:
        self.agent, self.optimizer, self.reference = agent, optimizer, reference
        self._counters, self._restore = counters, restore
        self.modules = nn.ModuleDict(dict(modules or {}))
        self._state = State(nn.ModuleDict({"model": agent, "beside": self.modules}), optimizer)

    @property
    def parameters(self) -> int:
        """How many numbers are learnt."""
        return sum(p.numel() for group in self.optimizer.param_groups for p in group["params"])

    def size(self) -> int:
        """Bytes of its tensors, with two moments for each parameter that is trained."""
        model = [*self.agent.parameters()]
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        others = [] if self.reference is None else [*self.reference.parameters()]
        return sum(x.numel() * x.element_size() for x in (*model, *others, *trained, *trained))

    def save(self, folder: Path) -> None:
        """Write its files."""
        self.agent.save(folder)
        if not (folder / "model.safetensors").is_file():
            raise ConfigError(f"{folder}: the model was written in several files, which checkpoints do not hold yet")
        if self.agent.adapted:
            save_tensors(self._trained(), folder / ADAPTERS)
        if self.reference is not None:
            save_tensors(_unshared(self.reference), folder / REFERENCE)
        if self.modules:
            save_tensors(self._extra(), folder / EXTRA)
        spec = {"kind": "language", "counters": dict(self._counters())}
        (folder / "policy.json").write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")
        store_moments(self.optimizer, folder / "optim.safetensors")

    def load(self, folder: Path) -> None:
        """Become what was saved, bit for bit.

        Raises:
            ConfigError: if a file cannot be read or is of another model; nothing was changed then.
        """
        try:
            spec: Any = load_json(folder / "policy.json", POLICY)
            stored = load_file(fits_memory(folder / (ADAPTERS if self.agent.adapted else "model.safetensors")))
            moved = load_file(fits_memory(folder / REFERENCE)) if self.reference is not None else {}
            extra = load_file(fits_memory(folder / EXTRA)) if self.modules else {}
        except (OSError, ValueError, SafetensorError) as error:
            raise ConfigError(f"{folder}: its files cannot be read ({error}). Use another checkpoint.") from error
        if not isinstance(spec, dict) or spec.get("kind") != "language" or not isinstance(spec.get("counters"), dict):
            raise ConfigError(f"{folder / 'policy.json'} is of another agent than a language model.")
        into = self._trained() if self.agent.adapted else _named(self.agent.model, stored)
        _fits(stored, into, folder)
        also = {} if self.reference is None else _unshared(self.reference)
        _fits(moved, also, folder)
        _fits(extra, self._extra(), folder)
        _check_counters(self._counters(), spec["counters"], folder / "policy.json")
        fill = read_moments(self.optimizer, folder / "optim.safetensors")
        with torch.no_grad():
            for name, x in into.items():
                x.copy_(stored[name])
            for name, x in also.items():
                x.copy_(moved[name])
            for name, x in self._extra().items():
                x.copy_(extra[name])
            fill()
        self._restore(spec["counters"])

    def finite(self) -> bool:
        """Whether no parameter or moment is NaN or infinite."""
        return self._state.finite()

    def named(self) -> dict[str, Tensor]:
        """Parameters and moments by name."""
        return self._state.named()

    def _extra(self) -> dict[str, Tensor]:
        """Parameters, a tied one once, and the buffers that a state holds."""
        stored = self.modules.state_dict()
        return dict(self.modules.named_parameters()) | {n: b for n, b in self.modules.named_buffers() if n in stored}

    def _trained(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.agent.model.named_parameters() if p.requires_grad}


def _check_counters(own: Mapping[str, Any], given: Mapping[str, Any], file: Path) -> None:
    """Refuse counters that are missing, of another kind than these, or no count, number or list of lines at all."""
    for name, now in own.items():
        if name not in given and isinstance(now, str):
            continue  # a mark, which older checkpoints may lack
        if name not in given:
            raise ConfigError(f"{file}: counters.{name} is missing. Use another checkpoint.")
        value, wanted = given[name], ""
        if isinstance(now, int) and not (type(value) is int and 0 <= value < LARGEST):
            wanted = "a count"
        elif isinstance(now, float) and not (type(value) in (int, float) and 0.0 <= value < LARGEST):
            wanted = "a number that is not negative"
        elif isinstance(now, str) and not isinstance(value, str):
            wanted = "a text"
        elif isinstance(now, list) and not (isinstance(value, list) and all(isinstance(x, dict) for x in value)):
            wanted = "a list of tables"
        if wanted:
            raise ConfigError(f"{file}: counters.{name} is {shown(value)}, not {wanted}. Use another checkpoint.")


def _named(model: Any, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's parameters under the names of the file, which has a tied one once."""
    names: dict[int, list[str]] = {}
    tensors: dict[int, Tensor] = {}
    named = dict(model.named_parameters(remove_duplicate=False))
    if getattr(model.config, "vision_config", None) is not None:
        from transformers.core_model_loading import revert_weight_conversion

        named |= revert_weight_conversion(
            model, dict(named)
        )  # families whose files have other names than their modules
    for name, p in named.items():
        names.setdefault(id(p), []).append(name)
        tensors[id(p)] = p
    return {next((n for n in alias if n in stored), alias[0]): tensors[key] for key, alias in names.items()}


def _unshared(model: LanguageModel) -> dict[str, Tensor]:
    return dict(model.model.named_parameters())


def _fits(stored: Mapping[str, Tensor], into: Mapping[str, Tensor], folder: Path) -> None:
    for name, x in into.items():
        if name not in stored:
            raise ConfigError(f"{folder} lacks the tensor {name} of this model. Use another checkpoint.")
        if stored[name].shape != x.shape or stored[name].dtype != x.dtype:
            raise ConfigError(
                f"{folder}: {name} is {stored[name].dtype} {list(stored[name].shape)}; this model's is {x.dtype} "
                f"{list(x.shape)}. Use another checkpoint."
            )
