"""What this machine has, and the one command for what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from importlib import metadata
from typing import Any

CORE = ("torch", "numpy", "numba", "gymnasium", "safetensors", "av", "pandas", "matplotlib")
EXTRAS = {
    "mujoco": ("mujoco", "HalfCheetah-v5 and its kin"),
    "box2d": ("box2d", "LunarLander-v3, BipedalWalker-v3"),
    "atari": ("ale-py", "the Arcade Learning Environment"),
    "minigrid": ("minigrid", "MiniGrid-DoorKey-5x5-v0, BabyAI-GoToRedBall-v0 and their kin"),
    "minatar": ("MinAtar", "MinAtar/Breakout-v1 and its kin"),
    "pettingzoo": ("pettingzoo", "PettingZoo/tictactoe-v3 and other games of two"),
    "envpool": ("envpool", "faster simulators"),
    "sweep": ("optuna", "operant sweep"),
    "export": ("onnx", "operant export"),
    "hub": ("huggingface-hub", "operant push"),
    "language": ("transformers", "language models"),
    "serve": ("starlette", "operant serve, and asking servers"),
    "web": ("playwright", "agents in a browser"),
}

MUJOCO = ("mujoco", "mujoco-core", "mujoco-studio")
"""What MuJoCo is split into since 4.0; before it was the first alone."""
COMPARED = "3.17"
FAULTS = {("mujoco", "4.0.0"): f"which has a known fault; published results are compared with {COMPARED}"}
"""What is known to be wrong with a version of a package."""

WIDTH, HURTS = 256, 1.15
"""Units of the layers that threads are timed on, as SAC's; what counts as slower."""


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

    rows.append(_threads())
    cuda = torch.cuda.is_available()
    rows.append(_row("gpu", cuda, torch.cuda.get_device_name() if cuda else "none; everything runs on the CPU"))
    screen = has_screen()
    rows.append(_row("screen", screen, "yes" if screen else "none; `operant play` writes a video instead of --show"))
    for extra, (package, what) in EXTRAS.items():
        version = _version(package)
        if version is None:
            rows.append(_row(f"[{extra}]", False, f"not installed; for {what}", f'pip install "operant[{extra}]"'))
            continue
        rows.append(_fault(extra, package, version) or _row(f"[{extra}]", True, f"{package} {version}"))
    return [*rows, _browser()]


def _browser() -> dict[str, Any]:
    """Where a browser is that worlds of the web can start; none is started."""
    from operant.agents.web.browser import FIX, browser_path

    path = browser_path()
    return _row("browser", path is not None, str(path or "none; for agents in a browser"), None if path else FIX)


def _threads() -> dict[str, Any]:
    """Whether a second thread of torch would help here now, or hurt: a gradient step is timed with one and with two."""
    if (os.cpu_count() or 1) < 2:
        return _row("threads", True, "one core: leave --threads at 1")
    one, two = (1e3 * _step_time(count) for count in (1, 2))
    told = f"a gradient step of {WIDTH} units takes {one:.1f} ms with one and {two:.1f} ms with two"
    if two > HURTS * one:
        busy = os.getloadavg()[0] > 0.5 if hasattr(os, "getloadavg") else False
        why = "; they wait for each other while something else keeps the cores busy" if busy else ""
        return _row("threads", True, f"two would hurt now: {told}{why}. Leave --threads at 1")
    helps = "two help networks that are so wide" if HURTS * two < one else "two do not help"
    return _row("threads", True, f"{helps}: {told}; smaller networks are fastest with one")


def _step_time(threads: int) -> float:
    """Seconds of a gradient step of a perceptron of two wide layers with so many threads, the mean of a few."""
    import torch
    from torch import nn

    before = torch.get_num_threads()
    net, x = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(2))), torch.ones(WIDTH, WIDTH)
    try:
        torch.set_num_threads(threads)
        count, began = 0, 0.0
        while count < 3 or (count < 30 and time.perf_counter() - began < 0.2):
            if count == 2:  # the first ones start threads
                began = time.perf_counter()
            net(x).sum().backward()
            count += 1
        return (time.perf_counter() - began) / (count - 2)
    finally:
        torch.set_num_threads(before)


def _fault(extra: str, package: str, version: str) -> dict[str, Any] | None:
    """The row of an installed package with which something is wrong; else None."""
    anew = f'pip uninstall -y {" ".join(MUJOCO)} && pip install "mujoco=={COMPARED}.*"'
    if package == "mujoco":
        parts = {name: found for name in MUJOCO if (found := _version(name)) is not None}
        split = int(version.partition(".")[0]) >= 4
        if len(set(parts.values())) > 1 or (not split and len(parts) > 1):
            told = ", ".join(f"{name} {found}" for name, found in parts.items())
            return _row(f"[{extra}]", False, f"{told}: of different versions, as an upgrade in place leaves them", anew)
    if wrong := FAULTS.get((package, version)):
        return _row(f"[{extra}]", True, f"{package} {version}, {wrong}", anew)
    return None


def _row(what: str, ok: bool, found: str, fix: str | None = None) -> dict[str, Any]:
    return {"what": what, "ok": ok, "found": found, "fix": fix}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
