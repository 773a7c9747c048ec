"""What can be measured, filmed and kept, whatever it was learnt by."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from operant.env.interface import Interface


class Policy(Protocol):
    """What a checkpoint holds: it writes itself into `model.safetensors` and `policy.json`, and perhaps more."""

    def save(self, folder: Path) -> None:
        """Write its files into `folder`."""
        ...


class Actor(Policy, Protocol):
    """A policy for an environment."""

    def act(self, obs: Any, *, mask: Any = None, generator: np.random.Generator | None = None) -> Any:
        """What `env.step` takes, for one raw observation of the environment or a batch of them."""
        ...

    def decide(self, obs: np.ndarray, *, generator: np.random.Generator | None = None) -> np.ndarray:
        """The action for each of [N, D] observations, as a `VectorEnv` gives the ones and takes the others."""
        ...

    def forget(self, rows: np.ndarray | None = None) -> None:
        """Episodes begin where `rows` [N] is True, or in all rows: a policy with memory lets go of what was before."""
        ...

    def told(self, reward: np.ndarray) -> None:
        """So much was paid in each row [N] for its last decision; most policies do not care."""
        ...

    def attention(self) -> AbstractContextManager[Callable[[], np.ndarray | None]]:
        """Inside it, what tells how much each place of its texts the policy looked at as it last acted; or nothing."""
        ...

    def value(self, obs: Any) -> np.ndarray:
        """V of one raw observation or of a batch of them, in the units of the environment's reward."""
        ...


class Acting:
    """`act` and `value` of a policy that knows its environment's spaces; `decide` and `estimate` are the policy's own.

    Where the policy file holds no spaces (it is of an earlier version), `ask` gives them, where it is set. Without
    either the policy stands alone: `act` is `decide`, and `value` is `estimate`.
    """

    interface: Interface | None = None
    ask: Callable[[], Interface] | None = None

    def decide(self, obs: Any, *, generator: np.random.Generator | None = None) -> np.ndarray:
        """The policy's own action for each of [N, D] observations."""
        raise NotImplementedError

    def forget(self, rows: np.ndarray | None = None) -> None:
        """Begin new episodes where `rows` [N] is True, or in all rows; without memory there is nothing to forget."""

    def told(self, reward: np.ndarray) -> None:
        """So much was paid in each row [N] for its last decision; a policy that asks for a return counts it."""

    def attention(self) -> AbstractContextManager[Callable[[], np.ndarray | None]]:
        """Inside it, what tells how much each place of its texts the policy looked at as it last acted; or nothing."""
        return nullcontext(lambda: None)

    def estimate(self, obs: Any) -> np.ndarray:
        """The policy's own V of each of [N, D] observations."""
        raise NotImplementedError

    def act(self, obs: Any, *, mask: Any = None, generator: np.random.Generator | None = None) -> Any:
        """What `env.step` takes for raw observations: the policy's mode, or a sample where `generator` is given.

        Args:
            obs: one observation as the environment gives it, or a batch of N as a Gymnasium vector environment does;
                for a Dict or a Tuple space also a list of observations.
            mask: `info["action_mask"]`, for a policy that was trained with it; of a batch those of the batch.
            generator: draws the actions.

        Returns:
            An action of the action space: in its units, within its bounds, of its shape and dtype; of a batch [N, ...],
            for a Dict or a Tuple space a dict or tuple of these.

        Raises:
            ValueError: if an observation does not fit the observation space, or a mask is needed and missing, or not
                needed; says where.
            NonFiniteError: if it holds a NaN or an infinity.
        """
        between = self._between()
        if between is None:
            return self.decide(obs, generator=generator)
        rows, one = between.observations.read(obs, mask)
        action = self.decide(rows, generator=generator)
        return between.actions.decode(action)[0] if one else between.actions.decode_batch(action)

    def value(self, obs: Any) -> np.ndarray:
        """V of raw observations, as `act` takes them, in the units of the environment's reward: [] for one, or [N]."""
        between = self._between()
        if between is None:
            return self.estimate(obs)
        rows, one = between.observations.read(obs, masked=False)
        value = self.estimate(rows)
        return value[0] if one else value

    def _between(self) -> Interface | None:
        if self.interface is None and self.ask is not None:
            self.know(self.ask())
        return self.interface

    def know(self, interface: Interface) -> None:
        """Learn the environment's spaces."""
        self.interface = interface
