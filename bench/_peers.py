"""Environments of their own for the peers of a bench, since what they need clashes with what we do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from _interleave import say

PEERS = Path(os.environ.get("OPERANT_PEERS") or Path(__file__).parent.parent / ".bench-peers")
"""The folder of the environments, one for each peer."""

SB3 = (
    "stable-baselines3==2.9.*",
    "sb3-contrib==2.9.*",
    "ale-py",
    "opencv-python-headless",
    "mujoco",
    "imageio",
    "packaging",
)
"""What the environment `sb3` holds, with our torch and our gymnasium."""


def python_of(peers: Path, name: str) -> str:
    """The Python of a peer.

    Raises:
        SystemExit: if there is none; says how to make it.
    """
    found = peers / name / "bin" / "python"
    if not found.exists():
        script = {"sbx": "off_policy", "d3rlpy": "offline", "imitation": "offline"}.get(name, "on_policy")
        raise SystemExit(f"there is no {found}: make it by `python bench/{script}.py --make-peers`, or name --peers")
    return str(found)


def make_peers(peers: Path, needed: Mapping[str, Sequence[str]], *, ours: Sequence[str]) -> None:
    """An environment for each peer that is not there yet, by pip; those of `ours` get our torch and our gymnasium."""
    for name, packages in needed.items():
        folder = peers / name
        if (folder / "bin" / "python").exists():
            say(f"{folder} is there")
            continue
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        if name in ours:
            subprocess.run([*pip, *(f"{p}=={version(p)}" for p in ("torch", "gymnasium"))], check=True)
        subprocess.run([*pip, *packages], check=True)


if __name__ == "__main__":
    make_peers(PEERS, {"sb3": SB3}, ours=("sb3",))
