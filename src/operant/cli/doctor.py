"""What this machine has, and the one command for what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from typing import Any

CORE = ("torch", "numpy", "numba", "gymnasium", "safetensors", "av", "pandas", "matplotlib")
EXTRAS = {
    "mujoco": ("mujoco", "HalfCheetah-v5 and its kin"),
    "box2d": ("box2d", "LunarLander-v3, BipedalWalker-v3"),
    "atari": ("ale-py", "the Arcade Learning Environment"),
    "envpool": ("envpool", "faster simulators"),
    "sweep": ("optuna", "operant sweep"),
    "export": ("onnx", "operant export"),
    "hub": ("huggingface-hub", "operant push"),
    "language": ("transformers", "language models"),
    "serve": ("starlette", "operant serve, and asking servers"),
    "agents": ("playwright", "web agents"),
}


def examine() -> list[dict[str, Any]]:
    """Rows of what, ok, found and fix (None where nothing is to be done)."""
    rows = [
        _row("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform()}"),
        _row("cores", True, f"{os.cpu_count()}"),
        _row("disk", True, f"{shutil.disk_usage('.').free / 1e9:.0f} GB free here"),
    ]
    for name in CORE:
        version = _version(name)
        rows.append(_row(name, version is not None, version or "missing", None if version else "pip install operant"))
    import torch

    from operant.env.headless import has_screen

    cuda = torch.cuda.is_available()
    rows.append(_row("gpu", cuda, torch.cuda.get_device_name() if cuda else "none; everything runs on the CPU"))
    screen = has_screen()
    rows.append(_row("screen", screen, "yes" if screen else "none; `operant play` writes a video instead of --show"))
    for extra, (package, what) in EXTRAS.items():
        version = _version(package)
        found = f"{package} {version}" if version else f"not installed; for {what}"
        rows.append(
            _row(f"[{extra}]", version is not None, found, None if version else f'pip install "operant[{extra}]"')
        )
    return rows


def _row(what: str, ok: bool, found: str, fix: str | None = None) -> dict[str, Any]:
    return {"what": what, "ok": ok, "found": found, "fix": fix}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
