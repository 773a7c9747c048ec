"""Pictures without a screen."""

from __future__ import annotations

import os
import sys
from ctypes.util import find_library

from operant.config.errors import EnvError


def has_screen() -> bool:
    """Is there a window system here?"""
    return not sys.platform.startswith("linux") or bool(os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"})


def draw_in_memory() -> None:
    """Where there is no screen, pictures are drawn in memory, and SDL need not look for one."""
    if not has_screen():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def prepare_mujoco(name: str) -> None:
    """Where there is no screen, choose the library that MuJoCo draws with (`MUJOCO_GL`), unless it is chosen.

    Raises EnvError where there is none: MuJoCo itself would end the process.
    """
    if has_screen() or "MUJOCO_GL" in os.environ:
        return
    for backend, library in (("egl", "EGL"), ("osmesa", "OSMesa")):
        if find_library(library) is not None:
            os.environ["MUJOCO_GL"] = backend
            return
    raise EnvError(
        f"{name} cannot be drawn here: there is no screen, and MuJoCo found neither EGL nor OSMesa. "
        "On Debian or Ubuntu: apt-get install libosmesa6"
    )
