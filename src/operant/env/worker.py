"""Steps a slice of the copies in a worker process, for `operant.env.process`.

It gets a file in which it notes, 8 bytes for each worker, the copy that it is about to call, so that the other side
knows where it was when it does not answer.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from operant.env.encoded import encode_space
from operant.env.inprocess import InProcess
from operant.env.make import make_one
from operant.env.process import RENDER, RESET
from operant.env.spaces import action_dtype
from operant.workers.worker import Parts, serve


class _Tracked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Writes down which copy is being called."""

    def __init__(self, env: gymnasium.Env[Any, Any], mark: Callable[[], None]) -> None:
        super().__init__(env)
        self._mark = mark

    def step(self, action: Any) -> Any:
        self._mark()
        return self.env.step(action)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._mark()
        return self.env.reset(seed=seed)


class Copies:
    """The service: makes its copies, then resets, steps and draws them."""

    envs: InProcess | None = None
    rows: NDArray[Any] | None = None  # [3, N, D]: states after even and odd steps, and the last ones; of these copies

    def start(self, settings: dict[str, Any]) -> Parts:
        """Make the copies; the answer is a JSON object of their spaces and pictures per second."""
        current = mmap.mmap(int(sys.argv[2]), 0)
        name, first = settings["env"], settings["first"]
        self.own = os.getpid()
        self.place = (settings["workers"], settings["num"], slice(first, first + settings["count"]))
        envs: list[gymnasium.Env[Any, Any]] = []
        for copy in range(first, first + settings["count"]):
            mark = _marker(current, settings["worker"], copy)
            mark()
            drawn = None if copy else settings["render_mode"]
            made = make_one(name, settings["kwargs"], drawn, settings["wrappers"], measured=settings["measured"])
            envs.append(_Tracked(made, mark))
        self.envs = InProcess(envs, name, first=first, action_mask=settings["action_mask"])
        spaces = {kind: encode_space(getattr(self.envs, kind)) for kind in ("observation_space", "action_space")}
        return [json.dumps(spaces | {"fps": self.envs.fps}).encode()]

    def handle(self, kind: bytes, body: memoryview) -> Parts:
        """Answer with a picture after its shape, or the arrays of a `Step` one after another; states go by `rows`."""
        envs = self.envs
        assert envs is not None
        steps = struct.unpack_from("<q", body)[0]
        envs.steps = steps - 1
        if kind == RESET:
            self.rows = self._shared(envs)
            self._put(steps % 2, envs.reset(struct.unpack_from("<q", body, 8)[0]))
            return []
        if kind == RENDER:
            picture = envs.render()
            return [] if picture is None else [struct.pack("<3q", *picture.shape), picture.tobytes()]
        action = np.frombuffer(body, action_dtype(envs.action_space), offset=8)
        step = envs.step(action.reshape(envs.num, *envs.action_width))
        cost = np.full(envs.num, np.nan, np.float32) if step.cost is None else step.cost
        self._put(steps % 2, step.obs)
        if step.final_obs is not None:
            self._put(2, step.final_obs)
        return [array.tobytes() for array in (step.reward, step.terminated, step.truncated, cost)]

    def _put(self, which: int, states: NDArray[Any]) -> None:
        if self.rows is not None and os.getpid() == self.own:  # else user code forked, and its child came back here
            self.rows[which] = states

    def _shared(self, envs: InProcess) -> NDArray[Any]:
        """The rows of these copies in the memory that is shared with the parent."""
        workers, num, own = self.place
        whole = np.frombuffer(mmap.mmap(int(sys.argv[2]), 0), envs.observations.dtype, offset=8 * workers)
        return whole.reshape(3, num, envs.obs_dim)[:, own]

    def close(self) -> None:
        """Close the copies."""
        if self.envs is not None:
            self.envs.close()


def _marker(current: mmap.mmap, worker: int, copy: int) -> Callable[[], None]:
    place, data = slice(8 * worker, 8 * worker + 8), struct.pack("<q", copy)

    def mark() -> None:
        current[place] = data

    return mark


if __name__ == "__main__":
    serve(Copies())
