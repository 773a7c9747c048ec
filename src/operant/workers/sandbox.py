"""Runs code that nobody has read, in processes of its own that reach this one by calls over a pipe and by nothing else.

A block of Python runs in an `Interpreter`: a process forked for it from one that has never run anyone's code, with a
namespace that lasts from block to block. What the block may ask for are the `names` of the sandbox; each call is a
frame of JSON to this process, where a handler answers. Databases, evaluators and answers stay here.

What keeps it there, each where the system has it (`Sandbox.kept_by`):

- `filter` (Linux on x86-64 and 64-bit ARM): the kernel refuses every system call but those to compute, to read and
  write what is open, to sleep and to end (`operant.workers.seccomp`). No file, process, thread, signal, socket or
  privilege, whatever code runs, C extensions and machine code included. This is the border; what is left is the
  kernel's own handling of the few calls, and what a process can learn from time.
- `namespaces` (Linux, where a user may make them): no network, no signal to other processes, no shared memory, even if
  the filter failed. Without them the filter alone keeps these out. With them and without the filter, code can read
  files that anybody may read, and may write where anybody may.
- `nobody` (where this process is root's): the user without rights, so that without a filter files of ours stay closed.
- `limits` (everywhere): seconds of the processor, memory, no child processes (root is exempt from this one), no further
  files, no byte written to a file, no core. Without filter and namespaces they do not keep a program from reading files
  or the network.
- `hook` (everywhere): Python's own events (PEP 578) for files, processes and sockets raise PermissionError. It gives
  honest code a plain message; code that means harm gets around it. On systems where it is all there is besides limits,
  such as macOS, run only models that you trust.

A block that takes longer than its seconds is interrupted, and its process is ended if that does not help. A process
that writes what is no message, or floods, is ended too. An interpreter whose process is gone begins anew with the next
block.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from operant.config.errors import ConfigError, EnvError
from operant.workers.kept import end_kept, start_kept
from operant.workers.sandbox_wire import FRAME, Frames, NoMessage, encode
from operant.workers.seccomp import program

CHILD = Path(__file__).with_name("sandbox_child.py")
PRELOAD = (
    "math", "json", "re", "datetime", "time", "calendar", "collections", "itertools", "functools", "operator", "random",
    "statistics", "string", "textwrap", "decimal", "fractions", "heapq", "bisect", "copy", "dataclasses", "enum",
    "typing", "types", "pprint", "traceback", "codecs", "unicodedata", "difflib", "contextlib", "abc",
)  # fmt: skip
"""Modules that code may import: those that are there before it runs."""
LAYERS = ("filter", "namespaces", "nobody", "hook")
STARTUP = 60.0

Handler = Callable[[str, list[Any], dict[str, Any]], Any]
"""Answers a call of a name with arguments by what JSON can hold, or raises `Refused`; anything else is a fault."""


class Refused(Exception):
    """A call is not answered: the code gets an ApiError with this code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of an interpreter and of each of its blocks."""

    seconds: float = 10.0  # of the wall clock, a block; then it is interrupted
    grace: float = 0.5  # seconds more, then its process is ended
    calls: int = 1_000  # a block; further ones are refused
    output: int = 10_000  # characters of standard output that are kept of a block
    cpu: int = 120  # seconds of the processor, an interpreter
    memory: int = 512 << 20  # bytes of address space, an interpreter


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a block did."""

    text: str  # the first characters of its standard output
    total: int  # characters of all its output
    error: str | None = None  # the traceback through its own lines
    ended: str | None = None  # why its process is gone, and its variables with it


class Sandbox:
    """A process from which interpreters are forked; one is always kept ready.

    Threads may share it; each interpreter is one thread's.

    Args:
        names: what code may call, e.g. `payments.send` or `distance`.
        limits: bounds of each interpreter.
        preload: modules that code may import, and what they import.
        layers: what keeps code in, each where the system has it; limits are always set.

    Raises:
        EnvError: if no process can be started.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        limits: Limits | None = None,
        preload: Sequence[str] = PRELOAD,
        layers: Sequence[str] = LAYERS,
    ) -> None:
        bad = [name for name in names if not all(part.isidentifier() for part in name.split("."))]
        if bad:
            raise ConfigError(f"the sandbox cannot offer {bad[0]!r}: a name is like payments.send, or distance")
        self.limits = limits or Limits()
        self._owner, self._number, self._lock = os.getpid(), 0, threading.Lock()
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-s", "-P", "-S", str(CHILD), str(theirs.fileno())]
        settings = {"names": list(names), "preload": list(preload), "path": [p for p in sys.path if p]}
        lines = program().hex() if "filter" in layers else ""
        settings |= {"filter": lines, "layers": list(layers), **asdict(self.limits)}
        nothing: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), -3)  # subprocess.DEVNULL
        with theirs:
            try:  # no variable of ours is theirs; hashes are fixed, so that sets have one order
                env = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
                self.process = start_kept(command, pass_fds=[theirs.fileno()], env=env, cwd="/", **nothing)
            except OSError as error:
                raise EnvError(f"the sandbox's process cannot be started: {error}") from error
        self._finalizer = weakref.finalize(self, _end, self._control, self.process, self._owner)
        self._control.settimeout(STARTUP)
        try:
            self._control.sendall(encode(settings))
            said = bytearray()
            while not said.endswith(b"\n"):
                more = self._control.recv(4096)
                if not more:
                    raise EnvError("the sandbox's process ended while it started: is a module of `preload` missing?")
                said += more
        except (OSError, EnvError) as error:
            self.close()
            raise EnvError(f"the sandbox does not start: {error}") from error
        self.kept_by: tuple[str, ...] = tuple(json.loads(said))
        self._spare = self._fork()

    @property
    def alive(self) -> bool:
        """Whether its process is there, which says nothing once it has begun: whatever can be read is its end."""
        if self._control.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        return not poll.poll(0)

    def open(self, handler: Handler) -> Interpreter:
        """A fresh interpreter whose calls this handler answers."""
        return Interpreter(self, handler)

    def close(self) -> None:
        """End the process and every interpreter."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self) -> tuple[int, socket.socket]:
        """The interpreter that is ready, while the next one is made: its number and the connection to it."""
        with self._lock:
            taken, self._spare = self._spare, self._fork()
        return taken

    def kill(self, number: int) -> None:
        """End an interpreter."""
        self._order(b"K", number)

    def _fork(self) -> tuple[int, socket.socket]:
        self._number += 1
        ours, theirs = socket.socketpair()
        with theirs:
            self._order(b"F", self._number, theirs.fileno())
        return self._number, ours

    def _order(self, kind: bytes, number: int, *descriptors: int) -> None:
        with suppress(OSError):  # the process is gone: so are the interpreters
            socket.send_fds(self._control, [kind + number.to_bytes(8, "little")], list(descriptors))


