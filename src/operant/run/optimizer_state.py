"""An optimiser's state as a checkpoint keeps it: safetensors, its settings in the header."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from operant.config.errors import ConfigError
from operant.run.disk import save_tensors


def store_moments(optimizer: torch.optim.Optimizer, file: Path) -> None:
    """Write an optimiser's state and settings."""
    save_tensors(tensors_of(optimizer), file, _settings(optimizer))


def read_moments(optimizer: torch.optim.Optimizer, file: Path) -> Callable[[], None]:
    """Read what `store_moments` wrote and see that it fits; what is returned, when called, puts it into the optimiser.

    Raises:
        ConfigError: if the file cannot be read or is of another optimiser; nothing is changed.
    """
    try:
        with safe_open(file, "pt") as opened:
            settings: dict[str, str] = opened.metadata() or {}
            moments = dict(zip(opened.keys(), map(opened.get_tensor, opened.keys()), strict=True))
    except (OSError, SafetensorError, ValueError) as error:
        raise ConfigError(f"{file.parent}: its tensors cannot be read ({error}). Use another checkpoint.") from error
    groups = _groups(settings, optimizer, file)
    put = put_moments(moments, optimizer, file)

    def fill() -> None:
        put()
        for group, saved in zip(optimizer.param_groups, groups, strict=True):
            group |= saved

    return fill


def put_moments(moments: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, file: Path) -> Callable[[], None]:
    """See that `tensors_of` an optimiser fit another; what is returned, when called, puts them into it.

    Raises:
        ConfigError: if they are of another optimiser; names the file.
    """
    slots = _slots(moments, optimizer, file)

    @torch.no_grad()
    def fill() -> None:
        for p, slot in slots.items():
            _fill(optimizer, p, slot)

    return fill


def _fill(optimizer: torch.optim.Optimizer, p: Tensor, slot: Mapping[str, Tensor]) -> None:
    """Make the optimiser's state of a parameter what was saved of it."""
    there: dict[str, Any] = optimizer.state[p]
    for gone in there.keys() - slot.keys():
        del there[gone]
    for name, x in slot.items():
        old = there.get(name)
        if isinstance(old, Tensor) and (old.shape, old.dtype) == (x.shape, x.dtype):
            old.copy_(x)
        else:
            there[name] = x if x.ndim == 0 and p.ndim else x.to(p.device)
    if not there:
        del optimizer.state[p]


def _slots(moments: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, file: Path) -> dict[Tensor, dict[str, Any]]:
    """The saved state of each parameter, by slot."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[Tensor, dict[str, Any]] = {p: {} for p in parameters}
    for key, x in moments.items():
        number, _, name = key.partition(".")
        if not number.isdecimal() or int(number) >= len(parameters):
            raise ConfigError(f"{file}: {key} is of none of this optimiser's {len(parameters)} parameters.")
        p = parameters[int(number)]
        if x.shape not in (p.shape, torch.Size()) or not x.is_floating_point():
            raise ConfigError(f"{file}: {key} is {shape_of(x)}; its parameter is {shape_of(p)}.")
        slots[p][name] = x
    return slots


def _groups(settings: Mapping[str, str], optimizer: torch.optim.Optimizer, file: Path) -> list[dict[str, Any]]:
    """The saved settings of each parameter group: those that this optimiser has."""
    own = type(optimizer).__name__
    if own not in settings:
        raise ConfigError(f"{file} holds the state of {', '.join(settings) or 'no optimiser'}, not of {own}.")
    try:
        saved = [dict(group) for group in json.loads(settings[own])]
        counts = [group.pop("parameters") for group in saved]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file}: its settings cannot be read ({error}). Use another checkpoint.") from error
    if counts != [len(group["params"]) for group in optimizer.param_groups]:
        raise ConfigError(f"{file} is of groups of {counts} parameters; this optimiser's differ.")
    return [
        {k: tuple(v) if isinstance(v, list) else v for k, v in new.items() if k in group}
        for new, group in zip(saved, optimizer.param_groups, strict=True)
    ]


def shape_of(x: Tensor) -> str:
    """Type and shape of a tensor, for a message."""
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"


def tensors_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of an optimiser's state by `<number of the parameter>.<slot>`, copied to the CPU."""
    state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{k}.{name}": x.detach().to("cpu", copy=True) for k, slots in state.items() for name, x in slots.items()}


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, str]:
    """The optimiser's class and the settings of its groups, for the header of its file.

    One key: safetensors writes several in an order of chance, and equal runs must give equal files.
    """
    groups: Iterator[dict[str, Any]] = (
        {k: v.item() if isinstance(v, Tensor) else v for k, v in group.items() if k != "params"}
        | {"parameters": len(group["params"])}
        for group in optimizer.param_groups
    )
    return {type(optimizer).__name__: json.dumps(list(groups))}
