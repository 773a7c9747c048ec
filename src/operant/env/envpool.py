"""EnvPool (https://github.com/sail-sg/envpool): other implementations of known environments, in C++ threads."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import EnvError, user_code
from operant.config.suggest import nearest, nearest_are
from operant.env.gymvector import GymVector
from operant.workers.pool import cores

_SEEDS = 2**31  # EnvPool takes seeds of 31 bits


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """EnvPool states its bounds in float64, which Box remarks upon for every pool."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


class Pool(GymVector):
    """A `VectorEnv` of EnvPool copies. It is another implementation of the physics: compare scores with care.

    EnvPool fixes its seeds when a pool is made, so `reset(seed)` makes a new pool in which copy i has `seed + i`. It
    resets on the next step. An episode that terminates in the very step of its time limit it reports as truncated.

    Raises EnvError for an id or an option that EnvPool does not have.
    """

    def __init__(self, id: str, num: int, kwargs: Mapping[str, Any], action_mask: str = "") -> None:
        try:
            envpool: Any = importlib.import_module("envpool")
        except ImportError as error:
            raise EnvError('envpool is not installed: run pip install "operant[envpool]"') from error
        known: list[str] = envpool.list_all_envs()
        if id not in known:
            raise EnvError(f"envpool has no {id!r}{nearest_are(id, known)}")
        with _quiet():
            self._start(envpool, id, num, kwargs, action_mask)

    def _start(self, envpool: Any, id: str, num: int, kwargs: Mapping[str, Any], action_mask: str) -> None:
        allowed = set(envpool.make_spec(id).config._fields) - {"num_envs", "batch_size", "seed", "env_seed"}
        for option in kwargs:  # EnvPool itself passes over those it does not know
            if option not in allowed:
                near = nearest(option, allowed)
                hint = f": did you mean {near[0]!r}?" if near else ""
                raise EnvError(f"envpool's {id} has no option {option!r}{hint}")
        options = {"num_threads": min(num, cores()), **kwargs}

        def open_pool(seed: int) -> Any:
            seeds = [(seed + index) % _SEEDS for index in range(num)]
            return envpool.make_gymnasium(id, num_envs=num, seed=seeds, **options)

        self._open = open_pool
        with user_code(f"{id}: making it", EnvError):
            pool = open_pool(0)
        super().__init__(pool, id, "envpool", action_mask)

    def reset(self, seed: int) -> NDArray[Any]:
        """Make a new pool in which copy i is seeded with `seed + i`; returns the first states [N, D]."""
        self._env.close()
        self._env = self._guarded("reset()", lambda: self._open(int(seed)))
        self._steps = 0
        self._ended = np.zeros(self.num, dtype=np.bool_)
        with _quiet():
            return self._guarded("reset()", lambda: self._first(*self._env.reset()))

    def render(self) -> None:
        """Return None: EnvPool is not asked for pictures."""
