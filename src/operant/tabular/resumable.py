"""What learns and can be saved: everything that changes is an array with a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError


class Resumable:
    """What can be saved and go on exactly."""

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Everything that changes, by name: the arrays themselves."""
        raise NotImplementedError

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that changes, as copies of arrays by name: with it a learner goes on exactly."""
        return {name: array.copy() for name, array in self.arrays()}

    def make_room(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Grow as what was saved had grown; most learners have one size."""

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned.

        Raises:
            ConfigError: if the arrays are not those of such a learner; nothing was changed then.
        """
        self.make_room(state)
        own = dict(self.arrays())
        for name in (*(n for n in own if n not in state), *(n for n in state if n not in own)):
            raise ConfigError(f"the saved learner has {'an unknown' if name in state else 'no'} array {name}.")
        for name, array in state.items():
            if (array.shape, array.dtype) != (own[name].shape, own[name].dtype):
                raise ConfigError(f"the saved {name} is {array.dtype} {list(array.shape)}; this learner's is another.")
        self.check(state)
        for name, array in own.items():
            array[...] = state[name]

    def check(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Refuse what was saved where an index in it leads beyond what the compiled rules may read.

        Raises:
            ConfigError: naming the array.
        """


def arrays_of(memory: Any, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of a memory, a tuple of arrays, numbers and such tuples, by dotted name."""
    for name, value in memory._asdict().items():
        if isinstance(value, np.ndarray):
            yield prefix + name, value
        elif isinstance(value, tuple):
            yield from arrays_of(value, f"{prefix}{name}.")


def seeded(generator: np.random.Generator) -> NDArray[np.uint64]:
    """The state of a generator of choices, [4]."""
    return generator.integers(1, 2**64, size=4, dtype=np.uint64, endpoint=False)
