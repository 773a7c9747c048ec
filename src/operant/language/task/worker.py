"""Runs rewards in a worker process, for `operant.language.task.pool`."""

from __future__ import annotations

import struct
from typing import Any

from operant.config.errors import OperantError
from operant.language.reward.trace import Reward, prepare
from operant.language.task.pool import LOAD
from operant.language.task.remote import decode_reward, decode_trace
from operant.language.task.score import call
from operant.workers.worker import Parts, serve


class Rewards:
    """The service: loads rewards, then calls them. A call is answered by a float64, or by why there is none."""

    def __init__(self) -> None:
        self.loaded: list[Reward] = []

    def start(self, settings: dict[str, Any]) -> Parts:
        """Nothing is to be made."""
        return []

    def handle(self, kind: bytes, body: memoryview) -> Parts:
        """Load a reward, or call one."""
        if kind == LOAD:
            self.loaded.append(decode_reward(str(body, "utf-8")))
            prepare(self.loaded[-1])
            return []
        (number,) = struct.unpack_from("<q", body)
        answer = call(self.loaded[number], decode_trace(str(body[8:], "utf-8")))
        if isinstance(answer, str):
            raise OperantError(answer)
        return [struct.pack("<d", answer)]

    def close(self) -> None:
        """Nothing is to be closed."""


if __name__ == "__main__":
    serve(Rewards())
