"""The process in which the sandbox runs code: `operant.workers.sandbox` says what is kept out, and by what.

    python -s -P -S sandbox_child.py DESCRIPTOR        (-I would ignore PYTHONHASHSEED; no other variable is set)

It imports the standard library alone. It first imports what code may import, gives up what it can, and then forks one
child for each interpreter that is asked for on the socket DESCRIPTOR: a child begins with the memory of a process that
has never run anyone's code, so nothing of one interpreter is seen by the next. This is the one file of the library that
runs text as code; nothing of ours imports it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import linecache
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from typing import Any

LENGTH = struct.Struct("<I")  # bytes of a frame, before each
ORDER = struct.Struct("<cQ")  # F, start the interpreter with this number; K, end it
NEWUSER, NEWNS, NEWIPC, NEWNET, NEWPID = 0x10000000, 0x00020000, 0x08000000, 0x40000000, 0x20000000
SECCOMP, NO_NEW_PRIVS, PDEATHSIG = 22, 38, 1  # of prctl(2)
NOBODY = 65534
CHANNEL = 3  # the one descriptor of a child, besides 0 to 2, which are nothing
REFUSED = (
    "open", "os.", "subprocess.", "socket.", "ctypes.", "shutil.", "pty.", "fcntl.", "mmap.", "resource.", "signal.",
    "tempfile.", "glob.", "pathlib.", "sqlite3.", "syslog.", "webbrowser.", "urllib.", "http.", "ftplib.", "smtplib.",
    "gc.", "sys.settrace", "sys.setprofile", "sys.addaudithook",
)  # fmt: skip
"""Audit events (PEP 578) that are refused in words. They are a courtesy, no border: the filter is the border."""

_libc: Any = ctypes.CDLL(None, use_errno=True)


class _Filter(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("lines", ctypes.c_void_p)]


class ApiError(Exception):
    """A call was refused: `code` and `message` say why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.code, self.message = code, message


class _Output:
    """Standard output of a block: its first characters, and how many there were."""

    def __init__(self, most: int) -> None:
        self.parts: list[str] = []
        self.room, self.total = most, 0

    def write(self, text: str) -> int:
        """Keep what there is room for."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  as streams do
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.total += len(text)
        if self.room > 0:
            self.parts.append(text[: self.room])
            self.room -= len(text)
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""


class _Channel:
    """Frames of JSON to and from the process that asks."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._rest = descriptor, b""
        self._read, self._write, self._loads, self._dumps = os.read, os.write, json.loads, json.dumps

    def receive(self) -> Any:
        """The next frame. Raises EOFError when the other end is closed."""
        while len(self._rest) < 4 or len(self._rest) < 4 + LENGTH.unpack_from(self._rest)[0]:
            more = self._read(self._descriptor, 1 << 16)
            if not more:
                raise EOFError
            self._rest += more
        end = 4 + LENGTH.unpack_from(self._rest)[0]
        body, self._rest = self._rest[4:end], self._rest[end:]
        return self._loads(body)

    def send(self, frame: Any) -> None:
        """Send a frame. Raises TypeError or ValueError for what JSON cannot hold."""
        body = self._dumps(frame).encode()
        body = LENGTH.pack(len(body)) + body
        while body:
            body = body[self._write(self._descriptor, body) :]


class _Group:
    """Calls of one application, as attributes."""

    def __init__(self, name: str, calls: dict[str, Any]) -> None:
        self.__dict__.update(calls)
        self.__dict__["__name__"] = name

    def __repr__(self) -> str:
        return f"<{self.__dict__['__name__']}: {', '.join(k for k in self.__dict__ if k != '__name__')}>"

    def __getattr__(self, name: str) -> Any:
        known = ", ".join(k for k in self.__dict__ if k != "__name__")
        raise AttributeError(f"{self.__dict__['__name__']} has no {name!r}: it has {known}")


