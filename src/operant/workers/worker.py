"""The loop of a worker process: requests of `operant.workers.pool` to a service, which runs a user's own code.

Whatever that code does, the parent gets an answer to its own request or sees the process end: an exception of any kind
is an answer, standard output is that of errors, and a child that it forked, and that comes back here, ends at once.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from operant.config.errors import OperantError, raised
from operant.workers.parent_watch import end_with_parent
from operant.workers.wire import DONE, FAILED, RAISED, START, Connection, Disconnected

Parts: TypeAlias = Sequence[bytes]


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
    end_with_parent()
    end = socket.socket(fileno=int(sys.argv[1]))
    end.set_inheritable(False)  # programs that user code starts do not get it, nor do processes that it forks
    connection = Connection(end)
    os.register_at_fork(after_in_child=connection.close)
    try:
        while True:
            kind, number, body = connection.receive_request()
            answer, parts = _answer(service, kind, body)
            if connection.fileno() < 0:  # this is a process that user code forked
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
        return FAILED, [str(error).encode("utf-8", "backslashreplace")]
    except BaseException as error:
        return RAISED, [raised(error).encode("utf-8", "backslashreplace")]
