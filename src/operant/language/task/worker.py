"""A worker process: runs rewards for `operant.language.task.pool`, in the frames of `operant.workers.wire`.

It is started as `python -m operant.language.task.worker SOCKET`, a connected socket. Requests are LOAD (a reward as
JSON) and CALL (the number of a loaded reward, 8 bytes, and a trace as JSON). CALL is answered by a float64, or the
reason there is none.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

from operant.config.errors import ConfigError
from operant.language.reward.trace import Reward, prepare
from operant.language.task.remote import decode_reward, decode_trace
from operant.language.task.score import call
from operant.workers.parent_watch import end_with_parent
from operant.workers.wire import DONE, FAILED, MAKE, Gone, receive, send

PATH, LOAD, CALL = MAKE, b"l", b"c"
"""Requests: where to import from (JSON), a reward (JSON), a call."""


def main(line: socket.socket) -> None:
    """Answer until the other side is gone."""
    rewards: list[Reward] = []
    try:
        while True:
            kind, step, body = receive(line)
            try:
                answer = _answer(kind, body, rewards)
            except ConfigError as error:
                answer = str(error)
            if isinstance(answer, str):
                send(line, FAILED, step, answer.encode())
            else:
                send(line, DONE, step, struct.pack("<d", answer))
    except Gone:
        pass


def _answer(kind: bytes, body: bytearray, rewards: list[Reward]) -> float | str:
    if kind == PATH:
        sys.path[:] = json.loads(body)
        return 0.0
    if kind == LOAD:
        rewards.append(decode_reward(body.decode()))
        prepare(rewards[-1])
        return 0.0
    (number,) = struct.unpack_from("<q", body)
    return call(rewards[number], decode_trace(body[8:].decode()))


if __name__ == "__main__":
    end_with_parent()
    main(socket.socket(fileno=int(sys.argv[1])))
