"""Keeps a command: when it ends, or who asked for it does, all that it started ends too.

    python -I -S keeper.py PARENT COMMAND ...

It ends the command and every process below it when its standard input is closed, which nobody writes to, when the
process PARENT is gone, or when the command itself has ended; then it ends as the command did. On Linux nothing escapes:
orphans become children of the keeper, whatever session they moved to. Elsewhere what is left is the command's group.
Signals that ask for an end are passed on. It imports the standard library alone, so that it starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

PDEATHSIG, DUMPABLE, SUBREAPER = 1, 4, 36  # of prctl(2)
PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STUCK = 5.0
"""Seconds after which a process that does not end when killed is left."""


def _nothing(*_: object) -> None:
    """In the place of what a system has not, and of what a signal would do."""


_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else _nothing


def main() -> None:
    """Run the command of the command line; does not return."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    _prctl(SUBREAPER, 1, 0, 0, 0)
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    for number in (*PASSED, signal.SIGCHLD):
        signal.signal(number, _nothing)  # the pipe says which came
    watched = [0, told, *_watch(parent)]
    child = _start(command)
    status = None
    while status is None and os.getppid() == parent:
        ready = select.select(watched, [], [], 1.0 if len(watched) < 3 else None)[0]
        if told in ready:
            for number in os.read(told, 1024):
                if number in PASSED:
                    os.kill(child, number)
        status = _reaped(child)
        if set(ready) - {told}:
            break
    ended = _end(child)
    _become(ended if status is None else status)


def _watch(parent: int) -> list[int]:
    """A descriptor that can be read when a process is gone, where there are such."""
    try:
        return [os.pidfd_open(parent)]
    except (AttributeError, OSError):
        return []


def _start(command: list[str]) -> int:
    """Run a command in a session of its own, with what this process inherited but for standard input."""
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            _prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() == keeper:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
                    signal.signal(number, signal.SIG_DFL)
                os.execvp(command[0], command)
        finally:
            os._exit(127)
    for descriptor in [int(entry.name) for entry in os.scandir("/dev/fd")]:
        with suppress(OSError):  # one of them was that of the listing
            if descriptor > 2 and os.get_inheritable(descriptor):  # an end of a socket is the command's alone
                os.close(descriptor)
    return child


def _reaped(child: int) -> int | None:
    """Reap what has ended; the status of the child if it has."""
    status = None
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            status = found[1] if found[0] == child else status
    return status


def _end(child: int) -> int:
    """Kill all that is left below this process; returns the status of the child, 0 if it was reaped before."""
    status, deadline = 0, time.monotonic() + STUCK
    while time.monotonic() < deadline:
        for pid in _children() if sys.platform == "linux" else [-child]:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        found = _reaped(child)
        status = status if found is None else found
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            break
        time.sleep(0.002)
    return status


def _children() -> list[int]:
    """The children of this process, among them those whose own parent is gone."""
    own, found = str(os.getpid()).encode(), list[int]()
    for entry in os.scandir("/proc"):
        with suppress(OSError):
            if entry.name.isdecimal():
                state, parent = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()[:2]
                found += [int(entry.name)] if parent == own and state != b"Z" else []
    return found


def _become(status: int) -> None:
    """End as a process of this status did."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        _prctl(DUMPABLE, 0, 0, 0, 0)  # one core is enough
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 255)


if __name__ == "__main__":
    main()
