"""A worker process, and what it started, never outlives the process that started it."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys


def end_with_parent() -> None:
    """Have the kernel end this process group when the other end of standard input, which nobody writes to, is closed.

    The process must lead its group, as `operant.workers.pool.Worker` starts it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, which then closes the socket
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # it was closed before the kernel was asked
        sys.exit()
