"""A policy that is a table: for each state and action a number, and the action of the largest is taken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.env.interface import Interface
from operant.run.actor import Acting
from operant.run.disk import fits_memory, save_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """The shape of a table; `policy.json` beside its numbers."""

    states: int
    actions: int
    epsilon: float = 0.0  # share of uniform actions where actions are sampled
    kind: Literal["table"] = "table"
    observation_space: dict[str, Any] | None = field(default=None, hash=False)  # as `encode_space` writes it
    action_space: dict[str, Any] | None = field(default=None, hash=False)

    def as_json(self) -> dict[str, Any]:
        """What `policy.json` holds; the spaces where they are known."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def interface(self) -> Interface | None:
        """What stands between the environment's spaces and the table; None where the spaces are not known.

        Raises:
            ValueError: if they are no spaces, or not those of such a table.
        """
        found = Interface.decoded(self.observation_space, self.action_space)
        if found is None:
            return None
        sizes = [getattr(x.space, "n", None) for x in (found.observations, found.actions)]
        if found.actions.kind != "discrete" or sizes != [self.states, self.actions]:
            raise ValueError("policy.json: its spaces are of another table")
        return found

    @property
    def obs_dim(self) -> int:
        """Numbers of an observation as environments give it here: one-hot."""
        return self.states


class Greedy(nn.Module):
    """The greedy policy of a table on one-hot observations, in torch, to be exported."""

    q: Tensor  # [S, A]

    def __init__(self, table: NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("q", torch.from_numpy(np.ascontiguousarray(table)))

    def output(self, obs: Tensor) -> Tensor:
        """The action values, [N, S] → [N, A]."""
        return self.q[obs.argmax(dim=-1)]

    def mode(self, obs: Tensor) -> Tensor:
        """The greedy actions, [N, S] → [N]."""
        return self.output(obs).argmax(dim=-1)


class TablePolicy(Acting):
    """q(s, a), acted on greedily, or ε-greedily where actions are sampled. Ties go to the first action.

    Args:
        table: [S, A] float64; not copied.
        epsilon: ε of sampled actions.
        interface: of the environment's spaces, where they are known.
    """

    def __init__(self, table: NDArray[np.float64], epsilon: float = 0.0, interface: Interface | None = None) -> None:
        self.table, self.epsilon, self.interface = table, epsilon, interface

    @property
    def spec(self) -> TableSpec:
        """Its shape, as it is stored."""
        states, actions = self.table.shape
        kept = {} if self.interface is None else self.interface.encoded()
        observed, done = kept.get("observation_space"), kept.get("action_space")
        epsilon = float(self.epsilon)
        return TableSpec(states=states, actions=actions, epsilon=epsilon, observation_space=observed, action_space=done)

    def decide(self, obs: ArrayLike, *, generator: np.random.Generator | None = None) -> NDArray[np.int64]:
        """The number of each state's greedy action, or of an ε-greedy one where `generator` is given.

        Args:
            obs: states, as whole numbers [] or [N], or as the one-hot rows [S] or [N, S] that environments give here.
            generator: draws the actions.

        Raises:
            ValueError: if it is neither, or there is no such state.
        """
        state = self.state(obs)
        action = self.table[state].argmax(axis=-1)
        if generator is None:
            return np.asarray(action, dtype=np.int64)
        other = generator.integers(self.table.shape[1], size=state.shape)
        return np.where(generator.random(state.shape) < self.epsilon, other, action).astype(np.int64)

    def estimate(self, obs: ArrayLike) -> NDArray[np.float64]:
        """max over a of q(s, a) for the states of `obs`, as `decide` takes them."""
        return np.asarray(self.table[self.state(obs)].max(axis=-1))

    def state(self, obs: ArrayLike) -> NDArray[np.int64]:
        """The states that observations stand for, as `decide` takes them."""
        array, states = np.asarray(obs), self.table.shape[0]
        if array.dtype.kind == "f" and array.shape[-1:] == (states,):
            array = array.argmax(axis=-1)
        if array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() < states):
            raise ValueError(
                f"obs is {array.dtype} {list(array.shape)}; states are whole numbers from 0 to {states - 1}, "
                f"or one-hot rows of {states} numbers"
            )
        return array.astype(np.int64)

    @property
    def policy(self) -> Greedy:
        """The greedy policy as a torch module."""
        return Greedy(self.table)

    def stored(self) -> dict[str, Tensor]:
        """The tensors of `model.safetensors` by name."""
        return {"q": torch.from_numpy(np.ascontiguousarray(self.table))}

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `policy.json` into `folder`."""
        save_tensors(self.stored(), folder / "model.safetensors")
        (folder / "policy.json").write_text(json.dumps(self.spec.as_json(), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> TablePolicy:
        """Read what `save` wrote.

        Raises:
            ConfigError: if a file is missing or is not a table's.
        """
        try:
            raw: Any = load_json(folder / "policy.json")
            spec = TableSpec(**raw)
            tensors = load_file(fits_memory(folder / "model.safetensors"))
            shape = (spec.states, spec.actions)
            if any(type(n) is not int or n < 1 for n in shape) or type(spec.epsilon) not in (int, float):
                raise ValueError("policy.json: states and actions are whole numbers from 1 on, and epsilon is a number")
            if spec.kind != "table" or not 0.0 <= spec.epsilon <= 1.0:
                raise ValueError("policy.json: of another kind, or epsilon is not within 0 and 1")
            interface = spec.interface()
            if set(tensors) != {"q"} or tuple(tensors["q"].shape) != shape or tensors["q"].dtype != torch.float64:
                raise ValueError(f"model.safetensors does not hold a table float64 {list(shape)}")
        except (OSError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise ConfigError(f"{folder}: not a readable policy ({error})") from error
        return cls(tensors["q"].numpy(), spec.epsilon, interface)


def as_json(table: NDArray[np.float64], actions: Sequence[str] = ()) -> str:
    """A table as a JSON document: states by number, each with its greedy action and the value of every action."""
    names = list(actions) or [str(a) for a in range(table.shape[1])]
    rows = (
        {"state": s, "action": names[int(row.argmax())], "q": dict(zip(names, row.tolist(), strict=True))}
        for s, row in enumerate(table)
    )
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
