"""A test that must fail where a tree reads without end, and not hang, nor take the machine's memory with it."""

import resource
import signal
from contextlib import contextmanager
from pathlib import Path


class LateError(BaseException):
    """Caught by nobody who catches errors."""


@contextmanager
def bounded(seconds, more=None):
    """So many seconds, and so many bytes of address space more than there are, if any are named."""

    def late(*_):
        raise LateError

    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    if more is not None:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + more, before[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
