"""A network of a board, its optimiser and the positions it learns from, as a checkpoint keeps them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.data.finite import State
from operant.games.network import BoardPolicy
from operant.games.self_play import Positions
from operant.run.begin import fitting, refuse_kind
from operant.run.disk import fits_memory, save_tensors
from operant.run.optimizer_state import read_moments, store_moments, tensors_of

WINDOW = "window.safetensors"


class Window:
    """The newest positions of games that have ended.

    Args:
        size: most that are kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.held: Positions | None = None

    def __len__(self) -> int:
        return 0 if self.held is None else len(self.held.outcome)

    def add(self, new: Positions) -> None:
        """Put new ones behind the others; the oldest go."""
        held = new
        if self.held is not None:
            pairs: Any = zip(self.held, new, strict=True)
            held = Positions(*(np.concatenate(pair) for pair in pairs))
        self.held = Positions(held.states[-self.size :], held.policy[-self.size :], held.outcome[-self.size :])

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name."""
        held = {} if self.held is None else self.held._asdict()
        return {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in held.items()}


class BoardLearner:
    """`Learned` by gradient, from a window of positions.

    Args:
        agent: the policy.
        optimizer: of its parameters.
        window: what it learns from.
    """

    def __init__(self, agent: BoardPolicy, optimizer: torch.optim.Optimizer, window: Window) -> None:
        self.agent, self.optimizer, self.window = agent, optimizer, window
        self._state = State(agent, optimizer)

    @property
    def parameters(self) -> int:
        """How many parameters the network has."""
        return sum(p.numel() for p in self.agent.parameters())

    def size(self) -> int:
        """Bytes of all tensors, of the window as it will be when it is full."""
        board = self.agent.board
        moments = 0 if tensors_of(self.optimizer) else 8 * self.parameters
        row = 8 * board.start().shape[1] + 4 * board.actions + 4
        return sum(x.numel() * x.element_size() for x in self._state.tensors()) + moments + row * self.window.size

    def save(self, folder: Path) -> None:
        """Write the policy's two files, `optim.safetensors` and `window.safetensors`."""
        self.agent.save(folder)
        store_moments(self.optimizer, folder / "optim.safetensors")
        save_tensors(self.window.tensors(), folder / WINDOW)

    def load(self, folder: Path) -> None:
        """Become what was saved, bit for bit.

        Raises:
            ConfigError: if a file cannot be read or is of another learner; nothing was changed then.
        """
        try:
            spec, window = load_json(folder / "policy.json"), load_file(fits_memory(folder / WINDOW))
        except (OSError, SafetensorError, ValueError) as error:
            raise ConfigError(f"{folder}: its files cannot be read ({error}). Use another checkpoint.") from error
        own = json.loads(json.dumps(asdict(self.agent.spec)))
        if spec != own:
            differ = [k for k in own if not isinstance(spec, dict) or spec.get(k) != own[k]]
            raise ConfigError(f"{folder / 'policy.json'} is of another policy: {', '.join(differ)} differ.")
        held = self._window(window, folder / WINDOW)
        model = fitting(folder, self.agent.state_dict(), {})
        fill = read_moments(self.optimizer, folder / "optim.safetensors")
        self.agent.load_state_dict(model)
        self.window.held = held
        fill()

    def _window(self, tensors: dict[str, Tensor], file: Path) -> Positions | None:
        if not tensors:
            return None
        board = self.agent.board
        width = {"states": (board.start().shape[1],), "policy": (board.actions,), "outcome": ()}
        found: dict[str, Any] = {name: x.numpy() for name, x in tensors.items()}
        kinds = {"states": np.int64, "policy": np.float32, "outcome": np.float32}
        if (
            found.keys() != width.keys()
            or any(x.shape[1:] != width[name] or x.dtype != kinds[name] for name, x in found.items())
            or len({x.shape[:1] for x in found.values()}) != 1
            or not (np.isfinite(found["policy"]).all() and np.isfinite(found["outcome"]).all())
        ):
            raise ConfigError(f"{file} holds no positions of {board.name}. Use another checkpoint.")
        return Positions(**found)

    def begin_from(self, folder: Path) -> None:
        """Take over the network in a folder; optimiser and positions stay new (`operant.run.begin`)."""
        refuse_kind(folder, "board")
        there, own = BoardPolicy.load(folder).spec, self.agent.spec
        names = ("game", "network", "hidden", "channels", "blocks")
        differ = {k: (getattr(there, k), getattr(own, k)) for k in names if getattr(there, k) != getattr(own, k)}
        self.agent.load_state_dict(fitting(folder, self.agent.state_dict(), differ))

    def finite(self) -> bool:
        """Whether no parameter and no moment is NaN or infinite."""
        return self._state.finite()

    def named(self) -> dict[str, Tensor]:
        """Parameters and moments by name."""
        return self._state.named()
