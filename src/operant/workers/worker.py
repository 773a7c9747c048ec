"""The loop of a worker process: requests of `operant.workers.pool` to a service, which runs a user's own code.

Whatever that code does, the parent gets an answer to its own request or sees the process end: an exception of any kind
is an answer, standard output is that of errors, and a child that it forked, and that comes back here, ends at once.
What it starts ends with it (`operant.workers.keeper`).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from operant.config.errors import OperantError, raised
from operant.config.streams import forgive
from operant.workers.wire import BEHIND, DONE, FAILED, RAISED, START, Connection, Disconnected

Parts: TypeAlias = Sequence[bytes]
LONGEST_TRACE = 100_000


class Service(Protocol):
    """What a worker process does. An `OperantError` says what is wrong in its own words."""

    def start(self, settings: dict[str, Any]) -> Parts:
        """Make what the requests are about."""
        ...

    def handle(self, kind: bytes, body: memoryview) -> Parts:
        """Answer one request."""
        ...

    def close(self) -> None:
        """The parent has closed the connection."""
        ...


def serve(service: Service) -> None:
    """Answer on the socket whose descriptor is the first argument of this process, until the parent is gone."""
    forgive()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, which then closes the socket
    own = os.getpid()
    end = socket.socket(fileno=int(sys.argv[1]))
    end.set_inheritable(False)  # programs that user code starts do not get it, nor do processes that it forks
    connection = Connection(end)
    os.register_at_fork(after_in_child=connection.close)
    try:
        while True:
            kind, number, body = connection.receive_request()
            answer, parts = _answer(service, kind, body)
            if os.getpid() != own:  # this is a process that user code forked
                os._exit(0)
            connection.send(answer, number, *parts)
    except Disconnected:
        service.close()


def _answer(service: Service, kind: bytes, body: memoryview) -> tuple[bytes, Parts]:
    try:
        if kind != START:
            return DONE, service.handle(kind, body)
        settings = json.loads(bytes(body))
        sys.path[:] = settings.pop("path")
        return DONE, service.start(settings)
    except OperantError as error:
        return FAILED, _told(str(error), error)
    except BaseException as error:
        return RAISED, _told(raised(error), error)


def _told(reason: str, error: BaseException) -> Parts:
    """Why there is no answer, and the whole traceback."""
    trace = "".join(traceback.format_exception(error))[-LONGEST_TRACE:]
    return [f"{reason}{BEHIND}{trace}".encode("utf-8", "backslashreplace")]
