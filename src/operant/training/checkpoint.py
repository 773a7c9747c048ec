"""Checkpoints: safetensors and JSON, and a manifest written last; without a valid one a checkpoint does not exist."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from operant.config.errors import ConfigError, DiskError
from operant.policy.agent import Agent
from operant.training.folder import write_json

REQUIRED = {"model.safetensors", "policy.json", "optim.safetensors", "state.json"}


def save(run: Path, agent: Agent, optimizer: torch.optim.Optimizer, state: dict[str, Any], *, keep: int) -> Path:
    """Write `checkpoints/step-<8 digits>/`, point `latest` at it and drop all but the newest `keep`.

    Everything is written beside its final name, flushed to the disk, described in `MANIFEST.json` (size and SHA-256 of
    every file) and only then renamed.

    Raises:
        DiskError: if the disk refuses; older checkpoints are untouched.
    """
    final = run / "checkpoints" / f"step-{state['step']:08d}"
    temporary = final.with_name(f".tmp-{final.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        agent.save(temporary)
        save_file(_tensors(optimizer), str(temporary / "optim.safetensors"))
        write_json(temporary / "state.json", state)
        files = sorted(temporary.iterdir())
        for file in files:
            _sync(file)
        write_json(temporary / "MANIFEST.json", {"files": {f.name: _digest(f) for f in files}})
        _sync(temporary)
        shutil.rmtree(final, ignore_errors=True)
        temporary.replace(final)
        point(final.with_name("latest"), final)
        _sync(final.parent)
        best = final.with_name("best").resolve()
        for old in sorted(final.parent.glob("step-*"))[:-keep]:
            if old.resolve() != best:
                shutil.rmtree(old)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise DiskError(f"cannot write the checkpoint {final}: {error.strerror}. Free some space.") from error
    return final


def point(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to its sibling `target`, atomically."""
    temporary = link.with_name(f".tmp-{link.name}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.name)
    temporary.replace(link)


def verify(checkpoint: Path) -> None:
    """Compare every file with the manifest.

    Raises:
        ConfigError: if the manifest is missing, or a file is missing, short or altered; names the file.
    """
    try:
        files: dict[str, Any] = dict(json.loads((checkpoint / "MANIFEST.json").read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{checkpoint}: no checkpoint there (its MANIFEST.json cannot be read)") from error
    if missing := REQUIRED - files.keys():
        raise ConfigError(f"{checkpoint}: no checkpoint there (its MANIFEST.json does not list {min(missing)})")
    for name, want in files.items():
        file = checkpoint / name
        if not file.is_file() or _digest(file) != want:
            raise ConfigError(f"{file} is damaged (it differs from MANIFEST.json). Use another checkpoint.")


def load_agent(run: Path, name: str = "latest") -> tuple[Agent, int]:
    """The agent of a checkpoint, verified, and its step.

    Raises:
        ConfigError: if there is no such checkpoint or it is damaged; names those there are.
    """
    checkpoint = run / "checkpoints" / name
    if not checkpoint.is_dir():
        there = ", ".join(sorted(p.name for p in (run / "checkpoints").glob("[!.]*"))) or "none"
        raise ConfigError(f"{run} has no checkpoint '{name}'. There: {there}.")
    verify(checkpoint)
    return Agent.load(checkpoint), json.loads((checkpoint / "state.json").read_text())["step"]


def _tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state: dict[int, dict[str, torch.Tensor]] = optimizer.state_dict()["state"]
    return {f"{k}.{name}": x.detach().clone() for k, slots in state.items() for name, x in slots.items()}


def _digest(file: Path) -> dict[str, Any]:
    with file.open("rb") as f:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(f, "sha256").hexdigest()}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
