"""Processes that never outlive the one that started them, nor what they start themselves (`operant.workers.keeper`)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KEEPER = Path(__file__).with_name("keeper.py")

SECONDS = 6.0
"""In which a keeper has ended what it keeps, or is ended itself."""


def start_kept(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a command behind a keeper, in a session of its own; options are those of `subprocess.Popen`.

    The process is the keeper's: it ends as the command does, and passes on SIGINT, SIGTERM and SIGHUP.

    Raises:
        OSError: if no process can be started.
    """
    keeper = [sys.executable, "-I", "-S", str(KEEPER), str(os.getpid())]
    process: Any = subprocess.Popen([*keeper, *command], stdin=subprocess.PIPE, start_new_session=True, **options)
    return process


def end_kept(process: subprocess.Popen[bytes]) -> None:
    """End a command that `start_kept` started, with all that it started, and wait for it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:  # it was stopped, say; without it the kernel ends the command
        process.kill()
        process.wait()