def _stub(channel: _Channel, name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        channel.send({"call": name, "args": args, "kwargs": kwargs})
        answer = channel.receive()
        if "refused" in answer:
            raise ApiError(*answer["refused"])
        return answer["value"]

    call.__name__ = call.__qualname__ = name
    return call


def _namespace(channel: _Channel, names: list[str]) -> dict[str, Any]:
    """What a block finds: `app.name(...)` for every dotted name, `name(...)` for the others."""
    groups: dict[str, dict[str, Any]] = {}
    found: dict[str, Any] = {"__name__": "__main__", "ApiError": ApiError}
    for name in names:
        group, _, last = name.rpartition(".")
        (groups.setdefault(group, {}) if group else found)[last] = _stub(channel, name)
    return found | {group: _Group(group, calls) for group, calls in groups.items()}


def _late(*_: object) -> None:
    raise TimeoutError("the block takes too long")


def _error(error: BaseException) -> str:
    """The traceback through the block's own lines."""
    with suppress(Exception):
        stack = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<block ")]
        if len(stack) > 6:
            stack = [*stack[:3], *stack[-3:]]
        head = "Traceback (most recent call last):\n" if stack else ""
        last = "".join(traceback.format_exception_only(type(error), error))
        return (head + "".join(traceback.format_list(stack)) + last)[-4000:].rstrip("\n")
    return type(error).__name__


def _done(block: dict[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    """Run a block; returns the frame that says what it did."""
    output, error, name = _Output(block["output"]), None, f"<block {block['number']}>"
    sys.stdout = sys.stderr = output  # type: ignore[assignment]
    linecache.cache[name] = (len(block["code"]), None, block["code"].splitlines(True), name)
    timer, real = signal.setitimer, signal.ITIMER_REAL
    try:
        timer(real, block["seconds"])
        try:
            exec(compile(block["code"], name, "exec"), namespace)  # noqa: S102  this process is made for it
        finally:
            timer(real, 0.0)
    except BaseException as raised:
        error = _error(raised)
    text = "".join(output.parts)
    return {"done": block["number"], "text": text, "total": output.total, "error": error}


def _warm() -> None:
    """Have done once what costs most the first time: the compiler alone takes more than a fork."""
    for code in ("import math\nprint(math.pi)", "def f():\n    return 1 / 0\nf()"):
        block = {"code": code, "number": 0, "output": 100, "seconds": 1.0}
        json.loads(json.dumps(_done(json.loads(json.dumps(block)), {})))
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    linecache.clearcache()


def _hook(event: str, _: object) -> None:
    if event.startswith(REFUSED):
        raise PermissionError(f"the sandbox has no files, processes or network ({event})")


def _limit(settings: dict[str, Any]) -> None:
    """Bounds of this process; none can be raised again."""
    for what, most in {
        resource.RLIMIT_CPU: settings["cpu"],
        resource.RLIMIT_AS: settings["memory"],
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: CHANNEL + 1,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }.items():
        with suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))


def _filtered(lines: bytes) -> bool:
    """Let the kernel refuse every system call that is not on the list, from here on."""
    if not lines:
        return False
    buffer = ctypes.create_string_buffer(lines, len(lines))
    wanted = _Filter(len(lines) // 8, ctypes.addressof(buffer))
    set_, zero = _libc.prctl, ctypes.c_ulong(0)
    if set_(NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0:
        return False
    return set_(SECCOMP, ctypes.c_ulong(2), ctypes.byref(wanted), zero, zero) == 0


def _child(
    descriptor: int, settings: dict[str, Any], lines: bytes, channel: _Channel, namespace: dict[str, Any]
) -> None:
    """Become an interpreter; does not return."""
    try:
        os.dup2(descriptor, CHANNEL)
        os.closerange(CHANNEL + 1, 256)
        if "random" in sys.modules:  # it seeds itself after a fork, from the system
            sys.modules["random"].seed(0)
        _dies_with_parent()
        _limit(settings)
        if lines and not _filtered(lines):
            os._exit(71)
        if "hook" in settings["layers"]:
            sys.addaudithook(_hook)
        while True:
            channel.send(_done(channel.receive(), namespace))
    except EOFError:
        pass
    finally:
        os._exit(0)


def _dies_with_parent() -> None:
    if sys.platform == "linux":
        _libc.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _retreat(settings: dict[str, Any], control: socket.socket) -> list[str]:
    """Give up privileges and what can be seen of the machine; returns what could be given up."""
    layers = settings["layers"]
    kept = ["limits", *(["hook"] if "hook" in layers else [])]
    if "nobody" in layers and os.getuid() == 0:
        with suppress(OSError):
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            kept.append("nobody")
            _dies_with_parent()  # which a change of user forgets
    if sys.platform == "linux" and "namespaces" in layers:
        if _libc.unshare(NEWUSER | NEWNS | NEWIPC | NEWNET | NEWPID) == 0:
            kept.append("namespaces")
            outer = os.fork()  # the first child is the first process of the new namespace
            if outer:
                control.close()
                os.waitpid(outer, 0)
                os._exit(0)
            _dies_with_parent()
    return kept


def _probe(lines: bytes) -> bool:
    """Whether a child can filter itself."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _filtered(lines) else 1)
    return os.waitpid(pid, 0)[1] == 0


def _reap(running: dict[int, int], numbers: dict[int, int]) -> None:
    """Forget the interpreters that have ended; until then their process ids are no one else's."""
    with suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            running.pop(numbers.pop(pid, 0), None)


def _exactly(control: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = control.recv(size - len(found))
        if not more:
            os._exit(0)
        found += more
    return found


def main() -> None:
    """Serve until the other end is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(_exactly(control, LENGTH.unpack(_exactly(control, 4))[0]))
    sys.path += settings["path"]
    for name in settings["preload"]:
        importlib.import_module(name)
    lines = bytes.fromhex(settings["filter"])
    kept = _retreat(settings, control)
    if lines and _probe(lines):
        kept.append("filter")
    else:
        lines = b""
    control.sendall(json.dumps(kept).encode() + b"\n")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _late)
    # what every child needs is made once, here
    sys.path[:] = []
    sys.path_importer_cache.clear()
    channel = _Channel(CHANNEL)
    namespace = _namespace(channel, settings["names"])
    _warm()
    gc.collect()
    gc.freeze()  # what is here already is not copied by the children's collector
    running: dict[int, int] = {}  # interpreter → process
    numbers: dict[int, int] = {}  # and back
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 1)
        if not order:
            return
        kind, number = ORDER.unpack(order)
        _reap(running, numbers)
        if kind == b"K" and number in running:
            os.kill(running[number], signal.SIGKILL)
        elif kind == b"F":
            try:
                pid = os.fork()
            except OSError:
                os.close(descriptors[0])  # whoever waits sees the end of the connection
                continue
            if pid == 0:
                control.close()
                _child(descriptors[0], settings, lines, channel, namespace)
            os.close(descriptors[0])
            running[number], numbers[pid] = pid, number


if __name__ == "__main__":
    main()