class Interpreter:
    """A namespace in which blocks run one after the other.

    `run` and `arun` raise what the handler raises, but for `Refused`, and EnvError if the sandbox's process is gone.

    Attributes:
        calls: how many calls it has made.
        lost: how often its process was ended.
    """

    def __init__(self, sandbox: Sandbox, handler: Handler) -> None:
        self._sandbox, self._handler = sandbox, handler
        self.calls = self.lost = self._blocks = 0
        self._end: tuple[int, socket.socket] | None = None
        self._frames = Frames()
        self._left = 0

    def run(self, code: str) -> Outcome:
        """Run a block; waits."""
        end, deadline = self._begin(code)
        poll = select.poll()
        poll.register(end, select.POLLIN)
        while True:
            wait = deadline - time.monotonic()
            if wait <= 0 or not poll.poll(1000 * wait):
                return self._lose(f"it took longer than {self._sandbox.limits.seconds:g} s")
            outcome = self._advance(end)
            if outcome is not None:
                return outcome

    async def arun(self, code: str) -> Outcome:
        """Run a block while others go on. If this is cancelled its process is ended."""
        loop = asyncio.get_running_loop()
        end, deadline = self._begin(code)
        descriptor = end.fileno()
        found: asyncio.Future[Outcome] = loop.create_future()

        def advance() -> None:
            try:
                outcome = self._advance(end)
            except Exception as error:
                loop.remove_reader(descriptor)
                if not found.done():
                    found.set_exception(error)
                return
            if outcome is not None:
                loop.remove_reader(descriptor)
                if not found.done():
                    found.set_result(outcome)

        loop.add_reader(descriptor, advance)
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0.0)):
                return await found
        except TimeoutError:
            loop.remove_reader(descriptor)
            return self._lose(f"it took longer than {self._sandbox.limits.seconds:g} s")
        except BaseException:
            loop.remove_reader(descriptor)
            self.close()
            raise

    def close(self) -> None:
        """End the process, if there is one."""
        if self._end is not None:
            number, end = self._end
            self._end = None
            self._sandbox.kill(number)
            end.close()

    def _begin(self, code: str) -> tuple[socket.socket, float]:
        limits = self._sandbox.limits
        if self._end is None:
            self._frames = Frames()
            self._end = self._sandbox.take()
            self._end[1].settimeout(limits.grace + 1.0)
        self._blocks += 1
        self._left = limits.calls
        code = code.encode("utf-8", "replace").decode()
        block = {"code": code, "number": self._blocks, "seconds": limits.seconds, "output": limits.output}
        with suppress(OSError):  # that it is gone is seen when it is read
            self._end[1].sendall(encode(block))
        return self._end[1], time.monotonic() + limits.seconds + limits.grace

    def _advance(self, end: socket.socket) -> Outcome | None:
        """Read what has come; the outcome if the block is done, or its process gone."""
        try:
            data = end.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            if not self._sandbox.alive:
                self.close()
                raise EnvError("the sandbox's own process is gone: nothing can be said of the block")
            return self._lose("its process ended")
        try:
            for frame in self._frames.feed(data):
                outcome = self._take(end, frame)
                if outcome is not None:
                    return outcome
        except NoMessage as error:
            return self._lose(f"it {error}")
        except OSError:
            return self._lose("it does not read what it asked for")
        return None

    def _take(self, end: socket.socket, frame: dict[str, Any]) -> Outcome | None:
        limits = self._sandbox.limits
        match frame:
            case {"call": str(name), "args": list(args), "kwargs": dict(kwargs)}:
                self._left -= 1
                if self._left < -limits.calls:
                    raise NoMessage("made call after call, though they were refused")
                end.sendall(self._answer(name, args, kwargs))
                return None
            case {"done": self._blocks, "text": str(text), "total": int(total), "error": str() | None as error}:
                text, error = text[: limits.output], error if error is None else error[:FRAME]
                return Outcome(text=text, total=max(total, len(text)), error=error)
            case _:
                raise NoMessage("wrote to its pipe what is no message")

    def _answer(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> bytes:
        try:
            if self._left < 0:
                raise Refused(429, f"too many calls: at most {self._sandbox.limits.calls:,} a block")
            self.calls += 1
            return encode({"value": self._handler(name, args, kwargs)})
        except Refused as refused:
            return encode({"refused": [refused.code, refused.message]})

    def _lose(self, why: str) -> Outcome:
        self.lost += 1
        self.close()
        return Outcome(text="", total=0, ended=why)


def _end(control: socket.socket, process: Any, owner: int) -> None:
    control.close()
    if owner == os.getpid():  # a fork of this process ends nothing
        end_kept(process)
