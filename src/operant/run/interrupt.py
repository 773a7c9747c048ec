"""Signals that ask for an end: Ctrl-C, SIGTERM, and the hang-up of a terminal. What goes on ends, and is saved first.

In `listening` a signal raises `Interrupted` where the program stands. In `held` the first one is only noted, so that
whoever holds it comes to a good place to stop; the second is raised all the same. In `shielded`, which takes
milliseconds, every one is noted.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

ASKS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal asked for an end; `number` is which, and the text what was saved and how to go on."""

    def __init__(self, message: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


class Asked:
    """What is known of signals inside one block."""

    def __init__(self, most: float) -> None:
        self.count, self.most = 0, most

    def is_set(self) -> bool:
        """Whether a signal came."""
        return self.count > 0


@dataclass
class _State:
    number: int | None = None  # the last signal since the outermost `listening`
    count: int = 0
    depth: int = 0
    last_resort: bool = False
    blocks: list[Asked] = field(default_factory=lambda: list[Asked]())


_state = _State()


def code_of(stop: KeyboardInterrupt) -> int:
    """The exit code of a process that a signal ended, as a shell says it: 130, 143, 129."""
    return 128 + getattr(stop, "number", signal.SIGINT)


def only_ctrl_c(stop: KeyboardInterrupt) -> None:
    """Let pass what a person typed; raise again what asks for an end of all."""
    if getattr(stop, "number", signal.SIGINT) != signal.SIGINT:
        raise stop


def received() -> int | None:
    """The last signal that came while this process listened; None if none did."""
    return _state.number


def note(number: int) -> None:
    """Remember a signal that another handler saw."""
    _state.number = number


def check() -> None:
    """Raise the signal that came before, if any did: code of others may have swallowed what was raised."""
    if _state.number is not None:
        raise Interrupted(number=_state.number)


@contextmanager
def listening(*, last_resort: bool = False) -> Generator[None]:
    """Raise `Interrupted` at SIGINT, SIGTERM and SIGHUP inside; only a main thread can. SIGHUP stays ignored (nohup).

    Args:
        last_resort: the third signal ends the process whatever it does, and the first that is held is told on standard
            error; for a command, not for a library.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ASKS}
    if _state.depth == 0:
        _state.number, _state.count = None, 0
    outer, _state.last_resort = _state.last_resort, _state.last_resort or last_resort
    _state.depth += 1
    try:
        for number, handler in before.items():
            if not (number != signal.SIGINT and handler is signal.SIG_IGN):
                signal.signal(number, _handle)
        yield
    finally:
        _state.depth -= 1
        _state.last_resort = outer
        for number, handler in before.items():
            if signal.getsignal(number) is not signal.SIG_DFL:  # the last resort, once taken, stays
                signal.signal(number, handler)


@contextmanager
def held() -> Generator[Asked]:
    """Note the first signal inside instead of raising it; whoever asks `is_set` then stops by itself."""
    yield from _block(Asked(1))


@contextmanager
def shielded() -> Generator[Asked]:
    """Note every signal inside, and raise none: for a write that says how things stand."""
    yield from _block(Asked(float("inf")))


@contextmanager
def let_through() -> Generator[None]:
    """Raise signals again inside a block that holds them; one that it noted is raised at once."""
    with _block_of(Asked(0)):
        check()
        yield


def ending(code: int) -> None:
    """All is done but for taking the process apart: a signal now ends it at once, with its exit code."""

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(code)

    for number in ASKS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def _block(asked: Asked) -> Generator[Asked]:
    _state.blocks.append(asked)
    try:
        yield asked
    finally:
        _state.blocks.remove(asked)


_block_of = contextmanager(_block)


def _handle(number: int, frame: FrameType | None) -> None:
    _state.number = number
    _state.count += 1
    asked = _state.blocks[-1] if _state.blocks else Asked(0)
    asked.count += 1
    if _state.count >= 2 and _state.last_resort:
        for each in ASKS:
            signal.signal(each, signal.SIG_DFL)
    if asked.count > asked.most:
        raise Interrupted(number=number)
    if _state.last_resort and _state.count == 1 and asked.most == 1:
        with suppress(OSError):  # not through Python's streams: one of them may be in the middle of a write
            os.write(2, b"\nStopping after this step, to save it; a second signal ends at once.\n")
