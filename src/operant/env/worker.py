"""A worker process: steps a slice of the copies for `operant.env.process`, in the layout of `operant.workers.wire`.

It is started as `python -m operant.env.worker SOCKET PLACE`: a connected socket, and a file of 8 bytes in which it
notes the copy that it is about to call, so that the other side knows where it was when it does not answer.
"""

from __future__ import annotations

import json
import mmap
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from operant.config.errors import EnvError
from operant.env.inprocess import InProcess
from operant.env.make import make_one
from operant.env.spaces import action_dtype
from operant.workers.parent_watch import end_with_parent
from operant.workers.wire import DONE, FAILED, MAKE, PICTURE, RESET, Gone, encode_space, receive, send


class _Noted(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Writes down which copy is being called."""

    def __init__(self, env: gymnasium.Env[Any, Any], note: Callable[[], None]) -> None:
        super().__init__(env)
        self._note = note

    def step(self, action: Any) -> Any:
        self._note()
        return self.env.step(action)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._note()
        return self.env.reset(seed=seed)


def main(line: socket.socket, place: mmap.mmap) -> None:
    """Answer until the other side is gone."""
    envs: InProcess | None = None
    try:
        while True:
            kind, step, body = receive(line)
            try:
                if kind == MAKE:
                    envs = _make(json.loads(body), place)
                    answer = [json.dumps(_about(envs)).encode()]
                else:
                    assert envs is not None
                    answer = _answer(envs, kind, step, body)
            except EnvError as error:
                send(line, FAILED, step, str(error).encode())
            else:
                send(line, DONE, step, *answer)
    except Gone:
        if envs is not None:
            envs.close()


def _make(order: dict[str, Any], place: mmap.mmap) -> InProcess:
    sys.path[:] = order["path"]
    envs: list[gymnasium.Env[Any, Any]] = []
    name, first, count = order["env"], order["first"], order["count"]
    for copy in range(first, first + count):
        note = _noter(place, copy)
        note()
        made = make_one(name, order["kwargs"], None if copy else order["render_mode"])
        envs.append(_Noted(made, note))
    return InProcess(envs, name, first=first)


def _noter(place: mmap.mmap, copy: int) -> Callable[[], None]:
    data = struct.pack("<q", copy)

    def note() -> None:
        place[:8] = data

    return note


def _about(envs: InProcess) -> dict[str, Any]:
    return {
        "observation_space": encode_space(envs.observation_space),
        "action_space": encode_space(envs.action_space),
        "fps": envs.fps,
    }


def _answer(envs: InProcess, kind: bytes, step: int, body: bytearray) -> list[bytes | memoryview]:
    envs.steps = step - 1
    if kind == RESET:
        return [envs.reset(struct.unpack("<q", body)[0]).tobytes()]
    if kind == PICTURE:
        picture = envs.render()
        return [] if picture is None else [struct.pack("<3q", *picture.shape), picture.tobytes()]
    action = np.frombuffer(body, action_dtype(envs.action_space)).reshape(envs.num, *envs.action_width)
    said = envs.step(action)
    parts = [said.reward, said.terminated, said.truncated, said.obs]
    return [part.tobytes() for part in (parts if said.final_obs is None else [*parts, said.final_obs])]


if __name__ == "__main__":
    end_with_parent()
    main(socket.socket(fileno=int(sys.argv[1])), mmap.mmap(int(sys.argv[2]), 8))
